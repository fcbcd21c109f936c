package lease

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tfos/internal/job"
)

// TestPiecesCoverFiles: every byte of every file is in exactly one piece.
func TestPiecesCoverFiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Definition{Kind: rapid.SampledFrom([]Kind{Files, TFRecord, Text, CSV}).Draw(t, "kind")}
		if d.Kind != Files {
			d.Split = rapid.Int64Range(0, 40).Draw(t, "split")
		}
		var files []File
		for _, size := range rapid.SliceOfN(rapid.Int64Range(0, 100), 1, 6).Draw(t, "sizes") {
			files = append(files, File{rapid.SampledFrom([]string{"/a", "/b.gz", "/c.txt"}).Draw(t, "path"), size})
		}
		at := make([]int64, len(files))
		for _, p := range cut(d, files) {
			f := files[p.File]
			switch {
			case p.From != at[p.File] || p.To > f.Size || p.To <= p.From && f.Size > 0:
				t.Fatalf("%+v after %d of %+v", p, at[p.File], f)
			case (d.Split == 0 || strings.HasSuffix(f.Path, ".gz")) && p.To != f.Size:
				t.Fatalf("%+v of %+v, which cannot be cut", p, f)
			case d.Split > 0 && !strings.HasSuffix(f.Path, ".gz") && p.To-p.From > d.Split:
				t.Fatalf("%+v is larger than %d", p, d.Split)
			}
			at[p.File] = p.To
		}
		for i, f := range files {
			if at[i] != f.Size {
				t.Fatalf("%+v is covered up to %d", f, at[i])
			}
		}
	})
}

func reader(role string, index int) Holder {
	return Holder{job.Task{Role: role, Index: index}, 1}
}

// table is a machine with one dataset of three files, and a numbered call.
func table(t *testing.T, d Definition) (*Machine, func(Holder, Op) Answer) {
	t.Helper()
	m, number := New(), uint64(0)
	call := func(h Holder, op Op) Answer {
		number++
		return m.Call(Call{h, "c", number, op})
	}
	if a := call(reader("worker", 0), Next{Dataset: d}); a.State != Waiting {
		t.Fatalf("before it is listed: %+v", a)
	}
	m.List(d, []File{{"/c", 3}, {"/a", 1}, {"/b", 2}, {"/a", 1}}, "")
	return m, call
}

var whole = Definition{Name: "d", Patterns: []string{"/*"}, Kind: Files, Epochs: 1}

func TestRefusals(t *testing.T) {
	m, call := table(t, whole)
	w := reader("worker", 0)
	l := call(w, Next{Dataset: whole}).Lease
	other, bad := whole, whole
	other.Epochs, bad.Split = 2, 5
	for name, c := range map[string]struct {
		holder Holder
		op     Op
		code   Code
		words  string
	}{
		"another definition": {w, Next{Dataset: other}, Invalid, "give one of the two another name"},
		"nonsense":           {w, Next{Dataset: bad}, Invalid, "can be split"},
		"a negative epoch":   {w, Next{Dataset: whole, Epoch: -1}, Invalid, "count from 1"},
		"another's lease":    {reader("worker", 1), Ack{[]Consumed{{l.ID, 1, Done}}}, NotHeld, "worker/1"},
		"no such lease":      {w, Ack{[]Consumed{{l.ID, 1, Open}, {99, 1, Done}}}, NotHeld, "lease 99"},
		"a negative place":   {w, Ack{[]Consumed{{l.ID, -1, Open}}}, Invalid, "-1"},
		"an unknown end":     {w, Ack{[]Consumed{{l.ID, 1, 7}}}, Invalid, "7"},
		"nothing":            {w, nil, Invalid, "nothing"},
		"save by evaluator":  {reader("evaluator", 0), Save{Step: 1}, Invalid, "evaluator"},
		"a negative step":    {w, Restore{Step: -1}, Invalid, "-1"},
	} {
		if a := call(c.holder, c.op); a.State != Refused || a.Code != c.code || !strings.Contains(a.Reason, c.words) {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if a := call(w, Ack{[]Consumed{{l.ID, 1, Done}}}); a.State != Agreed {
		t.Errorf("after what was refused: %+v", a)
	}
	m.Lose(w.Task, 1)
	if a := call(w, Next{Dataset: whole}); a.Code != Lost {
		t.Errorf("a lost process: %+v", a)
	}
}

// TestAnEvaluatorReadsEverything: what it reads, the others read as well.
func TestAnEvaluatorReadsEverything(t *testing.T) {
	m, call := table(t, whole)
	e := reader("evaluator", 0)
	call(e, Next{Dataset: whole})
	for _, d := range m.Unlisted() {
		m.List(d, []File{{"/a", 1}, {"/b", 2}, {"/c", 3}}, "")
	}
	for _, h := range []Holder{e, reader("worker", 0)} {
		for _, path := range []string{"/a", "/b", "/c"} {
			a := call(h, Next{Dataset: whole})
			if a.State != Granted || a.Lease.Path != path {
				t.Fatalf("%s: %+v, want %s", h, a, path)
			}
			call(h, Ack{[]Consumed{{a.Lease.ID, 0, Done}}})
		}
		if a := call(h, Next{Dataset: whole}); a.State != Over {
			t.Errorf("%s: %+v", h, a)
		}
	}
	want := []View{{Name: "d", Role: "evaluator", Epoch: 1, Epochs: 1, Done: 3, Total: 3}, {Name: "d", Epoch: 1, Epochs: 1, Done: 3, Total: 3}}
	if diff := cmp.Diff(want, m.View()); diff != "" {
		t.Error(diff)
	}
}

// TestAProcessThatStartsLateJoinsTheEpoch: one that begins after the end of an epoch begins with
// the next, and after the last with its end.
func TestAProcessThatStartsLateJoinsTheEpoch(t *testing.T) {
	two := whole
	two.Epochs = 2
	_, call := table(t, two)
	for epoch := 1; epoch <= 2; epoch++ {
		for range 3 {
			a := call(reader("worker", epoch), Next{Dataset: two})
			if a.State != Granted || a.Epoch != epoch {
				t.Fatalf("epoch %d: %+v", epoch, a)
			}
			call(reader("worker", epoch), Ack{[]Consumed{{a.Lease.ID, 0, Done}}})
		}
		if a := call(reader("worker", 9), Next{Dataset: two, Epoch: epoch}); a.State != Over || a.Epoch != epoch {
			t.Errorf("at the end of epoch %d: %+v", epoch, a)
		}
	}
	if a := call(reader("worker", 3), Next{Dataset: two}); a.State != Over || a.Epoch != 2 {
		t.Errorf("after the last: %+v", a)
	}
}

// TestPiecesThatWereGivenBackGoFirst: else a straggler would be left for the end.
func TestPiecesThatWereGivenBackGoFirst(t *testing.T) {
	m, call := table(t, whole)
	first := call(reader("worker", 0), Next{Dataset: whole}).Lease
	m.Lose(job.Task{Role: "worker", Index: 0}, 1)
	again := call(reader("worker", 1), Next{Dataset: whole}).Lease
	if again.Path != first.Path || again.ID == first.ID {
		t.Errorf("leased %+v after %+v was lost", again, first)
	}
}

func FuzzParseSaved(f *testing.F) {
	f.Add([]byte(`{"version":1,"step":3,"datasets":[{"definition":{"name":"d","patterns":["/*"],"kind":"text","split":4,"epochs":2},"files":[{"path":"/a","size":9}],"epoch":2,"done":[[0,1]],"positions":{"2":9}}]}`))
	f.Add([]byte(`{"version":1,"step":3,"datasets":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSaved(b)
		if err != nil {
			return
		}
		m := New()
		a := m.Call(Call{reader("worker", 0), "c", 1, Restore{s.Step}})
		if step, ok := m.Wanted(); ok {
			m.Loaded(step, &s, "")
			a = m.Call(Call{reader("worker", 0), "c", 1, Restore{s.Step}})
		}
		if a.State == Waiting {
			t.Fatalf("restored: %+v", a)
		}
		if _, err := m.Snapshot(); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzFromSnapshot(f *testing.F) {
	m := New()
	m.Call(Call{reader("worker", 0), "c", 1, Next{Dataset: whole}})
	files := []File{{"/a", 1}, {"/b", 2}}
	m.List(whole, files, "")
	m.Call(Call{reader("worker", 0), "c", 2, Next{Dataset: whole}})
	m.Call(Call{reader("worker", 0), "c", 3, Save{Step: 1}})
	b, err := m.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := FromSnapshot(b, map[string][]File{"train:d": files})
		if err != nil {
			return
		}
		for n := range uint64(10) {
			a := m.Call(Call{reader("worker", 5), "new", n + 1, Next{Dataset: whole}})
			if a.State == Granted {
				m.Call(Call{reader("worker", 5), "ack", n + 1, Ack{[]Consumed{{a.Lease.ID, 0, Done}}}})
			}
		}
		m.Lose(job.Task{Role: "worker", Index: 0}, 1)
		m.View()
		if _, err := m.Snapshot(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSnapshotsHaveTheirFilesApart(t *testing.T) {
	m, call := table(t, whole)
	call(reader("worker", 0), Save{Step: 1, Alone: true})
	s, ok := m.Storable()
	if !ok {
		t.Fatal("nothing to store")
	}
	m.Stored(s, "")
	b, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), `"/b"`) {
		t.Errorf("the snapshot holds files: %s", b)
	}
	again, err := FromSnapshot(b, m.FilesOf())
	if err != nil {
		t.Fatal(err)
	}
	var saved []Saved
	for _, m := range []*Machine{m, again} {
		saved = append(saved, m.s.Kept...)
	}
	if diff := cmp.Diff(saved[0], saved[1]); diff != "" {
		t.Error(diff)
	}
	if c, err := again.Snapshot(); err != nil || string(b) != string(c) {
		t.Errorf("%v: the snapshot of a machine from one differs:\n%s\n%s", err, b, c)
	}
	if !json.Valid(b) {
		t.Error("no JSON")
	}
}
