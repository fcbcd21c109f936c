package ledger

import (
	"maps"
	"slices"

	"tfos/internal/yarn"
)

// Snapshot is the ledger at one moment, for people and for deciding how soon to send the next
// heartbeat.
type Snapshot struct {
	ResponseID int32
	Waiting    bool       // for an answer
	Wanted     int        // containers still wanted
	Unsaid     bool       // a new request would carry something: send it soon
	Asks       []yarn.Ask // still wanted, by priority
	Held       []yarn.ContainerID
	Releasing  []yarn.ContainerID // given back, end not seen
	Excluded   []string           // hosts

	// Totals since the ledger began.
	Granted, Surplus, Unfit, Completed int
}

// Snapshot copies the ledger out.
func (l *Ledger) Snapshot() Snapshot {
	s := Snapshot{
		ResponseID: l.responseID,
		Waiting:    l.sent != nil,
		Wanted:     l.Wanted(),
		Asks:       l.Open(),
		Held:       slices.SortedFunc(maps.Keys(l.held), yarn.ContainerID.Compare),
		Excluded:   slices.Sorted(maps.Keys(l.excluded)),
		Granted:    l.granted, Surplus: l.surplus, Unfit: l.unfit, Completed: l.completed,
	}
	for _, r := range l.releasing {
		s.Releasing = append(s.Releasing, r.id)
	}
	next := l.build(0)
	s.Unsaid = len(next.Asks)+len(next.Releases)+len(next.BlacklistAdd)+len(next.BlacklistRemove) > 0
	return s
}

// Wanted counts the containers still wanted: while there are any, heartbeats should be frequent.
func (l *Ledger) Wanted() int {
	n := 0
	for _, e := range l.asks {
		n += e.want.Count
	}
	return n
}

// Open are the asks of which containers are still wanted, by priority.
func (l *Ledger) Open() []yarn.Ask {
	var out []yarn.Ask
	for _, id := range slices.SortedFunc(maps.Keys(l.asks), l.order) {
		if ask := l.asks[id].want; ask.Count > 0 {
			out = append(out, ask)
		}
	}
	return out
}
