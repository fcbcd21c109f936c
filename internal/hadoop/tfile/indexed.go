package tfile

import (
	"encoding/binary"
	"fmt"
	"io"
)

// indexedReader reads YARN's other format, of LogAggregationIndexedFileController (Hadoop 3):
//
//	| 32 bytes id | logs, each compressed by itself | index | int32 its length | id |
//
// The id is the SHA-256 of the application's. The index is a serialized Java object: it names all
// logs of the file, those of earlier rounds of a NodeManager that rolls logs too, whose own indexes
// lie between the logs.
type indexedReader struct {
	file        *bcFile // the blocks
	compression string
	logs        []indexedLog // not visited yet
	block       *blockReader // of the log at hand
}

type indexedLog struct {
	Log
	at region
}

const idSize = 32

// indexAt finds the index. Not ok: the end of the file is another's, or is not written yet.
func indexAt(r io.ReaderAt, size int64) (at, length int64, ok bool) {
	var tail [4]byte
	var start [len(javaMagic)]byte
	if size < 2*idSize+4 {
		return 0, 0, false
	}
	if _, err := r.ReadAt(tail[:], size-idSize-4); err != nil {
		return 0, 0, false
	}
	length = int64(binary.BigEndian.Uint32(tail[:]))
	if at = size - idSize - 4 - length; at < idSize || length > maxIndex {
		return 0, 0, false
	}
	_, err := r.ReadAt(start[:], at)
	return at, length, err == nil && string(start[:]) == javaMagic
}

func openIndexed(r io.ReaderAt, size, at, length int64) (*indexedReader, error) {
	f := &bcFile{r: r, size: size}
	b := make([]byte, length)
	if err := f.readAt(b, at); err != nil {
		return nil, err
	}
	index, err := decodeJava(b)
	if err != nil {
		return nil, err
	}
	if v := index.number("version"); v != version {
		return nil, fmt.Errorf("aggregated logs of version %d: tfos knows version %d", v, version)
	}
	in := &indexedReader{file: f, compression: index.text("compressName")}
	for _, round := range index.object("logMetas").list() {
		for _, container := range objectOf(round).object("logMetas").values() {
			for _, log := range objectOf(container).list() {
				l := objectOf(log)
				in.logs = append(in.logs, indexedLog{
					Log{Container: l.text("containerId"), Name: l.text("fileName"), Size: l.number("fileSize")},
					region{l.number("startIndex"), l.number("fileCompressedSize"), l.number("fileSize")},
				})
			}
		}
	}
	return in, nil
}

// objectOf is v as an object, an empty one if it is none.
func objectOf(v any) *javaObject {
	if o, ok := v.(*javaObject); ok && o != nil {
		return o
	}
	return &javaObject{}
}

// Next goes to the next log.
func (r *indexedReader) Next() (Log, error) {
	r.block = nil
	if len(r.logs) == 0 {
		return Log{}, io.EOF
	}
	l := r.logs[0]
	r.logs = r.logs[1:]
	var err error
	if r.block, err = r.file.open(l.at, r.compression); err != nil {
		r.logs = nil
		return Log{}, fmt.Errorf("log of %s: %w", l.Container, err)
	}
	return l.Log, nil
}

// Read reads the content of the log that Next went to.
func (r *indexedReader) Read(p []byte) (int, error) {
	if r.block == nil {
		return 0, io.EOF
	}
	return r.block.Read(p)
}
