// The part of TensorFlow's C interface for filesystem plugins that files.c is made of, as TensorFlow 2.5 and later have it: version 0
// of its ABI. TensorFlow refuses a plugin of another ABI, and takes as many functions of each table as both sides know, by the
// tables' sizes. So one library serves every TensorFlow with this ABI, and needs none of its headers.
#ifndef TFOS_TENSORFLOW_H
#define TFOS_TENSORFLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct TF_Status TF_Status;

// The codes that we make ourselves; those of the agent pass through.
enum { TF_OK = 0, TF_INVALID_ARGUMENT = 3, TF_FAILED_PRECONDITION = 9, TF_OUT_OF_RANGE = 11, TF_INTERNAL = 13, TF_UNAVAILABLE = 14 };

// Defined by libtensorflow_framework.so.2, which is loaded before us. It copies the message.
extern void TF_SetStatus(TF_Status *, int code, const char *message);

// What TensorFlow keeps for us: one pointer each.
typedef struct {
	void *plugin_file;
} TF_RandomAccessFile, TF_WritableFile;
typedef struct TF_ReadOnlyMemoryRegion TF_ReadOnlyMemoryRegion;
typedef struct {
	void *plugin_filesystem;
} TF_Filesystem;

typedef struct {
	int64_t length, mtime_nsec;
	bool is_directory;
} TF_FileStatistics;

typedef struct {
	void (*cleanup)(TF_RandomAccessFile *);
	int64_t (*read)(const TF_RandomAccessFile *, uint64_t offset, size_t n, char *buffer, TF_Status *);
} TF_RandomAccessFileOps;

typedef struct {
	void (*cleanup)(TF_WritableFile *);
	void (*append)(const TF_WritableFile *, const char *buffer, size_t n, TF_Status *);
	int64_t (*tell)(const TF_WritableFile *, TF_Status *);
	void (*flush)(const TF_WritableFile *, TF_Status *);
	void (*sync)(const TF_WritableFile *, TF_Status *);
	void (*close)(const TF_WritableFile *, TF_Status *);
} TF_WritableFileOps;

// The functions up to the last that we have. Those that stay null TensorFlow does itself, by the others.
typedef struct {
	void (*init)(TF_Filesystem *, TF_Status *);
	void (*cleanup)(TF_Filesystem *);
	void (*new_random_access_file)(const TF_Filesystem *, const char *path, TF_RandomAccessFile *, TF_Status *);
	void (*new_writable_file)(const TF_Filesystem *, const char *path, TF_WritableFile *, TF_Status *);
	void (*new_appendable_file)(const TF_Filesystem *, const char *path, TF_WritableFile *, TF_Status *);
	void (*new_read_only_memory_region_from_file)(const TF_Filesystem *, const char *path, TF_ReadOnlyMemoryRegion *, TF_Status *);
	void (*create_dir)(const TF_Filesystem *, const char *path, TF_Status *);
	void (*recursively_create_dir)(const TF_Filesystem *, const char *path, TF_Status *);
	void (*delete_file)(const TF_Filesystem *, const char *path, TF_Status *);
	void (*delete_dir)(const TF_Filesystem *, const char *path, TF_Status *);
	void (*delete_recursively)(const TF_Filesystem *, const char *path, uint64_t *files_left, uint64_t *dirs_left, TF_Status *);
	void (*rename_file)(const TF_Filesystem *, const char *from, const char *to, TF_Status *);
	void (*copy_file)(const TF_Filesystem *, const char *from, const char *to, TF_Status *);
	void (*path_exists)(const TF_Filesystem *, const char *path, TF_Status *);
	bool (*paths_exist)(const TF_Filesystem *, char **paths, int n, TF_Status **);
	void (*stat)(const TF_Filesystem *, const char *path, TF_FileStatistics *, TF_Status *);
	bool (*is_directory)(const TF_Filesystem *, const char *path, TF_Status *);
	int64_t (*get_file_size)(const TF_Filesystem *, const char *path, TF_Status *);
	char *(*translate_name)(const TF_Filesystem *, const char *uri);
	int (*get_children)(const TF_Filesystem *, const char *path, char ***entries, TF_Status *);
	int (*get_matching_paths)(const TF_Filesystem *, const char *glob, char ***entries, TF_Status *);
} TF_FilesystemOps;

// One scheme, with the version (ABI, then API) and the size of each table.
typedef struct {
	char *scheme;
	int filesystem_abi, filesystem_api;
	size_t filesystem_size;
	TF_FilesystemOps *filesystem;
	int random_access_file_abi, random_access_file_api;
	size_t random_access_file_size;
	TF_RandomAccessFileOps *random_access_file;
	int writable_file_abi, writable_file_api;
	size_t writable_file_size;
	TF_WritableFileOps *writable_file;
	int memory_region_abi, memory_region_api;
	size_t memory_region_size;
	void *memory_region;
} TF_FilesystemPluginOps;

typedef struct {
	size_t num_schemes;
	TF_FilesystemPluginOps *ops;
	void *(*allocate)(size_t); // of what TensorFlow frees
	void (*free)(void *);
} TF_FilesystemPluginInfo;

#endif
