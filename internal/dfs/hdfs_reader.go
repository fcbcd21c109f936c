package dfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/dfs/datanode"
	"tfos/internal/hadoop/pb"
	"tfos/internal/pause"
)

const (
	// maxReads is how many reads of one file go on at once; more wait for their turn.
	maxReads = 16
	// maxStreams is how many places of one file are read in sequence at once. Those beyond are
	// slower: each read asks anew.
	maxStreams = 4
	// maxAttempts is how often it is tried to read from a block's replicas, each time with new
	// locations and block tokens.
	maxAttempts = 4
	// attemptPause is between the last two attempts, give or take half. What was restarted is back
	// by then; the first pause is a sixteenth of it, and there is none where only the token was too
	// old.
	attemptPause = 4 * time.Second
)

// Open implements FS.
func (h *HDFS) Open(ctx context.Context, name string) (File, error) {
	name, err := cleanName("open", name)
	if err != nil {
		return nil, err
	}
	status, err := h.status(ctx, "open", name)
	if err != nil {
		return nil, err
	}
	if status.GetFileType() == pb.HdfsFileStatusProto_IS_DIR {
		return nil, h.fail("open", name, ErrIsDirectory)
	}
	if err := plainFile(status); err != nil {
		return nil, h.fail("open", name, err)
	}
	blocks, err := h.readers(ctx)
	if err != nil {
		return nil, err
	}
	f := &hdfsFile{
		fs: h, name: name, blocks: blocks, where: &blockMap{fs: h, name: name}, turns: make(chan struct{}, maxReads), busy: map[*stream]bool{},
	}
	located, err := f.where.locate(ctx, 0)
	if err != nil {
		return nil, err
	}
	f.size = max(located, int64(status.GetLength()))
	f.ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return f, nil
}

// hdfsFile reads a file. A read asks a DataNode for as much as it wants, on a connection that
// others used before it. One that begins where another ended is taken for the second of a sequence,
// and asks for all the rest of the block: what comes stays in its stream for the reads that follow.
type hdfsFile struct {
	fs     *HDFS
	name   string
	size   int64
	blocks *replicas
	where  *blockMap
	turns  chan struct{}   // holds an element for each read that goes on
	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu     sync.Mutex
	idle   []*stream // guarded by mu, as what follows; the one that was used last is at the end
	busy   map[*stream]bool
	ends   []int64 // where reads ended that left no stream behind
	closed bool

	position struct { // of Read and Seek
		sync.Mutex
		offset int64 // guarded by the mutex
	}
}

// Size implements File.
func (f *hdfsFile) Size() int64 { return f.size }

// Block says where the block begins and ends that holds an offset, as far as that is known: reads
// of two blocks at once come from two connections, and mostly from two DataNodes.
func (f *hdfsFile) Block(offset int64) (begin, end int64, ok bool) {
	b, ok := f.where.at(offset)
	return b.offset, b.end(), ok
}

// Read implements io.Reader.
func (f *hdfsFile) Read(p []byte) (int, error) {
	f.position.Lock()
	defer f.position.Unlock()
	n, err := f.readSome(p, f.position.offset)
	f.position.offset += int64(n)
	return n, err
}

// Seek implements io.Seeker.
func (f *hdfsFile) Seek(offset int64, whence int) (int64, error) {
	f.position.Lock()
	defer f.position.Unlock()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.position.offset
	case io.SeekEnd:
		offset += f.size
	default:
		return 0, f.fs.fail("seek", f.name, fmt.Errorf("%w: whence %d", fs.ErrInvalid, whence))
	}
	if offset < 0 {
		return 0, f.fs.fail("seek", f.name, fmt.Errorf("%w: offset %d", fs.ErrInvalid, offset))
	}
	f.position.offset = offset
	return offset, nil
}

// ReadAt implements io.ReaderAt.
func (f *hdfsFile) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, f.fs.fail("read", f.name, fmt.Errorf("%w: offset %d", fs.ErrInvalid, offset))
	}
	read := 0
	for read < len(p) {
		n, err := f.readSome(p[read:], offset+int64(read))
		read += n
		if err != nil {
			return read, err
		}
	}
	return read, nil
}

// readSome reads at least a byte at an offset: all of p, if a block and its replicas last so long.
func (f *hdfsFile) readSome(p []byte, offset int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if offset >= f.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), f.size-offset)]
	f.turns <- struct{}{}
	defer func() { <-f.turns }()
	rest := f.blocks.pause / 16
	for attempt := 1; ; attempt++ {
		n, err := f.try(p, offset)
		if n > 0 {
			return n, nil // an error that came with bytes comes again
		}
		if f.ctx.Err() != nil {
			err = fs.ErrClosed
		}
		if errors.As(err, new(*fs.PathError)) {
			return 0, err // the NameNode's, and final
		}
		if attempt == maxAttempts || errors.Is(err, fs.ErrClosed) || errors.Is(err, errReplaced) {
			return 0, f.fs.fail("read", f.name, err)
		}
		f.fs.log.Info("read failed, will be tried again with new block locations", zap.String("file", f.name), zap.Int("attempt", attempt), zap.Error(err))
		if attempt > 1 || !errors.Is(err, datanode.ErrToken) {
			if pause.About(f.ctx, rest) != nil {
				return 0, f.fs.fail("read", f.name, fs.ErrClosed)
			}
			rest *= 4
		}
		if _, err := f.where.locate(f.ctx, offset); err != nil {
			return 0, err
		}
	}
}

// try reads from one block: from the stream that stands at offset, or else from a new one.
func (f *hdfsFile) try(p []byte, offset int64) (read int, err error) {
	s, further, err := f.take(offset)
	if err != nil {
		return 0, err
	}
	if s == nil {
		b, err := f.where.find(f.ctx, offset)
		if err != nil {
			return 0, err
		}
		length := min(b.end(), f.size) - offset
		if !further {
			length = min(length, int64(len(p)))
		}
		if s, read, err = f.blocks.open(f.ctx, b, offset, length, p); err != nil {
			return 0, err
		}
		if err := f.use(s); err != nil {
			return 0, err
		}
	}
	for read < len(p) && s.Left() > 0 && err == nil {
		var n int
		n, err = f.blocks.next(f.ctx, s, p[read:])
		read += n
	}
	f.putBack(s, err == nil)
	return read, err
}

// Direct is a part of a file on its way from the DataNode, for who takes the packets apart without
// us.
type Direct struct {
	datanode.Stream
	Block int64  // where in the file the block begins
	End   int64  // where in the file the stream ends
	Addr  string // of the DataNode, host:port
}

// Direct asks for what one block has of [offset, offset+length). There is one attempt, and nothing
// is verified: who fails with what comes reads through the file, which knows what to do. An error
// that is errors.ErrUnsupported says that all of this filesystem is to be read so for now.
func (f *hdfsFile) Direct(ctx context.Context, offset, length int64) (Direct, error) {
	if offset < 0 || offset >= f.size || length <= 0 {
		return Direct{}, io.EOF
	}
	if !f.blocks.detachable() {
		return Direct{}, fmt.Errorf("DataNodes wrap what they send: %w", errors.ErrUnsupported)
	}
	b, err := f.where.find(ctx, offset)
	if err != nil {
		return Direct{}, err
	}
	d := Direct{Block: b.offset, End: min(b.end(), f.size)}
	d.End = offset + min(length, d.End-offset)
	var s *stream
	err = f.blocks.first(ctx, b, func(node *pb.DatanodeInfoProto) error {
		s, err = f.blocks.request(ctx, b, node, offset, d.End-offset)
		return err
	})
	if err != nil {
		return Direct{}, err
	}
	d.Addr = f.fs.dataAddr(s.node.GetId())
	var ok bool
	if d.Stream, ok = s.Detach(); !ok {
		_ = s.Close() // nothing was read
		f.blocks.wraps()
		return Direct{}, fmt.Errorf("DataNode %s wraps what it sends: %w", d.Addr, errors.ErrUnsupported)
	}
	return d, nil
}

// Distrust says that a DataNode fell silent, or broke what it was sending. It is asked last from
// now on, for a while.
func (f *hdfsFile) Distrust(d Direct) {
	f.fs.log.Warn("a DataNode that a program was reading from is gone or silent, another will be asked", zap.String("file", f.name), zap.String("datanode", d.Addr))
	f.blocks.suspect(d.Addr)
}

// take finds the stream that stands at offset: nil if there is none, and then whether the read
// continues another.
func (f *hdfsFile) take(offset int64) (s *stream, further bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, false, fs.ErrClosed
	}
	for i, s := range f.idle {
		if s.offset == offset {
			f.idle = slices.Delete(f.idle, i, i+1)
			f.busy[s] = true
			return s, true, nil
		}
	}
	i := slices.Index(f.ends, offset)
	if i >= 0 {
		f.ends = slices.Delete(f.ends, i, i+1)
	}
	return nil, i >= 0, nil
}

// use counts a new stream among those that Close ends.
func (f *hdfsFile) use(s *stream) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		_ = s.Close() // a reader loses nothing
		return fs.ErrClosed
	}
	f.busy[s] = true
	return nil
}

// putBack keeps a stream that has more to give, and of others where they ended.
func (f *hdfsFile) putBack(s *stream, good bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.busy, s)
	switch {
	case !good || f.closed:
		_ = s.Close()
	case s.Left() > 0:
		if len(f.idle) == maxStreams {
			_ = f.idle[0].Close()
			f.idle = slices.Delete(f.idle, 0, 1)
		}
		f.idle = append(f.idle, s)
	default:
		if len(f.ends) == maxStreams {
			f.ends = slices.Delete(f.ends, 0, 1)
		}
		f.ends = append(f.ends, s.offset)
	}
}

// Close implements io.Closer. Reads that go on fail.
func (f *hdfsFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return f.fs.fail("close", f.name, fs.ErrClosed)
	}
	f.closed = true
	f.cancel()
	for _, s := range f.idle {
		_ = s.Close()
	}
	f.idle = nil
	for s := range f.busy {
		_ = s.Close()
	}
	return nil
}
