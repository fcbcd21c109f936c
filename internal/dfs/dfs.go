// Package dfs is the one filesystem interface of tfos: local disk, memory and HDFS behind it.
//
// Names are absolute slash-separated paths within one filesystem ("/user/ann/.tfos"); URI gives the
// form that another process, a NodeManager say, opens them by. Every error that a caller may branch
// on is one of fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, fs.ErrInvalid or the errors below,
// under errors.Is. The contract in dfstest says the rest, and every implementation passes it.
//
// A file that is being created lies beside its place under a temporary name, which no listing
// shows, and moves there when it is closed. One whose writer died stays behind until it is swept,
// or its directory is removed recursively.
package dfs

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"time"
)

// Errors beyond those of io/fs.
var (
	ErrNoSpace      = errors.New("no space left")                                                    // every DataNode, or the disk, is full
	ErrQuota        = errors.New("quota exceeded")                                                   // the directory's
	ErrSafeMode     = errors.New("filesystem is in safe mode")                                       // the NameNode refuses changes for now
	ErrNotDirectory = errors.New("not a directory")                                                  //
	ErrIsDirectory  = errors.New("is a directory")                                                   //
	ErrNotEmpty     = errors.New("directory not empty")                                              //
	ErrEncrypted    = errors.New("file lies in an encryption zone, which tfos cannot read or write") //
	ErrErasureCoded = errors.New("file is erasure coded, which tfos cannot read")                    //
	ErrCorrupt      = errors.New("file is damaged")                                                  // no replica of a block fits its checksums
	ErrBusy         = errors.New("file is being written by another")                                 //
	ErrUnreachable  = errors.New("filesystem cannot be reached")                                     // no NameNode answered
	ErrCredentials  = errors.New("filesystem does not accept the credentials")                       // a token that expired or was cancelled, say
	ErrUnsupported  = errors.New("not supported by tfos")                                            // a scheme, or a way of protecting data
)

// FS is a filesystem. It is safe for concurrent use.
type FS interface {
	// Stat describes what lies at name.
	Stat(ctx context.Context, name string) (Info, error)
	// List describes the entries of a directory, sorted by name.
	List(ctx context.Context, dir string) ([]Info, error)
	// Open opens a file for reading.
	Open(ctx context.Context, name string) (File, error)
	// Create opens a file for writing. Its directory exists. Nothing is visible under name before
	// Close returned nil, and a writer that is aborted, or whose process dies, leaves nothing
	// there; an old file stays until then, and goes when the new one takes its place in one step.
	Create(ctx context.Context, name string, o CreateOptions) (Writer, error)
	// Append opens an existing file for writing at its end, in place: a journal is a file that was
	// created, closed and opened by Append. Aborting it leaves what was written.
	Append(ctx context.Context, name string) (Writer, error)
	// Mkdir makes a directory and those above it, which its owner can write to in any case. One
	// that exists is no error and keeps its mode.
	Mkdir(ctx context.Context, dir string, mode fs.FileMode) error
	// Rename moves a file or directory. Where new exists it fails with fs.ErrExist, unless
	// overwrite is set and both are files; then the replacement is atomic.
	Rename(ctx context.Context, old, new string, overwrite bool) error
	// Remove removes a file or a directory; one with entries only if recursive is set, else
	// ErrNotEmpty.
	Remove(ctx context.Context, name string, recursive bool) error
	// Sweep removes from a directory what writers left behind who died, and answers with the names.
	// A writer that lives loses nothing. How long after its death a writer is known to be dead is
	// the filesystem's: a minute and more on HDFS.
	Sweep(ctx context.Context, dir string) ([]string, error)
	// Chmod sets the permission bits.
	Chmod(ctx context.Context, name string, mode fs.FileMode) error
	// Home is the user's home directory: an absolute name, which need not exist.
	Home() string
	// URI is the name by which other processes open a file of this filesystem:
	// "hdfs://nn:8020/user/ann/x".
	URI(name string) string
	// Close ends the connections. Files that are still open become unusable.
	Close() error
}

// File is a file open for reading. ReadAt may be called concurrently.
type File interface {
	io.ReadSeekCloser
	io.ReaderAt
	// Size in bytes when it was opened.
	Size() int64
}

// Writer is a file open for writing.
type Writer interface {
	io.Writer
	// Sync makes what was written so far readable by others and safe against the loss of this
	// process. It is not cheap: a few calls on HDFS.
	Sync() error
	// Close completes the file. Only a nil error says that it is whole.
	Close() error
	// Abort gives up: the file does not appear, or is removed. After Close it does nothing.
	Abort()
}

// CreateOptions says how a file is made.
type CreateOptions struct {
	Overwrite   bool        // replace a file that exists; else fs.ErrExist
	Mode        fs.FileMode // permission bits; 0: 0644
	Replication int         // HDFS: copies of each block; 0: the configuration's
}

// Info describes a file or directory.
type Info struct {
	Name    string // absolute
	Size    int64  // bytes
	Mode    fs.FileMode
	ModTime time.Time // to the millisecond
	Owner   string
	Group   string
}

// IsDir reports whether it is a directory.
func (i Info) IsDir() bool { return i.Mode.IsDir() }
