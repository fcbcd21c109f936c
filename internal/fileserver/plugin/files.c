/* files.c - TensorFlow's filesystem for hdfs:// and viewfs:// paths: it asks the task's agent.
 *
 * The agent listens on the Unix socket that TFOS_FILES names; wire.go has the protocol. Whatever the agent answers becomes the status
 * of the operation as it is. An agent that is gone, or silent for SILENCE seconds, is UNAVAILABLE: nothing waits for ever.
 *
 * Connections are kept for further use, and belong to the process that made them: each knows its process, and a forked child closes
 * what it inherited and connects anew. There are no locks that a fork could leave held: the stores are swapped atomically. A file
 * being written stays with the process that opened it. What is written and not yet sent when that process exits is sent then, as stdio
 * does for local files: programs leave their event files open.
 *
 * A file that is read in sequence comes from its DataNode, on a connection that the agent has made and gives away. What TensorFlow does
 * not want yet waits in that connection's buffer. Every byte is held against its checksum. Whatever is out of order there, the agent is asked
 * for the bytes, which knows what to do about it, and for the next piece of a sequence before TensorFlow wants it.
 *
 * Linked with -nostdlib, so that one build loads with any libc that TensorFlow runs on. Of TensorFlow it needs TF_SetStatus alone.
 */
#define _GNU_SOURCE
#include "tensorflow.h"

#if defined __x86_64__
#include <cpuid.h>
#elif defined __aarch64__
#include <sys/auxv.h>
#endif
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define SILENCE 300          /* seconds */
#define KEPT 4               /* idle connections, for each file and for everything else */
#define HEADER 5
#define PIECE (1 << 20)      /* the most that a write carries, wire.go's maxWrite */
#define BUFFER (256 << 10)   /* of a file being written */
#define AHEAD (512 << 10)    /* the longest read that the agent is asked for before it is wanted */
#define GAP (256 << 10)      /* how much a reader may leave out and still be taken to read in sequence */
#define LONG (4 << 20)       /* a read that need not follow another to be worth a connection of its own */
#define REST (1 << 20)       /* what a file must have left for that: the agent's connections are made already */
#define NEXT (8 << 20)       /* so long before the end of a block the next one is asked for */
#define PLAIN 64             /* reads by way of the agent, after something was out of order */
#define PACKET (1 << 20)     /* the longest data of a packet that is taken: DataNodes send 64 KiB */
#define PACKET_HEAD 31       /* two lengths, and the header: its fields are of fixed length */
#define SUMS (PACKET / 64)   /* room for checksums: of chunks of 256 bytes or more */
#define MANY 8               /* packets that are taken at once */
#define BATCH (256 << 10)    /* the kernel wakes us when so much is there */

enum { STAT = 1, EXISTS, LIST, GLOB, MKDIR, MKDIRS, REMOVE, RMDIR, REMOVE_ALL, RENAME, COPY, OPEN, ATTACH, READ, CREATE, APPEND, WRITE, FLUSH, SYNC, CLOSE, DIRECT, BROKE };
enum { WORKING = 254, MORE = 255 };

/* ---- connections ---- */

/* A part of a file on its way from a DataNode, in packets (see package datanode). */
struct stream {
	bool open;           /* fd is a connection */
	int fd;
	uint64_t at, end;    /* in the file: what comes next, and where the stream ends */
	uint64_t size;       /* of the file */
	uint64_t block;      /* where its block begins in the file */
	uint64_t packet;     /* where the next packet begins in the file */
	uint32_t chunk;      /* bytes that each checksum guards; 0: there are none */
	bool batched;        /* we are woken late */
	bool broke;          /* its DataNode is gone, or silent */
	bool begun;          /* head is that of the next packet */
	unsigned char head[PACKET_HEAD];
	unsigned char *memory; /* SUMS bytes of checksums, and PACKET of data */
	const unsigned char *rest; /* of a packet, in memory: verified, and not read yet */
	size_t left;         /* of rest */
	unsigned char *ahead; /* what had come before the connection was ours, to be freed */
	size_t ahead_at, ahead_end;
};

struct connection {
	pid_t owner;
	int fd;
	bool used;         /* something was read */
	uint64_t end;      /* of the last read, and how much it wanted */
	uint64_t length;
	int plain;         /* reads still to be made by way of the agent */
	bool ahead;        /* the agent was asked for as much again from end on, and nobody has taken it */
	bool broke;        /* a stream, at a place in the file, and the agent does not know yet */
	uint64_t place;
	bool asked;        /* for the stream from next on, and nobody has taken the answer: never with ahead */
	uint64_t next;
	struct stream stream;
};

struct store {
	struct connection *idle[KEPT];
	uint64_t end[KEPT]; /* of each; a hint */
};

static struct store names;

static void hang_up(struct stream *s)
{
	if (s->open)
		close(s->fd);
	free(s->memory);
	free(s->ahead);
	*s = (struct stream){0};
}

static void drop(struct connection *c)
{
	hang_up(&c->stream);
	close(c->fd);
	free(c);
}

/* A connection from the store, best one whose last read ended at an offset. Null: there is none. */
static struct connection *take(struct store *s, uint64_t end)
{
	for (int i = 0; i < 2 * KEPT; i++) {
		if (i < KEPT && __atomic_load_n(&s->end[i], __ATOMIC_RELAXED) != end)
			continue;
		struct connection *c = __atomic_exchange_n(&s->idle[i % KEPT], NULL, __ATOMIC_ACQ_REL);
		if (c && c->owner == getpid())
			return c;
		if (c)
			drop(c); /* the parent has its own */
	}
	return NULL;
}

static void keep(struct store *s, struct connection *c)
{
	for (int i = 0; i < KEPT; i++) {
		struct connection *none = NULL;
		uint64_t end = c->end; /* c may be another's right after */
		if (__atomic_compare_exchange_n(&s->idle[i], &none, c, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
			__atomic_store_n(&s->end[i], end, __ATOMIC_RELAXED);
			return;
		}
	}
	drop(c);
}

static void fail(TF_Status *st, int code, const char *path, const char *why)
{
	char text[1024];
	snprintf(text, sizeof text, "%.700s: %s", path, why);
	TF_SetStatus(st, code, text);
}

static int gone(TF_Status *st, const char *path)
{
	fail(st, TF_UNAVAILABLE, path, errno == EAGAIN ? "the task's agent has not answered for 5 minutes" : "the task's agent is gone, and the way to HDFS with it");
	return -1;
}

static struct connection *dial(const char *path, TF_Status *st)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	struct timeval silence = {.tv_sec = SILENCE};
	const char *name = getenv("TFOS_FILES");
	if (!name || strlen(name) >= sizeof to.sun_path) {
		fail(st, TF_UNAVAILABLE, path, "TFOS_FILES names no socket: this program was not started by tfos");
		return NULL;
	}
	strcpy(to.sun_path, name);
	struct connection *c = calloc(1, sizeof *c);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!c || fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof silence) || connect(fd, (struct sockaddr *)&to, sizeof to)) {
		gone(st, path);
		if (fd >= 0)
			close(fd);
		free(c);
		return NULL;
	}
	c->owner = getpid();
	c->fd = fd;
	return c;
}

/* What is left of several places after so many bytes: how many places. */
static int advance(struct iovec **v, int n, size_t bytes)
{
	for (; n && bytes >= (*v)->iov_len; ++*v, n--)
		bytes -= (*v)->iov_len;
	if (n) {
		(*v)->iov_base = (char *)(*v)->iov_base + bytes;
		(*v)->iov_len -= bytes;
	}
	return n;
}

static int send_all(int fd, struct iovec *v, int n)
{
	while (n) {
		struct msghdr m = {.msg_iov = v, .msg_iovlen = (size_t)n};
		ssize_t sent = sendmsg(fd, &m, MSG_NOSIGNAL);
		if (sent < 0) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		n = advance(&v, n, (size_t)sent);
	}
	return 0;
}

/* As much of a message as has come when the kernel waits no longer: at least a byte. -1: the connection is of no more use. */
static ssize_t receive_message(int fd, struct msghdr *m)
{
	ssize_t got;
	do
		got = recvmsg(fd, m, MSG_WAITALL | MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got)
		return got;
	errno = ECONNRESET;
	return -1;
}

static int receive_all(int fd, void *to, size_t n)
{
	char *p = to;
	while (n) {
		ssize_t got = recv(fd, p, n, MSG_WAITALL);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			if (got == 0)
				errno = ECONNRESET;
			return -1;
		}
		p += got;
		n -= (size_t)got;
	}
	return 0;
}

/* Numbers travel little endian, as all machines have them that TensorFlow runs on. */

static int request(int fd, int op, const void *payload, size_t n)
{
	unsigned char header[HEADER];
	uint32_t length = (uint32_t)n;
	memcpy(header, &length, 4);
	header[4] = (unsigned char)op;
	struct iovec v[2] = {{header, HEADER}, {(void *)payload, n}};
	return send_all(fd, v, n ? 2 : 1);
}

static void parse(const unsigned char *header, uint32_t *length, int *code)
{
	memcpy(length, header, 4);
	*code = header[4];
}

/* The header of the next reply that says something. */
static int reply_header(int fd, uint32_t *length, int *code)
{
	unsigned char header[HEADER];
	do {
		if (receive_all(fd, header, HEADER))
			return -1;
		parse(header, length, code);
	} while (*code == WORKING && !*length);
	return 0;
}

/* A part of a file, and the header that follows it, at once if both are there. */
static int receive_part(int fd, char *to, size_t n, unsigned char *header)
{
	struct iovec v[2] = {{to, n}, {header, HEADER}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
	ssize_t got = receive_message(fd, &m);
	if (got < 0)
		return -1;
	if ((size_t)got < n)
		return receive_all(fd, to + got, n - (size_t)got) || receive_all(fd, header, HEADER);
	got -= (ssize_t)n;
	return receive_all(fd, header + got, HEADER - (size_t)got);
}

/* Takes a reply that is no part of a file. Its payload, to be freed, ends with a zero. -1: the connection is of no more use. */
static int reply(int fd, const char *path, char **payload, uint32_t *length, TF_Status *st)
{
	int code;
	*payload = NULL;
	if (reply_header(fd, length, &code))
		return gone(st, path);
	if (!(*payload = malloc((size_t)*length + 1)))
		return gone(st, path);
	if (receive_all(fd, *payload, *length)) {
		free(*payload);
		*payload = NULL;
		return gone(st, path);
	}
	(*payload)[*length] = 0;
	TF_SetStatus(st, code, code == TF_OK ? "" : *payload);
	if (code != TF_OK) {
		free(*payload);
		*payload = NULL;
	}
	return 0;
}

/* One exchange on a connection. The result, to be freed, is null if it failed. */
static char *exchange(int fd, int op, const void *payload, size_t n, const char *path, uint32_t *length, int *broken, TF_Status *st)
{
	char *result = NULL;
	*broken = request(fd, op, payload, n);
	if (*broken)
		gone(st, path);
	else
		*broken = reply(fd, path, &result, length, st);
	return result;
}

static char *put_path(char *to, const char *path)
{
	uint32_t n = (uint32_t)strlen(path);
	memcpy(to, &n, 4);
	memcpy(to + 4, path, n);
	return to + 4 + n;
}

/* An exchange that opens: two paths at most, on the connection given. */
static char *name_exchange(int fd, int op, const char *first, const char *second, uint32_t *length, int *broken, TF_Status *st)
{
	char *b = malloc(strlen(first) + (second ? strlen(second) : 0) + 8);
	if (!b) {
		*broken = gone(st, first);
		return NULL;
	}
	char *end = put_path(b, first);
	if (second)
		end = put_path(end, second);
	char *result = exchange(fd, op, b, (size_t)(end - b), first, length, broken, st);
	free(b);
	return result;
}

/* A whole operation on names. The result, to be freed, is null if it failed. */
static char *ask(int op, const char *first, const char *second, uint32_t *length, TF_Status *st)
{
	int broken;
	struct connection *c = take(&names, 0);
	if (!c && !(c = dial(first, st)))
		return NULL;
	char *result = name_exchange(c->fd, op, first, second, length, &broken, st);
	if (broken)
		drop(c);
	else
		keep(&names, c);
	return result;
}

static void tell(int op, const char *first, const char *second, TF_Status *st)
{
	uint32_t length;
	free(ask(op, first, second, &length, st));
}

/* ---- names ---- */

static int look(const char *path, TF_FileStatistics *s, TF_Status *st)
{
	uint32_t length;
	char *result = ask(STAT, path, NULL, &length, st);
	if (!result)
		return -1;
	if (length != 17) {
		free(result);
		fail(st, TF_INTERNAL, path, "the agent's answer is of another version");
		return -1;
	}
	s->is_directory = result[0];
	memcpy(&s->length, result + 1, 8);
	memcpy(&s->mtime_nsec, result + 9, 8);
	free(result);
	return 0;
}

static void fs_init(TF_Filesystem *f, TF_Status *st) { (void)f; TF_SetStatus(st, TF_OK, ""); }
static void fs_cleanup(TF_Filesystem *f) { (void)f; }

static void fs_create_dir(const TF_Filesystem *f, const char *p, TF_Status *st) { (void)f; tell(MKDIR, p, NULL, st); }
static void fs_recursively_create_dir(const TF_Filesystem *f, const char *p, TF_Status *st) { (void)f; tell(MKDIRS, p, NULL, st); }
static void fs_delete_file(const TF_Filesystem *f, const char *p, TF_Status *st) { (void)f; tell(REMOVE, p, NULL, st); }
static void fs_delete_dir(const TF_Filesystem *f, const char *p, TF_Status *st) { (void)f; tell(RMDIR, p, NULL, st); }
static void fs_rename_file(const TF_Filesystem *f, const char *a, const char *b, TF_Status *st) { (void)f; tell(RENAME, a, b, st); }
static void fs_copy_file(const TF_Filesystem *f, const char *a, const char *b, TF_Status *st) { (void)f; tell(COPY, a, b, st); }

static void fs_delete_recursively(const TF_Filesystem *f, const char *p, uint64_t *files, uint64_t *dirs, TF_Status *st)
{
	(void)f;
	*files = *dirs = 0;
	uint32_t length;
	char *result = ask(REMOVE_ALL, p, NULL, &length, st);
	if (!result)
		*dirs = 1;
	free(result);
}

static void fs_path_exists(const TF_Filesystem *f, const char *p, TF_Status *st)
{
	(void)f;
	tell(EXISTS, p, NULL, st);
}

static void fs_stat(const TF_Filesystem *f, const char *p, TF_FileStatistics *s, TF_Status *st) { (void)f; look(p, s, st); }

static bool fs_is_directory(const TF_Filesystem *f, const char *p, TF_Status *st)
{
	(void)f;
	TF_FileStatistics s;
	if (look(p, &s, st))
		return false;
	if (!s.is_directory)
		fail(st, TF_FAILED_PRECONDITION, p, "is not a directory");
	return s.is_directory;
}

static int64_t fs_get_file_size(const TF_Filesystem *f, const char *p, TF_Status *st)
{
	(void)f;
	TF_FileStatistics s;
	return look(p, &s, st) ? -1 : s.length;
}

/* Without this TensorFlow would pass the path alone, and not say of which filesystem. */
static char *fs_translate_name(const TF_Filesystem *f, const char *uri)
{
	(void)f;
	return strdup(uri);
}

/* A list of strings as TensorFlow frees it: each, and then all. */
static int strings(char *b, uint32_t length, char ***entries)
{
	int n = 0;
	uint32_t k;
	for (uint32_t i = 0; i + 4 <= length; i += 4 + k, n++)
		memcpy(&k, b + i, 4);
	char **list = calloc((size_t)n + 1, sizeof *list);
	char *at = b;
	for (int i = 0; list && i < n; i++) {
		memcpy(&k, at, 4);
		list[i] = strndup(at + 4, k);
		at += 4 + k;
	}
	*entries = list;
	return n;
}

static int several(int op, const char *path, char ***entries, TF_Status *st)
{
	uint32_t length;
	char *result = ask(op, path, NULL, &length, st);
	*entries = NULL;
	if (!result)
		return -1;
	int n = strings(result, length, entries);
	free(result);
	return n;
}

static int fs_get_children(const TF_Filesystem *f, const char *p, char ***entries, TF_Status *st) { (void)f; return several(LIST, p, entries, st); }
static int fs_get_matching_paths(const TF_Filesystem *f, const char *p, char ***entries, TF_Status *st) { (void)f; return several(GLOB, p, entries, st); }

/* ---- reading ---- */

struct reader {
	struct store idle; /* connections of this file. As long as there is one, the agent has the file open */
	uint64_t handle;   /* of the file; the agent's. Swapped atomically */
	uint64_t size;     /* when it was opened. Swapped atomically */
	char path[];
};

/* A new connection for r: to the file that another one has open, or else, in a forked child say, to the file anew. */
static struct connection *reader_dial(struct reader *r, int op, TF_Status *st)
{
	uint32_t length;
	int broken;
	struct connection *c = dial(r->path, st);
	if (!c)
		return NULL;
	char *result = NULL;
	if (op == ATTACH) {
		uint64_t handle = __atomic_load_n(&r->handle, __ATOMIC_ACQUIRE);
		if ((result = exchange(c->fd, ATTACH, &handle, sizeof handle, r->path, &length, &broken, st))) {
			free(result);
			return c;
		}
	}
	result = name_exchange(c->fd, OPEN, r->path, NULL, &length, &broken, st);
	if (result && length == 16) {
		uint64_t handle, size;
		memcpy(&handle, result, 8);
		memcpy(&size, result + 8, 8);
		__atomic_store_n(&r->handle, handle, __ATOMIC_RELEASE);
		__atomic_store_n(&r->size, size, __ATOMIC_RELAXED);
		free(result);
		return c;
	}
	if (result)
		fail(st, TF_INTERNAL, r->path, "the agent's answer is of another version");
	free(result);
	drop(c);
	return NULL;
}

static void fs_new_random_access_file(const TF_Filesystem *f, const char *path, TF_RandomAccessFile *file, TF_Status *st)
{
	(void)f;
	struct reader *r = calloc(1, sizeof *r + strlen(path) + 1);
	if (!r) {
		gone(st, path);
		return;
	}
	strcpy(r->path, path);
	struct connection *c = reader_dial(r, OPEN, st);
	if (!c) {
		free(r);
		return;
	}
	keep(&r->idle, c);
	file->plugin_file = r;
	TF_SetStatus(st, TF_OK, "");
}

static void reader_cleanup(TF_RandomAccessFile *file)
{
	struct reader *r = file->plugin_file;
	struct connection *c;
	if (!r)
		return;
	while ((c = take(&r->idle, 0)))
		drop(c);
	free(r);
}

/* Takes the parts of a file as they come. -1: the connection is of no more use. */
static int receive_parts(int fd, struct reader *r, size_t n, char *buffer, int64_t *got, TF_Status *st)
{
	unsigned char header[HEADER];
	*got = 0;
	if (receive_all(fd, header, HEADER))
		return gone(st, r->path);
	for (;;) {
		uint32_t length;
		int code;
		parse(header, &length, &code);
		if (code == MORE) {
			if (length > n - (size_t)*got) {
				fail(st, TF_INTERNAL, r->path, "the agent sent more than was asked for");
				return -1;
			}
			if (receive_part(fd, buffer + *got, length, header))
				return gone(st, r->path);
			*got += length;
			continue;
		}
		char text[1024];
		uint32_t part = length < sizeof text - 1 ? length : (uint32_t)sizeof text - 1;
		if (receive_all(fd, text, part))
			return gone(st, r->path);
		text[part] = 0;
		if (code == TF_OK && (size_t)*got < n)
			fail(st, TF_OUT_OF_RANGE, r->path, "end of file");
		else
			TF_SetStatus(st, code, code == TF_OK ? "" : text);
		return part < length ? -1 : 0;
	}
}

static int ask_for(struct connection *c, int op, uint64_t offset, uint64_t n)
{
	uint64_t what[2] = {offset, n};
	return request(c->fd, op, what, sizeof what);
}

/* Has the agent send a part of a file. -1: the connection is of no more use. */
static int fetch(struct connection *c, struct reader *r, uint64_t offset, size_t n, char *buffer, int64_t *got, TF_Status *st)
{
	*got = 0;
	if (ask_for(c, READ, offset, n))
		return gone(st, r->path);
	return receive_parts(c->fd, r, n, buffer, got, st);
}

/* ---- reading from a DataNode ---- */

/* CRC-32C by the processor. */
#if defined __x86_64__
#define CRC __attribute__((target("sse4.2")))
#define crc8(c, b) __builtin_ia32_crc32di(c, b)
#define crc1(c, b) __builtin_ia32_crc32qi(c, b)
typedef unsigned long long crc;
static bool find_crc(void)
{
	unsigned int a, b, c, d;
	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_2);
}
#elif defined __aarch64__
#define CRC __attribute__((target("+crc")))
#define crc8(c, b) __builtin_aarch64_crc32cx(c, b)
#define crc1(c, b) __builtin_aarch64_crc32cb(c, b)
typedef uint32_t crc;
static bool find_crc(void) { return getauxval(AT_HWCAP) & HWCAP_CRC32; }
#endif

/* Asked once: a virtual machine is left for the answer. */
static bool has_crc(void)
{
	static char known; /* 0: not yet */
	char is = __atomic_load_n(&known, __ATOMIC_RELAXED);
	if (!is)
		__atomic_store_n(&known, is = find_crc() ? 1 : 2, __ATOMIC_RELAXED);
	return is == 1;
}

CRC static bool fits(crc sum, const unsigned char *wanted)
{
	uint32_t s = ~(uint32_t)sum, w;
	memcpy(&w, wanted, 4);
	return s == __builtin_bswap32(w);
}

static inline uint64_t word(const unsigned char *p)
{
	uint64_t w;
	memcpy(&w, p, 8);
	return w;
}

/* Holds data against its checksums. The processor makes the sums of three chunks as fast as that of one. */
CRC static bool verify(const unsigned char *data, size_t n, const unsigned char *sums, size_t chunk)
{
	if (chunk % 8 == 0)
		for (; n >= 3 * chunk; n -= 3 * chunk, data += 3 * chunk, sums += 12) {
			crc a = 0xffffffff, b = a, c = a;
			for (size_t i = 0; i < chunk; i += 8) {
				a = crc8(a, word(data + i));
				b = crc8(b, word(data + chunk + i));
				c = crc8(c, word(data + 2 * chunk + i));
			}
			if (!fits(a, sums) || !fits(b, sums + 4) || !fits(c, sums + 8))
				return false;
		}
	for (; n; sums += 4) {
		size_t part = n < chunk ? n : chunk, i = 0;
		crc a = 0xffffffff;
		for (; i + 8 <= part; i += 8)
			a = crc8(a, word(data + i));
		for (; i < part; i++)
			a = crc1(a, data[i]);
		if (!fits(a, sums))
			return false;
		data += part;
		n -= part;
	}
	return true;
}

static size_t sums_of(const struct stream *s, size_t data) { return s->chunk ? (data + s->chunk - 1) / s->chunk * 4 : 0; }

/* Asks for what one block has of a part of the file. */
static int ask_stream(struct connection *c, uint64_t offset, uint64_t length)
{
	c->next = offset;
	c->asked = !ask_for(c, DIRECT, offset, length);
	return c->asked ? 0 : -1;
}

/* Takes the answer: there may be no stream. -1: the connection is of no more use. */
static int receive_stream(struct connection *c, struct stream *s)
{
	unsigned char b[HEADER + 36], rest[4096];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} beside;
	struct iovec v = {b, HEADER};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &beside, .msg_controllen = sizeof beside};
	ssize_t got;
	uint32_t length, at = 0;
	int code;

	*s = (struct stream){0};
	c->asked = false;
	got = receive_message(c->fd, &m);
	if (got < 0 || receive_all(c->fd, b + got, HEADER - (size_t)got))
		return -1;
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS) {
		memcpy(&s->fd, CMSG_DATA(h), sizeof s->fd);
		s->open = true;
	}
	parse(b, &length, &code);
	if (s->open && code == TF_OK && length >= 36 && length <= 36 + (64 << 10)) {
		if (receive_all(c->fd, b, 36))
			goto broken;
		memcpy(&s->packet, b, 8);
		memcpy(&s->block, b + 8, 8);
		memcpy(&s->end, b + 16, 8);
		memcpy(&s->size, b + 24, 8);
		memcpy(&s->chunk, b + 32, 4);
		s->at = c->next;
		s->ahead_end = length - 36;
		s->ahead = malloc(s->ahead_end + 1);
		s->memory = malloc(SUMS + PACKET);
		if (!s->ahead || !s->memory || receive_all(c->fd, s->ahead, s->ahead_end))
			goto broken;
		if (s->chunk && s->chunk < 256) /* there is no memory for so many checksums */
			hang_up(s);
		return 0;
	}
	for (; at < length; at += sizeof rest)
		if (receive_all(c->fd, rest, length - at < sizeof rest ? length - at : sizeof rest))
			goto broken;
	hang_up(s);
	return 0;
broken:
	hang_up(s);
	return -1;
}

/* The next bytes of a stream, into several places. */
static int pull(struct stream *s, struct iovec *v, int n)
{
	while (n) {
		ssize_t got = (ssize_t)(s->ahead_end - s->ahead_at);
		if (got) {
			if ((size_t)got > v->iov_len)
				got = (ssize_t)v->iov_len;
			memcpy(v->iov_base, s->ahead + s->ahead_at, (size_t)got);
			s->ahead_at += (size_t)got;
		} else {
			struct msghdr m = {.msg_iov = v, .msg_iovlen = (size_t)n};
			got = receive_message(s->fd, &m);
			if (got < 0) {
				s->broke = true;
				return -1;
			}
		}
		n = advance(&v, n, (size_t)got);
	}
	return 0;
}

/* The kernel wakes us when a batch is there, as long as one comes after the next bytes. */
static void set_batch(struct stream *s, size_t next)
{
	bool batched = s->end - s->packet >= next + BATCH;
	int n = batched ? BATCH : 1;
	if (batched != s->batched)
		setsockopt(s->fd, SOL_SOCKET, SO_RCVLOWAT, &n, sizeof n);
	s->batched = batched;
}

/* The length of a packet's data by its head, if it begins at an offset of the file. -1: the head is not as it should be. */
static int64_t data_of(const struct stream *s, const unsigned char *head, uint64_t at)
{
	uint32_t total, data;
	uint64_t offset;
	memcpy(&total, head, 4);
	memcpy(&offset, head + 7, 8);
	memcpy(&data, head + 27, 4);
	if (head[4] != 0 || head[5] != 25 || head[6] != 0x09 || head[15] != 0x11 || head[24] != 0x18 || head[26] != 0x25)
		return -1;
	if (data == 0 || data > PACKET || offset != at - s->block || __builtin_bswap32(total) != 4 + data + sums_of(s, data))
		return -1;
	return data;
}

/* Takes packets, and the head of the one that follows, for there is always one: straight into to, if all of them was asked for and there
 * is room, and else one of them into rest. -1: the stream is of no more use. */
static int64_t take_packets(struct stream *s, char *to, size_t room)
{
	struct iovec v[3 * MANY], first = {s->head, PACKET_HEAD};
	unsigned char heads[MANY][PACKET_HEAD];
	if (!s->begun && pull(s, &first, 1))
		return -1;
	s->begun = true;
	int64_t length = data_of(s, s->head, s->packet);
	if (length < 0)
		return -1;
	size_t n = (size_t)length, sums = sums_of(s, n), many = 0;
	if (room > s->end - s->at)
		room = s->end - s->at;
	if (s->packet == s->at)
		many = room / n < MANY ? room / n : MANY;
	if (many * sums > SUMS)
		many = SUMS / sums;
	bool straight = many;
	if (!straight)
		many = 1;
	unsigned char *data = straight ? (unsigned char *)to : s->memory + SUMS;
	for (size_t i = 0; i < many; i++) { /* all are as long as the first, in all likelihood */
		v[3 * i] = (struct iovec){s->memory + i * sums, sums};
		v[3 * i + 1] = (struct iovec){data + i * n, n};
		v[3 * i + 2] = (struct iovec){heads[i], PACKET_HEAD};
	}
	set_batch(s, many * n);
	if (pull(s, v, (int)(3 * many)))
		return -1;
	for (size_t i = 0; i < many; i++) {
		if (i && data_of(s, heads[i - 1], s->packet) != length)
			return -1;
		if (sums && !verify(data + i * n, n, s->memory + i * sums, s->chunk))
			return -1;
		s->packet += n;
	}
	memcpy(s->head, heads[many - 1], PACKET_HEAD);
	if (straight) {
		s->at = s->packet;
		return (int64_t)(many * n);
	}
	if (s->packet > s->at) {
		s->left = s->packet - s->at;
		s->rest = data + n - s->left;
	}
	return 0;
}

/* Reads what a stream has. -1: it is of no more use; *got bytes are good all the same. */
static int stream_read(struct stream *s, size_t n, char *buffer, size_t *got)
{
	while (*got < n && s->at < s->end) {
		if (s->left) {
			size_t part = s->left;
			if (part > n - *got)
				part = n - *got;
			if (part > s->end - s->at)
				part = s->end - s->at;
			memcpy(buffer + *got, s->rest, part);
			s->rest += part;
			s->left -= part;
			s->at += part;
			*got += part;
			continue;
		}
		int64_t taken = take_packets(s, buffer + *got, n - *got);
		if (taken < 0)
			return -1;
		*got += (size_t)taken;
	}
	return 0;
}

/* Goes on to an offset that the stream soon reaches. False: it does not. */
static bool skip_to(struct stream *s, uint64_t offset)
{
	if (!s->open || offset < s->at || offset - s->at > GAP || offset >= s->end)
		return false;
	uint64_t gap = offset - s->at;
	size_t part = s->left < gap ? s->left : gap;
	s->rest += part;
	s->left -= part;
	s->at = offset; /* packets up to there are taken and not delivered */
	return true;
}

/* The end of a block: the DataNode is told that all checksums fitted, as Hadoop's readers do. */
static void finish(struct stream *s)
{
	static const unsigned char fitted[] = {2, 0x08, 6};
	struct iovec v = {(void *)fitted, sizeof fitted};
	if (s->chunk)
		send_all(s->fd, &v, 1);
	hang_up(s);
}

/* Reads [offset, offset+n) from DataNodes as far as it goes, and asks for as much as is likely to be read: up to a limit. -1: the connection
 * to the agent is of no more use. */
static int read_direct(struct connection *c, uint64_t offset, size_t n, uint64_t limit, char *buffer, size_t *got)
{
	struct stream *s = &c->stream;
	for (;;) {
		uint64_t at = offset + *got;
		if (!skip_to(s, at)) {
			hang_up(s);
			if (c->asked && c->next != at) {
				struct stream unwanted;
				if (receive_stream(c, &unwanted))
					return -1;
				hang_up(&unwanted);
			}
			if (!c->asked && ask_stream(c, at, limit - at))
				return -1;
			if (receive_stream(c, s))
				return -1;
			if (!s->open) {
				c->plain = PLAIN;
				return 0;
			}
		}
		if (stream_read(s, n, buffer, got)) {
			c->broke = s->broke;
			c->place = s->packet;
			hang_up(s);
			c->plain = PLAIN;
			return 0;
		}
		uint64_t end = s->end, size = s->size < limit ? s->size : limit;
		if (!c->asked && end < size && end - s->at < NEXT && ask_stream(c, end, limit - end))
			return -1;
		if (s->at < end)
			return 0;
		finish(s);
		if (*got == n || end >= size)
			return 0;
	}
}

/* Takes what was asked for ahead: into buffer, or nowhere if that is null. -1: the connection is of no more use. */
static int take_ahead(struct connection *c, struct reader *r, char *buffer, size_t *got, TF_Status *st)
{
	int64_t came;
	char *nowhere = buffer ? NULL : malloc(c->length);
	int broken = !(buffer || nowhere) || receive_parts(c->fd, r, c->length, buffer ? buffer : nowhere, &came, st);
	if (!broken && buffer)
		*got = (size_t)came;
	free(nowhere);
	c->ahead = false;
	return broken;
}

static int64_t reader_read(const TF_RandomAccessFile *file, uint64_t offset, size_t n, char *buffer, TF_Status *st)
{
	struct reader *r = file->plugin_file;
	struct connection *c = take(&r->idle, offset);
	if (!c && !(c = reader_dial(r, ATTACH, st)))
		return 0;
	bool follows = c->used && offset >= c->end && offset - c->end <= GAP, same = follows && offset == c->end && n == c->length;
	bool direct = follows && (c->stream.open || offset + REST <= __atomic_load_n(&r->size, __ATOMIC_RELAXED));
	direct = (direct || n >= LONG) && !c->plain && has_crc();
	size_t got = 0;
	int broken = 0;
	TF_SetStatus(st, TF_OK, "");
	if (c->plain)
		c->plain--;
	if (c->ahead) /* if it is short the file may have grown since, or what failed may work by now */
		broken = take_ahead(c, r, same ? buffer : NULL, &got, st);
	if (!broken && got < n && direct && (broken = read_direct(c, offset, n, follows ? INT64_MAX : offset + n, buffer, &got)))
		gone(st, r->path);
	if (!broken && got < n) { /* the end of the file, or something was out of order */
		int64_t more = 0;
		struct stream unwanted = {0};
		if (c->asked && (broken = receive_stream(c, &unwanted)))
			gone(st, r->path);
		hang_up(&unwanted);
		if (!broken && c->broke) {
			uint32_t length;
			free(exchange(c->fd, BROKE, &c->place, sizeof c->place, r->path, &length, &broken, st));
			c->broke = false;
		}
		if (!broken)
			broken = fetch(c, r, offset + got, n - got, buffer + got, &more, st);
		got += (size_t)more;
	}
	if (broken) {
		drop(c);
		return (int64_t)got;
	}
	c->used = true;
	c->end = offset + got;
	c->length = n;
	if (!direct && same && got == n && n <= AHEAD)
		c->ahead = !ask_for(c, READ, c->end, n); /* if the agent is gone, the next read says so */
	keep(&r->idle, c);
	return (int64_t)got;
}

/* ---- writing ---- */

struct writer {
	struct connection *connection; /* null: closed, or of no more use */
	pid_t owner;
	bool busy; /* a call is under way, or the process exits. Swapped atomically */
	bool due;  /* the agent has not yet answered the last write */
	int64_t position;
	size_t used; /* of buffer */
	int failed;  /* the code of the first failure; the file is lost */
	char *why;
	char *path;
	char buffer[BUFFER];
};

#define WRITERS 64
static struct writer *writers[WRITERS]; /* those that are open, as far as there is room: for the exit. Swapped atomically */

static void replace(struct writer *was, struct writer *is)
{
	for (int i = 0; i < WRITERS; i++) {
		struct writer *expected = was;
		if (__atomic_compare_exchange_n(&writers[i], &expected, is, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return;
	}
}

static bool enter(struct writer *w) { return !__atomic_exchange_n(&w->busy, true, __ATOMIC_ACQUIRE); }
static void leave(struct writer *w) { __atomic_store_n(&w->busy, false, __ATOMIC_RELEASE); }

static void open_writer(int op, const char *path, TF_WritableFile *file, TF_Status *st)
{
	uint32_t length;
	int broken;
	struct connection *c = dial(path, st);
	if (!c)
		return;
	char *result = name_exchange(c->fd, op, path, NULL, &length, &broken, st);
	struct writer *w = result && length == 8 ? malloc(sizeof *w) : NULL;
	if (!w) {
		if (result)
			fail(st, TF_INTERNAL, path, "the agent's answer is of another version");
		free(result);
		drop(c);
		return;
	}
	*w = (struct writer){.connection = c, .owner = getpid(), .path = strdup(path)};
	memcpy(&w->position, result, 8);
	free(result);
	file->plugin_file = w;
	replace(NULL, w);
}

static void fs_new_writable_file(const TF_Filesystem *f, const char *p, TF_WritableFile *file, TF_Status *st) { (void)f; open_writer(CREATE, p, file, st); }
static void fs_new_appendable_file(const TF_Filesystem *f, const char *p, TF_WritableFile *file, TF_Status *st) { (void)f; open_writer(APPEND, p, file, st); }

/* The connection ends without CLOSE: the agent gives the file up. */
static int lost(struct writer *w, int code, const char *why)
{
	if (!w->failed) {
		w->failed = code;
		w->why = strdup(why);
	}
	if (w->connection)
		drop(w->connection);
	w->connection = NULL;
	return -1;
}

#define GONE "the task's agent is gone, and the way to HDFS with it"

/* The agent's answer to what was sent last. */
static int settle(struct writer *w)
{
	uint32_t length;
	int code;
	char text[1024];
	if (!w->due)
		return 0;
	w->due = false;
	if (reply_header(w->connection->fd, &length, &code))
		return lost(w, TF_UNAVAILABLE, GONE);
	uint32_t part = length < sizeof text - 1 ? length : (uint32_t)sizeof text - 1;
	if (receive_all(w->connection->fd, text, part))
		return lost(w, TF_UNAVAILABLE, GONE);
	text[part] = 0;
	return code == TF_OK ? 0 : lost(w, code, text);
}

/* Sends a request whose answer comes later. */
static int post(struct writer *w, int op, const char *b, size_t n)
{
	if (settle(w))
		return -1;
	if (request(w->connection->fd, op, b, n))
		return lost(w, TF_UNAVAILABLE, GONE);
	w->due = true;
	return 0;
}

static int drain(struct writer *w)
{
	size_t n = w->used;
	w->used = 0;
	return n ? post(w, WRITE, w->buffer, n) : 0;
}

/* Whether w can be used at all, and here. If so the caller has entered it, and leaves it. */
static int usable(struct writer *w, TF_Status *st)
{
	if (!enter(w)) {
		fail(st, TF_UNAVAILABLE, w->path, "the process exits");
		return -1;
	}
	if (w->owner != getpid())
		fail(st, TF_FAILED_PRECONDITION, w->path, "was opened for writing by another process, before a fork");
	else if (w->failed)
		fail(st, w->failed, w->path, w->why ? w->why : "a write failed");
	else if (!w->connection)
		fail(st, TF_FAILED_PRECONDITION, w->path, "is closed");
	else {
		TF_SetStatus(st, TF_OK, "");
		return 0;
	}
	leave(w);
	return -1;
}

static void outcome(struct writer *w, int result, TF_Status *st)
{
	if (result)
		fail(st, w->failed, w->path, w->why ? w->why : "a write failed");
	leave(w);
}

static void writer_append(const TF_WritableFile *file, const char *b, size_t n, TF_Status *st)
{
	struct writer *w = file->plugin_file;
	if (usable(w, st))
		return;
	w->position += (int64_t)n;
	if (n <= BUFFER - w->used) {
		memcpy(w->buffer + w->used, b, n);
		w->used += n;
		leave(w);
		return;
	}
	int result = drain(w);
	if (!result && n < BUFFER) {
		memcpy(w->buffer, b, n);
		w->used = n;
		leave(w);
		return;
	}
	while (!result && n) {
		size_t part = n < PIECE ? n : PIECE;
		result = post(w, WRITE, b, part);
		b += part;
		n -= part;
	}
	outcome(w, result, st);
}

static int64_t writer_tell(const TF_WritableFile *file, TF_Status *st)
{
	TF_SetStatus(st, TF_OK, "");
	return ((struct writer *)file->plugin_file)->position;
}

static void through(const TF_WritableFile *file, int op, TF_Status *st)
{
	struct writer *w = file->plugin_file;
	if (usable(w, st))
		return;
	outcome(w, drain(w) || post(w, op, NULL, 0) || settle(w) ? -1 : 0, st);
}

static void writer_flush(const TF_WritableFile *file, TF_Status *st) { through(file, FLUSH, st); }
static void writer_sync(const TF_WritableFile *file, TF_Status *st) { through(file, SYNC, st); }

static void writer_close(const TF_WritableFile *file, TF_Status *st)
{
	struct writer *w = file->plugin_file;
	through(file, CLOSE, st);
	if (w->owner == getpid() && w->connection) {
		keep(&names, w->connection);
		w->connection = NULL;
	}
}

/* A file that nobody closed is closed, as a local one is: TensorFlow lets go of some without a word. */
static void writer_cleanup(TF_WritableFile *file)
{
	struct writer *w = file->plugin_file;
	if (!w || !enter(w))
		return;
	replace(w, NULL);
	if (w->connection && w->owner == getpid() && !(drain(w) || post(w, CLOSE, NULL, 0) || settle(w))) {
		keep(&names, w->connection);
		w->connection = NULL;
	}
	if (w->connection)
		drop(w->connection);
	free(w->why);
	free(w->path);
	free(w);
}

/* Runs when the process exits. Who is in the midst of a call has lost what that call was for, as everywhere. */
__attribute__((destructor)) static void drain_all(void)
{
	for (int i = 0; i < WRITERS; i++) {
		struct writer *w = __atomic_exchange_n(&writers[i], NULL, __ATOMIC_ACQ_REL);
		if (w && w->owner == getpid() && enter(w) && w->connection && !drain(w))
			settle(w);
	}
}

/* ---- the plugin ---- */

/* TensorFlow frees each table by itself. */
static void *copy(const void *from, size_t n)
{
	void *to = malloc(n);
	return to ? memcpy(to, from, n) : NULL;
}

static void describe(TF_FilesystemPluginOps *o, const char *scheme)
{
	const TF_FilesystemOps filesystem = {
		.init = fs_init, .cleanup = fs_cleanup,
		.new_random_access_file = fs_new_random_access_file, .new_writable_file = fs_new_writable_file, .new_appendable_file = fs_new_appendable_file,
		.create_dir = fs_create_dir, .recursively_create_dir = fs_recursively_create_dir,
		.delete_file = fs_delete_file, .delete_dir = fs_delete_dir, .delete_recursively = fs_delete_recursively,
		.rename_file = fs_rename_file, .copy_file = fs_copy_file,
		.path_exists = fs_path_exists, .stat = fs_stat, .is_directory = fs_is_directory, .get_file_size = fs_get_file_size,
		.translate_name = fs_translate_name, .get_children = fs_get_children, .get_matching_paths = fs_get_matching_paths,
	};
	const TF_RandomAccessFileOps reading = {.cleanup = reader_cleanup, .read = reader_read};
	const TF_WritableFileOps writing = {
		.cleanup = writer_cleanup, .append = writer_append, .tell = writer_tell, .flush = writer_flush, .sync = writer_sync, .close = writer_close,
	};
	*o = (TF_FilesystemPluginOps){
		.scheme = strdup(scheme),
		.filesystem_size = sizeof filesystem, .filesystem = copy(&filesystem, sizeof filesystem),
		.random_access_file_size = sizeof reading, .random_access_file = copy(&reading, sizeof reading),
		.writable_file_size = sizeof writing, .writable_file = copy(&writing, sizeof writing),
	};
}

__attribute__((visibility("default"))) void TF_InitPlugin(TF_FilesystemPluginInfo *info)
{
	info->allocate = malloc;
	info->free = free;
	info->ops = calloc(2, sizeof *info->ops);
	if (!info->ops)
		return;
	info->num_schemes = 2;
	describe(&info->ops[0], "hdfs");
	describe(&info->ops[1], "viewfs");
}

/* A test compares it with the sources. */
__attribute__((visibility("default"), used)) const char tfos_files_source[] = SOURCE_SHA256;
