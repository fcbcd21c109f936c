package term

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"tfos/internal/client/term/termtest"
	"tfos/internal/status"
)

// nasty holds what terminals obey: a title, a cleared screen, the same in one byte and in one
// character, an answer-back, and a text that runs from right to left.
const nasty = "a\x1b]0;owned\x07b\x1b[2Jc\x9b1md\u009b2Je\x05f\u202eg\x7fh\x08"

const shown = `a\x1b]0;owned\x07b\x1b[2Jc\x9b1md\u009b2Je\x05f\u202eg\u007fh\x08`

func TestScreenShowsAndDoesNotObey(t *testing.T) {
	for _, c := range []struct {
		name, want string
		writes     []string
	}{
		{"commands", shown + "\n", []string{nasty + "\n"}},
		{"all that can be read stays", "größe\t中 🙂 10%\n", []string{"größe\t中 🙂 10%\n"}},
		{"a character in two pieces", "中\n", []string{"\xe4\xb8", "\xad\n"}},
		{"a control character in two pieces", `\u009b` + "\n", []string{"\xc2", "\x9b\n"}},
		{"half a character and no more", `\xe4` + "x\n", []string{"\xe4", "x\n"}},
		{"lines of Windows", "a\nb\n", []string{"a\r", "\nb\r\n"}},
		{"a line that overwrites itself", "10%\n20%\nend\n", []string{"10%\r20%", "\rend\n"}},
	} {
		p := termtest.Open(t)
		screen, ok := NewScreen(p.Terminal)
		if !ok {
			t.Fatal("a pseudo terminal is none")
		}
		for _, w := range c.writes {
			if n, err := screen.Write([]byte(w)); n != len(w) || err != nil {
				t.Errorf("%s: wrote %d of %d, %v", c.name, n, len(w), err)
			}
		}
		if got := p.Close(); got != c.want {
			t.Errorf("%s: shown %q, want %q", c.name, got, c.want)
		}
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, ok := NewScreen(f); ok {
		t.Error("/dev/null is a terminal")
	}
}

func TestPrintableIsOneLine(t *testing.T) {
	if got, want := Printable(nasty+"\n\r\tx"), shown+`\n\r\tx`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestLiveDrawsNothingForeign tries to take the terminal over by every text that others choose.
func TestLiveDrawsNothingForeign(t *testing.T) {
	var screen syncBuffer
	l := NewLive(&screen, nil)
	bad := task("worker", 0, status.Failed)
	bad.Node, bad.Cause = nasty, nasty
	v := aView(bad)
	v.Name = nasty
	l.Status(v)
	l.Note(nasty)
	l.Log([]byte(nasty + "\n"))
	l.Close()
	for _, forbidden := range []string{"\x1b]0;", "\x1b[2J", "\x07", "\x9b1m", "\u009b", "\u202e", "\x05"} {
		if strings.Contains(screen.String(), forbidden) {
			t.Errorf("%q reached the terminal: %q", forbidden, screen.String())
		}
	}
	if n := strings.Count(screen.String(), `\x1b]0;owned`); n < 3 { // above the drawing: the failure, the note and the log
		t.Errorf("shown %d times: %q", n, screen.String())
	}
}

// TestTableKeepsItsLines gives names that pretend to be other rows. A pipe gets the rest as it is.
func TestTableKeepsItsLines(t *testing.T) {
	bad := task("worker", 0, status.Failed)
	bad.Node = "n\tx\ny"
	v := aView(bad)
	v.Name, v.Queue, v.User = "a\nstate  succeeded", "q\r", "u\t\x1b[1m"
	var b bytes.Buffer
	if err := Table(&b, v, noon); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`a\nstate  succeeded`, `q\r`, `u\t` + "\x1b[1m", `n\tx\ny`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in %q", want, b.String())
		}
	}
}

// TestPaint: the colour is ours, and what is painted cannot bring its own.
func TestPaint(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := &Screen{file: w}
	s.Paint(1, "worker/0 \x1b[2J| ")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if want := "\x1b[33mworker/0 \\x1b[2J| \x1b[0m"; err != nil || string(got) != want {
		t.Errorf("painted %q, %v; want %q", got, err, want)
	}
}
