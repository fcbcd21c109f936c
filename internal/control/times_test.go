package control

import (
	"math"
	"slices"
	"testing"
	"time"
)

// TestSince: at most a mark's time too early, never too late.
func TestSince(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(1_800_000_000+s, 0) }
	marks := slices.Concat(Mark(Stdout, at(0), 0), Mark(Stderr, at(3), 0), []byte("\ntfos: 9 bytes of this log are left out here\n"), Mark(Stdout, at(60), 700), Mark(Stdout, at(65), 800))
	for _, c := range []struct {
		stream string
		since  int64
		want   int64
	}{
		{Stdout, -5, 0}, {Stdout, 5, 0}, {Stdout, 6, 700}, {Stdout, 60, 700}, {Stdout, 65, 700}, {Stdout, 66, 800}, {Stdout, 71, math.MaxInt64},
		{Stderr, 3, 0}, {Stderr, 60, math.MaxInt64}, {"other", 60, 0},
	} {
		if got := Since(marks, c.stream, at(c.since)); got != c.want {
			t.Errorf("%s since second %d: from %d on, want %d", c.stream, c.since, got, c.want)
		}
	}
}
