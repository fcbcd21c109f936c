// The guard: the small process between an agent and the program that it runs. Its contract is in doc.go, its orders and events
// in event.go, one directory up.
//
// It is C, and without a C library, because a process of Go reserves 1.2 GB of address space, which counts against a container
// where YARN checks virtual memory. This one takes 0.2 MB. It allocates nothing, and it has one thread.
#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/poll.h>
#include <linux/prctl.h>
#include <linux/signal.h>
#include <linux/socket.h>
#include <linux/time.h>
#include <linux/wait.h>

#ifndef SOURCE_SHA256
#define SOURCE_SHA256 "none"
#endif
__attribute__((used)) static const char source[] = "tfos-guard-source " SOURCE_SHA256;

#define CONTROL 3        // the guard's end of the socket
#define TERMINATE 't'    // SIGTERM to the program's process group
#define KILL 'k'         // SIGKILL to everything; the end of the stream means it as well
#define KILL_FOR 10000   // ms of killing what does not die: in uninterruptible sleep, or owned by another user
#define KILL_AGAIN 5     // ms
#define DEPTH 32         // of processes below the guard that one round reaches; the next one reaches the others
#define MSG_NOSIGNAL 0x4000
#define SOCK_CLOEXEC 02000000

typedef unsigned long set_t; // the kernel's set of signals

#if defined(__x86_64__)
static long call(long n, long a, long b, long c, long d, long e, long f) {
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	return result;
}
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin\n");
#elif defined(__aarch64__)
static long call(long n, long a, long b, long c, long d, long e, long f) {
	register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
}
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x30, #0\n\tmov x0, sp\n\tbl begin\n");
#else
#error "no system calls for this kind of machine"
#endif

#define call0(n) call(n, 0, 0, 0, 0, 0, 0)
#define call1(n, a) call(n, (long)(a), 0, 0, 0, 0, 0)
#define call2(n, a, b) call(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define call3(n, a, b, c) call(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define call4(n, a, b, c, d) call(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define call5(n, a, b, c, d, e) call(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

static long now(void) { // ms
	struct { long s, ns; } t;
	call2(__NR_clock_gettime, CLOCK_MONOTONIC, &t);
	return t.s * 1000 + t.ns / 1000000;
}

// number writes n, which is not negative, and a space.
static char *number(char *at, long n) {
	char digits[20];
	int k = 0;
	do digits[k++] = '0' + n % 10; while (n /= 10);
	while (k) *at++ = digits[--k];
	*at++ = ' ';
	return at;
}

static char *text(char *at, const char *s, const char *end) {
	while (*s && at < end) {
		*at++ = *s == '\n' ? ' ' : *s;
		s++;
	}
	return at;
}

// tell writes one event, in one piece. An agent that is gone does not hear it.
static void tell(const char *kind, long pid, long code, long sig, long left, const char *what) {
	char line[512], *end = line + sizeof line, *at = text(line, kind, end);
	*at++ = ' ';
	at = number(number(number(number(at, pid), code), sig), left);
	at = text(at, what, end - 1);
	*at++ = '\n';
	for (char *from = line; from < at;) {
		long n = call(__NR_sendto, CONTROL, (long)from, at - from, MSG_NOSIGNAL, 0, 0);
		if (n == -EINTR) continue;
		if (n <= 0) return;
		from += n;
	}
}

// path writes "/proc/<a><mid><b><end>"; without b: "/proc/<a><mid>".
static void path(char *at, long a, const char *mid, const char *b, const char *end) {
	at = number(text(at, "/proc/", at + 6), a) - 1;
	at = text(at, mid, at + 16);
	at = text(at, b, at + 16);
	at = text(at, end, at + 16);
	*at = 0;
}

struct entry { // linux_dirent64
	unsigned long ino;
	long off;
	unsigned short size;
	unsigned char type;
	char name[];
};

static long parse(const char *s, const char **rest) {
	long n = 0;
	while (*s == ' ') s++;
	if (*s < '0' || *s > '9') return -1;
	while (*s >= '0' && *s <= '9') n = n * 10 + (*s++ - '0');
	*rest = s;
	return n;
}

// each calls f with the name of every entry of a directory that is a number. It reports whether there is such a directory.
static int each(const char *dir, long (*f)(long n, const char *name, void *arg), void *arg, long *sum) {
	char buffer[1024] __attribute__((aligned(8)));
	long fd = call4(__NR_openat, AT_FDCWD, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), n;
	if (fd < 0) return 0;
	while ((n = call3(__NR_getdents64, fd, buffer, sizeof buffer)) > 0)
		for (long at = 0; at < n; at += ((struct entry *)(buffer + at))->size) {
			const char *name = ((struct entry *)(buffer + at))->name, *rest;
			long number = parse(name, &rest);
			if (number > 0) *sum += f(number, name, arg);
		}
	call1(__NR_close, fd);
	return 1;
}

struct round { // of killing or counting what is below a process
	long pid;
	int sig, depth;
	int known; // the kernel has lists of children
};

static long below(long pid, int sig, int depth, int *known);

// of_thread reads /proc/<pid>/task/<tid>/children, deepest first, so that none is missed because its parent has died.
static long of_thread(long tid, const char *name, void *arg) {
	(void)tid;
	struct round *r = arg;
	char file[80], buffer[512];
	path(file, r->pid, "/task/", name, "/children");
	long fd = call4(__NR_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0), n, all = 0, held = 0;
	if (fd < 0) return 0;
	r->known = 1;
	while ((n = call3(__NR_read, fd, buffer + held, sizeof buffer - 1 - held)) > 0) {
		n += held;
		buffer[n] = 0;
		const char *at = buffer, *rest;
		for (;;) {
			long child = parse(at, &rest);
			if (child < 0 || *rest == 0) break; // the number may go on in the next piece
			at = rest + 1;                      // each ends with a space
			int ignored;
			if (r->depth < DEPTH) all += below(child, r->sig, r->depth + 1, &ignored);
			if (r->sig) call2(__NR_kill, child, r->sig);
			all++;
		}
		held = buffer + n - at;
		for (long i = 0; i < held; i++) buffer[i] = at[i];
	}
	call1(__NR_close, fd);
	return all;
}

// below sends a signal, if it is not 0, to all processes below pid, and counts them.
static long below(long pid, int sig, int depth, int *known) {
	char dir[40];
	struct round r = {pid, sig, depth, 0};
	long sum = 0;
	path(dir, pid, "/task", "", "");
	each(dir, of_thread, &r, &sum);
	*known = r.known;
	return sum;
}

// orphan handles one process of the whole node, for a kernel that keeps no lists of children (CONFIG_PROC_CHILDREN): it looks
// at our own children only. What they leave becomes ours, and is found in the next round.
static long orphan(long pid, const char *name, void *arg) {
	struct round *r = arg;
	char file[40], buffer[512];
	(void)name;
	path(file, pid, "/stat", "", "");
	long fd = call4(__NR_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0) return 0;
	long n = call3(__NR_read, fd, buffer, sizeof buffer - 1);
	call1(__NR_close, fd);
	if (n <= 0) return 0;
	buffer[n] = 0;
	const char *at = 0, *rest;
	for (long i = 0; i < n; i++)
		if (buffer[i] == ')') at = buffer + i + 1; // "pid (name) state ppid": the name may hold anything
	if (!at || n < at - buffer + 3 || parse(at + 2, &rest) != r->pid) return 0;
	if (r->sig) call2(__NR_kill, pid, r->sig);
	return 1;
}

// all sends a signal, if it is not 0, to everything below this process, and counts it.
static long all(int sig) {
	long me = call0(__NR_getpid), sum;
	int known;
	sum = below(me, sig, 0, &known);
	if (!known) {
		struct round r = {me, sig, 0, 0};
		sum = 0;
		each("/proc", orphan, &r, &sum);
	}
	return sum;
}

// fork starts the program, in a process group of its own. It returns its pid, or what was wrong.
static long start(char **argv, char **envp, const set_t *mask) {
	int fds[2];
	long parent = call0(__NR_getpid), err = call2(__NR_pipe2, fds, O_CLOEXEC), n;
	if (err < 0) return err;
	long pid = call5(__NR_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		call2(__NR_setpgid, 0, 0);
		call5(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		if (call0(__NR_getppid) != parent) call1(__NR_exit_group, 1); // the guard died before it could be asked for
		call4(__NR_rt_sigprocmask, SIG_SETMASK, mask, 0, sizeof *mask);
		err = call3(__NR_execve, argv[0], argv, envp);
		call3(__NR_write, fds[1], &err, sizeof err);
		call1(__NR_exit_group, 1);
	}
	call1(__NR_close, fds[1]);
	while (pid > 0 && (n = call3(__NR_read, fds[0], &err, sizeof err)) != 0) // it ends when the program has replaced us
		if (n == sizeof err) {
			pid = err;
			break;
		}
	call1(__NR_close, fds[0]);
	return pid;
}

static int guard(int argc, char **argv, char **envp) {
	set_t every = ~0ul, before, child = 1ul << (SIGCHLD - 1);
	// Signals meant for others wait for ever. Not ignored: the program would inherit that.
	call4(__NR_rt_sigprocmask, SIG_SETMASK, &every, &before, sizeof every);
	if (argc < 2) return 2;
	call3(__NR_fcntl, CONTROL, F_SETFD, FD_CLOEXEC);
	call5(__NR_prctl, PR_SET_NAME, "tfos-guard", 0, 0, 0); // else the number of a descriptor
	long signals = call4(__NR_signalfd4, -1, &child, sizeof child, O_CLOEXEC | O_NONBLOCK);
	long err = call5(__NR_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (err < 0 || signals < 0) {
		tell("failed", 0, err < 0 ? -err : -signals, 0, 0, "prepare the guard");
		return 1;
	}
	long program = start(argv + 1, envp, &before);
	if (program < 0) {
		tell("failed", 0, -program, 0, 0, argv[1]);
		return 1;
	}
	tell("started", program, 0, 0, 0, "");

	int ended = 0;    // the program itself
	int stopping = 0; // it was asked to end: what it leaves behind has the same time as itself
	long until = 0;   // set while killing
	long code = 0, sig = 0, left = 0;
	struct pollfd fds[2] = {{CONTROL, POLLIN, 0}, {signals, POLLIN, 0}};
	for (;;) {
		int status;
		long pid;
		while ((pid = call4(__NR_wait4, -1, &status, WNOHANG, 0)) > 0)
			if (pid == program) {
				ended = 1;
				sig = status & 0x7f;
				code = sig ? 0 : status >> 8 & 0xff;
			}
		if (pid == -ECHILD) break;
		if (!until && ended && !stopping) until = now() + KILL_FOR;
		if (until) {
			all(SIGKILL);
			if (now() > until) {
				left = all(0);
				if (!ended) sig = SIGKILL;
				break;
			}
		}
		struct { long s, ns; } again = {0, KILL_AGAIN * 1000000l};
		if (call5(__NR_ppoll, fds, 2, until ? &again : 0, 0, 0) <= 0) continue;
		if (fds[1].revents) {
			char ignored[128]; // a signalfd_siginfo: that a child has ended is all it says
			while (call3(__NR_read, signals, ignored, sizeof ignored) > 0) {}
		}
		if (fds[0].revents) {
			char order = KILL;
			if (call3(__NR_read, CONTROL, &order, 1) <= 0) {
				order = KILL;
				fds[0].fd = -1; // the agent is gone
			}
			if (order == TERMINATE && !until) {
				stopping = 1;
				call2(__NR_kill, -program, SIGTERM);
				call2(__NR_kill, -program, SIGCONT); // a stopped process would not hear it
			}
			if (order == KILL && !until) until = now() + KILL_FOR;
		}
	}
	tell("exited", program, code, sig, left, "");
	return 0;
}

// begin finds the arguments and the environment above the stack's beginning.
__attribute__((used, noreturn)) void begin(long *stack) {
	char **argv = (char **)(stack + 1);
	call1(__NR_exit_group, guard(*stack, argv, argv + *stack + 1));
	__builtin_unreachable();
}
