package am

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/status"
	"tfos/internal/yarn"
)

// TestWhyContainersDoNotCome: the queue is full, or no node has room, in a sentence that stays the
// same until the reason changes.
func TestWhyContainersDoNotCome(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	asks := []yarn.Ask{
		{ID: 1, Count: 2, Resource: yarn.Resource{MemoryMiB: 4096, VCores: 1}},
		{ID: 2, Count: 1, Resource: yarn.Resource{MemoryMiB: 1024, VCores: 1}, NodeLabel: "gpu"},
	}
	role := func(a yarn.Ask) string { return []string{"", "worker", "ps"}[a.ID] }
	gib := func(n int64) yarn.Resource { return yarn.Resource{MemoryMiB: n << 10, VCores: 8} }
	const wanted = "no container since 12:00:00 UTC: 2 × worker (4 GiB, 1 vcore), 1 × ps (1 GiB, 1 vcore, label gpu) wanted, and queue q has "
	var w waiting
	for _, s := range []struct {
		after   time.Duration
		asks    []yarn.Ask
		granted bool
		room    yarn.Resource
		want    string
	}{
		{0, asks, false, gib(0), ""},
		{14 * time.Second, asks, false, gib(0), ""},
		{15 * time.Second, asks, false, gib(0), wanted + "0 MiB, 8 vcores left for this job: others in the queue, or the limit of a user there, leave no more"},
		{20 * time.Second, asks[:1], false, gib(1), wanted + "0 MiB, 8 vcores left for this job: others in the queue, or the limit of a user there, leave no more"},
		{21 * time.Second, asks, false, gib(9), wanted + "9 GiB, 8 vcores left for this job: no node that may be used has that much free"},
		{22 * time.Second, asks[:1], true, gib(9), ""},
		{30 * time.Second, asks[:1], false, gib(9), ""},
		{40 * time.Second, nil, false, gib(9), ""},
		{time.Minute, asks, false, gib(0), ""},
	} {
		if w = w.wait(start.Add(s.after), s.asks, s.granted, role, room{"q", s.room, true}); w.problem != s.want {
			t.Errorf("after %s: %q\nwant %q", s.after, w.problem, s.want)
		}
	}
}

// TestAJobThatWaitsForContainersSaysWhy: while it waits, and not once they have come.
func TestAJobThatWaitsForContainersSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(time.Minute, 0)}.programs())
		w.mayLive(2) // of three
		var meanwhile status.View
		w.after(40*time.Second, func() {
			c := w.client(t)
			defer c.Close()
			enough := errors.New("one view is enough")
			err := c.Watch(t.Context(), false, func(b []byte) error { return errors.Join(json.Unmarshal(b, &meanwhile), enough) })
			if !errors.Is(err, enough) {
				t.Error(err)
			}
			w.mayLive(0)
		})
		v := w.succeeded(t, digits)
		if all := strings.Join(meanwhile.Problems, "\n"); !strings.Contains(all, " wanted, and queue default has 0 MiB, 0 vcores left for this job") {
			t.Errorf("while it waited: %q", all)
		}
		if len(v.Problems) > 0 {
			t.Errorf("in the end: %q", v.Problems)
		}
	})
}

// TestRoomOfASchedulerThatCountsNoVCores: it says nothing of them that means anything.
func TestRoomOfASchedulerThatCountsNoVCores(t *testing.T) {
	r := room{queue: "q", left: yarn.Resource{MemoryMiB: 4096, VCores: 1}}
	if !r.fits(yarn.Resource{MemoryMiB: 4096, VCores: 16}) || r.fits(yarn.Resource{MemoryMiB: 4097}) {
		t.Error("memory alone counts")
	}
	if got, want := r.String(), "queue q has 4 GiB left for this job"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
