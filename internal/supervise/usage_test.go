package supervise

import (
	"os"
	"testing"
	"time"
)

func TestUsageOf(t *testing.T) {
	stat := "4711 (a) b (c) S 1 4711 4711 0 -1 4194560 1 2 3 4 150 50 7 3 20 0 1 0 12345 1000000 256 18446744073709551615 1 1"
	if u := usageOf([]byte(stat)); u.CPU != 2100*time.Millisecond || u.Memory != int64(256*os.Getpagesize()) {
		t.Errorf("%+v", u)
	}
	for _, bad := range []string{"", "1 (x) S", ")"} {
		if u := usageOf([]byte(bad)); u != (Usage{}) {
			t.Errorf("%q: %+v", bad, u)
		}
	}
}
