package control

import (
	"bytes"
	"fmt"
	"math"
	"time"
)

// Times is the stream, and the file, in which an agent keeps when the program printed what: a mark
// for the first of what comes in each TimesEvery.
const (
	Times      = "times"
	TimesEvery = 5 * time.Second
)

// Mark is the line that says that what a stream has from a position on was printed at a time.
func Mark(stream string, at time.Time, position int64) []byte {
	return fmt.Appendf(nil, "%d %s %d\n", at.Unix(), stream, position)
}

// Since is the position in a stream from which on it was printed since a time, by the marks. That
// is at most TimesEvery, and a second, too early. A stream without marks is all of it; if all of it
// is older, the position is after every end.
func Since(marks []byte, stream string, since time.Time) int64 {
	found := false
	for line := range bytes.Lines(marks) {
		var at, position int64
		var name string
		if n, err := fmt.Sscanf(string(line), "%d %s %d\n", &at, &name, &position); n != 3 || err != nil || name != stream {
			continue // of another stream, or a word about marks that are left out
		}
		if time.Unix(at, 0).Add(TimesEvery + time.Second).After(since) {
			return position
		}
		found = true
	}
	if found {
		return math.MaxInt64
	}
	return 0
}
