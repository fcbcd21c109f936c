package ledger

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tfos/internal/yarn"
)

// world is a master's loop around a ledger, and what it must be true of.
type world struct {
	ledger   *Ledger
	rm       *modelRM
	generous bool

	wanted   map[int64]int // by ask: what the caller still waits for
	held     map[yarn.ContainerID]int64
	excluded map[string]bool

	booked    map[yarn.ContainerID]bool // containers that an Outcome named
	ended     map[yarn.ContainerID]bool // completions that an Outcome named as the caller's
	returned  map[yarn.ContainerID]bool // given back by the ledger or the caller, end not seen
	open      *yarn.AllocateRequest     // sent, not answered
	forgotten bool                      // the next request is the first after a resync
}

// TestLedgerAgainstModel drives the ledger through lost requests, lost answers, restarts, grants
// that come late and too many, and checks the laws at every step and once more after the trouble
// has ended.
func TestLedgerAgainstModel(t *testing.T) {
	for range 20 { // some laws need a rare order of events to be broken
		rapid.Check(t, testAgainstModel)
	}
}

func testAgainstModel(t *rapid.T) {
	// A generous ResourceManager grants more than it counts, now and then.
	generous := rapid.Bool().Draw(t, "generous")
	w := &world{
		generous: generous,
		ledger:   New(), rm: newModelRM(), wanted: map[int64]int{}, held: map[yarn.ContainerID]int64{},
		excluded: map[string]bool{}, booked: map[yarn.ContainerID]bool{}, ended: map[yarn.ContainerID]bool{},
		returned: map[yarn.ContainerID]bool{},
	}
	t.Repeat(map[string]func(*rapid.T){
		"want": func(t *rapid.T) {
			id := rapid.Int64Range(1, 3).Draw(t, "ask")
			w.wanted[id] = rapid.IntRange(0, 4).Draw(t, "count")
			priority := int32(id)
			if rapid.IntRange(0, 4).Draw(t, "reshape") == 0 {
				priority += 10
			}
			w.ledger.SetAsk(yarn.Ask{ID: id, Priority: priority, Resource: yarn.Resource{MemoryMiB: 64, VCores: 1}, Count: w.wanted[id]})
		},
		"give back": func(t *rapid.T) {
			if ids := w.heldIDs(); len(ids) > 0 {
				id := rapid.SampledFrom(ids).Draw(t, "container")
				w.ledger.Release(id)
				w.returned[id] = true
			}
		},
		"exclude": func(t *rapid.T) {
			h := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "host")
			w.excluded[h] = true
			w.ledger.Exclude(h)
		},
		"readmit": func(t *rapid.T) {
			h := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "host")
			delete(w.excluded, h)
			w.ledger.Readmit(h)
		},
		"grant": func(t *rapid.T) {
			if keys := w.rm.keys(); len(keys) > 0 {
				w.rm.grant(rapid.SampledFrom(keys).Draw(t, "ask"), !generous || rapid.IntRange(0, 3).Draw(t, "lower") > 0)
			}
		},
		"end": func(t *rapid.T) {
			if ids := slices.SortedFunc(maps.Keys(w.rm.live), yarn.ContainerID.Compare); len(ids) > 0 {
				w.rm.complete(rapid.SampledFrom(ids).Draw(t, "container"), yarn.ExitStatus(rapid.IntRange(0, 1).Draw(t, "exit")))
			}
		},
		"reap": func(t *rapid.T) { w.rm.reap() },
		"restart": func(t *rapid.T) {
			if rapid.IntRange(0, 3).Draw(t, "really") == 0 {
				w.rm.restart()
			}
		},
		"heartbeat": func(t *rapid.T) {
			w.heartbeat(t, rapid.SampledFrom([]string{"", "", "request lost", "answer lost"}).Draw(t, "fault"))
		},
	})
	w.settle(t)
}

func (w *world) heldIDs() []yarn.ContainerID {
	return slices.SortedFunc(maps.Keys(w.held), yarn.ContainerID.Compare)
}

// heartbeat sends one request and deals with its answer, as the master's loop does.
func (w *world) heartbeat(t *rapid.T, fault string) {
	req := w.ledger.Next(0.5)
	if w.open != nil {
		if diff := cmp.Diff(*w.open, req); diff != "" {
			t.Fatalf("a request without an answer changed before it was sent again:\n%s", diff)
		}
	}
	if w.forgotten {
		w.checkTellsAll(t, req)
		w.forgotten = false
	}
	w.open = &req
	if fault == "request lost" {
		return
	}
	quiet := len(w.rm.granted) == 0
	resp, err := w.rm.allocate(req)
	switch {
	case fault == "answer lost":
		return
	case errors.Is(err, yarn.ErrNotRegistered):
		w.rm.register()
		w.ledger.Resync()
		w.open, w.forgotten = nil, true
		return
	case err != nil:
		t.Fatalf("heartbeat %+v: %v", req, err)
	}
	w.open = nil
	out, err := w.ledger.Answered(resp)
	if err != nil {
		t.Fatal(err)
	}
	w.book(t, resp, out)
	if !w.generous && quiet && len(resp.Granted) == 0 && !w.ledger.Snapshot().Unsaid {
		w.checkCounts(t)
	}
}

// book checks an Outcome against the answer it was made of, and does what a caller does with it.
func (w *world) book(t *rapid.T, resp yarn.AllocateResponse, out Outcome) {
	for _, c := range slices.Concat(out.Granted, out.Surplus, out.Unfit) {
		if w.booked[c.ID] {
			t.Fatalf("%v is in two outcomes", c.ID)
		}
		w.booked[c.ID] = true
	}
	for _, c := range resp.Granted {
		if !w.booked[c.ID] {
			t.Fatalf("%v was granted and is in no outcome", c.ID)
		}
	}
	for _, c := range out.Granted {
		if w.wanted[c.AskID] == 0 {
			t.Fatalf("%v was handed out, and nobody waits for one", c.ID)
		}
		w.wanted[c.AskID]--
		w.held[c.ID] = c.AskID
		w.rm.started[c.ID] = true
	}
	for _, c := range out.Surplus {
		if w.wanted[c.AskID] > 0 && len(out.Granted) == 0 {
			t.Fatalf("%v was given back while %d were wanted", c.ID, w.wanted[c.AskID])
		}
		w.returned[c.ID] = true
	}
	for _, s := range resp.Completed {
		delete(w.returned, s.ID)
	}
	for _, s := range out.Completed {
		if _, ok := w.held[s.ID]; !ok || w.ended[s.ID] {
			t.Fatalf("completion of %v was told again, or is not the caller's", s.ID)
		}
		w.ended[s.ID] = true
		delete(w.held, s.ID)
	}
	for _, s := range out.Unknown {
		if _, ok := w.held[s.ID]; ok {
			t.Fatalf("completion of %v, which the caller holds, passed for unknown", s.ID)
		}
	}
}

// checkTellsAll checks the first request after a resync: it must carry everything.
func (w *world) checkTellsAll(t *rapid.T, req yarn.AllocateRequest) {
	if req.ResponseID != 0 {
		t.Fatalf("response id %d after a resync", req.ResponseID)
	}
	asked := map[int64]int{}
	for _, ask := range req.Asks {
		asked[ask.ID] += ask.Count
	}
	for id := int64(1); id <= 3; id++ {
		if asked[id] != w.wanted[id] {
			t.Fatalf("after a resync ask %d counts %d, and %d are wanted", id, asked[id], w.wanted[id])
		}
	}
	for id := range w.returned {
		if !slices.Contains(req.Releases, id) {
			t.Fatalf("after a resync %v is not given back again", id)
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(w.excluded)), req.BlacklistAdd); diff != "" && len(w.excluded)+len(req.BlacklistAdd) > 0 {
		t.Fatalf("after a resync the excluded hosts differ:\n%s", diff)
	}
}

// checkCounts checks that the ResourceManager waits to grant exactly what is wanted.
func (w *world) checkCounts(t *rapid.T) {
	have := map[int64]int{}
	for key, ask := range w.rm.counts {
		have[key.id] += ask.Count
	}
	for id := int64(1); id <= 3; id++ {
		if have[id] != w.wanted[id] {
			t.Fatalf("ask %d: the ResourceManager counts %d, and %d are wanted", id, have[id], w.wanted[id])
		}
	}
}

// settle ends the trouble, lets the ResourceManager grant all it owes, and checks that both sides
// agree in the end.
func (w *world) settle(t *rapid.T) {
	const rounds = 12 // a lost answer, a resync, and for each grant that crosses with an ask one more
	for range rounds {
		w.heartbeat(t, "")
		w.rm.reap()
		for _, key := range w.rm.keys() {
			for range w.rm.counts[key].Count {
				w.rm.grant(key, true)
			}
		}
	}
	if s := w.ledger.Snapshot(); s.Wanted != 0 || s.Unsaid || s.Waiting || len(s.Asks) != 0 {
		t.Fatalf("not settled: %+v", s)
	}
	if len(w.rm.counts) != 0 {
		t.Fatalf("the ResourceManager still has asks: %v", w.rm.counts)
	}
	for id, n := range w.wanted {
		if n != 0 {
			t.Fatalf("ask %d never got %d of its containers", id, n)
		}
	}
	for id := range w.rm.live {
		if _, ok := w.held[id]; !ok {
			t.Fatalf("%v lives on, and nobody holds it", id)
		}
	}
	for id := range w.held {
		if !w.rm.live[id] {
			t.Fatalf("the caller holds %v, which is gone", id)
		}
	}
	if diff := cmp.Diff(w.rm.blacklist, w.excluded); diff != "" {
		t.Fatalf("excluded hosts differ:\n%s", diff)
	}
	if diff := cmp.Diff(w.ledger.Snapshot().Held, w.heldIDs()); diff != "" && len(w.held) > 0 {
		t.Fatalf("held containers differ:\n%s", diff)
	}
}
