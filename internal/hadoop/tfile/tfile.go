// Package tfile reads the logs that YARN's NodeManagers aggregate: one file per application and
// node, in the TFile or the IndexedFile format of Hadoop 2.10 to 3.5, plain or compressed by gz.
//
// A Reader goes through a file once, container by container and log by log, and holds no more of it
// than a buffer; passing over a log that is not compressed reads nothing of it. Where the files lie
// is what Directories says; opening them is the caller's.
package tfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// ErrFormat says that a file is no whole file of aggregated logs, under errors.Is.
var ErrFormat = errors.New("not a whole file of aggregated logs")

// Log is one log file of a container, as it was aggregated.
type Log struct {
	Container string // "container_1700000000000_0001_01_000002"
	Name      string // "stdout"
	Size      int64  // bytes
}

// Reader reads an aggregated log file. Like an archive's reader it stands on one log at a time.
type Reader interface {
	// Next goes to the next log, io.EOF after the last. What was not read of the one before is
	// passed over.
	Next() (Log, error)
	// Read reads the content of the log that Next went to, io.EOF at its end.
	Read(p []byte) (int, error)
}

// reader reads a TFile.
type reader struct {
	file      *bcFile
	nextBlock int
	block     *blockReader // nil before the first
	value     *valueReader // of the record at hand; nil if there is none
	container string       // whose logs value holds; empty: value is something else
	left      int64        // of the log at hand, bytes
	err       error        // sticks
}

// Keys of records that are no container's.
const (
	keyVersion = "VERSION"
	keyOwner   = "APPLICATION_OWNER"
	keyACL     = "APPLICATION_ACL"
)

// version of the layout of containers' records that we know.
const version = 1

// NewReader reads the index of a file of size bytes. One that a NodeManager is still writing has
// none: ErrFormat.
func NewReader(r io.ReaderAt, size int64) (Reader, error) {
	if at, length, ok := indexAt(r, size); ok {
		return openIndexed(r, size, at, length)
	}
	f, err := openBCFile(r, size)
	if err != nil {
		return nil, err
	}
	return &reader{file: f}, nil
}

// Next implements Reader.
func (r *reader) Next() (Log, error) {
	if r.err != nil {
		return Log{}, r.err
	}
	l, err := r.next()
	r.err = err
	if err != nil {
		r.left = 0
	}
	return l, err
}

func (r *reader) next() (Log, error) {
	if r.value != nil {
		if err := r.value.discard(r.left); err != nil {
			return Log{}, fmt.Errorf("log of %s: %w", r.container, err)
		}
		r.left = 0
	}
	for {
		if r.container != "" {
			l, err := r.nextLog()
			if err != io.EOF {
				return l, err
			}
		}
		if err := r.nextRecord(); err != nil {
			return Log{}, err
		}
	}
}

// nextLog reads the head of a log: its name and its size as text, each behind its length as two
// bytes. io.EOF: the container has no more.
func (r *reader) nextLog() (Log, error) {
	name, err := readUTF(r.value)
	if err != nil {
		return Log{}, err
	}
	text, err := readUTF(r.value)
	if err != nil {
		return Log{}, noEOF(err)
	}
	size, err := strconv.ParseInt(text, 10, 64)
	if err != nil || size < 0 {
		return Log{}, fmt.Errorf("%w: log %q of %s has the size %.20q", ErrFormat, name, r.container, text)
	}
	r.left = size
	return Log{Container: r.container, Name: name, Size: size}, nil
}

// nextRecord goes to the next record, in the next block if need be. io.EOF: there is none.
func (r *reader) nextRecord() error {
	if r.value != nil {
		if err := r.value.discardAll(); err != nil {
			return err
		}
	}
	r.value, r.container = nil, ""
	for r.block == nil || r.block.left == 0 {
		if r.nextBlock == len(r.file.blocks) {
			return io.EOF
		}
		var err error
		if r.block, err = r.file.open(r.file.blocks[r.nextBlock], r.file.compression); err != nil {
			return err
		}
		r.nextBlock++
	}
	n, err := readVLong(r.block)
	if err != nil {
		return noEOF(err)
	}
	if n < 0 || n > maxKey {
		return fmt.Errorf("%w: key of %d bytes", ErrFormat, n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r.block, b); err != nil {
		return noEOF(err)
	}
	if n < 2 || int64(binary.BigEndian.Uint16(b)) != n-2 {
		return fmt.Errorf("%w: key %.40q is no string", ErrFormat, b)
	}
	r.value = &valueReader{block: r.block}
	switch key := string(b[2:]); key {
	case keyVersion:
		return r.checkVersion()
	case keyOwner, keyACL:
	default:
		r.container = key
	}
	return nil
}

func (r *reader) checkVersion() error {
	var b [4]byte
	if _, err := io.ReadFull(r.value, b[:]); err != nil {
		return noEOF(err)
	}
	if v := binary.BigEndian.Uint32(b[:]); v != version {
		return fmt.Errorf("aggregated logs of version %d: tfos knows version %d", v, version)
	}
	return nil
}

// Read implements Reader.
func (r *reader) Read(p []byte) (int, error) {
	if r.err != nil && r.err != io.EOF {
		return 0, r.err
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.value.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if err != nil {
		r.err = noEOF(err)
		return n, r.err
	}
	return n, nil
}

// readUTF reads a string as java.io.DataInput does. io.EOF: there is nothing more at all.
func readUTF(r io.Reader) (string, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if err == io.EOF {
			return "", err
		}
		return "", noEOF(err)
	}
	b := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		return "", noEOF(err)
	}
	return string(b), nil
}

// noEOF makes an end where more was due an error of format.
func noEOF(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it ends too soon", ErrFormat)
	}
	return err
}
