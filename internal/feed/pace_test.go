package feed

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestWorkersEndTogether(t *testing.T) {
	p := NewPace([]string{"a", "b"})
	p.Set("a", Standing{Reader: "a1", Rows: 50})
	p.Set("stranger", Standing{Reader: "s", Rows: 1})
	if reader, l := p.Limit("a"); reader != "a1" || l != (Limit{}) {
		t.Errorf("one may go on alone: %q, %+v", reader, l)
	}
	p.Set("b", Standing{Reader: "b1", Rows: 30})
	if reader, l := p.Limit("a"); reader != "a1" || l != (Limit{Rows: 30}) {
		t.Errorf("%q, %+v", reader, l)
	}
	p.Set("b", Standing{Reader: "b1", Rows: 40, Ended: true})
	p.Set("a", Standing{Reader: "a1", Rows: 60, Ended: true})
	for _, task := range []string{"a", "b"} {
		if _, l := p.Limit(task); l != (Limit{Rows: 40, Final: true}) {
			t.Errorf("%s ends at %+v", task, l)
		}
	}
	p.Set("b", Standing{})
	if reader, l := p.Limit("a"); reader != "a1" || l != (Limit{Rows: 40, Final: true}) {
		t.Errorf("when the other has gone home: %q, %+v", reader, l)
	}
}

func TestALostWorkerEndsTheRound(t *testing.T) {
	p := NewPace([]string{"a", "b"})
	p.Set("a", Standing{Reader: "a1", Rows: 50})
	p.Set("b", Standing{Reader: "b1", Rows: 50})
	p.Set("b", Standing{})
	p.Set("b", Standing{Reader: "b2", Rows: 10})
	if reader, l := p.Limit("a"); reader != "a1" || l != (Limit{Lost: true}) {
		t.Errorf("one that did not begin anew: %q, %+v", reader, l)
	}
	if reader, l := p.Limit("b"); reader != "b2" || l != (Limit{}) {
		t.Errorf("the other one: %q, %+v", reader, l)
	}
	p.Set("a", Standing{})
	p.Set("a", Standing{Reader: "a2", Rows: 20})
	if reader, l := p.Limit("a"); reader != "a2" || l != (Limit{Rows: 10}) {
		t.Errorf("%q, %+v", reader, l)
	}
}

func TestAWorkerThatWantsNoMoreEndsAll(t *testing.T) {
	p := NewPace([]string{"a", "b"})
	p.Set("a", Standing{Reader: "a1", Rows: 50})
	p.Set("b", Standing{Reader: "b1", Rows: 30})
	p.Leave("b")
	p.Set("a", Standing{Reader: "a1", Rows: 70})
	if _, l := p.Limit("a"); l != (Limit{Rows: 30, Final: true}) {
		t.Errorf("%+v", l)
	}
}

// TestNoWorkerMayGoFurtherThanTheOthersCan: whatever comes and goes, the limit is what each worker
// of the round has rows for.
func TestNoWorkerMayGoFurtherThanTheOthersCan(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		tasks := []string{"a", "b", "c"}
		p, now, connections := NewPace(tasks), map[string]Standing{}, 0
		var last map[string]string
		var before Limit
		for range 300 {
			task := tasks[r.IntN(len(tasks))]
			s := now[task]
			switch r.IntN(12) {
			case 0:
				s = Standing{}
			case 1:
				s.Ended = s.Reader != ""
			default:
				if s.Reader == "" {
					connections++
					s = Standing{Reader: fmt.Sprint(connections)}
				}
				if !s.Ended {
					s.Rows += r.Int64N(5)
				}
			}
			now[task] = s
			p.Set(task, s)
			readers := map[string]string{}
			for _, task := range tasks {
				reader, l := p.Limit(task)
				readers[task] = reader
				if reader != "" && reader == now[task].Reader && l.Rows > now[task].Rows {
					t.Fatalf("seed %d: %s has %d rows and may use %d", seed, task, now[task].Rows, l.Rows)
				}
			}
			_, l := p.Limit("a")
			if last != nil && fmt.Sprint(last) == fmt.Sprint(readers) && (l.Rows < before.Rows || before.Final && l != before) {
				t.Fatalf("seed %d: the limit was %+v, and is %+v", seed, before, l)
			}
			last, before = readers, l
			if l.Final {
				break
			}
		}
	}
}
