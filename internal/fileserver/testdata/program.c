/* program.c - a program that reads a file through the plugin, as TensorFlow does, with a TensorFlow of one function.
 *
 * usage: program PLUGIN PATH     requests on stdin, answers on stdout
 *
 * A request is uint64 offset, uint64 length, uint64 flags: 1 reads in a forked child, 2 reads another open file of the path. An answer is
 * int64 bytes, int64 code, and the bytes. */
#define _GNU_SOURCE
#include "../plugin/tensorflow.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct TF_Status {
	int code;
};

#ifdef FRAMEWORK
__attribute__((visibility("default"))) void TF_SetStatus(TF_Status *s, int code, const char *text)
{
	(void)text;
	s->code = code;
}
#else
static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, dlerror());
	exit(1);
}

/* How many descriptors are open. */
static int descriptors(void)
{
	int n = 0;
	DIR *d = opendir("/proc/self/fd");
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static void answer(TF_FilesystemPluginOps *ops, TF_RandomAccessFile *file, const uint64_t *what)
{
	TF_Status st = {0};
	char *b = malloc(what[1] + 1);
	int64_t out[2];
	memset(b, 0xee, what[1] + 1);
	out[0] = ops->random_access_file->read(file, what[0], what[1], b, &st);
	out[1] = st.code;
	if (b[what[1]] != (char)0xee)
		abort();
	fwrite(out, sizeof out, 1, stdout);
	fwrite(b, 1, out[0] > 0 ? (size_t)out[0] : 0, stdout);
	fflush(stdout);
	free(b);
}

int main(int argc, char **argv)
{
	TF_FilesystemPluginInfo info = {0};
	TF_RandomAccessFile file[2] = {{0}};
	TF_Status st = {0};
	uint64_t what[3];
	if (argc != 3)
		return 2;
	void *plugin = dlopen(argv[1], RTLD_NOW);
	if (!plugin)
		fail(argv[1]);
	void (*init)(TF_FilesystemPluginInfo *) = (void (*)(TF_FilesystemPluginInfo *))dlsym(plugin, "TF_InitPlugin");
	if (!init)
		fail("TF_InitPlugin");
	init(&info);
	TF_FilesystemPluginOps *ops = &info.ops[0];
	int before = descriptors();
	for (int i = 0; i < 2; i++) {
		ops->filesystem->new_random_access_file(NULL, argv[2], &file[i], &st);
		if (st.code)
			return 3;
	}
	while (fread(what, sizeof what, 1, stdin) == 1) {
		TF_RandomAccessFile *f = &file[what[2] >> 1 & 1];
		pid_t child = what[2] & 1 ? fork() : 0;
		if (child == 0)
			answer(ops, f, what);
		if (child == 0 && what[2] & 1)
			_exit(0);
		if (child > 0)
			waitpid(child, NULL, 0);
	}
	for (int i = 0; i < 2; i++)
		ops->random_access_file->cleanup(&file[i]);
	if (descriptors() != before) {
		fprintf(stderr, "%d descriptors are left\n", descriptors() - before);
		return 1;
	}
	return 0;
}
#endif
