package mirror

import (
	"context"
	"fmt"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"tfos/internal/checkpoint"
	"tfos/internal/checkpoint/store"
	"tfos/internal/checkpoint/unit"
	"tfos/internal/dfs"
)

// scene is a directory to which a bundle is copied over an older one of its name, and two that work
// in it: one does nothing while the other does something. Only one of them runs at a time, so
// nothing is guarded.
type scene struct {
	t       *testing.T
	fs      *dfs.Memory
	current *actor
	clock   time.Time
}

// actor stops before each of its operations on the filesystem.
type actor struct {
	ops  int
	stop func(ops int) bool // hands over to the other before this operation
	turn chan bool          // given to it; never closed
	back chan bool          // given back; closed at its end
}

func (s *scene) refuse(string, string) error {
	a := s.current
	if a == nil {
		return nil
	}
	if a.ops++; a.stop != nil && a.stop(a.ops) {
		a.back <- true
		<-a.turn
	}
	return nil
}

// begin makes an actor, which does nothing yet.
func (s *scene) begin(do func() error) *actor {
	a := &actor{turn: make(chan bool), back: make(chan bool)}
	go func() {
		defer close(a.back)
		<-a.turn
		if err := do(); err != nil {
			s.t.Error(err)
		}
	}()
	return a
}

// play lets an actor go on until it stops before an operation for which stop says so; false: it has
// ended.
func (s *scene) play(a *actor, stop func(ops int) bool) bool {
	was := s.current
	defer func() { s.current = was }()
	s.current, a.stop = a, stop
	select {
	case a.turn <- true:
		return <-a.back
	case <-a.back:
		return false
	}
}

func never(int) bool { return false }

func before(op int) func(int) bool { return func(ops int) bool { return ops == op } }

// bundle writes one of testdata under the name ckpt.
func (s *scene) bundle(dir, golden string) {
	s.t.Helper()
	for _, suffix := range []string{".data-00000-of-00001", ".index"} {
		b, err := os.ReadFile("../testdata/v2/" + golden + suffix)
		if err == nil {
			err = s.fs.Mkdir(s.t.Context(), dir, 0o755)
		}
		if err == nil {
			err = dfs.WriteFile(s.t.Context(), s.fs, path.Join(dir, "ckpt"+suffix), b, 0)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// copyOver publishes what is in /here to a directory.
func (s *scene) copyOver(ctx context.Context, dir string) error {
	l, err := store.New(s.fs, "/here", store.Options{Workers: 1}).List(ctx)
	if err != nil {
		return err
	}
	c := unit.Copy{Unit: unit.Of(l)[0], Stale: []string{"ckpt.data-00000-of-00002"}}
	c.Changed = c.Unit.Files
	return publish(ctx, place{s.fs, "/here"}, place{s.fs, dir}, c, "x")
}

func newScene(t *testing.T) *scene {
	s := &scene{t: t, clock: time.Unix(1e9, 0)}
	s.fs = dfs.NewMemory(dfs.MemoryOptions{Refuse: s.refuse, Now: func() time.Time { s.clock = s.clock.Add(time.Second); return s.clock }})
	s.bundle("/there/worker-1", "ckpt-3")
	s.bundle("/here", "ckpt-4")
	return s
}

// recover does what a master does when no program runs that it knows of.
func (s *scene) recover(ctx context.Context) error {
	d := store.New(s.fs, "/there", store.Options{Workers: 1})
	found, err := Newest(ctx, s.fs, "/there", d, nil)
	if err == nil {
		_, err = d.Recover(ctx, found)
	}
	return err
}

// A copy takes the place of the checkpoint of its name while the master looks: an agent that it
// cannot reach goes on for a while. Whatever the order of their operations, with two changes from
// the one to the other and back, nothing is set aside and the new one is whole in the end.
func TestACopyWhileTheMasterLooks(t *testing.T) {
	plays, done := 0, false
	for i := 1; !done; i++ { // the copy stops before this operation of its own
		for j := 1; ; j++ { // and is over before this one of the master's
			s := newScene(t)
			ctx := t.Context()
			agent := s.begin(func() error { return s.copyOver(ctx, "/there/worker-1") })
			master := s.begin(func() error { return s.recover(ctx) })
			stopped := s.play(agent, before(i))
			looks := s.play(master, before(j))
			if stopped {
				s.play(agent, never)
			}
			if looks {
				s.play(master, never)
			}
			plays++
			s.check(fmt.Sprintf("the copy stopped before operation %d, and ended before the master's %d", i, j))
			done = !stopped
			if !looks || t.Failed() {
				break
			}
		}
	}
	t.Logf("%d plays", plays)
}

// The same with the master first: it stops in the middle, the copy begins and stops in the middle,
// the master ends, the copy ends.
func TestACopyBeginsWhileTheMasterLooks(t *testing.T) {
	plays, done := 0, false
	for j := 1; !done; j++ {
		for i := 1; ; i++ {
			s := newScene(t)
			ctx := t.Context()
			agent := s.begin(func() error { return s.copyOver(ctx, "/there/worker-1") })
			master := s.begin(func() error { return s.recover(ctx) })
			looks := s.play(master, before(j))
			stopped := s.play(agent, before(i))
			if looks {
				s.play(master, never)
			}
			if stopped {
				s.play(agent, never)
			}
			plays++
			s.check(fmt.Sprintf("the master stopped before operation %d, the copy before %d", j, i))
			done = !looks
			if !stopped || t.Failed() {
				break
			}
		}
	}
	t.Logf("%d plays", plays)
}

// The agent dies in the middle, and whoever comes finishes or leaves the copy: the old checkpoint
// is whole, or the new one.
func TestACopyThatIsCutOff(t *testing.T) {
	for i, stopped := 1, true; stopped; i++ {
		s := newScene(t)
		ctx, cancel := context.WithCancel(t.Context())
		agent := s.begin(func() error { s.copyOver(ctx, "/there/worker-1"); return nil })
		stopped = s.play(agent, before(i))
		if err := s.recover(t.Context()); err != nil {
			t.Error(err)
		}
		s.check(fmt.Sprintf("cut off before operation %d", i), 300)
		cancel()
		if stopped {
			s.play(agent, never)
		}
	}
}

// An agent that stood still in the middle of its renames finds them done when it goes on, and
// another copy in their place: it leaves that alone, the file too that its own copy made
// superfluous.
func TestALateAgentTouchesNothing(t *testing.T) {
	const again = "/there/worker-1/ckpt.data-00000-of-00002" // the next copy brings it back
	late := 0
	for i, stopped := 1, true; stopped; i++ {
		s := newScene(t)
		ctx := t.Context()
		agent := s.begin(func() error { return s.copyOver(ctx, "/there/worker-1") })
		stopped = s.play(agent, before(i))
		if _, err := s.fs.Stat(ctx, "/there/worker-1/.tfos-mirror/ready-x/plan.json"); err != nil && stopped {
			s.play(agent, never) // it is not in their middle
			continue
		}
		err := Settle(ctx, s.fs, "/there")
		if err == nil {
			err = dfs.WriteFile(ctx, s.fs, again, []byte("newer"), 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		if stopped {
			late++
			s.play(agent, never)
		}
		if _, err := s.fs.Stat(ctx, again); err != nil {
			t.Errorf("the agent stopped before operation %d: %v", i, err)
		}
	}
	if late < 4 {
		t.Errorf("it was late %d times", late)
	}
}

// check looks at what is left: the new checkpoint, or one of another step that is allowed, whole.
func (s *scene) check(when string, also ...int64) {
	s.t.Helper()
	ctx := s.t.Context()
	d := store.New(s.fs, "/there", store.Options{Workers: 1})
	found, err := d.Newest(ctx, nil)
	if err != nil {
		s.t.Fatalf("%s: %v", when, err)
	}
	aside, err := s.fs.List(ctx, "/there/worker-1/"+checkpoint.SetAside)
	if err == nil {
		s.t.Errorf("%s: set aside: %v", when, aside)
	}
	for _, want := range append(also, 400) {
		if found.Newest != nil && found.Newest.Step == want {
			return
		}
	}
	var problems []string
	for _, b := range found.Broken {
		problems = append(problems, b.Problem)
	}
	s.t.Errorf("%s: the newest is %+v; broken: %s", when, found.Newest, strings.Join(problems, ", "))
}
