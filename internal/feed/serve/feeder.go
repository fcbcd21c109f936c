package serve

import (
	"bufio"
	"context"
	"io"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/feed"
)

// serveFeeder takes the rows of one stream.
func (s *Server) serveFeeder(c net.Conn) {
	r := bufio.NewReaderSize(c, bufferBytes)
	first, err := feed.ReadFrame(r)
	var o feed.Opening
	if err == nil {
		err = first.As(feed.KindOpen, &o)
	}
	if err != nil {
		s.o.Logger.Warn("feeder turned away", zap.Error(err))
		return
	}
	var opened feed.Opened
	s.update(func() { opened, err = s.queue(o.Queue).Enter(o) })
	if err != nil {
		s.o.Logger.Info("feeder turned away", zap.String("stream", o.Stream), zap.Error(err))
		writeFrame(c, feed.KindOver, feed.Word{Why: feed.Superseded, Text: err.Error()}, nil) // it may be gone
		return
	}
	opened.Window = s.o.Window
	if err := writeFrame(c, feed.KindOpened, opened, nil); err != nil {
		return
	}
	s.o.Logger.Debug("stream opened", zap.String("stream", o.Stream), zap.Int("attempt", o.Attempt), zap.Uint64("next", opened.Next))
	gone, left := context.WithCancel(context.Background())
	var telling sync.WaitGroup
	telling.Go(func() {
		defer c.Close() // which ends take
		if err := s.tell(gone, c, o); err != nil {
			s.o.Logger.Debug("feeder not told", zap.String("stream", o.Stream), zap.Error(err))
		}
	})
	err = s.take(r, o)
	left()
	telling.Wait()
	s.o.Logger.Debug("stream left", zap.String("stream", o.Stream), zap.Error(err))
	if o.Results {
		s.update(func() { s.queue(o.Queue).Forget(o.Stream, o.Attempt) })
	}
}

// take puts a feeder's chunks into its queue until it leaves.
func (s *Server) take(r io.Reader, o feed.Opening) error {
	for {
		f, err := feed.ReadFrame(r)
		if err != nil {
			return err
		}
		var h feed.ChunkHead
		if err := f.As(feed.KindChunk, &h); err != nil {
			return err
		}
		if h.Rows < 0 {
			return feed.ErrFrame
		}
		b, err := s.store.read(r, f.Size, false)
		if err != nil {
			return err
		}
		s.update(func() {
			err = s.queue(o.Queue).Put(o.Attempt, feed.Chunk{Stream: o.Stream, Number: h.Number, Rows: h.Rows, Last: h.Last, Results: o.Results, Share: o.Task != "", Meta: h.Meta, Body: b})
		})
		if err != nil {
			return err
		}
	}
}

// tell says to a feeder how far its stream is consumed, with what results, what the program does,
// and that it wants no more. It returns once the feeder has left or is to leave.
func (s *Server) tell(gone context.Context, c net.Conn, o feed.Opening) error {
	tick := time.NewTicker(stateEvery)
	defer tick.Stop()
	var said feed.Consumed
	for {
		s.mu.Lock()
		changed, closed := s.changed, s.closed
		consumed, results, err := s.queue(o.Queue).Told(o.Stream, o.Attempt)
		outlook, why := s.outlook, s.why
		state := feed.State{Live: len(s.readers) > 0, Idle: time.Since(s.moved).Milliseconds()}
		s.mu.Unlock()
		if closed {
			drop(results)
			return net.ErrClosed
		}
		if err != nil {
			return writeFrame(c, feed.KindOver, feed.Word{Why: feed.Superseded, Text: err.Error()}, nil)
		}
		for i, r := range results {
			if err := writeFrame(c, feed.KindResult, feed.ResultHead{Rows: r.Rows, Meta: r.Meta}, r.Body); err != nil {
				drop(results[i:])
				return err
			}
			r.Body.Drop()
		}
		if consumed != said {
			if err := writeFrame(c, feed.KindConsumed, consumed, nil); err != nil {
				return err
			}
			said = consumed
		}
		if outlook != feed.Open {
			return writeFrame(c, feed.KindOver, feed.Word{Why: string(outlook), Text: why}, nil)
		}
		select {
		case <-changed:
		case <-tick.C:
			if err := writeFrame(c, feed.KindState, state, nil); err != nil {
				return err
			}
		case <-gone.Done():
			return nil
		}
	}
}

func drop(results []feed.Result) {
	for _, r := range results {
		r.Body.Drop()
	}
}
