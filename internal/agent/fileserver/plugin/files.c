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
 * A file that is read in sequence, in pieces of one size, is asked for the next piece before TensorFlow wants it. What comes waits in
 * the connection: there is no other memory for it.
 *
 * Linked with -nostdlib, so that one build loads with any libc that TensorFlow runs on. Of TensorFlow it needs TF_SetStatus alone.
 */
#define _GNU_SOURCE
#include "tensorflow.h"

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
#define AHEAD (512 << 10)    /* the longest read that is asked for before it is wanted */

enum { STAT = 1, EXISTS, LIST, GLOB, MKDIR, MKDIRS, REMOVE, RMDIR, REMOVE_ALL, RENAME, COPY, OPEN, ATTACH, READ, CREATE, APPEND, WRITE, FLUSH, SYNC, CLOSE };
enum { WORKING = 254, MORE = 255 };

/* ---- connections ---- */

struct connection {
	pid_t owner;
	int fd;
	uint64_t end;    /* of the last read, and how long it was */
	uint64_t length;
	bool ahead; /* as much again was asked for from end on, and nobody has taken it */
};

struct store {
	struct connection *idle[KEPT];
	uint64_t end[KEPT]; /* of each; a hint */
};

static struct store names;

static void drop(struct connection *c)
{
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
		for (; n && (size_t)sent >= v->iov_len; v++, n--)
			sent -= (ssize_t)v->iov_len;
		if (n) {
			v->iov_base = (char *)v->iov_base + sent;
			v->iov_len -= (size_t)sent;
		}
	}
	return 0;
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
	ssize_t got;
	do
		got = recvmsg(fd, &m, MSG_WAITALL);
	while (got < 0 && errno == EINTR);
	if (got <= 0) {
		if (got == 0)
			errno = ECONNRESET;
		return -1;
	}
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
		uint64_t handle;
		memcpy(&handle, result, 8);
		__atomic_store_n(&r->handle, handle, __ATOMIC_RELEASE);
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

static int ask_for(struct connection *c, uint64_t offset, size_t n)
{
	uint64_t what[2] = {offset, n};
	return request(c->fd, READ, what, sizeof what);
}

/* What was asked for ahead is not wanted. */
static int discard(struct connection *c, struct reader *r, TF_Status *st)
{
	int64_t got;
	char *b = malloc(c->length);
	int broken = !b || receive_parts(c->fd, r, c->length, b, &got, st);
	free(b);
	c->ahead = false;
	return broken;
}

static int64_t reader_read(const TF_RandomAccessFile *file, uint64_t offset, size_t n, char *buffer, TF_Status *st)
{
	struct reader *r = file->plugin_file;
	int64_t got = 0;
	struct connection *c = take(&r->idle, offset);
	if (!c && !(c = reader_dial(r, ATTACH, st)))
		return 0;
	bool follows = c->end == offset && c->length == n, there = c->ahead && follows;
	if (c->ahead && !there && discard(c, r, st)) {
		drop(c);
		return 0;
	}
	c->ahead = false;
	if (there) {
		if (receive_parts(c->fd, r, n, buffer, &got, st)) {
			drop(c);
			return got;
		}
		there = (size_t)got == n; /* the file may have grown since, or what failed may work by now */
	}
	if (!there) {
		if (ask_for(c, offset, n)) {
			gone(st, r->path);
			drop(c);
			return 0;
		}
		if (receive_parts(c->fd, r, n, buffer, &got, st)) {
			drop(c);
			return got;
		}
	}
	c->end = offset + (uint64_t)got;
	c->length = n;
	if (follows && (size_t)got == n && n <= AHEAD)
		c->ahead = !ask_for(c, c->end, n); /* if the agent is gone, the next read says so */
	keep(&r->idle, c);
	return got;
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
