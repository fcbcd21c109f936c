package membership

import (
	"testing"
	"time"

	"tfos/internal/yarn"
)

func TestDrains(t *testing.T) {
	a, b := yarn.NodeID{Host: "a", Port: 1}, yarn.NodeID{Host: "b", Port: 1}
	var d drains
	begin := func(at int, n yarn.NodeID, timeout, deadline int, news bool) {
		t.Helper()
		got, is := d.begin(moment(at), Draining{n, time.Duration(timeout) * time.Second})
		if !got.Equal(moment(deadline)) || is != news {
			t.Errorf("%s is drained until %v, news: %v; want %v, %v", n.Host, got, is, moment(deadline), news)
		}
	}
	begin(0, a, 60, 60, true)
	begin(5, b, 60, 65, true)
	begin(30, a, 60, 60, false) // told again: the time runs from the first
	begin(30, a, 90, 120, true)
	if !d.end(a) || d.end(a) || len(d) != 1 || d[0].Node != b {
		t.Errorf("once a is back there are %+v", d)
	}
	begin(40, a, 90, 130, true)
}
