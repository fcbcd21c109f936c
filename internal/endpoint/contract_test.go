package endpoint_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"tfos/internal/clusterspec"
	"tfos/internal/endpoint"
	"tfos/internal/job"
)

// client is a program that connects.
type client interface {
	// connect returns errRefused, errReset, or a connection.
	connect(addr string) (conn, error)
	// storm connects over and over from several threads and keeps all connections, up to most a
	// thread, until calm is called.
	storm(addr string, threads, most int) (calm func(name string) tally)
	// many makes n connections, reads a line from each, and returns those that had one.
	many(addr string, n int) []conn
}

// conn is a connection of a client.
type conn interface {
	line() (string, error)            // the next that comes
	echo(text string) (string, error) // what comes back
	ended() bool                      // waits for its end, for a long time
}

var (
	errRefused = errors.New("refused")
	errReset   = errors.New("reset")
)

// tally says what became of a storm's connections. A carrier that is not seen by the program must
// accept before it can refuse, so that refused and reset mean the same.
type tally struct{ Refused, Reset, Right, Wrong int }

func (t tally) total() int { return t.Refused + t.Reset + t.Right + t.Wrong }

// rig is a carrier with a client that uses it.
type rig struct {
	endpoints *endpoint.Endpoints
	client    client
	gen       int
}

// move publishes ps/0 at an address; none is no target. Each move is a new incarnation.
func (r *rig) move(t testing.TB, address string) {
	t.Helper()
	r.gen++
	if err := r.endpoints.Update(t.Context(), spec(r.gen, r.gen, address)); err != nil {
		t.Fatal(err)
	}
}

// ps is the address of ps/0 as the client sees it.
func (r *rig) ps(t testing.TB) string {
	t.Helper()
	a, ok := r.endpoints.View().Address(ps0)
	if !ok {
		t.Fatal("the view has no ps/0")
	}
	return a
}

func (r *rig) counters() clusterspec.Counters {
	for _, c := range r.endpoints.Counters() {
		if c.Task == ps0 {
			return c
		}
	}
	return clusterspec.Counters{}
}

// refuses fails the test unless a connection to ps/0 is refused, or accepted and ended without a
// word.
func (r *rig) refuses(t testing.TB) {
	t.Helper()
	c, err := r.client.connect(r.ps(t))
	if err == nil {
		if line, lineErr := c.line(); lineErr == nil {
			t.Errorf("without a target somebody answered: %q", line)
		}
	}
}

// reaches makes a connection to ps/0, which must be with the server of this name.
func (r *rig) reaches(t testing.TB, name string) conn {
	t.Helper()
	c, err := r.client.connect(r.ps(t))
	if err != nil {
		t.Fatalf("connect to %s: %v", name, err)
	}
	got, err := c.line()
	if err != nil || got != name {
		t.Fatalf("connected to %q, %v; want %s", got, err, name)
	}
	return c
}

// scale says how much is done of what takes time.
type scale struct{ connections, rounds, tasks int }

// small is for tests that are run all the time.
var small = scale{connections: 500, rounds: 3, tasks: 40}

// contract is what both carriers promise.
func contract(t *testing.T, size scale, start func(t *testing.T) *rig) {
	t.Run("refused without a target", func(t *testing.T) {
		r := start(t)
		r.move(t, "")
		r.refuses(t)
		s := serve(t, "a")
		r.move(t, s.addr())
		c := r.reaches(t, "a")
		r.move(t, "")
		if !c.ended() {
			t.Error("a connection outlived its target")
		}
		r.refuses(t)
		if n := r.counters(); n.Refused != 2 || n.Connections != 1 || n.Resets != 1 {
			t.Errorf("counted %+v, want 2 refused, 1 connection, 1 reset", n)
		}
	})

	t.Run("reset by a move, and there at once", func(t *testing.T) {
		r := start(t)
		a, b := serve(t, "a"), serve(t, "b")
		r.move(t, a.addr())
		view := r.ps(t)
		old := r.reaches(t, "a")
		if got, err := old.echo("hello"); got != "hello" || err != nil {
			t.Fatalf("echo: %q, %v", got, err)
		}
		r.move(t, b.addr())
		c := r.reaches(t, "b")
		if !old.ended() {
			t.Error("a connection to the old target goes on")
		}
		if got, err := c.echo("hello"); got != "hello" || err != nil {
			t.Errorf("echo from the new target: %q, %v", got, err)
		}
		if got := r.ps(t); got != view {
			t.Errorf("the process knew ps/0 as %s, after a move as %s", view, got)
		}
	})

	t.Run("another incarnation at the same address", func(t *testing.T) {
		r := start(t)
		a := serve(t, "a")
		r.move(t, a.addr())
		old := r.reaches(t, "a")
		r.move(t, a.addr())
		if !old.ended() {
			t.Error("a connection outlived an incarnation")
		}
		r.reaches(t, "a")
	})

	t.Run("the same generation again, and an older one", func(t *testing.T) {
		r := start(t)
		a := serve(t, "a")
		r.move(t, a.addr())
		c := r.reaches(t, "a")
		if err := errors.Join(r.endpoints.Update(t.Context(), spec(r.gen, r.gen, a.addr())), r.endpoints.Update(t.Context(), spec(r.gen-1, r.gen-1, ""))); err != nil {
			t.Fatal(err)
		}
		if got, err := c.echo("hello"); got != "hello" || err != nil {
			t.Errorf("after nothing new: %q, %v", got, err)
		}
	})

	t.Run("a target where nobody listens", func(t *testing.T) {
		r := start(t)
		a := serve(t, "a")
		a.close()
		r.move(t, a.addr())
		r.refuses(t)
	})

	t.Run("a stranger at the target", func(t *testing.T) {
		r := start(t)
		for _, holder := range []job.Task{nobody, worker0} { // the agent is gone; it is that of another task
			thief := startServer(t, &server{name: "thief", holder: holder})
			r.move(t, thief.addr())
			r.refuses(t)
		}
		if n := r.counters(); n.Refused != 2 || n.Connections != 0 || n.Resets != 0 {
			t.Errorf("counted %+v, want 2 refused", n)
		}
		s := serve(t, "a")
		r.move(t, s.addr())
		c := r.reaches(t, "a")
		s.witness.Close() // the agent ends: who is connected already is right
		if got, err := c.echo("hello"); got != "hello" || err != nil {
			t.Errorf("echo: %q, %v", got, err)
		}
		r.refuses(t)
	})

	t.Run("a task that is no member any more", func(t *testing.T) {
		r := start(t)
		a := serve(t, "a")
		r.move(t, a.addr())
		view, old := r.ps(t), r.reaches(t, "a")
		r.gen++
		s := spec(r.gen, r.gen, "")
		s.Members = s.Members[:1]
		if err := r.endpoints.Update(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if _, ok := r.endpoints.View().Address(ps0); ok {
			t.Error("the view still has it")
		}
		if !old.ended() {
			t.Error("a connection to it goes on")
		}
		r.move(t, a.addr())
		if got := r.ps(t); got != view {
			t.Errorf("it came back as %s, it was %s", got, view)
		}
		r.reaches(t, "a")
	})

	t.Run("thousands of connections", func(t *testing.T) {
		r := start(t)
		a, b := serve(t, "a"), serve(t, "b")
		n := size.connections
		r.move(t, a.addr())
		cs := r.client.many(r.ps(t), n)
		if len(cs) != n {
			t.Fatalf("made %d connections of %d", len(cs), n)
		}
		r.move(t, b.addr())
		for i, c := range cs {
			if !c.ended() {
				t.Fatalf("connection %d of %d goes on", i, n)
			}
		}
		r.reaches(t, "b")
	})

	t.Run("moves race connects", func(t *testing.T) {
		r := start(t)
		r.move(t, "")
		var all tally
		for round := range size.rounds {
			calm := r.client.storm(r.ps(t), 4, 150)
			var last *server
			for k := range 4 {
				last = serve(t, fmt.Sprintf("%d.%d", round, k))
				r.move(t, last.addr())
				time.Sleep(3 * time.Millisecond) // lets connections be made: it waits for nothing
			}
			n := calm(last.name)
			if n.Wrong > 0 {
				t.Fatalf("round %d: %d connections stayed with a task that had moved: %+v", round, n.Wrong, n)
			}
			all = tally{all.Refused + n.Refused, all.Reset + n.Reset, all.Right + n.Right, 0}
		}
		if all.Right == 0 || all.total() < 20*size.rounds {
			t.Errorf("the race was none: %+v", all)
		}
		t.Logf("%d connections: %+v", all.total(), all)
	})

	t.Run("many tasks and a thief", func(t *testing.T) {
		r := start(t)
		at := make([]*server, size.tasks)
		name := func(i int) string { return job.Task{Role: "ps", Index: i}.String() }
		publish := func() {
			r.gen++
			s := spec(r.gen, 1, "")
			for i, server := range at {
				s.Members = append(s.Members[:1+i], member(job.Task{Role: "ps", Index: i}, server.incarnation, server.addr()))
			}
			if err := r.endpoints.Update(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		serve := func(i, incarnation int) *server {
			return startServer(t, &server{name: name(i), holder: job.Task{Role: "ps", Index: i}, incarnation: incarnation})
		}
		for i := range at {
			at[i] = serve(i, 1)
		}
		publish()
		// meet connects to every task. Those whose ports were stolen are nowhere, all others are
		// who they say.
		meet := func(stolen map[int]bool) {
			t.Helper()
			for _, m := range r.endpoints.View().Members[1:] {
				c, err := r.client.connect(m.Address)
				line := ""
				if err == nil {
					line, err = c.line()
				}
				switch {
				case stolen[m.Task.Index] && err == nil:
					t.Errorf("at %s, whose port was stolen, answers %q", m.Task, line)
				case !stolen[m.Task.Index] && line != name(m.Task.Index):
					t.Errorf("at %s answers %q, %v", m.Task, line, err)
				}
			}
		}
		meet(nil)
		for k := range 3 {
			stolen := make(map[int]bool)
			for i := k; i < len(at); i += 7 {
				at[i].close()
				startServer(t, &server{name: "thief", at: at[i].addr()})
				stolen[i] = true
			}
			meet(stolen)
			for i := range stolen {
				at[i] = serve(i, at[i].incarnation+1)
			}
			publish()
			meet(nil)
		}
	})

	t.Run("after the end", func(t *testing.T) {
		r := start(t)
		a := serve(t, "a")
		r.move(t, a.addr())
		c := r.reaches(t, "a")
		if err := errors.Join(r.endpoints.Close(), r.endpoints.Close()); err != nil {
			t.Fatal(err)
		}
		if !c.ended() {
			t.Error("a connection goes on")
		}
		r.refuses(t)
		if err := r.endpoints.Update(t.Context(), spec(r.gen+1, r.gen+1, a.addr())); err == nil {
			t.Error("it took another generation")
		}
		if n := r.counters(); n.Task != ps0 || n.Connections != 1 {
			t.Errorf("the last counters are %+v", n)
		}
	})
}
