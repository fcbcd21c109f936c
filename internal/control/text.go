package control

import "strings"

// valid is s as protobuf takes it: a program's output need not be UTF-8, and one bad byte would
// fail the whole message.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func validLines(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = valid(l)
	}
	return out
}
