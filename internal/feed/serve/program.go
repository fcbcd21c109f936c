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
	if err == nil && first.Kind != feed.KindHello {
		err = feed.ErrFrame
	}
	if err == nil {
		err = first.Decode(&hello)
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
	room   int   // guarded by s.mu: how many chunks it has room for
	rows   int64 // guarded by s.mu: of the chunks that it was handed
}

// give hands chunks out, and says how many rows may be used and that there are no more, until the
// program has left.
func (p *program) give(gone context.Context) error {
	var said feed.Limit
	ended := false
	for {
		p.s.mu.Lock()
		changed, closed := p.s.changed, p.s.closed
		limit := said
		if p.s.order.Reader == p.reader {
			limit = feed.Limit{Rows: p.s.order.Rows, Final: p.s.order.Final, Lost: p.s.order.Lost}
		}
		q := p.s.queue(p.queue)
		var ticket feed.Ticket
		var chunk feed.Chunk
		var let func()
		over := !ended && p.room > 0 && q.Over(p.reader)
		if p.room > 0 && !over && !ended && limit == said {
			var ok bool
			if ticket, chunk, ok = q.Take(p.reader); ok {
				p.room--
				p.rows += int64(chunk.Rows - chunk.Skip)
				let = hold(chunk.Body)
				p.s.moved = time.Now()
			}
		}
		p.s.mu.Unlock()
		switch {
		case closed:
			return net.ErrClosed
		case limit != said:
			if err := writeFrame(p.c, feed.KindLimit, limit, nil); err != nil {
				return err
			}
			said = limit
			continue
		case over:
			if err := writeFrame(p.c, feed.KindEnd, struct{}{}, nil); err != nil {
				return err
			}
			ended = true
			continue
		case let != nil:
			head := feed.ChunkHead{Number: chunk.Number, Rows: chunk.Rows, Last: chunk.Last, Meta: chunk.Meta, Ticket: ticket, Stream: chunk.Stream, Results: chunk.Results, Share: chunk.Share, Skip: chunk.Skip}
			err := writeFrame(p.c, feed.KindChunk, head, chunk.Body)
			let()
			if err != nil {
				return err
			}
			continue
		}
		select {
		case <-changed:
		case <-gone.Done():
			return nil
		}
	}
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
