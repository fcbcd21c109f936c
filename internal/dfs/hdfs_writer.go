package dfs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"tfos/internal/dfs/datanode"
	"tfos/internal/hadoop/pb"
	"tfos/internal/pause"
)

const (
	// abortTimeout bounds the removal of a file that was given up.
	abortTimeout = 10 * time.Second
	// leaseRenewal is how often a writer's lease is renewed. Others may take it after a minute (the
	// soft limit), and Java clients renew at half of that.
	leaseRenewal = 20 * time.Second
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
	w, err := h.newWriter(ctx, name)
	if err != nil {
		return nil, h.fail("create", name, err)
	}
	w.path, w.overwrite, w.blockSize, w.replication = temporaryName(name), o.Overwrite, blockSize, replication
	resp, err := w.create(ctx, &pb.CreateRequestProto{
		Src: &w.path, Masked: permission(fileMode(o)), ClientName: &w.holder, CreateFlag: proto.Uint32(uint32(pb.CreateFlagProto_CREATE)),
		CreateParent: proto.Bool(false), Replication: proto.Uint32(uint32(replication)), BlockSize: proto.Uint64(uint64(blockSize)),
	})
	if err != nil {
		return nil, h.fail("create", name, err)
	}
	if err := plainFile(resp.GetFs()); err != nil { // it is known only once the file is there
		w.remove()
		return nil, h.fail("create", name, err)
	}
	w.fileID = resp.GetFs().GetFileId()
	w.keepLease()
	return w, nil
}

// create makes the file. The NameNode may have made it when ctx ends before the answer is here: the
// answer is waited for, beside the caller, and the file removed.
func (w *hdfsWriter) create(ctx context.Context, req *pb.CreateRequestProto) (*pb.CreateResponseProto, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	resp := &pb.CreateResponseProto{}
	answered := make(chan error)
	go func() {
		err := w.ask(context.WithoutCancel(ctx), "create", req, resp)
		select {
		case answered <- err:
		case <-ctx.Done():
			if err == nil {
				w.remove()
			}
		}
	}()
	select {
	case err := <-answered:
		return resp, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
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
	if err := plainFile(status); err != nil {
		return nil, h.fail("append", name, err)
	}
	w, err := h.newWriter(ctx, name)
	if err != nil {
		return nil, h.fail("append", name, err)
	}
	w.path, w.blockSize, w.replication, w.fileID = name, int64(status.GetBlocksize()), int(status.GetBlockReplication()), status.GetFileId()
	resp := &pb.AppendResponseProto{}
	if err := w.ask(ctx, "append", &pb.AppendRequestProto{Src: &w.path, ClientName: &w.holder}, resp); err != nil {
		return nil, h.fail("append", name, err)
	}
	if l := resp.GetBlock(); l != nil {
		w.block = w.openBlock(l, pb.OpWriteBlockProto_PIPELINE_SETUP_APPEND)
	}
	w.keepLease()
	if err := plainFile(resp.GetStat()); err != nil { // another file than a moment ago
		w.Abort()
		return nil, h.fail("append", name, err)
	}
	return w, nil
}

// hdfsWriter writes a file, under a temporary name if it is new. Each has a lease of its own, so
// that one whose file is lost keeps nobody from it for longer than a minute.
type hdfsWriter struct {
	fs          *HDFS
	name        string // where the file is to be
	path        string // where it is written
	overwrite   bool
	holder      string // of the lease
	fileID      uint64
	blockSize   int64
	replication int // copies of each block that the file wants
	packets     *datanode.Packets
	transfer    *datanode.Client
	pause       time.Duration // about, before the last DataNode of a block is tried again

	endLease context.CancelFunc
	lease    sync.WaitGroup // the goroutine that renews it

	mu    sync.Mutex
	block *openBlock             // guarded by mu, as what follows; nil: none has been begun since the last was whole
	last  *pb.ExtendedBlockProto // the last that is whole; nil: there is none that we wrote
	err   error                  // of a write; the file is lost
	done  bool
}

func (h *HDFS) newWriter(ctx context.Context, name string) (*hdfsWriter, error) {
	packets, err := h.packets(ctx)
	if err != nil {
		return nil, err
	}
	blocks, err := h.readers(ctx)
	if err != nil {
		return nil, err
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return &hdfsWriter{
		fs: h, name: name, holder: "DFSClient_tfos_" + hex.EncodeToString(random[:]), packets: packets, transfer: blocks.client, pause: blocks.pause,
		endLease: func() {},
	}, nil
}

// keepLease renews the lease until the writer ends.
func (w *hdfsWriter) keepLease() {
	ctx, cancel := context.WithCancel(context.Background())
	w.endLease = cancel
	w.lease.Go(func() {
		tick := time.NewTicker(leaseRenewal)
		defer tick.Stop()
		w.renew(ctx, tick.C)
	})
}

func (w *hdfsWriter) renew(ctx context.Context, tick <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
		err := w.ask(ctx, "renewLease", &pb.RenewLeaseRequestProto{ClientName: &w.holder}, &pb.RenewLeaseResponseProto{})
		if err != nil && ctx.Err() == nil {
			w.fs.log.Warn("a file that is being written may be lost to another writer: its lease was not renewed", zap.String("file", w.name), zap.Error(err))
		}
	}
}

// end stops what goes on beside. The caller holds mu, as for every method below but those of
// Writer.
func (w *hdfsWriter) end() {
	w.done = true
	w.endLease()
	w.lease.Wait()
}

// Write implements io.Writer. Each step of it is bounded by the filesystem's timeout.
func (w *hdfsWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable("write"); err != nil {
		return 0, err
	}
	ctx, written := context.Background(), 0
	for written < len(p) {
		n, err := w.writeSome(ctx, p[written:])
		written += n
		if err != nil {
			return written, w.lost("write", err)
		}
	}
	return written, nil
}

// writeSome writes up to the end of a block.
func (w *hdfsWriter) writeSome(ctx context.Context, p []byte) (n int, err error) {
	if w.block == nil {
		if w.block, err = w.newBlock(ctx); err != nil {
			return 0, err
		}
	}
	n, err = w.block.write(ctx, p)
	if err == nil && w.block.offset >= w.block.size {
		err = w.finishBlock(ctx)
	}
	return n, err
}

// finishBlock makes the block whole, if there is one.
func (w *hdfsWriter) finishBlock(ctx context.Context) error {
	if w.block == nil {
		return nil
	}
	if err := w.block.finish(ctx); err != nil {
		return err
	}
	w.last, w.block = w.block.known, nil
	return nil
}

// Sync implements Writer. The DataNodes have all of it in memory then, and the NameNode knows how
// long it is. A block that has lost DataNodes ends there, as Java's SyncFlag.END_BLOCK does it: the
// next is on as many as the file wants, and of this one the NameNode has the missing copies made,
// which it does not as long as it is open.
func (w *hdfsWriter) Sync() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable("sync"); err != nil {
		return err
	}
	if err := w.sync(context.Background()); err != nil {
		return w.lost("sync", err)
	}
	return nil
}

func (w *hdfsWriter) sync(ctx context.Context) error {
	known := w.last
	if w.block != nil {
		if err := w.block.flush(ctx); err != nil {
			return err
		}
		known = w.block.known
		if w.block.lost {
			if err := w.finishBlock(ctx); err != nil {
				return err
			}
			known = w.last
		}
	}
	if known == nil {
		return nil
	}
	req := &pb.FsyncRequestProto{Src: &w.path, Client: &w.holder, LastBlockLength: proto.Int64(int64(known.GetNumBytes())), FileId: &w.fileID}
	return w.ask(ctx, "fsync", req, &pb.FsyncResponseProto{})
}

// Close implements io.Closer.
func (w *hdfsWriter) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable("close"); err != nil {
		if !w.done {
			w.discard()
		}
		return err
	}
	if err := w.complete(context.Background()); err != nil {
		err = w.lost("close", err)
		w.discard()
		return err
	}
	w.end()
	if w.path == w.name {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), w.fs.patience)
	defer cancel()
	if err := w.fs.rename(ctx, "close", w.path, w.name, w.overwrite); err != nil {
		w.remove()
		return err
	}
	return nil
}

// Abort implements Writer.
func (w *hdfsWriter) Abort() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.done {
		w.discard()
	}
}

// usable says why the writer cannot go on, if so.
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

// complete writes what is left, waits until the DataNodes have it and the NameNode knows, and
// closes the file.
func (w *hdfsWriter) complete(ctx context.Context) error {
	if err := w.finishBlock(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, w.fs.patience)
	defer cancel()
	for pauses := pause.Growing(20*time.Millisecond, time.Second); ; {
		resp := &pb.CompleteResponseProto{}
		// The last block is named each time: the NameNode looks only then whether enough DataNodes
		// have told of it meanwhile.
		if err := w.ask(ctx, "complete", &pb.CompleteRequestProto{Src: &w.path, ClientName: &w.holder, Last: w.last, FileId: &w.fileID}, resp); err != nil {
			return err
		}
		if resp.GetResult() {
			return nil
		}
		if err := pauses.Wait(ctx); err != nil {
			return fmt.Errorf("wait until the last block is on enough DataNodes: %w", err)
		}
	}
}

// discard gives the file up. What was appended to an old file before stays.
func (w *hdfsWriter) discard() {
	if w.path == w.name && w.err == nil {
		if err := w.complete(context.Background()); err != nil {
			w.fs.log.Warn("the end of a file is lost that was appended to", zap.String("file", w.name), zap.Error(err))
		}
	}
	if w.block != nil {
		w.block.abandon()
		w.block = nil
	}
	w.end()
	if w.path != w.name {
		w.remove()
	}
}

// remove removes the temporary file.
func (w *hdfsWriter) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), abortTimeout)
	defer cancel()
	if err := w.fs.Remove(ctx, w.path, false); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.fs.log.Warn("a half-written file stays behind", zap.String("file", w.path), zap.Error(err))
	}
}
