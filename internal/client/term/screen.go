package term

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	xterm "golang.org/x/term"
)

// Screen is a terminal to which any text may be written. Names, diagnostics and logs come from
// other people and their programs: what a terminal would take for a command is shown instead of
// obeyed. It is safe for concurrent use.
type Screen struct {
	file *os.File

	mu   sync.Mutex
	rest []byte // the beginning of a character whose end has not been written yet; guarded by mu
	cr   bool   // the last character was a carriage return; guarded by mu
}

// NewScreen is f as a Screen if f is a terminal; else there is none.
func NewScreen(f *os.File) (*Screen, bool) {
	return &Screen{file: f}, xterm.IsTerminal(int(f.Fd()))
}

// Raw is the terminal itself, for what draws. It gets text that is Printable only.
func (s *Screen) Raw() *os.File { return s.file }

// Write shows text. Bytes of a character that is not whole wait for the rest of it.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := append(s.rest, p...)
	whole := len(data)
	for i := len(data) - 1; i >= 0 && i >= len(data)-utf8.UTFMax; i-- {
		if utf8.RuneStart(data[i]) {
			if !utf8.FullRune(data[i:]) {
				whole = i
			}
			break
		}
	}
	var b strings.Builder
	for text := string(data[:whole]); text != ""; {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == '\n' && s.cr: // the line has ended already
		case r == '\n', r == '\r': // a line that overwrites itself could hide what was there
			b.WriteByte('\n')
		case r == '\t':
			b.WriteByte('\t')
		default:
			show(&b, r, text[:size])
		}
		s.cr, text = r == '\r', text[size:]
	}
	s.rest = append([]byte(nil), data[whole:]...)
	if _, err := s.file.WriteString(b.String()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// palette is the colours of Paint, by their numbers in a terminal's palette: none that is black,
// white or red.
var palette = []int{36, 33, 32, 35, 34, 96, 93, 92, 95, 94}

// Paint shows one line's beginning in a colour of a few, the n-th.
func (s *Screen) Paint(n int, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.file, "\x1b[%dm%s\x1b[0m", palette[n%len(palette)], Printable(text))
}

// Printable is text as one line of characters that a terminal shows and does not obey.
func Printable(text string) string { return printable(text, "") }

// printable is Printable with some control characters left in.
func printable(text, keep string) string {
	var b strings.Builder
	for text != "" {
		r, size := utf8.DecodeRuneInString(text)
		if strings.ContainsRune(keep, r) {
			b.WriteRune(r)
		} else {
			show(&b, r, text[:size])
		}
		text = text[size:]
	}
	return b.String()
}

// Cell is text as a cell of a table, whose lines and columns it must not end. All else stays as it
// is: a pipe gets it.
func Cell(text string) string { return cells.Replace(text) }

var cells = strings.NewReplacer("\n", `\n`, "\r", `\r`, "\t", `\t`, "\v", `\v`, "\f", `\f`)

// show writes one character, or how Go would quote it where a terminal obeys it. JSON stays JSON:
// what it has not quoted itself becomes an escape that it knows.
func show(b *strings.Builder, r rune, as string) {
	switch {
	case r == utf8.RuneError && len(as) == 1: // no UTF-8: some terminals take 0x9b for ESC [
		fmt.Fprintf(b, `\x%02x`, as[0])
	case r == '\n' || r == '\r' || r == '\t':
		b.WriteString(Cell(as))
	case r < ' ':
		fmt.Fprintf(b, `\x%02x`, r)
	case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == '\u2028', r == '\u2029':
		fmt.Fprintf(b, `\u%04x`, r)
	default:
		b.WriteString(as)
	}
}
