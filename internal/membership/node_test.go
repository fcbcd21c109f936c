package membership

import (
	"slices"
	"testing"
	"time"
)

func TestNodes(t *testing.T) {
	begin := time.Unix(10000, 0)
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	two := tolerance{faults: 2, memory: 30 * time.Minute, excludeFor: 10 * time.Minute}
	type step struct {
		at       int
		fault    string // host
		size     int
		want     bool     // the fault excludes
		readmits []string // by size, or by time
	}
	for name, steps := range map[string][]step{
		"the second fault excludes, and time readmits": {
			{at: 0, size: 9}, {at: 0, fault: "a"}, {at: 60, fault: "a", want: true}, {at: 659}, {at: 660, readmits: []string{"a"}},
			{at: 700, fault: "a"}, {at: 800, fault: "a", want: true},
		},
		"one fault that several tasks feel is one":          {{at: 0, size: 9}, {at: 0, fault: "a"}, {at: 14, fault: "a"}, {at: 15, fault: "a", want: true}},
		"an old fault is forgotten":                         {{at: 0, size: 9}, {at: 0, fault: "a"}, {at: 1800, fault: "a"}},
		"a cluster whose size is not known loses no node":   {{at: 0, fault: "a"}, {at: 60, fault: "a"}},
		"a third of the cluster at most":                    {{at: 0, size: 5}, {at: 0, fault: "a"}, {at: 0, fault: "b"}, {at: 60, fault: "b", want: true}, {at: 61, fault: "a"}},
		"a smaller cluster gets back who had least to wait": {{at: 0, size: 6}, {at: 0, fault: "a"}, {at: 0, fault: "b"}, {at: 60, fault: "b", want: true}, {at: 90, fault: "a", want: true}, {at: 91, size: 5, readmits: []string{"b"}}},
	} {
		t.Run(name, func(t *testing.T) {
			var n nodes
			for i, s := range steps {
				var back []string
				switch {
				case s.fault != "":
					if got := n.fault(at(s.at), s.fault, two); got != s.want {
						t.Errorf("step %d: a fault of %s excludes it: %v, want %v", i, s.fault, got, s.want)
					}
				case s.size > 0:
					back = n.resize(s.size)
				default:
					back = n.readmit(at(s.at))
				}
				if !slices.Equal(back, s.readmits) {
					t.Errorf("step %d: %v are readmitted, want %v", i, back, s.readmits)
				}
			}
		})
	}
}
