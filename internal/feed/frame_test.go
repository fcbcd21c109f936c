package feed

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestFrameIsReadBack(t *testing.T) {
	b, err := AppendFrame(nil, KindOpen, Opening{Queue: "input", Stream: "f/1", Attempt: 2, From: 3}, 5)
	if err != nil {
		t.Fatal(err)
	}
	r := bytes.NewReader(append(b, "12345"...))
	f, err := ReadFrame(r)
	if err != nil {
		t.Fatal(err)
	}
	var o Opening
	if err := f.Decode(&o); err != nil || f.Kind != KindOpen || f.Size != 5 || o.Stream != "f/1" || o.From != 3 || r.Len() != 5 {
		t.Errorf("%+v, %+v, %v", f, o, err)
	}
	for n := 1; n < len(b); n++ {
		if _, err := ReadFrame(bytes.NewReader(b[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes of a frame: %v", n, err)
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	b, err := AppendFrame(nil, KindChunk, ChunkHead{Number: 1, Rows: 2, Meta: []byte(`{"k":"bytes"}`)}, 3)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		frame, err := ReadFrame(r)
		if err != nil {
			return
		}
		if frame.Kind == 0 || frame.Kind >= kinds || frame.Size < 0 || len(frame.Head) > headLimit {
			t.Errorf("%+v", frame)
		}
		var h ChunkHead
		if frame.Decode(&h) == nil {
			if _, err := AppendFrame(nil, frame.Kind, h, frame.Size); err != nil {
				t.Error(err)
			}
		}
	})
}
