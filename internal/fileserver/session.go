package fileserver

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"syscall"

	"go.uber.org/zap"

	"tfos/internal/dfs"
)

// session is one connection. Its goroutine owns it.
type session struct {
	s      *Server
	conn   net.Conn
	in     *bufio.Reader // of conn
	buffer []byte        // of requests
	reader *openFile
	given  []dfs.Direct // to the peer: the last two, for it asks for one while it reads another
	writer *writer
}

const (
	// smallRequest is what every request but opWrite fits in, mostly, in bytes.
	smallRequest = 512
	// sendBuffer has room for a whole answer to a read that TensorFlow makes, in bytes: the kernel
	// counts its own needs too, and takes it for a wish. A reader that asks ahead finds the answer
	// there.
	sendBuffer = 512 << 10
)

func newSession(s *Server, conn net.Conn) *session {
	if c, ok := conn.(*net.UnixConn); ok {
		_ = c.SetWriteBuffer(sendBuffer) // slower without
	}
	return &session{s: s, conn: conn, in: bufio.NewReaderSize(conn, smallRequest)}
}

// serve answers until the peer goes away.
func (c *session) serve() {
	defer c.end()
	for {
		o, payload, buffer, err := readRequest(c.in, c.buffer)
		c.buffer = buffer
		if err == nil {
			err = c.answer(o, payload)
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), c.s.ctx.Err() != nil:
			return
		case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET): // it had asked for more than it wanted
			return
		default:
			c.s.log.Warn("a program's connection to its files ended", zap.Error(err))
			return
		}
	}
}

// end lets go of what the connection held. A writer that did not close its file has died.
func (c *session) end() {
	if c.reader != nil {
		c.reader.release()
	}
	if c.writer != nil {
		c.writer.orphaned()
	}
}

// answer does one request and replies. An error ends the connection.
func (c *session) answer(o op, payload []byte) error {
	switch o {
	case opRead:
		return c.read(payload)
	case opDirect:
		return c.giveDirect(payload)
	}
	result, err := c.perform(o, payload)
	if errors.Is(err, errMalformed) {
		return fmt.Errorf("operation %d: %w", o, err)
	}
	return c.reply(result, err)
}

// reply ends the answer to a request.
func (c *session) reply(result []byte, err error) error {
	code := codeOK
	if err != nil {
		code, result = codeOf(err), []byte(Explain(err))
	}
	b := append(appendHeader(make([]byte, 0, headerSize+len(result)), len(result), code), result...)
	_, err = c.conn.Write(b)
	return err
}

// working tells the peer that there is still somebody here.
func (c *session) working() error {
	_, err := c.conn.Write(appendHeader(nil, 0, codeWorking))
	return err
}

// perform does everything but opRead.
func (c *session) perform(o op, payload []byte) ([]byte, error) {
	if do := fileOps[o]; do != nil {
		return do(c, payload)
	}
	d := decoder{b: payload}
	first, second := d.path(), ""
	if o == opRename || o == opCopy {
		second = d.path()
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	t := tree{files: c.s.o.Files, growing: &c.s.growing, working: c.working}
	ctx := c.s.ctx
	switch o {
	case opStat:
		info, err := t.stat(ctx, first)
		if err != nil {
			return nil, err
		}
		b := []byte{0}
		if info.IsDir() {
			b[0], info.Size = 1, 0
		}
		b = binary.LittleEndian.AppendUint64(b, uint64(info.Size))
		return binary.LittleEndian.AppendUint64(b, uint64(info.ModTime.UnixNano())), nil
	case opExists:
		_, err := t.stat(ctx, first)
		if errors.Is(err, dfs.ErrNotDirectory) { // nothing is below a file
			err = wrong("stat", first, fs.ErrNotExist)
		}
		return nil, err
	case opList:
		return names(t.list(ctx, first))
	case opGlob:
		return names(t.glob(ctx, first))
	case opMkdir:
		return nil, t.mkdir(ctx, first)
	case opMkdirs:
		return nil, t.mkdirs(ctx, first)
	case opRemove:
		return nil, t.remove(ctx, first)
	case opRmdir:
		return nil, t.rmdir(ctx, first)
	case opRemoveAll:
		return nil, t.removeAll(ctx, first)
	case opRename:
		return nil, t.rename(ctx, first, second)
	case opCopy:
		return nil, t.copy(ctx, first, second)
	}
	return nil, fmt.Errorf("%w: no such operation", errMalformed)
}

func names(list []string, err error) ([]byte, error) {
	var b []byte
	for _, name := range list {
		b = appendString(b, name)
	}
	return b, err
}

// fileOps are the operations on the file that the connection belongs to.
var fileOps = map[op]func(c *session, payload []byte) ([]byte, error){
	opOpen:   (*session).open,
	opAttach: (*session).attach,
	opCreate: (*session).create,
	opAppend: (*session).append,
	opWrite:  (*session).write,
	opFlush:  (*session).flush,
	opSync:   (*session).sync,
	opClose:  (*session).close,
	opBroke:  (*session).broke,
}

// onlyPath takes the path of a file to be opened. A connection has one file at a time.
func (c *session) onlyPath(payload []byte) (string, error) {
	d := decoder{b: payload}
	path := d.path()
	if c.reader != nil || c.writer != nil {
		return "", fmt.Errorf("%w: a second file on one connection", errMalformed)
	}
	return path, d.end()
}

func (c *session) open(payload []byte) ([]byte, error) {
	path, err := c.onlyPath(payload)
	if err != nil {
		return nil, err
	}
	if c.reader, err = c.s.openFile(path); err != nil {
		return nil, err
	}
	b := binary.LittleEndian.AppendUint64(nil, c.reader.handle)
	return binary.LittleEndian.AppendUint64(b, uint64(c.reader.file.Size())), nil
}

func (c *session) attach(payload []byte) ([]byte, error) {
	d := decoder{b: payload}
	handle := d.uint64()
	if err := d.end(); err != nil || c.reader != nil || c.writer != nil {
		return nil, errMalformed
	}
	var err error
	c.reader, err = c.s.attach(handle)
	return nil, err
}

// read sends parts of a file as they come.
func (c *session) read(payload []byte) error {
	d := decoder{b: payload}
	offset, length := d.uint64(), d.uint64()
	if err := d.end(); err != nil || c.reader == nil {
		return fmt.Errorf("read: %w", errMalformed)
	}
	var gone error // the peer's
	over := false
	err := c.reader.read(offset, length, func(b []byte, last bool) error {
		for len(b) > 0 && gone == nil {
			part := b[:min(len(b), maxData)]
			b = b[len(part):]
			frame := net.Buffers{appendHeader(nil, len(part), codeMore), part}
			if over = last && len(b) == 0; over {
				frame = append(frame, appendHeader(nil, 0, codeOK)) // saves the peer a wait
			}
			_, gone = frame.WriteTo(c.conn)
		}
		return gone
	})
	if gone != nil || over {
		return gone
	}
	return c.reply(nil, err)
}

func (c *session) create(payload []byte) ([]byte, error) { return c.openWriter(payload, c.s.create) }
func (c *session) append(payload []byte) ([]byte, error) { return c.openWriter(payload, c.s.append) }

func (c *session) openWriter(payload []byte, open func(path string) (*writer, error)) ([]byte, error) {
	path, err := c.onlyPath(payload)
	if err != nil {
		return nil, err
	}
	if c.writer, err = open(path); err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint64(nil, uint64(c.writer.size)), nil
}

func (c *session) write(payload []byte) ([]byte, error) {
	if c.writer == nil {
		return nil, errMalformed
	}
	return nil, c.writer.write(payload)
}

func (c *session) flush([]byte) ([]byte, error) {
	if c.writer == nil {
		return nil, errMalformed
	}
	return nil, c.writer.flush()
}

func (c *session) sync([]byte) ([]byte, error) {
	if c.writer == nil {
		return nil, errMalformed
	}
	return nil, c.writer.sync()
}

// close ends what the connection does with its file.
func (c *session) close([]byte) ([]byte, error) {
	switch {
	case c.writer != nil:
		w := c.writer
		c.writer = nil
		return nil, w.close()
	case c.reader != nil:
		c.reader.release()
		c.reader = nil
		return nil, nil
	}
	return nil, errMalformed
}
