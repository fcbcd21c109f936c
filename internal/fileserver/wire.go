package fileserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A connection carries one request at a time, and belongs to at most one open file. Numbers are
// little endian.
//
//	request: +------------------+--------+---------+      reply: one or more of
//	         | uint32 length of | uint8  | payload |      +------------------+--------+---------+
//	         | the payload      | op     |         |      | uint32 length of | uint8  | payload |
//	         +------------------+--------+---------+      | the payload      | code   |         |
//	                                                      +------------------+--------+---------+
//
// A string is a uint32 length and its bytes. A reply is over with a code that is neither more nor
// working. The one for OK has the result as its payload, any other a message. A writer that goes
// away without opClose is taken to have died.
type op uint8

const (
	opStat      op = iota + 1 // path → uint8 directory, int64 size, int64 modification time in ns
	opExists                  // path: whether there is one
	opList                    // path → names
	opGlob                    // pattern → paths
	opMkdir                   // path
	opMkdirs                  // path
	opRemove                  // path of a file
	opRmdir                   // path of an empty directory
	opRemoveAll               // path
	opRename                  // old, new
	opCopy                    // old, new
	opOpen                    // path → uint64 handle, int64 size: the connection is a reader's
	opAttach                  // uint64 handle: so is this one, of the same open file
	opRead                    // uint64 offset, uint64 length → more…, then nothing; short at the end of the file
	opCreate                  // path → int64 size: the connection is a writer's
	opAppend                  // path → int64 size: the connection is a writer's
	opWrite                   // bytes
	opFlush                   // others may read what was written, soon
	opSync                    // what was written survives this process
	opClose                   // the file is whole; the connection is free
	opDirect                  // uint64 offset, uint64 length that is wanted → a direct, and its descriptor beside; nothing: opRead has these bytes
	opBroke                   // uint64 offset: a direct of this connection broke there, or was silent
)

// A direct is the connection to a DataNode that sends a part of the file, up to the end of a block
// or of the file, in packets (see package datanode). The program takes them apart for itself, and
// goes back to opRead where anything about them is not as it should be.
//
//	+-------------------------+--------------------------+-------------------+-----------------+-------------------+-------------------+
//	| uint64 where in the file| uint64 where in the file | uint64 where in   | uint64 length   | uint32 bytes that | what has come over|
//	| the first packet begins | its block begins         | the file it ends  | of the file     | a CRC-32C guards  | the connection    |
//	+-------------------------+--------------------------+-------------------+-----------------+-------------------+-------------------+

// code says what a reply is. Those up to unauthenticated are TensorFlow's (TF_Code).
type code uint8

const (
	codeOK                 code = 0
	codeUnknown            code = 2
	codeInvalidArgument    code = 3
	codeDeadlineExceeded   code = 4
	codeNotFound           code = 5
	codeAlreadyExists      code = 6
	codePermissionDenied   code = 7
	codeResourceExhausted  code = 8
	codeFailedPrecondition code = 9
	codeOutOfRange         code = 11
	codeUnimplemented      code = 12
	codeUnavailable        code = 14
	codeDataLoss           code = 15
	codeUnauthenticated    code = 16

	codeWorking code = 254 // nothing yet; the operation takes long
	codeMore    code = 255 // a part of the result
)

const (
	headerSize = 5
	// maxPath bounds paths, as a request has them. HDFS takes 8000 characters.
	maxPath = 32 << 10
	// maxWrite bounds the payload of opWrite.
	maxWrite = 1 << 20
	// maxData bounds the payload of codeMore.
	maxData = 1 << 20
)

// errMalformed is a peer that does not speak this protocol: the connection ends.
var errMalformed = errors.New("malformed request")

// readRequest reads a request. Its payload is valid until the next one.
func readRequest(r io.Reader, buffer []byte) (op, []byte, []byte, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, buffer, err
	}
	n, o := int(binary.LittleEndian.Uint32(header[:])), op(header[4])
	limit := 2*maxPath + 8
	if o == opWrite {
		limit = maxWrite
	}
	if n > limit {
		return 0, nil, buffer, fmt.Errorf("%w: %d bytes for operation %d", errMalformed, n, o)
	}
	if cap(buffer) < n {
		buffer = make([]byte, n)
	}
	_, err := io.ReadFull(r, buffer[:n])
	return o, buffer[:n], buffer, err
}

// decoder takes a payload apart. Its first error stays.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) take(n int) []byte {
	if d.err != nil || n < 0 || n > len(d.b) {
		d.err = errMalformed
		return nil
	}
	part := d.b[:n]
	d.b = d.b[n:]
	return part
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); d.err == nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) path() string {
	b := d.take(4)
	if d.err != nil {
		return ""
	}
	n := binary.LittleEndian.Uint32(b)
	if n > maxPath {
		d.err = errMalformed
		return ""
	}
	return string(d.take(int(n)))
}

// end fails if anything is left.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		d.err = errMalformed
	}
	return d.err
}

func appendString(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
}

func appendHeader(b []byte, length int, c code) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(length)), byte(c))
}
