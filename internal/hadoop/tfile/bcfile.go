package tfile

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
)

// bcFile is the container format below TFile: compressed blocks and an index of them.
//
//	| magic | data block | … | meta block | … | meta index | int64 offset of the meta index | uint16 major, minor | magic |
type bcFile struct {
	r           io.ReaderAt
	size        int64
	compression string   // of the data blocks
	blocks      []region // data blocks, in order
}

// region is where a block lies.
type region struct{ offset, stored, raw int64 } // bytes; stored is the compressed size

var magic = []byte{0xd1, 0x11, 0xd3, 0x68, 0x91, 0xb5, 0xd7, 0xb6, 0x39, 0xdf, 0x41, 0x40, 0x92, 0xba, 0xe1, 0x50}

const (
	trailerSize  = 8 + 4 + 16
	majorVersion = 1
	dataIndex    = "data:BCFile.index"

	maxIndex = 64 << 20 // bytes of an index
	maxKey   = 64 << 10 // bytes of a record's key; TFile's own limit
)

func openBCFile(r io.ReaderAt, size int64) (*bcFile, error) {
	f := &bcFile{r: r, size: size}
	if size < int64(len(magic))+trailerSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrFormat, size)
	}
	trailer := make([]byte, trailerSize)
	if err := f.readAt(trailer, size-trailerSize); err != nil {
		return nil, err
	}
	if !bytes.Equal(trailer[12:], magic) {
		return nil, fmt.Errorf("%w: no TFile's magic at its end", ErrFormat)
	}
	if v := binary.BigEndian.Uint16(trailer[8:]); v != majorVersion {
		return nil, fmt.Errorf("%w: version %d", ErrFormat, v)
	}
	at := int64(binary.BigEndian.Uint64(trailer))
	if at < 0 || at > size-trailerSize || size-trailerSize-at > maxIndex {
		return nil, fmt.Errorf("%w: index at %d of %d", ErrFormat, at, size)
	}
	index := make([]byte, size-trailerSize-at)
	if err := f.readAt(index, at); err != nil {
		return nil, err
	}
	return f, f.readMetaIndex(index)
}

// readMetaIndex finds the index of the data blocks and reads it:
//
//	meta index: | vint count | each: string name, string compression, region |
//	data index: | string compression of the data blocks | vint count | each: region |
func (f *bcFile) readMetaIndex(index []byte) error {
	d := &decoder{b: index}
	for range d.count() {
		name, compression, at := d.string(), d.string(), d.region()
		if d.err != nil {
			break
		}
		if name != dataIndex {
			continue
		}
		if at.raw > maxIndex {
			return fmt.Errorf("%w: index of %d bytes", ErrFormat, at.raw)
		}
		block, err := f.open(at, compression)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(block)
		if err != nil {
			return noEOF(err)
		}
		d = &decoder{b: b}
		f.compression = d.string()
		for range d.count() {
			f.blocks = append(f.blocks, d.region())
		}
		return d.err
	}
	if d.err != nil {
		return d.err
	}
	return fmt.Errorf("%w: no index of its data", ErrFormat)
}

// open starts reading a block.
func (f *bcFile) open(at region, compression string) (*blockReader, error) {
	if at.offset < 0 || at.stored < 0 || at.raw < 0 || at.stored > f.size || at.offset > f.size-at.stored {
		return nil, fmt.Errorf("%w: block at %d, %d bytes, where there are %d", ErrFormat, at.offset, at.stored, f.size)
	}
	section := io.NewSectionReader(f.r, at.offset, at.stored)
	switch compression {
	case "none":
		return &blockReader{r: bufio.NewReaderSize(section, bufferSize), seek: section, left: at.raw}, nil
	case "gz": // in name: the blocks are zlib's
		z, err := zlib.NewReader(bufio.NewReaderSize(section, bufferSize))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFormat, noEOF(err))
		}
		return &blockReader{r: bufio.NewReaderSize(z, bufferSize), left: at.raw}, nil
	}
	return nil, fmt.Errorf("aggregated logs are compressed by %q, tfos reads gz and none (yarn.nodemanager.log-aggregation.compression-type)", compression)
}

const bufferSize = 64 << 10

func (f *bcFile) readAt(b []byte, at int64) error {
	if _, err := f.r.ReadAt(b, at); err != nil && err != io.EOF {
		return err
	} else if err == io.EOF {
		return f.checkEOF(at + int64(len(b)))
	}
	return nil
}

// checkEOF tells an end of the file that may come with its last bytes from one that comes too soon.
func (f *bcFile) checkEOF(end int64) error {
	if end == f.size {
		return nil
	}
	return noEOF(io.EOF)
}

// blockReader reads a block's content.
type blockReader struct {
	r    *bufio.Reader
	seek io.Seeker // of what r reads; nil if it is compressed
	left int64     // bytes
}

// Read reads from the block, io.EOF at its end; less than the index promised is an error.
func (b *blockReader) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if n > 0 {
		return n, nil
	}
	return 0, b.failure(err)
}

// ReadByte is Read of one byte.
func (b *blockReader) ReadByte() (byte, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	c, err := b.r.ReadByte()
	if err != nil {
		return 0, b.failure(err)
	}
	b.left--
	return c, nil
}

// discard passes over n bytes, reading them only if they are compressed.
func (b *blockReader) discard(n int64) error {
	if n > b.left {
		return noEOF(io.EOF)
	}
	b.left -= n
	if buffered := int64(b.r.Buffered()); b.seek != nil && n > buffered {
		if _, err := b.seek.Seek(n-buffered, io.SeekCurrent); err != nil {
			return err
		}
		b.r.Reset(b.seek.(io.Reader))
		return nil
	}
	_, err := io.CopyN(io.Discard, b.r, n)
	if err != nil {
		return b.failure(err)
	}
	return nil
}

// failure is what went wrong while bytes were left. A checksum that does not fit is the file's
// fault as well.
func (b *blockReader) failure(err error) error {
	switch err {
	case io.EOF, io.ErrUnexpectedEOF:
		return noEOF(err)
	case zlib.ErrChecksum, zlib.ErrHeader, zlib.ErrDictionary:
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return err
}
