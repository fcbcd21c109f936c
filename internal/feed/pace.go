package feed

import "math"

// Standing is where a program stands that keeps pace with those of the other workers.
type Standing struct {
	Reader string // its connection; empty: it has none
	Rows   int64  // that it was handed, or that wait for it, on this connection
	Ended  bool   // no more will come
}

// Limit is how many rows a program may use, on one connection.
type Limit struct {
	Rows  int64 `json:"rows"`
	Final bool  `json:"final"` // it is the same for all, and they end there
	Lost  bool  `json:"lost"`  // another program is lost: all begin anew
}

// Pace decides how many rows each worker may use, so that programs that take each step together
// take the last one together: as many as the one that has the fewest.
//
// A round begins when all workers are connected, and is over when one of them is lost: then all are
// to begin anew, as those do that depend on each other. A worker that wants no more ends all of
// them.
type Pace struct {
	workers map[string]Standing // by task; those that must be there are from the beginning
	round   map[string]string   // the readers of this round; nil: there is none
	past    map[string]bool     // readers of rounds that are over
	limit   Limit
}

// NewPace makes a Pace of these tasks.
func NewPace(tasks []string) *Pace {
	p := &Pace{workers: map[string]Standing{}, past: map[string]bool{}}
	for _, t := range tasks {
		p.workers[t] = Standing{}
	}
	return p
}

// Set takes note of where a worker stands.
func (p *Pace) Set(task string, s Standing) {
	if _, ok := p.workers[task]; !ok {
		return
	}
	p.workers[task] = s
	if p.round != nil && p.round[task] != s.Reader && !p.limit.Final {
		for _, reader := range p.round { // any order: all of them are of the past
			p.past[reader] = true
		}
		p.round = nil
	}
	if p.round == nil && !p.begin() {
		return
	}
	p.advance()
}

// Leave takes note that a worker wants no more rows: what all have used by now is what they get.
func (p *Pace) Leave(task string) {
	if _, ok := p.workers[task]; ok && p.round != nil {
		p.limit.Final = true
	}
}

// begin begins a round, if all are there.
func (p *Pace) begin() bool {
	round := map[string]string{}
	for task, s := range p.workers { // any order: all must be there
		if s.Reader == "" || p.past[s.Reader] {
			return false
		}
		round[task] = s.Reader
	}
	p.round, p.limit, p.past = round, Limit{}, map[string]bool{}
	return true
}

// advance finds the limit, which never falls within a round.
func (p *Pace) advance() {
	if p.limit.Final {
		return
	}
	least, ended := int64(math.MaxInt64), true
	for _, s := range p.workers { // any order: the least is the least
		least, ended = min(least, s.Rows), ended && s.Ended
	}
	p.limit = Limit{Rows: max(p.limit.Rows, least), Final: ended}
}

// Limit is a worker's.
func (p *Pace) Limit(task string) (reader string, l Limit) {
	if p.round != nil {
		return p.round[task], p.limit
	}
	reader = p.workers[task].Reader
	return reader, Limit{Lost: p.past[reader]}
}
