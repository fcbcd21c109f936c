/* endpoint.c - preloaded into a task's processes: connections to a peer's virtual address go to where the peer lives now.
 *
 *   LD_PRELOAD=/path/endpoint.so TFOS_ENDPOINTS=/path/table program
 *
 * The table (endpoint.h) is the agent's. Without one, or where the kernel lacks something, everything passes through.
 *
 * connect: a TCP destination that is in the table is replaced by its target; without a target the call fails with ECONNREFUSED.
 *   Whether it blocks is the caller's affair. At the first such call a thread starts that sleeps on the table's generation and
 *   resets the connections, established or under way, whose entry has another target now.
 * getsockopt: SO_ERROR, by which a program asks how a connect got on. Before it is told that one is through, by this or by connect itself,
 *   the target's agent must have proven since that it holds the port; otherwise somebody else may have taken it.
 *   The task's virtual port at any address of its node is its real port there; another port of a peer's virtual address is that of
 *   the peer's node. Such connections are led, and then left alone: nobody proves anything, and no re-target resets them.
 * bind: to the task's virtual port binds the real port instead, which the agent holds with a socket that has SO_REUSEPORT. The task's
 *   own virtual address stands for all addresses of the node, whatever the port.
 * getsockname: such a socket goes on saying the virtual port. TensorFlow hands out what it reads there.
 * getnameinfo, gethostbyaddr, gethostbyaddr_r: a task's virtual address has the name of the node on which that task is now.
 * execve, execv, execvp, posix_spawn, posix_spawnp: a child whose environment was made by hand, with neither of our variables, gets them. One that has only
 *   lost LD_PRELOAD was meant to.
 *
 * Sockets are known by SO_COOKIE, so that close need not be interposed: a stale record does no harm. The state is in a
 * MADV_WIPEONFORK mapping: a forked child starts without records, gets a thread of its own when it needs one, and leaves
 * alone what it inherited, which its parent resets for both.
 *
 * Not covered: statically linked programs; connections begun by io_uring or sendto(MSG_FASTOPEN); the reset (not the redirection) of
 * a connection whose descriptor was duplicated and then closed, and of those of an unthreaded program whose libc, older than
 * glibc 2.34, has no threads; the proof for a program that sends without having asked how its connect got on.
 *
 * Linked with -nostdlib: no NEEDED entry and no symbol version, so that one build loads into any glibc, and musl. What
 * it uses strongly must therefore be in every libc itself (a test has the list); what is in older libraries beside it is weak.
 */
#define _GNU_SOURCE
#include "endpoint.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define MAX_FD 65536
#define POLL_NS 250000000L      /* how often the thread looks without being woken */
#define READ_TRIES 1000         /* of an entry that the agent is writing, */
#define READ_PAUSE_NS 100000L   /* this long apart */
#define PROOF_MS 2000           /* that a target has to prove who it is: it takes less than one */
#define PROOF_STEP_MS 50        /* between looks whether it is the target still */

#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define STORE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELEASE)
#define COUNT(x) __atomic_fetch_add(&(x), 1, __ATOMIC_RELEASE)
#define UNCOUNT(x) __atomic_fetch_sub(&(x), 1, __ATOMIC_RELEASE)

/* Which build this is: the agent's tests compare it with the sources. */
#ifndef SOURCE_SHA256
#define SOURCE_SHA256 "unknown"
#endif
__attribute__((used)) static const char source[] = "tfos-endpoint-source " SOURCE_SHA256;

/* Absent from the libc of an unthreaded program before glibc 2.34. */
extern __typeof(dlsym) dlsym __attribute__((weak));
extern __typeof(pthread_create) pthread_create __attribute__((weak));

/* In the libc of glibc before 2.34, for programs that are not linked with libdl. */
extern void *__libc_dlopen_mode(const char *, int) __attribute__((weak));
extern void *__libc_dlsym(void *, const char *) __attribute__((weak));
#define DLOPEN_MODE 0x80000000 /* __RTLD_DLOPEN */

typedef int (*socket_call)(int, const struct sockaddr *, socklen_t);

#define LIBRARY "endpoint.so"
static const char preload_name[] = "LD_PRELOAD=", table_name[] = "TFOS_ENDPOINTS=";

/* What tells a child of this library and its table; empty where everything passes through. */
static char our_preload[sizeof preload_name + PATH_MAX], our_table[sizeof table_name + PATH_MAX];
static __typeof(&execve) next_execve;

/* Set once by setup, before the program has threads. table is NULL where everything passes through. */
static struct ep_table *table;
static struct ep_entry *entries;
static struct ep_counts *counts;
static struct ep_count *count_of;

/* rec is a connection made through entry idx1-1 when that had generation gen. */
struct rec {
	uint64_t cookie;
	uint32_t idx1; /* 0: none */
	uint32_t gen;
	uint32_t sure; /* the target has proven who it is since */
};

/* All zero at first, and in a forked child: the initial state of each member, of the mutex too. */
static struct state {
	pthread_mutex_t mu; /* guards the rest */
	int watching;       /* this process has its thread */
	int top;            /* all records are below */
	struct rec rec[MAX_FD];
} *st;

/* note_image sets the bit of this process's image. */
static void note_image(struct ep_counts *c)
{
	static const unsigned long types[] = {AT_RANDOM, AT_SYSINFO_EHDR, AT_BASE, AT_SECURE};
	uint64_t hash = 0;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		hash = (hash ^ getauxval(types[i])) * EP_MIX;
		hash ^= hash >> 32;
	}
	hash %= 8 * sizeof c->images;
	__atomic_fetch_or(&c->images[hash / 32], 1u << hash % 32, __ATOMIC_RELAXED);
}

/* note_names keeps what a child is told by. The program may change its own environment later. */
static void note_names(const char *path)
{
	const char *list = getenv("LD_PRELOAD");
	size_t n = 0, length = strlen(path);
	for (; list && *list; list += n + (list[n] != 0)) {
		n = strcspn(list, ": ");
		if (n >= sizeof LIBRARY && n < PATH_MAX && memcmp(list + n - sizeof LIBRARY, "/" LIBRARY, sizeof LIBRARY) == 0) break;
	}
	if (!list || !*list || length >= PATH_MAX) return;
	memcpy(our_preload, preload_name, sizeof preload_name - 1);
	memcpy(our_preload + sizeof preload_name - 1, list, n);
	memcpy(our_table, table_name, sizeof table_name - 1);
	memcpy(our_table + sizeof table_name - 1, path, length);
	if (dlsym) next_execve = (__typeof(&execve))dlsym(RTLD_NEXT, "execve"); /* now: a child of vfork() must not */
}

__attribute__((constructor)) static void setup(void)
{
	const char *path = getenv("TFOS_ENDPOINTS");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0) return;
	struct ep_table head;
	off_t size = lseek(fd, 0, SEEK_END);
	if (pread(fd, &head, sizeof head, 0) != sizeof head || memcmp(head.magic, EP_MAGIC, sizeof head.magic) != 0) goto out;
	uint64_t entries_end = sizeof(struct ep_table) + (uint64_t)head.capacity * sizeof(struct ep_entry);
	uint64_t counts_size = sizeof(struct ep_counts) + (uint64_t)head.capacity * sizeof(struct ep_count);
	if (entries_end > head.counts_offset || head.counts_offset + counts_size > (uint64_t)size) goto out;

	struct ep_table *t = mmap(NULL, entries_end, PROT_READ, MAP_SHARED, fd, 0);
	struct ep_counts *c = mmap(NULL, counts_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, head.counts_offset);
	struct state *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t == MAP_FAILED || c == MAP_FAILED || s == MAP_FAILED || madvise(s, sizeof *s, MADV_WIPEONFORK) != 0) goto out;
	st = s;
	entries = (struct ep_entry *)(t + 1);
	counts = c;
	count_of = (struct ep_count *)(c + 1);
	table = t;
	note_names(path);
	COUNT(counts->processes);
	note_image(c);
out:
	close(fd);
}

/* next makes the call that would have been made without this library: the next one preloaded, or libc's. */
static int next(long nr, const char *name, socket_call *cache, int fd, const struct sockaddr *a, socklen_t n)
{
	socket_call f = LOAD(*cache);
	if (!f && dlsym) {
		f = (socket_call)dlsym(RTLD_NEXT, name);
		STORE(*cache, f);
	}
	return f ? f(fd, a, n) : (int)syscall(nr, fd, a, n);
}

static int next_connect(int fd, const struct sockaddr *a, socklen_t n)
{
	static socket_call cache;
	return next(SYS_connect, "connect", &cache, fd, a, n);
}

static int next_bind(int fd, const struct sockaddr *a, socklen_t n)
{
	static socket_call cache;
	return next(SYS_bind, "bind", &cache, fd, a, n);
}

static int next_getsockopt(int fd, int level, int name, void *value, socklen_t *n)
{
	return (int)syscall(SYS_getsockopt, fd, level, name, value, n);
}

static int is_tcp(int fd)
{
	int type = 0;
	socklen_t n = sizeof type;
	return next_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_STREAM;
}

/* cookie is the socket's number, unique on the machine until it restarts; 0 if fd is none. */
static uint64_t cookie(int fd)
{
	uint64_t c = 0;
	socklen_t n = sizeof c;
	return next_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &c, &n) == 0 ? c : 0;
}

/* ipv4 finds the IPv4 address and port in a; false if it is of another kind. TensorFlow's are v4-mapped IPv6. */
static int ipv4(const struct sockaddr *a, socklen_t n, uint8_t ip[4], uint16_t *port)
{
	if (!a || n < sizeof(sa_family_t)) return 0;
	if (a->sa_family == AF_INET && n >= sizeof(struct sockaddr_in)) {
		const struct sockaddr_in *s = (const void *)a;
		memcpy(ip, &s->sin_addr, 4);
		*port = s->sin_port;
		return 1;
	}
	if (a->sa_family == AF_INET6 && n >= sizeof(struct sockaddr_in6)) {
		const struct sockaddr_in6 *s = (const void *)a;
		if (!IN6_IS_ADDR_V4MAPPED(&s->sin6_addr)) return 0;
		memcpy(ip, s->sin6_addr.s6_addr + 12, 4);
		*port = s->sin6_port;
		return 1;
	}
	return 0;
}

/* port_of is the place of an internet address's port, the same for both families; NULL: it is of another kind. */
static uint16_t *port_of(const struct sockaddr *a, socklen_t n)
{
	if (!a || n < sizeof(sa_family_t)) return NULL;
	if (a->sa_family == AF_INET ? n < sizeof(struct sockaddr_in) : a->sa_family != AF_INET6 || n < sizeof(struct sockaddr_in6)) return NULL;
	return &((struct sockaddr_in *)a)->sin_port;
}

/* address writes ip and port in the caller's family. It returns the size; 0: an IPv6 address has no form for an IPv4 socket. */
static socklen_t address(struct sockaddr_storage *o, int family, const uint8_t ip[16], uint16_t port)
{
	memset(o, 0, sizeof *o);
	if (family == AF_INET6) {
		struct sockaddr_in6 *s = (void *)o;
		s->sin6_family = AF_INET6;
		s->sin6_port = port;
		memcpy(&s->sin6_addr, ip, 16);
		return sizeof *s;
	}
	if (!IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)ip)) return 0;
	struct sockaddr_in *s = (void *)o;
	s->sin_family = AF_INET;
	s->sin_port = port;
	memcpy(&s->sin_addr, ip + 12, 4);
	return sizeof *s;
}

/* lookup finds the entry of a virtual address; -1: it is none. */
static int lookup(const uint8_t ip[4], uint16_t port)
{
	if (ip[0] != 127) return -1;
	uint32_t n = LOAD(table->count);
	for (uint32_t i = 0; i < n && i < table->capacity; i++)
		if (entries[i].vport == port && memcmp(entries[i].vaddr, ip, 4) == 0) return (int)i;
	return -1;
}

/* snapshot reads an entry as a whole. If the agent died half-way through writing it, the entry has no target. */
static void snapshot(int i, struct ep_entry *out)
{
	uint32_t *from = (uint32_t *)&entries[i], w[sizeof *out / 4];
	for (int tries = 0; tries < READ_TRIES; tries++) {
		uint32_t seq = LOAD(entries[i].seq);
		for (size_t k = 0; k < sizeof *out / 4; k++) w[k] = __atomic_load_n(&from[k], __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (!(seq & 1) && LOAD(entries[i].seq) == seq) {
			memcpy(out, w, sizeof *out);
			return;
		}
		struct timespec pause = {0, READ_PAUSE_NS};
		nanosleep(&pause, NULL);
	}
	memset(out, 0, sizeof *out);
}

/* reset ends the connection c for its user, now, counts that, and has close() send RST instead of lingering towards a dead peer. It
 * returns false if fd is c but is not connected, which its connect() may be about to change. */
static int reset(int fd, uint64_t c, uint64_t *count)
{
	int d = fcntl(fd, F_DUPFD_CLOEXEC, 0), ended = 1; /* pins the socket: fd may be closed and reused meanwhile */
	if (d < 0) return 1;
	if (cookie(d) == c) {
		struct linger hard = {1, 0};
		COUNT(*count); /* first: who sees the end sees it counted */
		if (shutdown(d, SHUT_RDWR) == 0) { /* aborts a connect under way, too */
			setsockopt(d, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
		} else {
			ended = errno != ENOTCONN;
			UNCOUNT(*count);
		}
	}
	close(d);
	return ended;
}

static void *watch(void *unused)
{
	(void)unused;
	for (;;) {
		uint32_t gen = LOAD(table->gen);
		pthread_mutex_lock(&st->mu);
		for (int fd = 0; fd < st->top; fd++) {
			struct rec *r = &st->rec[fd];
			if (!r->idx1 || LOAD(entries[r->idx1 - 1].gen) == r->gen) continue;
			if (reset(fd, r->cookie, &count_of[r->idx1 - 1].resets)) r->idx1 = 0; /* otherwise looked at again */
		}
		pthread_mutex_unlock(&st->mu);
		struct timespec wait = {0, POLL_NS};
		syscall(SYS_futex, &table->gen, FUTEX_WAIT, gen, &wait, NULL, 0);
	}
	return NULL;
}

/* start_watching sees to it that this process has its thread. st->mu is held. */
static int start_watching(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;
	if (st->watching || !pthread_create) return 1;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old); /* signals are for the program's own threads */
	st->watching = pthread_create(&thread, &attr, watch, NULL) == 0;
	sigprocmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return st->watching;
}

/* enter records that fd is about to connect through entry i with generation gen. It returns 0, or the errno to fail with. */
static int enter(int fd, uint64_t c, int i, uint32_t gen)
{
	int err = 0;
	pthread_mutex_lock(&st->mu);
	struct rec *r = &st->rec[fd];
	if (r->idx1 && r->cookie == c && (r->idx1 != (uint32_t)i + 1 || r->gen != gen)) {
		/* A second connect() on a socket asks how the first got on, and that went to the old target. */
		reset(fd, c, &count_of[r->idx1 - 1].resets);
		r->idx1 = 0;
		err = ECONNRESET;
	} else if (!start_watching()) {
		err = EAGAIN; /* a connection that could not be reset must not be made */
	} else {
		if (!r->idx1 || r->cookie != c) *r = (struct rec){.cookie = c, .idx1 = (uint32_t)i + 1, .gen = gen};
		if (fd >= st->top) st->top = fd + 1;
	}
	pthread_mutex_unlock(&st->mu);
	return err;
}

/* leave forgets what enter recorded. It returns false if the thread has dealt with it already. */
static int leave(int fd, uint64_t c)
{
	pthread_mutex_lock(&st->mu);
	struct rec *r = &st->rec[fd];
	int there = r->idx1 && r->cookie == c;
	if (there) r->idx1 = 0;
	pthread_mutex_unlock(&st->mu);
	return there;
}

/* prove asks at the address of e's target who is there. It returns 0 if that is the agent which holds the target's port, and so
 * has held it since it was published, until now; otherwise an errno. */
static int prove(int i, const struct ep_entry *e)
{
	struct sockaddr_storage to;
	uint8_t said[sizeof e->proof];
	size_t have = 0;
	socklen_t size = address(&to, AF_INET, e->taddr, e->pport);
	if (!size) size = address(&to, AF_INET6, e->taddr, e->pport);
	int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) return errno;
	int ok = next_connect(fd, (struct sockaddr *)&to, size) == 0 || errno == EINPROGRESS;
	for (int waited = 0; ok && have < sizeof said && waited < PROOF_MS && LOAD(entries[i].gen) == e->gen;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (poll(&p, 1, PROOF_STEP_MS) <= 0) {
			waited += PROOF_STEP_MS;
			continue;
		}
		ssize_t n = recv(fd, said + have, sizeof said - have, 0);
		if (n > 0)
			have += (size_t)n;
		else
			ok = n < 0 && (errno == EAGAIN || errno == EINTR);
	}
	struct linger hard = {1, 0}; /* leaves nothing behind */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(fd);
	return have == sizeof said && memcmp(said, e->proof, sizeof said) == 0 ? 0 : ECONNREFUSED;
}

/* confirm sees to it that the connection c, which is through, is with the target it was meant for. If not it ends it and returns the errno
 * to fail with. */
static int confirm(int fd, uint64_t c)
{
	pthread_mutex_lock(&st->mu);
	struct rec r = st->rec[fd];
	pthread_mutex_unlock(&st->mu);
	if (!r.idx1 || r.cookie != c || r.sure) return 0;
	int i = (int)r.idx1 - 1;
	struct ep_entry e;
	snapshot(i, &e);
	if (e.gen != r.gen) return ECONNRESET; /* the thread deals with it */
	int err = e.pport ? prove(i, &e) : 0;
	if (!err) {
		pthread_mutex_lock(&st->mu);
		if (st->rec[fd].idx1 == r.idx1 && st->rec[fd].cookie == c) st->rec[fd].sure = 1;
		pthread_mutex_unlock(&st->mu);
	} else if (leave(fd, c)) {
		UNCOUNT(count_of[i].connections);
		reset(fd, c, &count_of[i].refused);
	}
	return err;
}

/* here reports whether an address is this machine's. */
static int here(const struct sockaddr *a, socklen_t n)
{
	struct sockaddr_storage any;
	int fd = socket(a->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0) return 0;
	memset(&any, 0, sizeof any);
	memcpy(&any, a, n < sizeof any ? n : sizeof any);
	*port_of((struct sockaddr *)&any, n) = 0;
	int ok = next_bind(fd, (struct sockaddr *)&any, n) == 0;
	close(fd);
	return ok;
}

/* lives finds the task whose virtual address ip is, whatever the port. 0: there is none; -1: it is nowhere. */
static int lives(const uint8_t ip[4], struct ep_entry *e)
{
	uint32_t count = LOAD(table->count);
	if (ip[0] != 127) return 0;
	for (uint32_t i = 0; i < count && i < table->capacity; i++) {
		if (memcmp(entries[i].vaddr, ip, 4) != 0) continue;
		snapshot((int)i, e);
		return e->flags & EP_LIVE ? 1 : -1;
	}
	return 0;
}

/* beside finds where a TCP connection goes whose destination is nobody's virtual address and port, and yet one that we made up: the task's own
 * virtual port at an address of this machine is the real one there, another port of a peer's virtual address is that of the
 * peer's node. It returns the size of what it wrote to o; 0: the destination is what it says; -1: the peer is nowhere. */
static int beside(const struct sockaddr *a, socklen_t n, struct sockaddr_storage *o)
{
	uint8_t ip[4];
	uint16_t *port = port_of(a, n), unused;
	if (!port) return 0;
	if (table->self_port && *port == table->self_vport && here(a, n)) {
		memset(o, 0, sizeof *o);
		memcpy(o, a, n < sizeof *o ? n : sizeof *o);
		*port_of((struct sockaddr *)o, n) = table->self_port;
		return (int)n;
	}
	if (!ipv4(a, n, ip, &unused) || memcmp(ip, table->self_vaddr, 4) == 0) return 0;
	struct ep_entry e;
	int there = lives(ip, &e);
	int size = there > 0 ? (int)address(o, a->sa_family, e.taddr, *port) : 0;
	return size || !there ? size : -1;
}

EXPORT int connect(int fd, const struct sockaddr *a, socklen_t n)
{
	uint8_t ip[4];
	uint16_t port;
	int i = -1, saved = errno;
	struct sockaddr_storage to;
	if (!table || !is_tcp(fd)) {
		errno = saved;
		return next_connect(fd, a, n);
	}
	if (ipv4(a, n, ip, &port)) i = lookup(ip, port);
	if (i < 0) {
		int other = beside(a, n, &to);
		errno = other < 0 ? ECONNREFUSED : saved;
		return other < 0 ? -1 : other ? next_connect(fd, (struct sockaddr *)&to, (socklen_t)other) : next_connect(fd, a, n);
	}

	struct ep_entry e;
	socklen_t size = 0;
	snapshot(i, &e);
	if (e.flags & EP_LIVE) size = address(&to, a->sa_family, e.taddr, e.tport);
	if (!size) {
		COUNT(count_of[i].refused);
		errno = ECONNREFUSED;
		return -1;
	}
	uint64_t c = cookie(fd);
	int err = fd < MAX_FD ? enter(fd, c, i, e.gen) : EMFILE;
	if (err) {
		errno = err;
		return -1;
	}
	COUNT(count_of[i].connections);
	errno = saved;
	int rc = next_connect(fd, (struct sockaddr *)&to, size);
	int failed = rc < 0 ? errno : 0;
	if (failed && failed != EINPROGRESS && failed != EALREADY && failed != EISCONN && failed != EINTR) {
		leave(fd, c);
	} else if (LOAD(entries[i].gen) != e.gen && leave(fd, c)) { /* re-targeted since the snapshot */
		reset(fd, c, &count_of[i].resets);
	} else if ((!failed || failed == EISCONN) && (err = confirm(fd, c))) {
		rc = -1;
		failed = err;
	}
	errno = rc < 0 ? failed : saved;
	return rc;
}

EXPORT int getsockopt(int fd, int level, int name, void *value, socklen_t *n)
{
	int rc = next_getsockopt(fd, level, name, value, n), saved = errno;
	if (rc != 0 || !table || level != SOL_SOCKET || name != SO_ERROR || *n != sizeof(int) || *(int *)value != 0 || fd >= MAX_FD ||
	    !LOAD(st->rec[fd].idx1))
		return rc;
	struct sockaddr_storage peer;
	socklen_t size = sizeof peer;
	if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0) *(int *)value = confirm(fd, cookie(fd)); /* else it is under way */
	errno = saved;
	return rc;
}

EXPORT int bind(int fd, const struct sockaddr *a, socklen_t n)
{
	int saved = errno, on = 1, mine = 0;
	uint16_t *port = port_of(a, n), vport;
	uint8_t ip[4];
	struct sockaddr_storage to;
	if (!table || !table->self_port || !port || !is_tcp(fd)) goto as_it_says;
	if (ipv4(a, n, ip, &vport)) {
		mine = memcmp(ip, table->self_vaddr, 4) == 0;
		if (!mine && lookup(ip, vport) >= 0) goto as_it_says; /* a peer's */
	}
	if (!mine && *port != table->self_vport) goto as_it_says;

	memset(&to, 0, sizeof to);
	memcpy(&to, a, n < sizeof to ? n : sizeof to);
	if (mine) { /* stands for every address of the node. A v4-mapped one keeps an IPv6 socket to IPv4, as the caller meant it. */
		static const uint8_t any4[16] = {[10] = 0xff, [11] = 0xff};
		n = address(&to, a->sa_family, any4, *port);
	}
	if (*port == table->self_vport) {
		*port_of((struct sockaddr *)&to, n) = table->self_port;
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on); /* what the agent's socket lets in; bind fails without */
	}
	errno = saved;
	int rc = next_bind(fd, (struct sockaddr *)&to, n);
	if (rc == 0 && *port == table->self_vport) COUNT(counts->binds);
	return rc;

as_it_says:
	errno = saved;
	return next_bind(fd, a, n);
}

EXPORT int getsockname(int fd, struct sockaddr *a, socklen_t *n)
{
	int rc = (int)syscall(SYS_getsockname, fd, a, n), saved = errno;
	if (rc == 0 && table && table->self_port && *n >= sizeof(struct sockaddr_in) &&
	    (a->sa_family == AF_INET || a->sa_family == AF_INET6)) {
		uint16_t *port = &((struct sockaddr_in *)a)->sin_port; /* at the same place in sockaddr_in6 */
		struct sockaddr_storage peer;
		socklen_t size = sizeof peer;
		if (*port == table->self_port && is_tcp(fd) && getpeername(fd, (struct sockaddr *)&peer, &size) != 0)
			*port = table->self_vport;
	}
	errno = saved;
	return rc;
}

/* theirs is the function that would have been called without this library. NULL: there is no way to find it. */
static void *theirs(void **cache, const char *name)
{
	void *f = LOAD(*cache), *libc;
	if (f) return f;
	if (dlsym)
		f = dlsym(RTLD_NEXT, name);
	else if (__libc_dlopen_mode && __libc_dlsym && (libc = __libc_dlopen_mode("libc.so.6", (int)(RTLD_NOW | DLOPEN_MODE))))
		f = __libc_dlsym(libc, name);
	STORE(*cache, f);
	return f;
}

EXPORT int getnameinfo(const struct sockaddr *a, socklen_t n, char *host, socklen_t host_size, char *serv, socklen_t serv_size, int flags)
{
	static void *cache;
	__typeof(&getnameinfo) next_call = (__typeof(&getnameinfo))theirs(&cache, "getnameinfo");
	struct ep_entry e;
	struct sockaddr_storage to;
	uint8_t ip[4];
	uint16_t port;
	if (!next_call) return EAI_FAIL;
	if (table && host && host_size && !(flags & NI_NUMERICHOST) && ipv4(a, n, ip, &port) && lives(ip, &e) > 0) {
		socklen_t size = address(&to, AF_INET, e.taddr, port);
		if (!size) size = address(&to, AF_INET6, e.taddr, port);
		if (next_call((struct sockaddr *)&to, size, host, host_size, serv, serv_size, flags | NI_NAMEREQD) == 0) return 0;
	}
	return next_call(a, n, host, host_size, serv, serv_size, flags);
}

/* node finds the address of the node of the task whose virtual address a is, for gethostbyaddr. 0: it is none. */
static socklen_t node(const void *a, socklen_t n, int type, struct ep_entry *e, const void **at, int *family)
{
	if (!table || type != AF_INET || n != 4 || lives(a, e) <= 0) return 0;
	int mapped = IN6_IS_ADDR_V4MAPPED((struct in6_addr *)e->taddr);
	*at = e->taddr + (mapped ? 12 : 0);
	*family = mapped ? AF_INET : AF_INET6;
	return mapped ? 4 : 16;
}

/* named has the answer for a node be one for the virtual address that was asked for. */
static void named(struct hostent *h, const void *a)
{
	h->h_addrtype = AF_INET;
	h->h_length = 4;
	if (h->h_addr_list[0]) memcpy(h->h_addr_list[0], a, 4);
}

EXPORT int gethostbyaddr_r(const void *a, socklen_t n, int type, struct hostent *h, char *buf, size_t size, struct hostent **result, int *err)
{
	static void *cache;
	__typeof(&gethostbyaddr_r) next_call = (__typeof(&gethostbyaddr_r))theirs(&cache, "gethostbyaddr_r");
	struct ep_entry e;
	const void *at;
	int family;
	socklen_t length = node(a, n, type, &e, &at, &family);
	if (!next_call) {
		*result = NULL;
		*err = NO_RECOVERY;
		return ENOSYS;
	}
	if (length) {
		int rc = next_call(at, length, family, h, buf, size, result, err);
		if (rc == 0 && *result) named(h, a);
		if (rc == ERANGE || (rc == 0 && *result)) return rc;
	}
	return next_call(a, n, type, h, buf, size, result, err);
}

EXPORT struct hostent *gethostbyaddr(const void *a, socklen_t n, int type)
{
	static void *cache;
	__typeof(&gethostbyaddr) next_call = (__typeof(&gethostbyaddr))theirs(&cache, "gethostbyaddr");
	struct ep_entry e;
	const void *at;
	int family;
	socklen_t length = node(a, n, type, &e, &at, &family);
	struct hostent *h = NULL;
	if (!next_call) {
		h_errno = NO_RECOVERY;
		return NULL;
	}
	if (length && (h = next_call(at, length, family))) named(h, a);
	return h ? h : next_call(a, n, type);
}

/* given is the number of pointers that an environment needs with what is ours. 0: it is left as it is. It runs in children of
 * vfork() too, and so takes nothing from the heap. */
static size_t given(char *const env[])
{
	size_t n = 0;
	if (!our_preload[0]) return 0;
	for (; env && env[n]; n++)
		if (strncmp(env[n], preload_name, sizeof preload_name - 1) == 0 || strncmp(env[n], table_name, sizeof table_name - 1) == 0) return 0;
	return n + 3;
}

/* give fills an environment of so many pointers. */
static char *const *give(char *const env[], char **with, size_t n)
{
	if (!n) return env;
	if (n > 3) memcpy(with, env, (n - 3) * sizeof *with);
	with[n - 3] = our_preload;
	with[n - 2] = our_table;
	with[n - 1] = NULL;
	return with;
}

EXPORT int execve(const char *path, char *const argv[], char *const env[])
{
	size_t n = given(env);
	char *with[n ? n : 1];
	env = give(env, with, n);
	return next_execve ? next_execve(path, argv, env) : (int)syscall(SYS_execve, path, argv, env);
}

EXPORT int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

EXPORT int execvp(const char *file, char *const argv[])
{
	size_t n = given(environ);
	char *with[n ? n : 1];
	return execvpe(file, argv, give(environ, with, n));
}

static int spawn(void **cache, const char *name, pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
		 char *const argv[], char *const env[])
{
	__typeof(&posix_spawn) next_call = (__typeof(&posix_spawn))theirs(cache, name);
	size_t n = given(env);
	char *with[n ? n : 1];
	return next_call ? next_call(pid, path, actions, attr, argv, give(env, with, n)) : ENOSYS;
}

EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr, char *const argv[],
		       char *const env[])
{
	static void *cache;
	return spawn(&cache, "posix_spawn", pid, path, actions, attr, argv, env);
}

EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr, char *const argv[],
			char *const env[])
{
	static void *cache;
	return spawn(&cache, "posix_spawnp", pid, file, actions, attr, argv, env);
}
