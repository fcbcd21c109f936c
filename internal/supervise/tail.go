package supervise

import "strings"

// How much of a program's stderr tells why it ended: enough for a Python traceback's end, little
// enough for a screen.
const (
	tailLines     = 20
	tailLineBytes = 1000 // TensorFlow puts 200 before what it has to say
	tailBytes     = 64 << 10
)

// lastLines are the last lines of what a program wrote.
func lastLines(r *Recent) []string {
	b, cut := r.Take()
	return splitTail(string(b), cut)
}

// splitTail gives the last lines of text that say something, without terminal rewrites: of a
// progress bar that returned to the line's start the newest state counts. If text begins amid a
// line, that line is left out.
func splitTail(text string, amid bool) []string {
	lines := strings.Split(text, "\n")
	if amid && len(lines) > 1 {
		lines = lines[1:]
	}
	var out []string
	for _, l := range lines {
		l = strings.TrimRight(l, "\r\t ")
		l = l[strings.LastIndexByte(l, '\r')+1:]
		if l == "" {
			continue
		}
		if len(l) > tailLineBytes {
			l = strings.ToValidUTF8(l[:tailLineBytes], "") + "…"
		}
		out = append(out, l)
	}
	if len(out) > tailLines {
		out = out[len(out)-tailLines:]
	}
	return out
}
