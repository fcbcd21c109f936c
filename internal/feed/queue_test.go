package feed

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// counted is a body that knows whether it was dropped.
type counted struct {
	size    int64
	dropped int
	aside   bool
}

func (c *counted) Size() int64 { return c.size }
func (c *counted) Aside()      { c.aside = true }
func (c *counted) Drop()       { c.dropped++ }

func put(t *testing.T, q *Queue, attempt int, c Chunk) *counted {
	t.Helper()
	b := &counted{size: int64(c.Rows)}
	c.Body = b
	if err := q.Put(attempt, c); err != nil {
		t.Fatal(err)
	}
	return b
}

func enter(t *testing.T, q *Queue, name string, attempt int, results bool) (next uint64) {
	t.Helper()
	o, err := q.Enter(Opening{Stream: name, Attempt: attempt, Results: results})
	if err != nil {
		t.Fatal(err)
	}
	return o.Next
}

func told(t *testing.T, q *Queue, name string, attempt int) (uint64, int) {
	t.Helper()
	consumed, results, err := q.Told(name, attempt)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, r := range results {
		rows += r.Rows
		r.Body.Drop()
	}
	return consumed.Next, rows
}

func TestWhatALostReaderHadComesAgainInOrder(t *testing.T) {
	q := NewQueue()
	enter(t, q, "a", 1, false)
	for n := range uint64(4) {
		put(t, q, 1, Chunk{Stream: "a", Number: n, Rows: 1})
	}
	first, _, _ := q.Take(1)
	q.Take(1)
	q.Take(1)
	q.Consume(1, first)
	q.Lose(1)
	for want := uint64(1); want < 4; want++ {
		ticket, c, ok := q.Take(2)
		if !ok || c.Number != want {
			t.Fatalf("chunk %d, %v: want %d", c.Number, ok, want)
		}
		q.Consume(2, ticket)
	}
	if n, _ := told(t, q, "a", 1); n != 4 || q.Bytes() != 0 {
		t.Errorf("consumed up to %d, %d bytes held", n, q.Bytes())
	}
}

// TestRowsOfAChunkThatALostReaderWasDoneWithAreNotWantedAgain: a chunk has rows for many batches.
func TestRowsOfAChunkThatALostReaderWasDoneWithAreNotWantedAgain(t *testing.T) {
	q := NewQueue()
	enter(t, q, "a", 1, false)
	put(t, q, 1, Chunk{Stream: "a", Rows: 9})
	ticket, _, _ := q.Take(1)
	q.Part(1, ticket, 4)
	q.Lose(1)
	if _, rows := q.Waiting(); rows != 5 {
		t.Errorf("%d rows wait", rows)
	}
	ticket, c, _ := q.Take(2)
	if c.Skip != 4 {
		t.Errorf("the next one is to skip %d", c.Skip)
	}
	q.Part(1, ticket, 9) // the lost one's last word
	q.Lose(2)
	if _, c, _ = q.Take(3); c.Skip != 4 {
		t.Errorf("and the one after it %d", c.Skip)
	}
}

// TestAReaderThatFillsABatchHoldsUpNoFeeder: the rows of a partition's end wait for those of the
// next one, whose task Spark may start only when this one has ended.
func TestAReaderThatFillsABatchHoldsUpNoFeeder(t *testing.T) {
	q := NewQueue()
	enter(t, q, "a", 1, false)
	put(t, q, 1, Chunk{Stream: "a", Rows: 3, Last: true})
	ticket, _, _ := q.Take(1)
	q.Release(1, ticket)
	if n, _ := told(t, q, "a", 1); n != 1 {
		t.Errorf("the feeder hears of %d consumed chunks", n)
	}
	q.Lose(1)
	ticket, _, ok := q.Take(2)
	if !ok {
		t.Fatal("the rows do not come again")
	}
	q.Consume(2, ticket)
	if n, _ := told(t, q, "a", 1); n != 1 || q.Bytes() != 0 {
		t.Errorf("consumed up to %d, %d bytes held", n, q.Bytes())
	}
}

// TestAReaderThatWantsMoreThanAWindowGetsIt: a program may want all rows of a partition before it
// answers any. What it holds counts in no window, needs no room, and is not consumed.
func TestAReaderThatWantsMoreThanAWindowGetsIt(t *testing.T) {
	q := NewQueue()
	enter(t, q, "a", 1, true)
	b := put(t, q, 1, Chunk{Stream: "a", Rows: 3, Results: true})
	ticket, _, _ := q.Take(1)
	q.Release(1, ticket)
	if c, _, err := q.Told("a", 1); c != (Consumed{Next: 0, Held: 1}) || err != nil || !b.aside || b.dropped != 0 {
		t.Errorf("the feeder hears %+v, %v; set aside: %v", c, err, b.aside)
	}
}

// TestAHeldChunkIsConsumedBeforeItsStreamHasEndedByItsReaderAlone: only the end of a partition may
// be lost with a container.
func TestAHeldChunkIsConsumedBeforeItsStreamHasEndedByItsReaderAlone(t *testing.T) {
	q := NewQueue()
	enter(t, q, "a", 1, false)
	put(t, q, 1, Chunk{Stream: "a", Rows: 3})
	ticket, _, _ := q.Take(1)
	q.Release(1, ticket)
	if n, _ := told(t, q, "a", 1); n != 0 {
		t.Errorf("the feeder hears of %d consumed chunks", n)
	}
	put(t, q, 1, Chunk{Stream: "a", Number: 1, Last: true})
	ticket, _, _ = q.Take(1)
	q.Consume(1, ticket)
	if n, _ := told(t, q, "a", 1); n != 2 {
		t.Errorf("the feeder of a stream that has ended hears of %d consumed chunks", n)
	}
}

// TestAReaderHearsThatAStreamIsGone: it may hold rows of the stream, and wait for more.
func TestAReaderHearsThatAStreamIsGone(t *testing.T) {
	q := NewQueue()
	enter(t, q, "a", 1, true)
	put(t, q, 1, Chunk{Stream: "a", Rows: 2, Results: true})
	q.Take(1)
	q.Forget("a", 1)
	ticket, c, ok := q.Take(1)
	if !ok || c.Stream != "a" || !c.Last || c.Rows != 0 {
		t.Errorf("it gets %+v, %v", c, ok)
	}
	q.Consume(1, ticket)
}

// TestAQueueDoesNotGrowWithItsFeeds: a stream of RDDs is a feed for each of them, for months.
func TestAQueueDoesNotGrowWithItsFeeds(t *testing.T) {
	q := NewQueue()
	for n := uint64(1); n <= 1000; n++ {
		for _, o := range []Opening{{Stream: fmt.Sprint(n), Feed: n, Over: n}, {Stream: fmt.Sprint("r", n), Results: true}} {
			if _, err := q.Enter(o); err != nil {
				t.Fatal(err)
			}
			put(t, q, 0, Chunk{Stream: o.Stream, Rows: 1, Last: true})
			ticket, _, _ := q.Take(1)
			q.Consume(1, ticket)
			if o.Results {
				q.Forget(o.Stream, 0)
			}
		}
	}
	if len(q.streams) > 1 || len(q.out) > 0 || len(q.waiting) > 0 {
		t.Errorf("it remembers %d streams, %d and %d chunks", len(q.streams), len(q.out), len(q.waiting))
	}
	if _, err := q.Enter(Opening{Stream: "999", Feed: 999}); !errors.Is(err, ErrSuperseded) {
		t.Errorf("an attempt of a feed that is over: %v", err)
	}
}

func TestALaterAttemptGoesOnWhereTheOneBeforeStopped(t *testing.T) {
	q := NewQueue()
	enter(t, q, "a", 1, false)
	put(t, q, 1, Chunk{Stream: "a", Rows: 1})
	if next := enter(t, q, "a", 5, false); next != 1 {
		t.Errorf("the next attempt begins with chunk %d", next)
	}
	if err := q.Put(1, Chunk{Stream: "a", Number: 1, Body: &counted{}}); !errors.Is(err, ErrSuperseded) {
		t.Errorf("the attempt before may feed on: %v", err)
	}
	if _, err := q.Enter(Opening{Stream: "a", Attempt: 1}); !errors.Is(err, ErrSuperseded) {
		t.Errorf("the attempt before may come again: %v", err)
	}
}

func TestAnsweredRowsAreFedAnewToALaterAttempt(t *testing.T) {
	q := NewQueue()
	enter(t, q, "a", 1, true)
	put(t, q, 1, Chunk{Stream: "a", Rows: 2, Results: true})
	ticket, _, _ := q.Take(1)
	if err := q.Answer(1, ticket, Result{Rows: 2, Body: &counted{size: 7}}); err != nil {
		t.Fatal(err)
	}
	if next := enter(t, q, "a", 2, true); next != 0 || q.Bytes() != 0 {
		t.Errorf("it begins with chunk %d, %d bytes held", next, q.Bytes())
	}
}

func TestAnswersOfAReaderThatIsLostAreGivenOnce(t *testing.T) {
	q := NewQueue()
	enter(t, q, "a", 1, true)
	put(t, q, 1, Chunk{Stream: "a", Rows: 2, Results: true})
	ticket, _, _ := q.Take(1)
	half := &counted{size: 1}
	if err := q.Answer(1, ticket, Result{Rows: 1, Body: half}); err != nil {
		t.Fatal(err)
	}
	if n, rows := told(t, q, "a", 1); n != 0 || rows != 0 {
		t.Errorf("half a chunk is told: %d, %d rows", n, rows)
	}
	q.Lose(1)
	if half.dropped != 1 {
		t.Error("the answer of the lost reader is kept")
	}
	ticket, _, _ = q.Take(2)
	if err := q.Answer(2, ticket, Result{Rows: 3, Body: &counted{}}); err == nil {
		t.Error("three answers to two rows pass")
	}
	if err := q.Answer(2, ticket, Result{Rows: 2, Body: &counted{}}); err != nil {
		t.Fatal(err)
	}
	if n, rows := told(t, q, "a", 1); n != 1 || rows != 2 {
		t.Errorf("told: %d, %d rows", n, rows)
	}
}

func TestAClosedQueueDropsEverything(t *testing.T) {
	q := NewQueue()
	enter(t, q, "a", 1, false)
	b := put(t, q, 1, Chunk{Stream: "a", Rows: 1})
	q.Close()
	c := put(t, q, 1, Chunk{Stream: "a", Number: 1, Rows: 1})
	if b.dropped != 1 || c.dropped != 1 || q.Bytes() != 0 {
		t.Errorf("dropped %d and %d times, %d bytes held", b.dropped, c.dropped, q.Bytes())
	}
	q.Close()
	if _, _, ok := q.Take(1); ok || !q.Over(1) {
		t.Error("a reader may wait for it")
	}
}

func TestAnEndedQueueWaitsForWhatMayComeBack(t *testing.T) {
	q := NewQueue()
	enter(t, q, "a", 1, false)
	put(t, q, 1, Chunk{Stream: "a", Rows: 1})
	q.Take(1)
	q.End()
	if q.Over(2) {
		t.Error("another reader need not wait for what the first has in hand")
	}
	if !q.Over(1) {
		t.Error("the first waits for itself")
	}
}

// TestEveryRowIsConsumedOnceAndNoByteIsLost: readers take, consume, answer, release and are lost at
// random, and attempts replace each other. Each chunk is consumed exactly once for its feeder, in
// order, and every body is dropped exactly once.
func TestEveryRowIsConsumedOnceAndNoByteIsLost(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { random(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

// waits is how many chunks wait, whose rows were counted right.
func waits(t *testing.T, q *Queue) int {
	t.Helper()
	chunks, rows := q.Waiting()
	for _, h := range q.waiting {
		rows -= h.left()
	}
	if rows != 0 {
		t.Fatalf("%d rows too many were counted", rows)
	}
	return chunks
}

func random(t *testing.T, r *rand.Rand) {
	const streams, chunks = 3, 8
	q := NewQueue()
	var bodies []*counted
	body := func() *counted { b := &counted{size: 1 + r.Int64N(9)}; bodies = append(bodies, b); return b }
	attempt := [streams]int{}
	next := [streams]uint64{}
	consumed := [streams]uint64{}
	answered := [streams]int{}
	name := func(i int) string { return fmt.Sprint("s", i) }
	for i := range streams {
		enter(t, q, name(i), 0, i == 0)
	}
	type out struct {
		ticket Ticket
		c      Chunk
	}
	held := map[int][]out{}
	reader := 1
	for step := 0; ; step++ {
		if step > 100000 {
			t.Fatal("it does not end")
		}
		i := r.IntN(streams)
		switch r.IntN(8) {
		case 0, 1:
			if next[i] < chunks {
				c := Chunk{Stream: name(i), Number: next[i], Rows: 2, Last: next[i] == chunks-1, Results: i == 0, Body: body()}
				if err := q.Put(attempt[i], c); err != nil {
					t.Fatal(err)
				}
				next[i]++
			}
		case 2, 3:
			if ticket, c, ok := q.Take(reader); ok {
				held[reader] = append(held[reader], out{ticket, c})
			}
		case 4:
			if len(held[reader]) > 0 {
				h := held[reader][0]
				held[reader] = held[reader][1:]
				if !h.c.Results {
					q.Consume(reader, h.ticket)
				} else if err := errors.Join(q.Answer(reader, h.ticket, Result{Rows: 1, Body: body()}), q.Answer(reader, h.ticket, Result{Rows: 1, Body: body()})); err != nil {
					t.Fatal(err)
				}
			}
		case 5:
			for _, h := range held[reader] {
				q.Release(reader, h.ticket)
			}
		case 6:
			if r.IntN(4) == 0 {
				q.Lose(reader)
				delete(held, reader)
				reader++
			}
		case 7:
			if i != 0 && r.IntN(10) == 0 {
				attempt[i]++
				if n := enter(t, q, name(i), attempt[i], false); n != next[i] {
					t.Fatalf("stream %d goes on at %d, and has %d", i, n, next[i])
				}
			}
		}
		all := true
		for i := range streams {
			n, rows := told(t, q, name(i), attempt[i])
			if n < consumed[i] {
				t.Fatalf("stream %d was consumed up to %d, and now to %d", i, consumed[i], n)
			}
			consumed[i], answered[i] = n, answered[i]+rows
			all = all && n == chunks
		}
		if answered[0] != 2*int(consumed[0]) {
			t.Fatalf("%d answers for %d chunks of two rows", answered[0], consumed[0])
		}
		if all && len(held[reader]) == 0 && waits(t, q) == 0 {
			break
		}
	}
	if q.Bytes() != 0 {
		t.Errorf("%d bytes are held in the end", q.Bytes())
	}
	if i := slices.IndexFunc(bodies, func(b *counted) bool { return b.dropped != 1 }); i >= 0 {
		t.Errorf("a body was dropped %d times", bodies[i].dropped)
	}
}
