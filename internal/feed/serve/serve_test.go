package serve

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/zap/zaptest"

	"tfos/internal/control"
	"tfos/internal/feed"
	"tfos/internal/job"
	"tfos/internal/yarn"
)

// world is a Server and those who talk to it.
type world struct {
	t         *testing.T
	authority *control.Authority
	s         *Server
	dir       string
}

func newWorld(t *testing.T, change func(*Options)) *world {
	t.Helper()
	authority, err := control.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, authority: authority, dir: t.TempDir()}
	feeders, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	program, err := net.Listen("unix", filepath.Join(w.dir, "feed"))
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Feeders: feeders, Program: program, Dir: w.dir, Logger: zaptest.NewLogger(t),
		Identity: w.issue(control.Subject{Party: control.PartyAgent, Container: yarn.ContainerID{ID: 2}, Task: job.Task{Role: "worker"}})}
	if change != nil {
		change(&o)
	}
	if w.s, err = New(o); err != nil {
		t.Fatal(err)
	}
	w.s.Start(1)
	ended := make(chan error, 1)
	go func() { ended <- w.s.Run() }()
	t.Cleanup(func() {
		w.s.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) issue(s control.Subject) control.Identity {
	w.t.Helper()
	id, err := w.authority.Issue(s)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// peer is one who talks in frames.
type peer struct {
	t *testing.T
	c net.Conn
}

// feeder connects as a party; only a feeder is let in.
func (w *world) feeder(p control.Party) *peer {
	w.t.Helper()
	config, err := w.issue(control.Subject{Party: p}).ClientConfig(control.PartyAgent)
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := tls.Dial("tcp", w.s.Port().String(), config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return &peer{w.t, c}
}

func (w *world) program(incarnation int) *peer {
	w.t.Helper()
	p := w.connect()
	p.say(feed.KindHello, feed.Hello{Incarnation: incarnation, Queue: "input"}, nil)
	return p
}

func (w *world) connect() *peer {
	w.t.Helper()
	c, err := net.Dial("unix", filepath.Join(w.dir, "feed"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return &peer{w.t, c}
}

func (p *peer) say(k feed.Kind, head any, body []byte) {
	p.t.Helper()
	b, err := feed.AppendFrame(nil, k, head, int64(len(body)))
	if err == nil {
		_, err = p.c.Write(append(b, body...))
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// hear reads the next frame of a kind, over those that only tell how things are.
func (p *peer) hear(k feed.Kind, into any) []byte {
	p.t.Helper()
	for {
		f, err := feed.ReadFrame(p.c)
		if err != nil {
			p.t.Fatalf("instead of a frame of kind %d: %v", k, err)
		}
		body := make([]byte, f.Size)
		if _, err := io.ReadFull(p.c, body); err != nil {
			p.t.Fatal(err)
		}
		if f.Kind == feed.KindState && k != feed.KindState {
			continue
		}
		if f.Kind != k {
			p.t.Fatalf("a frame of kind %d: %s: want %d", f.Kind, f.Head, k)
		}
		if err := f.Decode(into); err != nil {
			p.t.Fatal(err)
		}
		return body
	}
}

func (p *peer) open(stream string, results bool) {
	p.t.Helper()
	p.say(feed.KindOpen, feed.Opening{Queue: "input", Stream: stream, Results: results}, nil)
	p.hear(feed.KindOpened, &feed.Opened{})
}

func TestRowsOfAProgramThatDiedGoToItsNextIncarnation(t *testing.T) {
	w := newWorld(t, nil)
	f := w.feeder(control.PartyFeeder)
	f.open("a", false)
	f.say(feed.KindChunk, feed.ChunkHead{Number: 0, Rows: 1}, []byte("first"))
	f.say(feed.KindChunk, feed.ChunkHead{Number: 1, Rows: 1, Last: true}, []byte("second"))

	p := w.program(1)
	var c feed.ChunkHead
	p.say(feed.KindTake, feed.Taking{Chunks: 2}, nil)
	if b := p.hear(feed.KindChunk, &c); string(b) != "first" {
		t.Fatalf("%q", b)
	}
	p.say(feed.KindAck, feed.Acks{Tickets: []feed.Ticket{c.Ticket}}, nil)
	p.hear(feed.KindChunk, &c)
	var told feed.Consumed
	if f.hear(feed.KindConsumed, &told); told.Next != 1 {
		t.Fatalf("consumed up to %d", told.Next)
	}
	p.c.Close()
	w.s.Start(2)
	if old := w.program(1); !gone(old) {
		t.Error("the incarnation before is let in")
	}
	p = w.program(2)
	p.say(feed.KindTake, feed.Taking{Chunks: 2}, nil)
	if b := p.hear(feed.KindChunk, &c); string(b) != "second" {
		t.Fatalf("%q", b)
	}
	w.s.Order(control.FeedOrder{Ended: []string{"input"}})
	p.hear(feed.KindEnd, &struct{}{})
	p.say(feed.KindAck, feed.Acks{Tickets: []feed.Ticket{c.Ticket}}, nil)
	if f.hear(feed.KindConsumed, &told); told.Next != 2 {
		t.Errorf("consumed up to %d", told.Next)
	}
}

// gone reports whether the server ends the connection without a word.
func gone(p *peer) bool {
	_, err := feed.ReadFrame(p.c)
	return errors.Is(err, io.EOF) || err != nil
}

func TestAFailureIsToldInTheProgramsOwnWords(t *testing.T) {
	w := newWorld(t, nil)
	f := w.feeder(control.PartyFeeder)
	f.open("a", false)
	p := w.program(1)
	p.say(feed.KindFail, feed.Word{Text: "Traceback: ValueError"}, nil)
	var word feed.Word
	if f.hear(feed.KindOver, &word); word.Why != string(feed.Failed) || word.Text != "Traceback: ValueError" {
		t.Errorf("the feeder: %+v", word)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := w.s.Watch(ctx, func(s control.FeedState) error {
		if s.Outlook == string(feed.Failed) && s.Why == "Traceback: ValueError" {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the driver: %v", err)
	}
}

// TestAFailureOutweighsThatTheProgramWantedNoMore, whichever comes first.
func TestAFailureOutweighsThatTheProgramWantedNoMore(t *testing.T) {
	for _, order := range [][]feed.Outlook{{feed.Terminated, feed.Failed}, {feed.Failed, feed.Terminated}} {
		w := newWorld(t, nil)
		for _, o := range order {
			w.s.Finish(o, string(o))
		}
		enough := errors.New("seen")
		if err := w.s.Watch(t.Context(), func(s control.FeedState) error {
			if s.Outlook != string(feed.Failed) || s.Why != string(feed.Failed) {
				t.Errorf("after %v: %+v", order, s)
			}
			return enough
		}); err != enough {
			t.Error(err)
		}
	}
}

func TestAnswersComeBackWholeAndInOrder(t *testing.T) {
	w := newWorld(t, nil)
	f := w.feeder(control.PartyFeeder)
	f.open("a", true)
	f.say(feed.KindChunk, feed.ChunkHead{Number: 0, Rows: 2}, []byte("rows"))
	f.say(feed.KindChunk, feed.ChunkHead{Number: 1, Last: true}, nil)
	p := w.program(1)
	p.say(feed.KindTake, feed.Taking{Chunks: 2}, nil)
	var c, last feed.ChunkHead
	p.hear(feed.KindChunk, &c)
	p.hear(feed.KindChunk, &last)
	p.say(feed.KindAck, feed.Acks{Tickets: []feed.Ticket{c.Ticket, last.Ticket}}, nil) // rows that are to be answered are not consumed by it
	p.say(feed.KindResult, feed.ResultHead{Ticket: c.Ticket, Rows: 1}, []byte("one"))
	p.say(feed.KindResult, feed.ResultHead{Ticket: c.Ticket, Rows: 1}, []byte("two"))
	for _, want := range []string{"one", "two"} {
		if b := f.hear(feed.KindResult, &feed.ResultHead{}); string(b) != want {
			t.Errorf("%q, want %q", b, want)
		}
	}
	var told feed.Consumed
	if f.hear(feed.KindConsumed, &told); told.Next != 2 {
		t.Errorf("consumed up to %d", told.Next)
	}
}

// TestWhatHasNoRoomInMemoryIsOnDiskUnderNoName: an agent that is killed leaves nothing.
func TestWhatHasNoRoomInMemoryIsOnDiskUnderNoName(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Memory = 10 })
	f := w.feeder(control.PartyFeeder)
	f.open("a", false)
	large := bytes.Repeat([]byte("0123456789"), 100_000)
	f.say(feed.KindChunk, feed.ChunkHead{Number: 0, Rows: 1}, large)
	p := w.program(1)
	p.say(feed.KindTake, feed.Taking{Chunks: 1}, nil)
	if b := p.hear(feed.KindChunk, &feed.ChunkHead{}); !bytes.Equal(b, large) {
		t.Errorf("%d bytes came of %d", len(b), len(large))
	}
	files, err := os.ReadDir(w.dir)
	if err != nil || len(files) != 1 {
		t.Errorf("files %v, %v: want the socket alone", files, err)
	}
}

// TestWhatAProgramHoldsNeedsNoRoom: its batch may be larger than all the room that there is. The
// rows come again if the program dies.
func TestWhatAProgramHoldsNeedsNoRoom(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Memory, o.Disk = 200_000, 1 })
	f := w.feeder(control.PartyFeeder)
	f.open("a", true)
	p := w.program(1)
	const chunks = 20
	for n := range uint64(chunks) {
		f.say(feed.KindChunk, feed.ChunkHead{Number: n, Rows: 1}, bytes.Repeat([]byte{byte(n)}, 100_000))
		p.say(feed.KindTake, feed.Taking{Chunks: 1}, nil)
		var c feed.ChunkHead
		p.hear(feed.KindChunk, &c)
		p.say(feed.KindAck, feed.Acks{Tickets: []feed.Ticket{c.Ticket}, Held: true}, nil)
		var told feed.Consumed
		if f.hear(feed.KindConsumed, &told); told != (feed.Consumed{Held: n + 1}) {
			t.Fatalf("the feeder hears %+v after chunk %d", told, n)
		}
	}
	p.c.Close()
	w.s.Start(2)
	p = w.program(2)
	for n := range chunks {
		p.say(feed.KindTake, feed.Taking{Chunks: 1}, nil)
		if b := p.hear(feed.KindChunk, &feed.ChunkHead{}); !bytes.Equal(b, bytes.Repeat([]byte{byte(n)}, 100_000)) {
			t.Fatalf("chunk %d comes back as %d bytes of %v", n, len(b), b[:1])
		}
	}
}

// TestAProgramThatKeepsPaceHearsItsLimit: the driver learns what it has, and says how much of it
// may be used, also when nothing more will come.
func TestAProgramThatKeepsPaceHearsItsLimit(t *testing.T) {
	w := newWorld(t, nil)
	f := w.feeder(control.PartyFeeder)
	f.say(feed.KindOpen, feed.Opening{Queue: "input", Stream: "a", Task: "worker/0"}, nil)
	f.hear(feed.KindOpened, &feed.Opened{})
	f.say(feed.KindChunk, feed.ChunkHead{Number: 0, Rows: 5}, []byte("first"))
	f.say(feed.KindChunk, feed.ChunkHead{Number: 1, Rows: 2, Last: true}, []byte("second"))
	p := w.connect()
	p.say(feed.KindHello, feed.Hello{Incarnation: 1, Queue: "input", Pace: true}, nil)
	p.say(feed.KindTake, feed.Taking{Chunks: 1}, nil)
	var c feed.ChunkHead
	if p.hear(feed.KindChunk, &c); !c.Share {
		t.Error("the program does not know that this is its share")
	}
	stands := func(want func(control.FeedState) bool) (found control.FeedState) {
		ctx, cancel := context.WithCancel(t.Context())
		w.s.Watch(ctx, func(s control.FeedState) error {
			if want(s) {
				found = s
				cancel()
			}
			return nil
		})
		return found
	}
	s := stands(func(s control.FeedState) bool { return s.Rows == 7 })
	var limit feed.Limit
	w.s.Order(control.FeedOrder{Reader: s.Reader + 1, Rows: 100}) // another connection's
	w.s.Order(control.FeedOrder{Reader: s.Reader, Rows: 6})
	if p.hear(feed.KindLimit, &limit); limit != (feed.Limit{Rows: 6}) {
		t.Errorf("%+v", limit)
	}
	p.say(feed.KindTake, feed.Taking{Chunks: 2}, nil)
	p.hear(feed.KindChunk, &c)
	w.s.Order(control.FeedOrder{Reader: s.Reader, Rows: 6, Ended: []string{"input"}})
	p.hear(feed.KindEnd, &struct{}{})
	s = stands(func(s control.FeedState) bool { return s.Ended })
	w.s.Order(control.FeedOrder{Reader: s.Reader, Rows: 6, Final: true})
	if p.hear(feed.KindLimit, &limit); limit != (feed.Limit{Rows: 6, Final: true}) {
		t.Errorf("in the end: %+v", limit)
	}
	p.c.Close()
	stands(func(s control.FeedState) bool { return s.Reader == 0 })
}

func TestStrangersGetNothing(t *testing.T) {
	w := newWorld(t, nil)
	for _, p := range []control.Party{control.PartyClient} {
		c := w.feeder(p)
		if !gone(c) {
			t.Errorf("a %s is let in", p)
		}
	}
}
