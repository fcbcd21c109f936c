// Package ledger remembers what the application asked of YARN, and what came of it.
//
// It answers one question: given everything the ResourceManager has said so far, what must the next
// heartbeat carry? It talks to no one and never reads the clock. The application master's loop owns
// it; it is not safe for concurrent use.
//
// The caller's duties:
//   - Send what Next returns. If the call fails and may have arrived, send what Next returns again:
//     it is the same request under the same response id, which the ResourceManager answers from
//     memory if it had it already, without reading it.
//   - Give each answer to Answered, and act on all of the Outcome before setting an ask again: a
//     count is of containers still wanted, so one reckoned before a grant was seen is too high.
//   - When the ResourceManager does not know the master (yarn.ErrNotRegistered): register, then
//     Resync.
//   - When it refuses the request itself (yarn.ErrInvalidResource and its like): Refused, then mend
//     the asks.
package ledger

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"tfos/internal/yarn"
)

// Ledger is the account. Make one with New.
type Ledger struct {
	responseID int32
	// sent is the request that has no answer yet. Nothing that changes meanwhile enters it: were it
	// sent again with other content after a lost answer, the ResourceManager would not read that
	// content.
	sent *yarn.AllocateRequest

	asks map[int64]*entry // by Ask.ID

	held      map[yarn.ContainerID]bool // the caller's: granted or adopted, not completed
	releasing []release                 // in the order they were given back

	excluded map[string]bool // hosts that the caller excludes
	told     map[string]bool // hosts that the ResourceManager was told to exclude

	granted, surplus, unfit, completed int // since New
}

// entry is one ask: what is wanted, and what the ResourceManager has been told.
type entry struct {
	want yarn.Ask
	// told.Count is the ResourceManager's own count: what it was last told, less what it granted
	// since. Zero when it never heard of the ask.
	told yarn.Ask
	// unsure says that told.Count may be wrong, because a grant crossed with the ask that set it:
	// then the grant may or may not have been made out of the new count. Telling it again settles
	// the matter.
	unsure bool
}

// release is a container given back, until its completion is seen.
type release struct {
	id   yarn.ContainerID
	sent bool // the ResourceManager answered a request that carried it
}

// New returns an empty ledger, for a master that has just registered.
func New() *Ledger {
	return &Ledger{
		asks:     make(map[int64]*entry),
		held:     make(map[yarn.ContainerID]bool),
		excluded: make(map[string]bool),
		told:     make(map[string]bool),
	}
}

// SetAsk sets how many containers are still wanted under ask.ID: an absolute number that later
// grants lower. Zero or less cancels. The shape (priority, resource, label) may differ from before;
// containers of the old shape that arrive late are taken if they are large enough.
func (l *Ledger) SetAsk(ask yarn.Ask) {
	ask.Count = max(ask.Count, 0)
	e, ok := l.asks[ask.ID]
	if !ok {
		if ask.Count == 0 {
			return
		}
		e = &entry{told: ask}
		e.told.Count = 0
		l.asks[ask.ID] = e
	}
	e.want = ask
}

// Release gives containers back, started or not. Their completion still appears in an Outcome, if
// the caller held them.
func (l *Ledger) Release(ids ...yarn.ContainerID) {
	for _, id := range ids {
		if !slices.ContainsFunc(l.releasing, func(r release) bool { return r.id == id }) {
			l.releasing = append(l.releasing, release{id: id})
		}
	}
}

// Exclude keeps new containers off these hosts.
func (l *Ledger) Exclude(hosts ...string) {
	for _, h := range hosts {
		l.excluded[h] = true
	}
}

// Readmit ends an exclusion.
func (l *Ledger) Readmit(hosts ...string) {
	for _, h := range hosts {
		delete(l.excluded, h)
	}
}

// Adopt takes over containers that no ask of this ledger brought: those alive from an attempt
// before.
func (l *Ledger) Adopt(ids ...yarn.ContainerID) {
	for _, id := range ids {
		l.held[id] = true
	}
}

// Next is the request to send now: the one that still waits for its answer, else a new one with all
// that changed since. The caller does not alter it. progress, from 0 to 1, enters new requests
// only.
func (l *Ledger) Next(progress float32) yarn.AllocateRequest {
	if l.sent == nil {
		l.sent = l.build(progress)
	}
	return *l.sent
}

func (l *Ledger) build(progress float32) *yarn.AllocateRequest {
	req := &yarn.AllocateRequest{ResponseID: l.responseID, Progress: progress}
	for _, id := range slices.SortedFunc(maps.Keys(l.asks), l.order) {
		req.Asks = append(req.Asks, l.asks[id].news()...)
	}
	for _, r := range l.releasing {
		if !r.sent {
			req.Releases = append(req.Releases, r.id)
		}
	}
	req.BlacklistAdd = without(l.excluded, l.told)
	req.BlacklistRemove = without(l.told, l.excluded)
	return req
}

// order is by priority, as the ResourceManager will serve them.
func (l *Ledger) order(a, b int64) int {
	return cmp.Or(cmp.Compare(l.asks[a].want.Priority, l.asks[b].want.Priority), cmp.Compare(a, b))
}

// news is what the ResourceManager must be told of the ask. A shape it knows and that is no longer
// wanted is cancelled first: it keeps asks by their priority, so another priority would not replace
// it.
func (e *entry) news() []yarn.Ask {
	same := sameShape(e.told, e.want)
	if same && !e.unsure && e.told.Count == e.want.Count {
		return nil
	}
	var rows []yarn.Ask
	if !same && (e.unsure || e.told.Count > 0) {
		cancel := e.told
		cancel.Count = 0
		rows = append(rows, cancel)
	}
	if same || e.want.Count > 0 {
		rows = append(rows, e.want)
	}
	return rows
}

// settled reports whether nothing is wanted and the ResourceManager knows it.
func (e *entry) settled() bool { return e.want.Count == 0 && e.told.Count == 0 && !e.unsure }

func sameShape(a, b yarn.Ask) bool {
	return a.Priority == b.Priority && a.NodeLabel == b.NodeLabel && a.Resource.Equal(b.Resource)
}

// without are the members of a that are not in b, sorted.
func without(a, b map[string]bool) []string {
	var out []string
	for h := range a {
		if !b[h] {
			out = append(out, h)
		}
	}
	slices.Sort(out)
	return out
}

// Outcome sorts what an answer brought. Every container of the answer is in one of the first three
// lists, and every completion in one of the last two, at most once in the ledger's life.
type Outcome struct {
	Granted []yarn.Container // wanted: the caller holds them from now on
	// Surplus came after the want for them had gone. The ledger gives them back; the caller only
	// logs them.
	Surplus []yarn.Container
	// Unfit hold less than is asked for: the scheduler dropped a resource that it does not know, or
	// the ask grew since. The ledger gives them back and goes on asking, so a caller that lets it
	// gets such containers for ever.
	Unfit     []yarn.Container
	Completed []yarn.ContainerStatus // of containers that the caller held
	// Unknown are completions of containers that the caller does not hold: repeated ones, of
	// surplus, or of an attempt before.
	Unknown []yarn.ContainerStatus
}

// ErrNoRequest is returned for an answer to nothing.
var ErrNoRequest = errors.New("an answer from the ResourceManager, and no heartbeat waits for one")

// Answered takes the answer to the request that Next returned.
func (l *Ledger) Answered(resp yarn.AllocateResponse) (Outcome, error) {
	if l.sent == nil {
		return Outcome{}, ErrNoRequest
	}
	crossed := l.acknowledge()
	l.responseID = resp.ResponseID

	var out Outcome
	for _, c := range resp.Granted {
		l.grant(c, crossed, &out)
	}
	for _, c := range resp.Kept {
		l.held[c.ID] = true
	}
	for _, s := range resp.Completed {
		l.releasing = slices.DeleteFunc(l.releasing, func(r release) bool { return r.id == s.ID })
		if !l.held[s.ID] {
			out.Unknown = append(out.Unknown, s)
			continue
		}
		delete(l.held, s.ID)
		l.completed++
		out.Completed = append(out.Completed, s)
	}
	maps.DeleteFunc(l.asks, func(_ int64, e *entry) bool { return e.settled() })
	return out, nil
}

// acknowledge books the request that was answered as known to the ResourceManager, and returns
// which asks it carried.
func (l *Ledger) acknowledge() map[int64]bool {
	carried := make(map[int64]bool, len(l.sent.Asks))
	for _, row := range l.sent.Asks {
		e := l.asks[row.ID] // there: settled entries alone are dropped, and this one had news
		e.told, e.unsure = row, false
		carried[row.ID] = true
	}
	for i := range l.releasing {
		if slices.Contains(l.sent.Releases, l.releasing[i].id) {
			l.releasing[i].sent = true
		}
	}
	for _, h := range l.sent.BlacklistAdd {
		l.told[h] = true
	}
	for _, h := range l.sent.BlacklistRemove {
		delete(l.told, h)
	}
	l.sent = nil
	return carried
}

// grant books one container. crossed are the asks that went to the ResourceManager in the request
// it came in answer to.
func (l *Ledger) grant(c yarn.Container, crossed map[int64]bool, out *Outcome) {
	if l.held[c.ID] || slices.ContainsFunc(l.releasing, func(r release) bool { return r.id == c.ID }) {
		return // told twice
	}
	e := l.askOf(c)
	if e == nil { // nobody asks for it: the ResourceManager must have a count of its own
		none := yarn.Ask{ID: c.AskID, Priority: c.Priority, Resource: c.Resource}
		e = &entry{want: none, told: none}
		l.asks[none.ID] = e
	}
	if crossed[e.want.ID] || e.told.Count == 0 {
		e.unsure = true
	} else {
		e.told.Count--
	}
	switch {
	case e.want.Count == 0:
		l.surplus++
		out.Surplus = append(out.Surplus, c)
		l.Release(c.ID)
	case !e.want.Resource.Fits(c.Resource):
		l.unfit++
		out.Unfit = append(out.Unfit, c)
		l.Release(c.ID)
	default:
		e.want.Count--
		l.held[c.ID] = true
		l.granted++
		out.Granted = append(out.Granted, c)
	}
}

// askOf finds the ask that a container answers: by the id it echoes, or by priority if the
// scheduler echoes none.
func (l *Ledger) askOf(c yarn.Container) *entry {
	if e, ok := l.asks[c.AskID]; ok {
		return e
	}
	for _, id := range slices.Sorted(maps.Keys(l.asks)) {
		if e := l.asks[id]; c.AskID <= 0 && e.told.Priority == c.Priority {
			return e
		}
	}
	return nil
}

// Refused drops the request that waits for its answer: the ResourceManager read it and took nothing
// of it. The next one repeats what is still wanted by then.
func (l *Ledger) Refused() { l.sent = nil }

// Resync starts over with a ResourceManager that remembers nothing: after it restarted and the
// master registered again. The next request carries everything: asks, containers given back whose
// end was not seen, excluded hosts.
func (l *Ledger) Resync() {
	l.sent = nil
	l.responseID = 0
	for _, e := range l.asks {
		e.told = e.want
		e.told.Count, e.unsure = 0, false
	}
	maps.DeleteFunc(l.asks, func(_ int64, e *entry) bool { return e.settled() })
	for i := range l.releasing {
		l.releasing[i].sent = false
	}
	clear(l.told)
}
