package dfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/colinmarc/hdfs/v2"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
)

// maxStreams is how many reads of one file go on at once; more wait for their turn.
const maxStreams = 4

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
	if _, err := h.dataProtection(ctx); err != nil {
		return nil, err
	}
	if err := h.mayRead(ctx, name); err != nil {
		return nil, err
	}
	return &hdfsFile{
		fs: h, name: name, size: int64(status.GetLength()), turns: make(chan struct{}, maxStreams), busy: map[*stream]bool{},
	}, nil
}

// mayRead asks what the library will ask at the first read: the right to read, and where the blocks are.
func (h *HDFS) mayRead(ctx context.Context, name string) error {
	resp := &pb.GetBlockLocationsResponseProto{}
	req := &pb.GetBlockLocationsRequestProto{Src: &name, Offset: proto.Uint64(0), Length: proto.Uint64(1)}
	if err := h.call(ctx, "open", name, "getBlockLocations", req, resp); err != nil {
		return err
	}
	return h.fail("open", name, plainBlocks(resp.GetLocations()))
}

// hdfsFile reads a file through streams, each of which reads one piece at a time. A stream that stands where a read begins is
// taken for it, so reading in sequence keeps to one.
type hdfsFile struct {
	fs    *HDFS
	name  string
	size  int64
	turns chan struct{} // holds an element for each read that goes on

	mu     sync.Mutex
	idle   []*stream // guarded by mu, as what follows; the one that was used last is at the end
	busy   map[*stream]bool
	closed bool

	position struct { // of Read and Seek
		sync.Mutex
		offset int64 // guarded by the mutex
	}
}

// stream is the library's reader of a file.
type stream struct {
	*blocks
	reader *hdfs.FileReader
	offset int64 // where it stands
}

func (f *hdfsFile) openStream(ctx context.Context) (*stream, error) {
	b, err := f.fs.openBlocks(ctx)
	if err != nil {
		return nil, err
	}
	s := &stream{blocks: b}
	err = b.during(ctx, func() (err error) {
		s.reader, err = b.client.Open(f.name)
		return err
	})
	if err != nil {
		b.close()
		return nil, err
	}
	return s, nil
}

func (s *stream) close() {
	_ = s.reader.Close() // a reader loses nothing
	s.blocks.close()
}

// Size implements File.
func (f *hdfsFile) Size() int64 { return f.size }

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

// readSome reads at least a byte at an offset. A stream whose DataNodes all failed it, whose block locations are out of date
// or whose block tokens expired is replaced once by a new one.
func (f *hdfsFile) readSome(p []byte, offset int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if offset >= f.size {
		return 0, io.EOF
	}
	f.turns <- struct{}{}
	defer func() { <-f.turns }()
	for attempt := 1; ; attempt++ {
		s, err := f.take(offset)
		if err != nil {
			return 0, f.fs.fail("read", f.name, err)
		}
		n, err := s.readSome(p, offset)
		f.putBack(s, err == nil)
		if err == nil {
			return n, nil
		}
		if attempt == 2 || errors.Is(err, fs.ErrClosed) || f.isClosed() {
			return 0, f.fs.fail("read", f.name, err)
		}
		f.fs.log.Info("read failed, will be tried once more with new block locations", zap.String("file", f.name), zap.Error(err))
	}
}

// readSome reads at least a byte, or fails.
func (s *stream) readSome(p []byte, offset int64) (n int, err error) {
	err = s.during(context.Background(), func() error {
		if offset != s.offset {
			if _, err := s.reader.Seek(offset, io.SeekStart); err != nil {
				return err
			}
			s.offset = offset
		}
		n, err = s.reader.Read(p)
		s.offset += int64(n)
		if n > 0 {
			return nil // an error that came with bytes comes again
		}
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF // the file has become shorter
		}
		return err
	})
	return n, err
}

// take finds an idle stream, best one that stands at offset, or opens another.
func (f *hdfsFile) take(offset int64) (*stream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, fs.ErrClosed
	}
	if last := len(f.idle) - 1; last >= 0 {
		found := last
		for i, s := range f.idle {
			if s.offset == offset {
				found = i
			}
		}
		s := f.idle[found]
		f.idle = append(f.idle[:found], f.idle[found+1:]...)
		f.busy[s] = true
		return s, nil
	}
	f.mu.Unlock()
	s, err := f.openStream(context.Background())
	f.mu.Lock()
	if err != nil {
		return nil, err
	}
	if f.closed {
		s.close()
		return nil, fs.ErrClosed
	}
	f.busy[s] = true
	return s, nil
}

// putBack returns a stream; one that failed is closed.
func (f *hdfsFile) putBack(s *stream, good bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.busy, s)
	if good && !f.closed {
		f.idle = append(f.idle, s)
		return
	}
	s.close()
}

func (f *hdfsFile) isClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

// Close implements io.Closer. Reads that go on fail.
func (f *hdfsFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return f.fs.fail("close", f.name, fs.ErrClosed)
	}
	f.closed = true
	for _, s := range f.idle {
		s.close()
	}
	f.idle = nil
	for s := range f.busy {
		s.conns.closeAll() // its reader closes the rest
	}
	return nil
}
