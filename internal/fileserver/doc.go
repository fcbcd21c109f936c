// Package fileserver serves the filesystems of a container to the task's program, over a Unix
// socket.
//
// The other end is plugin/files.c, which TensorFlow loads as the filesystem of hdfs:// and
// viewfs:// paths. The semantics are those of TensorFlow's own local filesystem, errors included,
// wherever HDFS can have them: a program sees no difference.
//
// A file that is being written appears under its name when it is closed, and not at all if its
// writer fails or dies. Two kinds appear at once and keep what was written: files opened to append,
// and event files, whose names hold "tfevents", since others read them while they grow.
//
// A program that reads in sequence is given a connection to the DataNode that has the bytes, and
// reads them for itself.
//
// The package holds a bounded amount of file contents in memory, whatever programs do. It knows
// nothing of tasks.
package fileserver
