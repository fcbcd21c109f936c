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
	attempt int
	active  bool // it is fed now
	done    bool
}

// Roster is the driver's: who works, and who got which stream.
//
// A stream stays with its worker as long as that wants rows, whatever becomes of its container, so
// that what was consumed of it is not fed again. A stream that is done stays done.
type Roster struct {
	workers map[string]Worker
	streams map[string]*assignment
	busy    map[string]int // streams under way, by task
	given   map[string]int // streams ever, by task
	over    string         // why the job has ended: an Outlook, or "done"; empty: it has not
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
	if r.over == "" {
		r.over, r.text = why, text
	}
}

// Assign says where an attempt feeds its stream. It says the same as before as long as that holds.
// With results, rows that were answered to an attempt before are fed again.
func (r *Roster) Assign(stream string, attempt int, results bool, host string) Verdict {
	a := r.streams[stream]
	switch {
	case a != nil && attempt < a.attempt:
		return Verdict{Why: Superseded}
	case a != nil && a.done && (!results || attempt == a.attempt):
		return Verdict{Why: Done}
	case r.over == string(Failed):
		return Verdict{Why: r.over, Text: r.text}
	case r.over != "":
		return Verdict{Why: string(Terminated)}
	case a == nil || a.done:
		w, ok := r.choose(host)
		if !ok {
			return r.nobody()
		}
		a = &assignment{task: w.Task}
		r.streams[stream] = a
		r.given[w.Task]++
	}
	a.attempt = attempt
	r.set(a, true)
	switch w := r.workers[a.task]; {
	case w.Outlook != Open:
		return Verdict{Why: string(w.Outlook), Text: w.Why}
	case w.Address == "":
		return Verdict{Why: Wait}
	default:
		return Verdict{Place: Place{Task: w.Task, Address: w.Address}}
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
func (r *Roster) Done(stream string, attempt int) {
	if a := r.streams[stream]; a != nil && a.attempt == attempt {
		a.done = true
		r.set(a, false)
	}
}

// Leave takes note that an attempt is gone. Another one may come.
func (r *Roster) Leave(stream string, attempt int) {
	if a := r.streams[stream]; a != nil && a.attempt == attempt {
		r.set(a, false)
	}
}

// Terminated reports whether every worker wants no more rows.
func (r *Roster) Terminated() bool {
	return len(r.workers) > 0 && r.nobody().Why == string(Terminated)
}
