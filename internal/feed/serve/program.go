package serve

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/feed"
)

// serveProgram serves one connection of the program's.
func (s *Server) serveProgram(c net.Conn) {
	r := bufio.NewReaderSize(c, bufferBytes)
	var hello feed.Hello
	first, err := feed.ReadFrame(r)
	if err == nil {
		err = first.As(feed.KindHello, &hello)
	}
	p := &program{s: s, c: c, queue: hello.Queue}
	if err == nil {
		s.update(func() {
			if hello.Incarnation != s.incarnation {
				err = fmt.Errorf("it is incarnation %d, and %d runs", hello.Incarnation, s.incarnation)
				return
			}
			s.lastReader++
			p.reader = s.lastReader
			s.readers[p.reader], s.moved = true, time.Now()
			if hello.Pace {
				s.pacer = p
			}
		})
	}
	if err != nil {
		s.o.Logger.Warn("program turned away", zap.Error(err))
		return
	}
	gone, left := context.WithCancel(context.Background())
	var giving sync.WaitGroup
	giving.Go(func() {
		if err := p.give(gone); err != nil {
			c.Close() // which ends hear
		}
	})
	err = p.hear(r)
	left()
	c.Close() // which ends a write to a program that does not read
	giving.Wait()
	s.o.Logger.Debug("program left", zap.Error(err))
	s.update(func() {
		delete(s.readers, p.reader)
		s.queue(hello.Queue).Lose(p.reader)
		if s.pacer == p {
			s.pacer = nil
		}
	})
}

// program is one connection of the program's, which takes the rows of one queue.
type program struct {
	s      *Server
	c      net.Conn
	reader int
	queue  string
	room   int        // guarded by s.mu: how many chunks it has room for
	rows   int64      // guarded by s.mu: of the chunks that it was handed
	said   feed.Limit // guarded by s.mu: how many of them it was told that it may use
	ended  bool       // guarded by s.mu: it was told that there are no more
}

// message is what is said to a program; without a kind it is nothing.
type message struct {
	kind feed.Kind
	head any
	body feed.Body // nil: it has none
	let  func()    // of a body: it is written
}

// give says what there is to say, and waits for more, until the program has left.
func (p *program) give(gone context.Context) error {
	for {
		m, changed, err := p.next()
		if err != nil {
			return err
		}
		if m.kind == 0 {
			select {
			case <-changed:
				continue
			case <-gone.Done():
				return nil
			}
		}
		err = writeFrame(p.c, m.kind, m.head, m.body)
		if m.let != nil {
			m.let()
		}
		if err != nil {
			return err
		}
	}
}

// next is what is said next: how many rows the program may use, that there are no more, or a chunk.
// If there is nothing to say, there may be once changed is closed.
func (p *program) next() (m message, changed <-chan struct{}, err error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.s.closed {
		return message{}, nil, net.ErrClosed
	}
	if o := p.s.order; o.Reader == p.reader {
		if limit := (feed.Limit{Rows: o.Rows, Final: o.Final, Lost: o.Lost}); limit != p.said {
			p.said = limit
			return message{kind: feed.KindLimit, head: limit}, nil, nil
		}
	}
	if p.room == 0 || p.ended {
		return message{}, p.s.changed, nil
	}
	q := p.s.queue(p.queue)
	if q.Over(p.reader) {
		p.ended = true
		return message{kind: feed.KindEnd, head: struct{}{}}, nil, nil
	}
	ticket, c, ok := q.Take(p.reader)
	if !ok {
		return message{}, p.s.changed, nil
	}
	p.room--
	p.rows += int64(c.Rows - c.Skip)
	p.s.moved = time.Now()
	head := feed.ChunkHead{Number: c.Number, Rows: c.Rows, Last: c.Last, Meta: c.Meta, Ticket: ticket, Stream: c.Stream, Results: c.Results, Share: c.Share, Skip: c.Skip}
	return message{kind: feed.KindChunk, head: head, body: c.Body, let: hold(c.Body)}, nil, nil
}

// hear takes in what the program says until it leaves.
func (p *program) hear(r io.Reader) error {
	for {
		f, err := feed.ReadFrame(r)
		if err != nil {
			return err
		}
		if f.Size > 0 && f.Kind != feed.KindResult {
			return feed.ErrFrame
		}
		if err := p.heard(f, r); err != nil {
			return err
		}
	}
}

func (p *program) heard(f feed.Frame, r io.Reader) error {
	s := p.s
	switch f.Kind {
	case feed.KindTake:
		var t feed.Taking
		if err := f.Decode(&t); err != nil {
			return err
		}
		s.update(func() { p.room += t.Chunks })
	case feed.KindAck:
		var a feed.Acks
		if err := f.Decode(&a); err != nil {
			return err
		}
		s.update(func() {
			s.moved = time.Now()
			s.queue(p.queue).Part(p.reader, a.Part, a.Rows)
			for _, t := range a.Tickets {
				if a.Held {
					s.queue(p.queue).Release(p.reader, t)
				} else {
					s.queue(p.queue).Consume(p.reader, t)
				}
			}
		})
	case feed.KindResult:
		var h feed.ResultHead
		if err := f.Decode(&h); err != nil {
			return err
		}
		b, err := s.store.read(r, f.Size, true)
		if err != nil {
			return err
		}
		s.update(func() {
			s.moved = time.Now()
			err = s.queue(p.queue).Answer(p.reader, h.Ticket, feed.Result{Rows: h.Rows, Meta: h.Meta, Body: b})
		})
		return err
	case feed.KindTerminate:
		s.Finish(feed.Terminated, "")
	case feed.KindFail:
		var w feed.Word
		if err := f.Decode(&w); err != nil {
			return err
		}
		s.Finish(feed.Failed, w.Text)
	default:
		return feed.ErrFrame
	}
	return nil
}
