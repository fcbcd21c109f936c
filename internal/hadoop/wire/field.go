package wire

import (
	"encoding/binary"
	"fmt"
)

// A Field is one field of a protobuf message, for the few messages that pure packages take apart
// without generated code.
type Field struct {
	Number uint64
	Bytes  []byte // of a length-delimited field (string, bytes, message); nil for the others. Not a copy.
	Varint uint64 // of a varint field
	Fixed  uint64 // of a fixed-size field, of 4 or 8 bytes
}

// CutField splits b after the first field of a message.
func CutField(b []byte) (f Field, rest []byte, err error) {
	key, rest, err := CutUvarint(b)
	if err != nil {
		return Field{}, nil, err
	}
	f.Number = key >> 3
	fixed := 0
	switch key & 7 {
	case 0:
		f.Varint, rest, err = CutUvarint(rest)
	case 1:
		fixed = 8
	case 2:
		f.Bytes, rest, err = CutDelimited(rest)
	case 5:
		fixed = 4
	default: // groups are in no message of Hadoop's
		err = fmt.Errorf("protobuf wire type %d: %w", key&7, ErrMalformed)
	}
	if err == nil && fixed > len(rest) {
		err = fmt.Errorf("fixed field cut short: %w", ErrMalformed)
	}
	if err != nil || f.Number == 0 {
		return Field{}, nil, fmt.Errorf("protobuf field %d: %w", f.Number, orMalformed(err))
	}
	switch fixed {
	case 4:
		f.Fixed = uint64(binary.LittleEndian.Uint32(rest))
	case 8:
		f.Fixed = binary.LittleEndian.Uint64(rest)
	}
	return f, rest[fixed:], nil
}

func orMalformed(err error) error {
	if err == nil {
		return ErrMalformed
	}
	return err
}

// AppendBytesField appends a length-delimited field to a message.
func AppendBytesField(b []byte, number uint64, p []byte) []byte {
	return append(AppendHeader(b, number, len(p)), p...)
}

// AppendHeader appends what a length-delimited field begins with. As many bytes must follow.
func AppendHeader(b []byte, number uint64, length int) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, number<<3|2), uint64(length))
}
