// Package wire encodes what lies beneath Hadoop's messages: frames, length-prefixed pieces,
// protobuf fields, and the variable length numbers and strings of Hadoop's Writables.
//
// It knows bytes and limits, not what they mean. Every decoder takes foreign input: it fails with
// an error, never panics, and never reserves memory for a length before that many bytes are there.
package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MaxFrame is the largest frame Hadoop sends or takes unless configured otherwise
// (ipc.maximum.data.length and ipc.maximum.response.length), in bytes.
const MaxFrame = 128 << 20

// Errors of the decoders in this package, under errors.Is.
var (
	ErrTooLarge  = errors.New("length over the limit")
	ErrMalformed = errors.New("malformed")
)

// Frame puts parts, each behind its length as a varint, into one frame:
//
//	| uint32 length of all that follows | varint | part | varint | part | …
func Frame(parts ...[]byte) []byte {
	n := 4
	for _, p := range parts {
		n += binary.MaxVarintLen32 + len(p)
	}
	b := make([]byte, 4, n)
	for _, p := range parts {
		b = AppendDelimited(b, p)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// ReadFrame reads one frame and returns its content. Input that ends before a frame begins is
// io.EOF, within one io.ErrUnexpectedEOF, a frame of more than limit bytes ErrTooLarge.
func ReadFrame(r io.Reader, limit int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	if n > int64(limit) {
		return nil, fmt.Errorf("frame of %d bytes: %w of %d", n, ErrTooLarge, limit)
	}
	if n <= trusted {
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, noEOF(err)
		}
		return b, nil
	}
	var buf bytes.Buffer // grows as bytes come in, whatever the head promised
	if _, err := io.CopyN(&buf, r, n); err != nil {
		return nil, noEOF(err)
	}
	return buf.Bytes(), nil
}

// trusted is how many bytes are set aside on the mere word of a length.
const trusted = 64 << 10

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// AppendDelimited appends part behind its length as a varint.
func AppendDelimited(b, part []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(part))), part...)
}

// CutDelimited splits b after its first length-prefixed part. Neither result is a copy.
func CutDelimited(b []byte) (part, rest []byte, err error) {
	n, rest, err := CutUvarint(b)
	if err != nil {
		return nil, nil, err
	}
	if n > uint64(len(rest)) {
		return nil, nil, fmt.Errorf("part of %d bytes where %d are left: %w", n, len(rest), ErrMalformed)
	}
	return rest[:n:n], rest[n:], nil
}

// CutUvarint splits b after a protobuf varint.
func CutUvarint(b []byte) (v uint64, rest []byte, err error) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, fmt.Errorf("varint: %w", ErrMalformed)
	}
	return v, b[n:], nil
}
