package feed

import (
	"cmp"
	"maps"
	"slices"
)

// Worker is a task that takes rows.
type Worker struct {
	Task    string // worker/0
	Address string // host:port of its agent's feed; empty: it has no agent now
	Host    string
	Outlook Outlook
	Why     string // of an Outlook that is not Open
}

// Verdict is what a feeder should do with its stream.
type Verdict struct {
	Place Place  // where to feed it, if Why is empty
	Why   string // why not: Done, Wait, Superseded, or an Outlook
	Text  string
}

// Why a stream is not fed, beside the outlooks.
const (
	Done       = "done"       // all its rows are consumed
	Wait       = "wait"       // for its worker, which has no agent now
	Superseded = "superseded" // a later attempt feeds it
)

// assignment is the worker that a stream goes to.
type assignment struct {
	task    string
	feed    uint64
	attempt int
	results bool
	active  bool // it is fed now
	done    bool
}

// Roster is the driver's: who works, and who got which stream.
//
// A stream stays with its worker as long as that wants rows, whatever becomes of its container, so
// that what was consumed of it is not fed again. A stream that is done stays done, until its feed
// is over. A stream whose rows are answered begins anew with each attempt: it is forgotten between
// them.
type Roster struct {
	workers map[string]Worker
	streams map[string]*assignment
	busy    map[string]int // streams under way, by task
	given   map[string]int // streams ever, by task
	over    uint64         // feeds before this number have ended
	finish  string         // why the job has ended: an Outlook; empty: it has not
	text    string
}

// NewRoster makes an empty Roster.
func NewRoster() *Roster {
	return &Roster{workers: map[string]Worker{}, streams: map[string]*assignment{}, busy: map[string]int{}, given: map[string]int{}}
}

// Set takes note of where a worker stands.
func (r *Roster) Set(w Worker) { r.workers[w.Task] = w }

// Finish takes note that the job has ended. The first word counts.
func (r *Roster) Finish(why, text string) {
	if r.finish == "" {
		r.finish, r.text = why, text
	}
}

// Assign says where an attempt feeds its stream. It says the same as before as long as that holds.
func (r *Roster) Assign(o Opening) Verdict {
	r.endFeeds(o.Over)
	a := r.streams[o.Stream]
	switch {
	case ended(o.Feed, r.over), a != nil && o.Attempt < a.attempt:
		return Verdict{Why: Superseded, Text: ErrSuperseded.Error()}
	case a != nil && a.done:
		return Verdict{Why: Done}
	case r.finish == string(Failed):
		return Verdict{Why: r.finish, Text: r.text}
	case r.finish != "":
		return Verdict{Why: string(Terminated)}
	case a == nil:
		task := o.Task
		if task == "" {
			w, ok := r.choose(o.Host)
			if !ok {
				return r.nobody()
			}
			task = w.Task
		}
		a = &assignment{task: task, feed: o.Feed, results: o.Results}
		r.streams[o.Stream] = a
		r.given[task]++
	}
	a.attempt = o.Attempt
	r.set(a, true)
	switch w, known := r.workers[a.task]; {
	case !known:
		return Verdict{Why: Wait}
	case w.Outlook != Open:
		return Verdict{Why: string(w.Outlook), Text: w.Why}
	case w.Address == "":
		return Verdict{Why: Wait}
	default:
		return Verdict{Place: Place{Task: w.Task, Address: w.Address}}
	}
}

// endFeeds forgets the streams of feeds before a number.
func (r *Roster) endFeeds(over uint64) {
	if over <= r.over {
		return
	}
	r.over = over
	for name, a := range r.streams { // any order: each goes by itself
		if ended(a.feed, over) {
			r.set(a, false)
			delete(r.streams, name)
		}
	}
}

// choose finds the worker with the fewest streams under way, then with the fewest ever, then on the
// feeder's host.
func (r *Roster) choose(host string) (best Worker, ok bool) {
	for _, task := range slices.Sorted(maps.Keys(r.workers)) {
		w := r.workers[task]
		if w.Outlook != Open || w.Address == "" {
			continue
		}
		if !ok || r.before(w, best, host) {
			best, ok = w, true
		}
	}
	return best, ok
}

func (r *Roster) before(a, b Worker, host string) bool {
	far := func(w Worker) int {
		if w.Host == host {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(r.busy[a.Task], r.busy[b.Task]), cmp.Compare(r.given[a.Task], r.given[b.Task]), cmp.Compare(far(a), far(b))) < 0
}

// nobody says why no worker takes a new stream.
func (r *Roster) nobody() Verdict {
	wanted := false
	for _, w := range r.workers { // any order: one of them is enough
		wanted = wanted || w.Outlook != Terminated
	}
	if wanted || len(r.workers) == 0 {
		return Verdict{Why: Wait}
	}
	return Verdict{Why: string(Terminated)}
}

// set says whether a stream is fed now.
func (r *Roster) set(a *assignment, active bool) {
	switch {
	case active && !a.active:
		r.busy[a.task]++
	case !active && a.active:
		r.busy[a.task]--
	}
	a.active = active
}

// Done takes note that all rows of a stream are consumed, or dropped because its worker wanted no
// more.
func (r *Roster) Done(stream string, attempt int) { r.left(stream, attempt, true) }

// Leave takes note that an attempt is gone. Another one may come.
func (r *Roster) Leave(stream string, attempt int) { r.left(stream, attempt, false) }

func (r *Roster) left(stream string, attempt int, done bool) {
	a := r.streams[stream]
	if a == nil || a.attempt != attempt {
		return
	}
	a.done = a.done || done
	r.set(a, false)
	if a.results {
		delete(r.streams, stream)
	}
}

// Terminated reports whether every worker wants no more rows.
func (r *Roster) Terminated() bool {
	return len(r.workers) > 0 && r.nobody().Why == string(Terminated)
}
