// Package logfile keeps what a program prints in a file of bounded size, whatever becomes of the
// file or its disk.
//
// Of a log that outgrows its limit the beginning and the end are kept, with a line between them
// that says how much is left out. It stays one file, the same one, which YARN collects and people
// read as any other. Who writes never gets an error: what the disk does not take is counted, and
// the log says so when it can be written again. Who reads goes by positions, which stay true when
// the file is cut: by this package, or by a program that empties its own log.
package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
)

// Limits bound a log. The zero Limits are none.
type Limits struct {
	Size int64 // bytes, at most
	// Keep is how many parts of the newest output stay when the log is cut. The log consists of so
	// many, one for the beginning, and one for what comes next.
	Keep int
}

// File is one log. It has one writer, and is safe for concurrent use.
//
// A position is how many bytes came before, ever. The file is: the beginning, up to head; note;
// what has positions from left bytes further on. Where nothing is left out, all of it is the
// beginning.
type File struct {
	path   string
	limits Limits

	mu   sync.Mutex // guards the rest
	file *os.File   // nil: not open
	is   fs.FileInfo
	size int64 // of the file when it was last looked at
	base int64 // position of the file's first byte
	head int64
	note []byte
	left int64 // 0: nothing is left out
	lost int64 // bytes that could not be written
	why  error // of lost
}

// New makes a File. Its file is opened when it is first needed; what is in it stays.
func New(path string, l Limits) *File { return &File{path: path, limits: l} }

// Sizes in bytes: how far a line's beginning is looked for, and what is written at a time. A part
// of a log is larger than both.
const (
	maxLine  = 4 << 10
	maxWrite = 32 << 10
)

// The bounds of Limits for which that holds.
const (
	MinSize = 1 << 20
	MaxKeep = 20
)

// Write appends to the log. It always succeeds.
func (f *File) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.append(b); err != nil {
		f.why = err
	}
	return len(b), nil
}

// append writes b, or counts what of it is lost. The caller holds mu, as for all that follows.
func (f *File) append(b []byte) error {
	if err := f.look(true); err != nil {
		f.lost += int64(len(b))
		return err
	}
	if f.lost > 0 {
		if err := f.put(fmt.Appendf(nil, "\ntfos: %d bytes of this log are missing here, they could not be written: %v\n", f.lost, f.why)); err != nil {
			f.lost += int64(len(b))
			return err
		}
		f.lost = 0
	}
	for len(b) > 0 {
		part := b[:min(len(b), maxWrite)]
		if err := f.put(part); err != nil {
			f.lost += int64(len(b))
			return err
		}
		b = b[len(part):]
	}
	return nil
}

// put writes all of b or, in the reader's eyes, nothing.
func (f *File) put(b []byte) error {
	if f.limits.Size > 0 && f.size+int64(len(b)) > f.limits.Size {
		if err := f.cut(); err != nil {
			return err
		}
	}
	n, err := f.file.Write(b)
	f.size += int64(n)
	if err != nil && n > 0 && f.file.Truncate(f.size-int64(n)) == nil {
		f.size -= int64(n)
	}
	return err
}

// look sees what has become of the file. One that was emptied, or is another now, begins anew at
// the position where it ended. If there is none it is made, or f.file is nil.
func (f *File) look(create bool) error {
	is, err := os.Stat(f.path)
	gone := errors.Is(err, fs.ErrNotExist)
	if err != nil && !gone {
		return err
	}
	if !gone && !is.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", f.path)
	}
	if f.file != nil && (gone || !os.SameFile(is, f.is)) {
		f.file.Close() // its content is nobody's any more
		f.file = nil
		f.anew()
	}
	if f.file == nil {
		flags := os.O_RDWR | os.O_APPEND
		if create {
			flags |= os.O_CREATE
		} else if gone {
			return nil
		}
		file, err := os.OpenFile(f.path, flags, 0o640)
		if err != nil {
			return err
		}
		if is, err = file.Stat(); err != nil {
			file.Close()
			return err
		}
		f.file, f.is = file, is
	}
	if is.Size() < f.size {
		f.anew()
	}
	f.size = is.Size()
	return nil
}

// anew begins where the log ended.
func (f *File) anew() { f.base, f.size, f.head, f.note, f.left = f.end(), 0, 0, nil, 0 }

func (f *File) end() int64 { return f.base + f.size - int64(len(f.note)) + f.left }

// cut leaves out what is between the beginning and the newest parts.
func (f *File) cut() error {
	w, err := os.OpenFile(f.path, os.O_RDWR, 0) // the other descriptor only appends
	if err != nil {
		return err
	}
	defer w.Close()
	part := f.limits.Size / int64(f.limits.Keep+2)
	head, from := f.head, lineAfter(w, f.size-part*int64(f.limits.Keep))
	if f.left == 0 {
		head = lineAfter(w, max(part-maxLine, 0))
	}
	left := f.left + from - head - int64(len(f.note))
	note := f.word(left)
	to := head + int64(len(note))
	if to >= from {
		return nil // so small is no limit: nothing would be gained
	}
	if _, err := w.WriteAt(note, head); err != nil {
		return err
	}
	size, err := io.Copy(io.NewOffsetWriter(w, to), io.NewSectionReader(w, from, f.size-from)) // forwards: it may overlap
	if err == nil {
		err = w.Truncate(to + size)
	}
	if err != nil {
		return err
	}
	f.head, f.note, f.left, f.size = head, note, left, to+size
	return nil
}

// word says how much is left out.
func (f *File) word(left int64) []byte {
	return fmt.Appendf(nil, "\ntfos: %d bytes of this log are left out here, it is limited to %d bytes (logs.limit)\n", left, f.limits.Size)
}

// lineAfter is where a line begins, at an offset or not far after it. A line may be too long for
// that: then it is cut.
func lineAfter(r io.ReaderAt, offset int64) int64 {
	if offset <= 0 {
		return 0
	}
	b := make([]byte, maxLine)
	n, _ := r.ReadAt(b, offset-1) // what cannot be read has no line
	return max(offset, offset+int64(bytes.IndexByte(b[:n], '\n')))
}

// End is the position after what was written.
func (f *File) End() (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.look(false)
	return f.end(), err
}

// Read reads from a position on, into a b of 4 KiB at least. It returns the position after that,
// and where in the file that is. Of what is left out it reads the line that says so; what a program
// removed is passed over. At the log's end it returns io.EOF, and fs.ErrNotExist while there is no
// file.
func (f *File) Read(b []byte, at int64) (n int, next, offset int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.look(false); err != nil {
		return 0, at, 0, err
	}
	if f.file == nil {
		return 0, at, 0, fs.ErrNotExist
	}
	at = min(max(at, f.base), f.end())
	offset = at - f.base
	switch gone := f.head + f.left; {
	case f.left == 0:
	case offset < f.head:
		b = b[:min(int64(len(b)), f.head-offset)]
	case offset < gone:
		n = copy(b, f.word(gone-offset)) // of what this reader has not had
		return n, f.base + gone, f.head + int64(len(f.note)), nil
	default:
		offset += int64(len(f.note)) - f.left
	}
	n, err = f.file.ReadAt(b, offset)
	if n > 0 {
		err = nil
	}
	return n, at + int64(n), offset + int64(n), err
}

// Close closes the file. The File may be used again.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}
