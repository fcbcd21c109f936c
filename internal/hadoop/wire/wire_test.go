package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

func TestFrame(t *testing.T) {
	got := Frame([]byte("ab"), nil, bytes.Repeat([]byte{7}, 200))
	want := "000000ce" + "02" + "6162" + "00" + "c801" + strings.Repeat("07", 200)
	if hex.EncodeToString(got) != want {
		t.Errorf("Frame = %x, want %s", got, want)
	}
	content, err := ReadFrame(iotest.OneByteReader(bytes.NewReader(got)), MaxFrame)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]byte{[]byte("ab"), {}, bytes.Repeat([]byte{7}, 200)} {
		var part []byte
		if part, content, err = CutDelimited(content); err != nil || !bytes.Equal(part, want) {
			t.Fatalf("part %x, %v; want %x", part, err, want)
		}
	}
	if len(content) != 0 {
		t.Errorf("left over: %x", content)
	}
}

func TestReadFrameRefuses(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     error
	}{
		{"nothing", "", io.EOF},
		{"half a length", "0000", io.ErrUnexpectedEOF},
		{"no content", "00000005", io.ErrUnexpectedEOF},
		{"half the content", "000000050102", io.ErrUnexpectedEOF},
		{"more than it has, and large", "00100000" + "01", io.ErrUnexpectedEOF},
		{"over the limit", "08000001", ErrTooLarge},
		{"negative to Java", "ffffffff", ErrTooLarge},
	} {
		in, err := hex.DecodeString(c.in)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFrame(bytes.NewReader(in), MaxFrame); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
	}
}

func TestReadFrameLarge(t *testing.T) {
	body := bytes.Repeat([]byte{1}, trusted+1)
	frame := append([]byte{0, 1, 0, 1}, body...)
	if got, err := ReadFrame(bytes.NewReader(frame), MaxFrame); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// The bytes are those of org.apache.hadoop.io.WritableUtils.writeVLong.
func TestVLong(t *testing.T) {
	for _, c := range []struct {
		v    int64
		want string
	}{
		{0, "00"}, {127, "7f"}, {-1, "ff"}, {-112, "90"},
		{128, "8f80"}, {255, "8fff"}, {256, "8e0100"}, {-113, "8770"}, {-256, "87ff"}, {-257, "860100"},
		{1 << 31, "8c80000000"}, {math.MaxInt64, "887fffffffffffffff"}, {math.MinInt64, "807fffffffffffffff"},
	} {
		got := AppendVLong(nil, c.v)
		if hex.EncodeToString(got) != c.want {
			t.Errorf("AppendVLong(%d) = %x, want %s", c.v, got, c.want)
		}
		if d := NewDecoder(got); d.VLong() != c.v || d.Err() != nil || len(d.Rest()) != 0 {
			t.Errorf("%x does not read back as %d: %v", got, c.v, d.Err())
		}
	}
}

func TestWritablesReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, s, p := rapid.Int64().Draw(t, "v"), rapid.String().Draw(t, "s"), rapid.SliceOf(rapid.Byte()).Draw(t, "p")
		d := NewDecoder(AppendBytes(AppendText(AppendVLong(nil, v), s), p))
		if gv, gs, gp := d.VLong(), d.Text(), d.Bytes(); gv != v || gs != s || !bytes.Equal(gp, p) || d.Err() != nil || len(d.Rest()) != 0 {
			t.Fatalf("%d %q %x, error %v", gv, gs, gp, d.Err())
		}
	})
}

func TestDecoderRefuses(t *testing.T) {
	for _, c := range []struct {
		name, in string
		read     func(*Decoder)
	}{
		{"no byte", "", func(d *Decoder) { d.Byte() }},
		{"vlong cut short", "8e01", func(d *Decoder) { d.VLong() }},
		{"vint of 33 bits", "8c80000000", func(d *Decoder) { d.VInt() }},
		{"negative length", "ff", func(d *Decoder) { d.Bytes() }},
		{"length past the end", "0261", func(d *Decoder) { d.Bytes() }},
		{"not UTF-8", "01ff", func(d *Decoder) { d.Text() }},
		{"more items than bytes", "050000", func(d *Decoder) { d.Count(1) }},
	} {
		in, err := hex.DecodeString(c.in)
		if err != nil {
			t.Fatal(err)
		}
		d := NewDecoder(in)
		c.read(d)
		if first := d.Err(); !errors.Is(first, ErrMalformed) {
			t.Errorf("%s: error %v", c.name, first)
		} else if d.Byte(); d.Err() != first {
			t.Errorf("%s: the first error did not stay", c.name)
		}
	}
}

func TestCutField(t *testing.T) {
	b := AppendBytesField(nil, 2, []byte("hi"))
	b = append(b, 0x18, 0x96, 0x01, 0x25, 1, 2, 3, 4, 0x29, 1, 2, 3, 4, 5, 6, 7, 8)
	want := []Field{{Number: 2, Bytes: []byte("hi")}, {Number: 3, Varint: 150}, {Number: 4}, {Number: 5}}
	for _, w := range want {
		f, rest, err := CutField(b)
		if err != nil || f.Number != w.Number || !bytes.Equal(f.Bytes, w.Bytes) || f.Varint != w.Varint {
			t.Fatalf("field %+v, %v; want %+v", f, err, w)
		}
		b = rest
	}
	if len(b) != 0 {
		t.Errorf("left over: %x", b)
	}
	for _, in := range []string{"", "\x02", "\x0a\x05a", "\x0b", "\x0d\x01", "\x09\x01", "\x00\x01", "\x08"} {
		if _, _, err := CutField([]byte(in)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%x: error %v", in, err)
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add(Frame([]byte("a"), []byte("bc")))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 1, 0, 0, 1})
	f.Fuzz(func(t *testing.T, in []byte) {
		content, err := ReadFrame(bytes.NewReader(in), 1<<20)
		for err == nil && len(content) > 0 {
			before := len(content)
			if _, content, err = CutDelimited(content); err == nil && len(content) >= before {
				t.Fatal("no progress")
			}
		}
	})
}

func FuzzVarints(f *testing.F) {
	f.Add([]byte{0x8e, 1, 0, 5, 'h', 'e'})
	f.Add([]byte{0x80, 0xff})
	f.Add([]byte{0x0a, 0x01, 'x', 0x18, 0x96, 0x01})
	f.Fuzz(func(t *testing.T, in []byte) {
		d := NewDecoder(in)
		v := d.VLong()
		if d.Err() == nil {
			if back := NewDecoder(AppendVLong(nil, v)); back.VLong() != v {
				t.Errorf("%d does not read back", v)
			}
		}
		d.Text()
		d.Count(3)
		d.Bytes()
		for b := in; len(b) > 0; {
			_, rest, err := CutField(b)
			if err != nil {
				break
			}
			b = rest
		}
	})
}
