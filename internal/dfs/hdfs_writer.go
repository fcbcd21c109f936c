package dfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/colinmarc/hdfs/v2"
	"go.uber.org/zap"

	"tfos/internal/hadoop/pb"
)

const (
	// maxWrite is how many bytes the library is given at once: it copies all of them.
	maxWrite = 1 << 20
	// abortTimeout bounds the removal of a file that was given up.
	abortTimeout = 10 * time.Second
)

// Create implements FS.
func (h *HDFS) Create(ctx context.Context, name string, o CreateOptions) (Writer, error) {
	name, err := cleanName("create", name)
	if err != nil {
		return nil, err
	}
	switch there, err := h.status(ctx, "create", name); {
	case err == nil && (there.GetFileType() == pb.HdfsFileStatusProto_IS_DIR || !o.Overwrite):
		return nil, h.fail("create", name, fs.ErrExist)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	blockSize, replication, err := h.newFileShape(ctx, o)
	if err != nil {
		return nil, err
	}
	w := &hdfsWriter{fs: h, name: name, path: temporaryName(name), overwrite: o.Overwrite}
	err = w.open(ctx, func(c *hdfs.Client) (*hdfs.FileWriter, error) {
		return c.CreateFile(w.path, replication, blockSize, fs.FileMode(posixBits(fileMode(o))))
	})
	if errors.Is(err, ErrEncrypted) || errors.Is(err, ErrErasureCoded) {
		w.discard() // it is known only once the file is there
	}
	if err != nil {
		return nil, h.fail("create", name, err)
	}
	return w, nil
}

// Append implements FS.
func (h *HDFS) Append(ctx context.Context, name string) (Writer, error) {
	name, err := cleanName("append", name)
	if err != nil {
		return nil, err
	}
	status, err := h.status(ctx, "append", name)
	if err != nil {
		return nil, err
	}
	if status.GetFileType() == pb.HdfsFileStatusProto_IS_DIR {
		return nil, h.fail("append", name, ErrIsDirectory)
	}
	w := &hdfsWriter{fs: h, name: name, path: name}
	if err := w.reopen(ctx); err != nil {
		return nil, h.fail("append", name, err)
	}
	return w, nil
}

// hdfsWriter writes a file, under a temporary name if it is new.
//
// The library cannot make a DataNode keep what it has got so far, or tell the NameNode how much that is. So Sync completes the
// file, and the next Write opens it again to append.
type hdfsWriter struct {
	fs        *HDFS
	name      string // where the file is to be
	path      string // where it is written
	overwrite bool

	mu     sync.Mutex
	blocks *blocks // guarded by mu, as what follows; nil while the file is complete
	writer *hdfs.FileWriter
	err    error // of a write; the file is lost
	done   bool
}

// open makes the library open the file.
func (w *hdfsWriter) open(ctx context.Context, open func(*hdfs.Client) (*hdfs.FileWriter, error)) error {
	b, err := w.fs.openBlocks(ctx)
	if err != nil {
		return err
	}
	err = b.during(ctx, func() (err error) {
		w.writer, err = open(b.client)
		return err
	})
	if err != nil {
		b.close()
		return err
	}
	w.blocks = b
	return nil
}

func (w *hdfsWriter) reopen(ctx context.Context) error {
	return w.open(ctx, func(c *hdfs.Client) (*hdfs.FileWriter, error) { return c.Append(w.path) })
}

// Write implements io.Writer. Each step of it is bounded by the filesystem's timeout.
func (w *hdfsWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable("write"); err != nil {
		return 0, err
	}
	if w.blocks == nil && len(p) > 0 {
		if err := w.reopen(context.Background()); err != nil {
			return 0, w.lost("write", err)
		}
	}
	written := 0
	for len(p) > 0 {
		piece := p[:min(len(p), maxWrite)]
		var n int
		err := w.blocks.during(context.Background(), func() (err error) {
			n, err = w.writer.Write(piece)
			return err
		})
		written += n
		if err != nil {
			return written, w.lost("write", err)
		}
		p = p[len(piece):]
	}
	return written, nil
}

// Sync implements Writer.
func (w *hdfsWriter) Sync() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable("sync"); err != nil {
		return err
	}
	if err := w.complete(); err != nil {
		return w.lost("sync", err)
	}
	return nil
}

// Close implements io.Closer.
func (w *hdfsWriter) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable("close"); err != nil {
		if !w.done {
			w.done = true
			w.discard()
		}
		return err
	}
	w.done = true
	if err := w.complete(); err != nil {
		w.discard()
		return w.fs.fail("close", w.name, err)
	}
	if w.path == w.name {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), w.fs.patience)
	defer cancel()
	if err := w.fs.rename(ctx, "close", w.path, w.name, w.overwrite); err != nil {
		w.discard()
		return err
	}
	return nil
}

// Abort implements Writer.
func (w *hdfsWriter) Abort() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.done {
		w.done = true
		w.discard()
	}
}

// usable says why the writer cannot go on, if so. The caller holds mu, as for every method below.
func (w *hdfsWriter) usable(op string) error {
	if w.done {
		return w.fs.fail(op, w.name, fs.ErrClosed)
	}
	return w.err
}

func (w *hdfsWriter) lost(op string, err error) error {
	w.err = w.fs.fail(op, w.name, err)
	return w.err
}

// complete writes what is left, waits until the DataNodes have it and the NameNode knows, and closes the file.
func (w *hdfsWriter) complete() error {
	if w.blocks == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), w.fs.patience)
	defer cancel()
	err := w.blocks.during(ctx, w.writer.Close)
	// The DataNodes have all of it, but too few have told the NameNode so far.
	for pause := 20 * time.Millisecond; hdfs.IsErrReplicating(err); pause = min(2*pause, time.Second) {
		if waitErr := wait(ctx, pause); waitErr != nil {
			return fmt.Errorf("wait until the last block is on enough DataNodes: %w", waitErr)
		}
		err = w.blocks.during(ctx, w.writer.Close)
	}
	if err != nil {
		return err
	}
	w.blocks.close()
	w.blocks, w.writer = nil, nil
	return nil
}

// discard gives the file up. What was appended to an old file before stays.
func (w *hdfsWriter) discard() {
	if w.blocks != nil && (w.err != nil || w.complete() != nil) {
		// Without its connections the library gives up at once. Of a block that failed it leaves a goroutine behind.
		w.blocks.conns.closeAll()
		_ = w.blocks.during(context.Background(), w.writer.Close)
		w.blocks.close()
		w.blocks, w.writer = nil, nil
	}
	if w.path == w.name {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), abortTimeout)
	defer cancel()
	if err := w.fs.Remove(ctx, w.path, false); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.fs.log.Warn("a half-written file stays behind", zap.String("file", w.path), zap.Error(err))
	}
}
