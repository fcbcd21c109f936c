package feed

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Chunk is some rows of a stream.
type Chunk struct {
	Stream  string
	Number  uint64 // in its stream, from 0
	Rows    int
	Last    bool   // the stream ends with it
	Results bool   // the program answers each row
	Share   bool   // the stream is the program's share of a partition
	Skip    int    // rows that a reader is done with: the next one does not want them
	Meta    []byte // how the rows are encoded: the feeder's word to the program
	Body    Body
}

// Body is the bytes of rows, wherever they are kept.
type Body interface {
	Size() int64
	// Aside says that nobody waits for them: they are wanted again only if the program dies, which
	// has a copy.
	Aside()
	// Drop frees them.
	Drop()
}

// Result is some of a program's answers to the rows of a chunk, in order.
type Result struct {
	Rows int
	Meta []byte
	Body Body
}

// Outlook is what becomes of the rows that a queue is given.
type Outlook string

// The outlooks.
const (
	Open       Outlook = "open"       // the program takes them, or will
	Terminated Outlook = "terminated" // the program wants no more: they are dropped
	Failed     Outlook = "failed"     // the program failed for good
)

// ErrSuperseded says that a later attempt feeds the stream, or that the driver has ended its feed.
var ErrSuperseded = errors.New("a later attempt feeds this partition, or nobody waits for it any more")

// Ticket names a chunk that was handed to a program.
type Ticket uint64

// held is a chunk that a Queue has.
type held struct {
	Chunk
	ticket  Ticket // 0: it waits
	reader  int    // who was handed it
	order   uint64 // in which chunks came
	results []Result
	rows    int // in results
}

// left is how many rows of it are wanted.
func (c Chunk) left() int64 { return int64(c.Rows - c.Skip) }

// mark is a set of numbers that fills up from below.
type mark struct {
	upTo   uint64 // it has all before this number
	beyond map[uint64]bool
}

func markAt(n uint64) mark { return mark{upTo: n, beyond: map[uint64]bool{}} }

func (m *mark) add(n uint64) {
	if n >= m.upTo {
		m.beyond[n] = true
	}
	for m.beyond[m.upTo] {
		delete(m.beyond, m.upTo)
		m.upTo++
	}
}

// stream is what a Queue knows of one.
type stream struct {
	feed     uint64
	attempt  int
	results  bool
	next     uint64 // the number of the chunk that is wanted next
	ended    bool   // the last chunk is there
	consumed mark
	held     mark             // consumed, or in the hands of a program that waits for more rows
	answers  map[uint64]*held // consumed with results that the feeder has not been told
}

// told is the number up to which the feeder takes the stream for consumed. A program that holds the
// end of a stream may wait for rows of the next one, whose feeder may wait for this one to end.
func (s *stream) told() uint64 {
	if s.ended && !s.results && s.held.upTo == s.next {
		return s.next
	}
	return s.consumed.upTo
}

// Queue holds the chunks of one name ("input") for one task's program.
//
// Each chunk that it was given waits, or is in the hands of one reader, or is consumed, or was
// dropped with the rest when the program wanted no more. The chunks of a stream are handed out in
// order.
type Queue struct {
	streams map[string]*stream
	waiting []*held // in the order in which they came; what a lost reader had comes first
	out     map[Ticket]*held
	current string // the stream that was handed out last: it goes first
	tickets Ticket
	came    uint64
	bytes   int64  // of all that is held, results included
	rows    int64  // that wait
	over    uint64 // feeds before this number have ended
	ended   bool   // nothing more will come
	closed  bool   // the program takes no more: everything is dropped
}

// NewQueue makes an empty Queue.
func NewQueue() *Queue {
	return &Queue{streams: map[string]*stream{}, out: map[Ticket]*held{}}
}

// Enter begins an attempt to feed a stream. An attempt before it may feed it no more. What that
// brought stays, unless the program answers rows: then its answers went to the attempt before, and
// all rows come again. A stream that is new here begins with the chunk that the feeder is at.
func (q *Queue) Enter(o Opening) (Opened, error) {
	if o.Over > q.over {
		q.over = o.Over
		maps.DeleteFunc(q.streams, func(_ string, s *stream) bool { return ended(s.feed, q.over) })
	}
	s := q.streams[o.Stream]
	switch {
	case ended(o.Feed, q.over), s != nil && o.Attempt < s.attempt:
		return Opened{}, ErrSuperseded
	case s == nil || o.Results && o.Attempt > s.attempt:
		q.drop(o.Stream)
		s = &stream{feed: o.Feed, results: o.Results, next: o.From, consumed: markAt(o.From), held: markAt(o.From), answers: map[uint64]*held{}}
		q.streams[o.Stream] = s
	}
	s.attempt = o.Attempt
	return Opened{Next: s.next, Consumed: s.told()}, nil
}

// ended reports whether a feed is over, where those before a number are. Feeds of number 0 are
// never.
func ended(feed, over uint64) bool { return feed != 0 && feed < over }

// Forget drops a stream whose feeder is gone: its rows are answered to nobody.
func (q *Queue) Forget(name string, attempt int) {
	if s := q.streams[name]; s != nil && s.attempt == attempt {
		q.drop(name)
	}
}

// drop forgets a stream with all its chunks. A program that was handed some of them is told that
// the stream has ended.
func (q *Queue) drop(name string) {
	began := false
	q.waiting = slices.DeleteFunc(q.waiting, func(h *held) bool {
		if h.Stream == name {
			q.free(h)
			q.rows -= h.left()
		}
		return h.Stream == name
	})
	for ticket, h := range q.out { // any order: each is dropped by itself
		if h.Stream == name {
			q.free(h)
			delete(q.out, ticket)
			began = true
		}
	}
	if s := q.streams[name]; s != nil {
		for _, h := range s.answers { // any order: each is dropped by itself
			q.freeResults(h)
		}
	}
	delete(q.streams, name)
	if began {
		q.append(Chunk{Stream: name, Last: true})
	}
}

// append has a chunk wait.
func (q *Queue) append(c Chunk) {
	q.waiting = append(q.waiting, &held{Chunk: c, order: q.came})
	q.came++
	q.rows += int64(c.Rows)
}

// free gives back what a chunk holds, and the results for it.
func (q *Queue) free(h *held) {
	q.freeBody(h)
	q.freeResults(h)
}

func (q *Queue) freeBody(h *held) {
	if h.Body != nil {
		q.bytes -= h.Body.Size()
		h.Body.Drop()
		h.Body = nil
	}
}

func (q *Queue) freeResults(h *held) {
	for _, r := range h.results {
		q.bytes -= r.Body.Size()
		r.Body.Drop()
	}
	h.results, h.rows = nil, 0
}

// Put takes a chunk in. A chunk that was taken before, or that the program does not want, is
// dropped.
func (q *Queue) Put(attempt int, c Chunk) error {
	s := q.streams[c.Stream]
	switch {
	case s == nil || attempt != s.attempt:
		c.Body.Drop()
		return ErrSuperseded
	case q.closed || c.Number < s.next:
		c.Body.Drop()
		return nil
	case c.Number > s.next:
		c.Body.Drop()
		return fmt.Errorf("chunk %d of %s came where %d was wanted", c.Number, c.Stream, s.next)
	case s.ended:
		c.Body.Drop()
		return fmt.Errorf("chunk %d of %s came after its last", c.Number, c.Stream)
	}
	s.next++
	s.ended = c.Last
	q.bytes += c.Body.Size()
	q.append(c)
	return nil
}

// Take hands a chunk to a reader, if one waits. A reader gets the rest of the stream that it is at
// before it gets others, as far as it is there.
func (q *Queue) Take(reader int) (Ticket, Chunk, bool) {
	if len(q.waiting) == 0 || q.closed {
		return 0, Chunk{}, false
	}
	i := slices.IndexFunc(q.waiting, func(h *held) bool { return h.Stream == q.current })
	if i < 0 {
		i = 0
	}
	h := q.waiting[i]
	q.waiting = slices.Delete(q.waiting, i, i+1)
	q.tickets++
	h.ticket, h.reader = q.tickets, reader
	q.out[h.ticket] = h
	q.rows -= h.left()
	q.current = h.Stream
	return h.ticket, h.Chunk, true
}

// Consume takes note that a reader is done with a chunk. Rows that are to be answered are consumed
// with their last answer instead.
func (q *Queue) Consume(reader int, t Ticket) {
	if h := q.out[t]; h != nil && h.reader == reader && !(h.Results && h.Rows > 0) {
		q.consumed(h)
	}
}

// Part takes note that a reader is done with the first rows of a chunk.
func (q *Queue) Part(reader int, t Ticket, rows int) {
	if h := q.out[t]; h != nil && h.reader == reader && !h.Results {
		h.Skip = max(h.Skip, rows)
	}
}

// Release takes note that a reader waits for more rows before it does anything with a chunk's: they
// do not count in the feeder's window any more, and need no room here that another chunk wants,
// lest the two wait for each other. A reader that is lost leaves them to the next one all the same.
func (q *Queue) Release(reader int, t Ticket) {
	h := q.out[t]
	if h == nil || h.reader != reader {
		return
	}
	if h.Body != nil {
		h.Body.Aside()
	}
	if s := q.streams[h.Stream]; s != nil {
		s.held.add(h.Number)
	}
}

// Answer takes in a reader's results for rows of a chunk. More than it has rows are an error.
func (q *Queue) Answer(reader int, t Ticket, r Result) error {
	h := q.out[t]
	if h == nil || h.reader != reader {
		r.Body.Drop() // it was handed to another since, or its stream began anew
		return nil
	}
	if !h.Results || h.rows+r.Rows > h.Rows {
		r.Body.Drop()
		return fmt.Errorf("%d results for %d rows of %s", h.rows+r.Rows, h.Rows, h.Stream)
	}
	h.results, h.rows = append(h.results, r), h.rows+r.Rows
	q.bytes += r.Body.Size()
	if h.rows == h.Rows {
		q.consumed(h)
	}
	return nil
}

func (q *Queue) consumed(h *held) {
	delete(q.out, h.ticket)
	q.freeBody(h)
	s := q.streams[h.Stream]
	if s == nil { // its feed is over
		q.freeResults(h)
		return
	}
	s.consumed.add(h.Number)
	s.held.add(h.Number)
	if h.Results && len(h.results) > 0 {
		s.answers[h.Number] = h
	}
}

// Lose takes back what a lost reader was handed and is not done with. It goes to the next reader
// first, in the order in which it came.
func (q *Queue) Lose(reader int) {
	var back []*held
	for ticket, h := range q.out { // any order: they are sorted below
		if h.reader == reader {
			delete(q.out, ticket)
			q.freeResults(h)
			h.ticket, h.reader = 0, 0
			q.rows += h.left()
			back = append(back, h)
		}
	}
	q.waiting = append(back, q.waiting...)
	slices.SortFunc(q.waiting, func(a, b *held) int { return cmp.Compare(a.order, b.order) })
	q.current = ""
}

// Told is what a feeder hears next of its stream: how far it is consumed and held, and the results
// up to there that it has not been given. The results are the caller's to drop.
func (q *Queue) Told(name string, attempt int) (Consumed, []Result, error) {
	s := q.streams[name]
	if s == nil || s.attempt != attempt {
		return Consumed{}, nil, ErrSuperseded
	}
	var results []Result
	for _, n := range slices.Sorted(maps.Keys(s.answers)) {
		if n >= s.consumed.upTo {
			break
		}
		for _, r := range s.answers[n].results {
			q.bytes -= r.Body.Size()
		}
		results = append(results, s.answers[n].results...)
		delete(s.answers, n)
	}
	return Consumed{Next: s.told(), Held: s.held.upTo}, results, nil
}

// End says that nothing more will come.
func (q *Queue) End() { q.ended = true }

// Over reports whether a reader has nothing to wait for: nothing waits, and nothing will come.
// While another reader has chunks in hand, they may come back.
func (q *Queue) Over(reader int) bool {
	if !q.Ended() || len(q.waiting) > 0 {
		return false
	}
	for _, h := range q.out { // any order: one of them is enough
		if h.reader != reader {
			return false
		}
	}
	return true
}

// Ended reports whether nothing more will come.
func (q *Queue) Ended() bool { return q.ended || q.closed }

// Close says that the program takes no more, for good, and drops everything.
func (q *Queue) Close() {
	q.closed = true
	for _, h := range q.waiting {
		q.free(h)
	}
	q.waiting, q.rows = nil, 0
	for ticket, h := range q.out { // any order: each is dropped by itself
		q.free(h)
		delete(q.out, ticket)
	}
}

// Bytes is the size of all that is held.
func (q *Queue) Bytes() int64 { return q.bytes }

// Waiting is how many chunks nobody has been handed, and their rows.
func (q *Queue) Waiting() (chunks int, rows int64) { return len(q.waiting), q.rows }
