package feed

import (
	"fmt"
	"testing"
)

func TestRosterSpreadsStreamsAndKeepsThemWhereTheyAre(t *testing.T) {
	r := NewRoster()
	assign := func(stream string, attempt int, results bool, host string) Verdict {
		return r.Assign(Opening{Stream: stream, Attempt: attempt, Results: results, Host: host})
	}
	if v := assign("x", 0, false, ""); v.Why != Wait {
		t.Errorf("without workers: %+v", v)
	}
	for _, task := range []string{"worker/0", "worker/1"} {
		r.Set(Worker{Task: task, Address: task + ":1", Host: task, Outlook: Open})
	}
	place := func(stream string, attempt int, results bool) string {
		t.Helper()
		v := assign(stream, attempt, results, "worker/1")
		if v.Why != "" {
			t.Fatalf("%s: %+v", stream, v)
		}
		return v.Place.Task
	}
	if a, b := place("a", 0, false), place("b", 0, false); a != "worker/1" || b != "worker/0" {
		t.Errorf("the near one first, then the idle one: %s, %s", a, b)
	}
	if again := place("a", 3, false); again != "worker/1" {
		t.Errorf("a later attempt goes elsewhere: %s", again)
	}
	if v := assign("a", 0, false, ""); v.Why != Superseded {
		t.Errorf("an attempt before: %+v", v)
	}
	r.Set(Worker{Task: "worker/1", Outlook: Open})
	if v := assign("a", 3, false, ""); v.Why != Wait {
		t.Errorf("while its worker is away: %+v", v)
	}
	if c := place("c", 0, false); c != "worker/0" {
		t.Errorf("a new stream goes to %s, which is away", c)
	}
	r.Done("c", 0)
	if v := assign("c", 1, false, ""); v.Why != Done {
		t.Errorf("a stream that is done: %+v", v)
	}
	place("d", 0, true)
	r.Done("d", 0)
	if d := place("d", 1, true); d == "" {
		t.Error("rows that were answered to nobody are not fed again")
	}
}

func TestRosterSaysWhyNobodyTakesRows(t *testing.T) {
	r := NewRoster()
	r.Set(Worker{Task: "worker/0", Address: "a", Outlook: Terminated})
	r.Set(Worker{Task: "worker/1", Outlook: Open})
	if v := r.Assign(Opening{Stream: "a"}); v.Why != Wait || r.Terminated() {
		t.Errorf("one of two is away: %+v", v)
	}
	r.Set(Worker{Task: "worker/1", Address: "b", Outlook: Terminated})
	if v := r.Assign(Opening{Stream: "a"}); v.Why != string(Terminated) || !r.Terminated() {
		t.Errorf("all want no more: %+v", v)
	}
	r.Finish(string(Failed), "the worker's words")
	r.Finish(string(Terminated), "")
	if v := r.Assign(Opening{Stream: "a"}); v.Why != string(Failed) || v.Text != "the worker's words" {
		t.Errorf("the job failed: %+v", v)
	}
}

// TestARosterDoesNotGrowWithItsFeeds: a stream of RDDs is a feed for each of them, for months.
func TestARosterDoesNotGrowWithItsFeeds(t *testing.T) {
	r := NewRoster()
	r.Set(Worker{Task: "worker/0", Address: "a", Outlook: Open})
	for n := uint64(1); n <= 1000; n++ {
		for _, o := range []Opening{{Stream: fmt.Sprint(n), Feed: n, Over: n}, {Stream: fmt.Sprint("r", n), Results: true}} {
			if v := r.Assign(o); v.Why != "" {
				t.Fatalf("%+v: %+v", o, v)
			}
			if n%2 == 0 {
				r.Done(o.Stream, 0)
			}
			r.Leave(o.Stream, 0)
		}
	}
	if len(r.streams) > 1 || r.busy["worker/0"] != 0 {
		t.Errorf("it remembers %d streams, %d under way", len(r.streams), r.busy["worker/0"])
	}
	if v := r.Assign(Opening{Stream: "999", Feed: 999}); v.Why != Superseded {
		t.Errorf("an attempt of a feed that is over: %+v", v)
	}
}
