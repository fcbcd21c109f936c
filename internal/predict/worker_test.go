package predict

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"testing"

	"tfos/internal/dfs"
	"tfos/internal/predict/column"
	"tfos/internal/predict/plan"
	"tfos/internal/predict/source"
	"tfos/internal/savedmodel"
)

// twice is a model that doubles numbers. It notes the sizes of its batches, and fails at a number.
type twice struct {
	mu      sync.Mutex
	batches []int // guarded by mu
	fail    float32
	refuse  float32 // 0: none
}

// refusal is a model's, which says not which row it is about.
type refusal struct{ error }

func (refusal) Input() bool { return true }

func (m *twice) Predict(in []column.Column) ([]column.Column, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.batches = append(m.batches, in[0].Rows())
	out := column.Column{Name: "y", Kind: column.Float, Ends: in[0].Ends, Shape: []int64{}}
	for i, v := range in[0].Floats {
		if v == m.fail {
			return nil, &column.RowError{Row: i, Err: errors.New("an unlucky number")}
		}
		if m.refuse != 0 && v == m.refuse {
			return nil, refusal{errors.New("no such number")}
		}
		out.Floats = append(out.Floats, 2*v)
	}
	return []column.Column{out}, nil
}

// inTurn leases shards in an order, and remembers what is done.
type inTurn struct {
	left []int
	done []int
	held int
}

func (l *inTurn) Next(context.Context) (int, bool, error) {
	if len(l.left) == 0 {
		return 0, false, nil
	}
	l.held, l.left = l.left[0], l.left[1:]
	return l.held, true, nil
}

func (l *inTurn) Done(context.Context) error {
	l.done = append(l.done, l.held)
	return nil
}

// world is a filesystem with three files of numbers, and a plan for them.
func world(t *testing.T, rows int64) (*dfs.Memory, plan.Plan) {
	t.Helper()
	m := dfs.NewMemory(dfs.MemoryOptions{User: "ann"})
	p := plan.Plan{Settings: plan.Settings{
		Output: "/out", Format: plan.CSV, Encoding: plan.CSVRows, Batch: 4, Columns: []string{"x"}, Keep: []string{"id"},
		Signature: savedmodel.Signature{Inputs: []savedmodel.Tensor{{Name: "x", Graph: "x:0", Type: savedmodel.Float, Shape: savedmodel.Shape{Dims: []int64{rows}}}},
			Outputs: []savedmodel.Tensor{{Name: "y", Graph: "y:0", Type: savedmodel.Float, Shape: savedmodel.Shape{Dims: []int64{rows}}}}},
	}}
	if err := m.Mkdir(t.Context(), "/out/_tfos", 0o755); err != nil {
		t.Fatal(err)
	}
	for f := range 3 {
		b := []byte("id,x\n")
		for i := range 10 * f {
			b = fmt.Appendf(b, "%d:%d,%d\n", f, i, i)
		}
		p.Inputs = append(p.Inputs, plan.Input{Path: fmt.Sprint("/", f), Size: int64(len(b))})
		if err := dfs.WriteFile(t.Context(), m, fmt.Sprint("/", f), b, 0); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if p.Shards, err = p.Cut(p.Inputs); err != nil {
		t.Fatal(err)
	}
	return m, p
}

func run(t *testing.T, m dfs.FS, p plan.Plan, model Model, l Leases, open func(context.Context, string) (dfs.File, error)) (int64, int, error) {
	t.Helper()
	w, err := New(Options{Plan: p, Model: model, Leases: l, Open: open, Output: m, Dir: "/out", Parallel: 3, Progress: func(int64) {}})
	if err != nil {
		t.Fatal(err)
	}
	return w.Run(t.Context())
}

// want holds the output against what it must be.
func want(t *testing.T, m dfs.FS, p plan.Plan) {
	t.Helper()
	for f := range 3 {
		var b strings.Builder
		b.WriteString("id,y\n")
		for i := range 10 * f {
			fmt.Fprintf(&b, "%d:%d,%d\n", f, i, 2*i)
		}
		got, err := dfs.ReadFile(t.Context(), m, path.Join("/out", p.Part(f)), 1<<20)
		if err != nil || string(got) != b.String() {
			t.Errorf("%s holds\n%s, %v, want\n%s", p.Part(f), got, err, b.String())
		}
	}
	list, err := m.List(t.Context(), "/out")
	if err != nil || len(list) != 3+2 || path.Base(list[0].Name) != plan.Done {
		t.Errorf("the output holds %v, %v", list, err)
	}
	if list, err = m.List(t.Context(), "/out/"+plan.Dir); err != nil || len(list) > 0 {
		t.Errorf("left are %v, %v", list, err)
	}
}

func TestRun(t *testing.T) {
	m, p := world(t, -1)
	l, model := &inTurn{left: []int{2, 0, 1}}, &twice{fail: -1}
	rows, parts, err := run(t, m, p, model, l, m.Open)
	if err != nil || rows != 30 || parts != 3 || len(l.done) != 3 {
		t.Errorf("%d rows in %d parts, %v, done %v", rows, parts, err, l.done)
	}
	want(t, m, p)
}

// TestAModelOfOneSize gets batches of that size only, and gives no row more for it.
func TestAModelOfOneSize(t *testing.T) {
	m, p := world(t, 7)
	model := &twice{fail: -1}
	if _, _, err := run(t, m, p, model, &inTurn{left: []int{0, 1, 2}}, m.Open); err != nil {
		t.Fatal(err)
	}
	for _, n := range model.batches {
		if n != 7 {
			t.Errorf("a batch of %d", n)
		}
	}
	want(t, m, p)
}

// TestARowThatTheModelRefusesIsNamed: a model says that it does not like its batch, and not which
// row.
func TestARowThatTheModelRefusesIsNamed(t *testing.T) {
	for _, fixed := range []int64{-1, 4} {
		m, p := world(t, fixed)
		_, _, err := run(t, m, p, &twice{fail: -1, refuse: 15}, &inTurn{left: []int{2}}, m.Open)
		if damaged := new(source.Damaged); !errors.As(err, &damaged) || err.Error() != "/2, row 16: no such number" {
			t.Errorf("batches of %d: %v", fixed, err)
		}
	}
}

// TestAFailedRunGoesOn: what failed leaves nothing under its name, and a second run does the rest
// only.
func TestAFailedRunGoesOn(t *testing.T) {
	m, p := world(t, -1)
	l := &inTurn{left: []int{0, 1, 2}}
	_, parts, err := run(t, m, p, &twice{fail: 15}, l, m.Open)
	if err == nil || err.Error() != "/2, row 16: an unlucky number" || parts != 2 || len(l.done) != 2 {
		t.Fatalf("%d parts, done %v, %v", parts, l.done, err)
	}
	list, err := m.List(t.Context(), "/out")
	if err != nil || len(list) != 2+1 {
		t.Fatalf("left %v, %v", list, err)
	}
	// A worker that is killed can abort nothing.
	killed, err := m.Create(t.Context(), "/out/"+plan.Attempts+"/part-00002.csv.killed", dfs.CreateOptions{})
	if err != nil || killed.Close() != nil {
		t.Fatal(err)
	}
	read := 0
	open := func(ctx context.Context, name string) (dfs.File, error) {
		if read++; name != "/2" {
			t.Errorf("%s is read again", name)
		}
		return m.Open(ctx, name)
	}
	if _, parts, err := run(t, m, p, &twice{fail: -1}, &inTurn{left: []int{0, 1, 2}}, open); err != nil || parts != 1 || read != 1 {
		t.Errorf("%d parts, %v", parts, err)
	}
	want(t, m, p)
}

// TestTwoAtOneShard: a worker that was taken for lost may still be at it.
func TestTwoAtOneShard(t *testing.T) {
	m, p := world(t, -1)
	r := rand.New(rand.NewPCG(1, 1))
	var all sync.WaitGroup
	for range 4 {
		l := &inTurn{left: r.Perm(3)}
		all.Go(func() {
			if _, _, err := run(t, m, p, &twice{fail: -1}, l, m.Open); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	want(t, m, p)
}

// TestAMissingPartIsSaid: the leases are done, and somebody has removed a file.
func TestAMissingPartIsSaid(t *testing.T) {
	m, p := world(t, -1)
	_, _, err := run(t, m, p, &twice{fail: -1}, &inTurn{left: []int{0, 1}}, m.Open)
	if err == nil || !strings.Contains(err.Error(), "/out/part-00002.csv is not there") {
		t.Error(err)
	}
	if _, err := m.Stat(t.Context(), "/out/"+plan.Done); err == nil {
		t.Error("the run counts as complete")
	}
}
