package desk

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"tfos/internal/control"
	"tfos/internal/feed"
	"tfos/internal/memnet"
)

// world is a Desk and feeders, in virtual time.
type world struct {
	t         *testing.T
	authority *control.Authority
	net       *memnet.Network
	d         *Desk
	ended     chan error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	authority, err := control.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, authority: authority, net: memnet.New(), ended: make(chan error, 1)}
	l, err := w.net.Host("driver").Listen(1)
	if err != nil {
		t.Fatal(err)
	}
	if w.d, err = New(l, w.issue(control.PartyDriver), zaptest.NewLogger(t)); err != nil {
		t.Fatal(err)
	}
	go func() { w.ended <- w.d.Run() }()
	return w
}

func (w *world) issue(p control.Party) control.Identity {
	w.t.Helper()
	id, err := w.authority.Issue(control.Subject{Party: p})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) close() {
	w.t.Helper()
	w.d.Close()
	w.d.Close() // once more does no harm
	if err := <-w.ended; err != nil {
		w.t.Error(err)
	}
}

// feeder connects one.
func (w *world) feeder() net.Conn {
	w.t.Helper()
	raw, err := w.net.Host("executor").Dial(context.Background(), "driver:1")
	if err != nil {
		w.t.Fatal(err)
	}
	config, err := w.issue(control.PartyFeeder).ClientConfig(control.PartyDriver)
	if err != nil {
		w.t.Fatal(err)
	}
	return tls.Client(raw, config)
}

func say(t *testing.T, c net.Conn, k feed.Kind, head any) {
	t.Helper()
	b, err := feed.AppendFrame(nil, k, head, 0)
	if err == nil {
		_, err = c.Write(b)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// hear reads an answer: a place, or why there is none.
func hear(t *testing.T, c net.Conn) (feed.Place, feed.Word) {
	t.Helper()
	f, err := feed.ReadFrame(c)
	if err != nil {
		t.Fatal(err)
	}
	var p feed.Place
	var over feed.Word
	if f.Kind == feed.KindPlace {
		err = f.Decode(&p)
	} else {
		err = f.Decode(&over)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p, over
}

// play plays a story of a Desk and one feeder.
func play(t *testing.T, story func(t *testing.T, w *world, c net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		c := w.feeder()
		defer c.Close()
		story(t, w, c)
	})
}

func TestAFeederWaitsForAWorkerAndLearnsThatTheDriverLives(t *testing.T) {
	play(t, func(t *testing.T, w *world, c net.Conn) {
		began := time.Now()
		say(t, c, feed.KindOpen, feed.Opening{Stream: "a"})
		if _, over := hear(t, c); over.Why != feed.Wait || time.Since(began) != waitMost {
			t.Errorf("after %v: %+v", time.Since(began), over)
		}
		say(t, c, feed.KindOpen, feed.Opening{Stream: "a"})
		synctest.Wait()
		w.d.Set(feed.Worker{Task: "worker/0", Address: "node:1", Outlook: feed.Open})
		if p, _ := hear(t, c); p.Address != "node:1" || time.Since(began) != waitMost {
			t.Errorf("after %v: %+v", time.Since(began), p)
		}
	})
}

func TestAFeederThatLostItsWorkerIsSentThereAgainUnlessThatIsGone(t *testing.T) {
	play(t, func(t *testing.T, w *world, c net.Conn) {
		w.d.Set(feed.Worker{Task: "worker/0", Address: "node:1", Outlook: feed.Open})
		began := time.Now()
		say(t, c, feed.KindOpen, feed.Opening{Stream: "a", Lost: "node:1"})
		if p, _ := hear(t, c); p.Address != "node:1" || time.Since(began) != waitLost {
			t.Errorf("after %v: %+v", time.Since(began), p)
		}
		say(t, c, feed.KindOpen, feed.Opening{Stream: "a", Lost: "node:1"})
		synctest.Wait()
		w.d.Set(feed.Worker{Task: "worker/0", Address: "other:1", Outlook: feed.Open})
		if p, _ := hear(t, c); p.Address != "other:1" || time.Since(began) != waitLost {
			t.Errorf("after %v: %+v", time.Since(began), p)
		}
	})
}

func TestTheEndOfAJobReachesThoseWhoWait(t *testing.T) {
	play(t, func(t *testing.T, w *world, c net.Conn) {
		say(t, c, feed.KindOpen, feed.Opening{Stream: "a"})
		synctest.Wait()
		w.d.Finish(feed.Failed, "the worker's words")
		if _, over := hear(t, c); over != (feed.Word{Why: string(feed.Failed), Text: "the worker's words"}) {
			t.Errorf("%+v", over)
		}
	})
}

// TestAFeederThatLeavesMakesPlace: the worker whose feeder is gone has the fewest streams.
func TestAFeederThatLeavesMakesPlace(t *testing.T) {
	play(t, func(t *testing.T, w *world, a net.Conn) {
		for _, task := range []string{"worker/0", "worker/1"} {
			w.d.Set(feed.Worker{Task: task, Address: task + ":1", Outlook: feed.Open})
		}
		place := func(c net.Conn, stream string) string {
			say(t, c, feed.KindOpen, feed.Opening{Stream: stream})
			p, _ := hear(t, c)
			return p.Task
		}
		b, again := w.feeder(), w.feeder()
		defer b.Close()
		defer again.Close()
		if x, y := place(a, "a"), place(b, "b"); x != "worker/0" || y != "worker/1" {
			t.Errorf("%s and %s", x, y)
		}
		a.Close()
		synctest.Wait()
		if x := place(again, "c"); x != "worker/0" {
			t.Errorf("the next one goes to %s", x)
		}
		say(t, b, feed.KindDone, struct{}{})
		say(t, b, feed.KindOpen, feed.Opening{Stream: "b", Attempt: 1})
		if _, over := hear(t, b); over.Why != feed.Done {
			t.Errorf("a stream that is done: %+v", over)
		}
	})
}

func TestNoiseAndStrangersAreTurnedAway(t *testing.T) {
	play(t, func(t *testing.T, w *world, c net.Conn) {
		say(t, c, feed.KindChunk, feed.ChunkHead{})
		if _, err := io.ReadAll(c); err != nil {
			t.Error(err)
		}
		raw, err := w.net.Host("executor").Dial(context.Background(), "driver:1")
		if err != nil {
			t.Fatal(err)
		}
		raw.Write([]byte("GET / HTTP/1.1\r\n\r\n")) // it may be gone already
		if _, err := io.ReadAll(raw); err != nil {
			t.Error(err)
		}
		raw.Close()
	})
}
