package am

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"time"

	"go.uber.org/zap"

	"tfos/internal/dfs"
	"tfos/internal/launch"
	"tfos/internal/membership"
)

// The journal is the newest state of the machine, in a file of the attempt that writes it: a zombie of an attempt before cannot
// spoil it, and no file is ever appended to, which HDFS refuses for a minute after the writer's death. One write is under way
// at a time, and what changes meanwhile goes into the next one.

// journalVersion changes when a journal of before cannot be read any more.
const journalVersion = 1

// record is the journal's content.
type record struct {
	Version int             `json:"tfos_journal"`
	Attempt int32           `json:"attempt"` // that wrote it
	Written time.Time       `json:"written"` // by the owner's clock: the next attempt's goes on from there
	Machine json.RawMessage `json:"machine"` // membership's snapshot
}

// journalPatience is how long the end of a process waits for the journal to have what led to it. A filesystem that takes longer must
// not hold up the job: then a death of the master at the wrong moment costs a restart. A launch, whose files come from the same
// filesystem, waits for as long as no write fails, so that no incarnation is given out twice; so does a client, so that what was
// promised is not forgotten.
const journalPatience = 3 * time.Second

// journal carries snapshots to the filesystem. It decides nothing; the owner uses the fields below store.
type journal struct {
	store func(ctx context.Context, content []byte) error

	next   chan []byte // capacity 1: the owner sends one when the one before is stored
	stored chan error  // capacity 1

	turn     int64  // the machine's newest turn
	writing  int64  // the turn that the write under way has; 0: none is
	safe     int64  // the newest turn that the journal has
	failures int    // writes that failed in a row
	problem  string // why the first of them did; empty: none
	waiting  []held // oldest first
}

// held is something that is not to be done before the journal has the turn that it came of.
type held struct {
	turn  int64
	until time.Time // when it is done in any case; zero: when a write fails
	do    func()
}

func newJournal(store func(context.Context, []byte) error) *journal {
	return &journal{store: store, next: make(chan []byte, 1), stored: make(chan error, 1)}
}

// run writes what the owner sends. It rests as long as a write took, so that a crowd of events costs the NameNode little. After stop
// it ends when the write under way has, and after ctx's end at once.
func (j *journal) run(ctx context.Context, stop <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-stop:
			return
		case content := <-j.next:
			began := time.Now()
			err := j.store(ctx, content)
			j.stored <- err
			rest := time.NewTimer(min(max(time.Since(began), restAfter(err)), time.Second))
			select {
			case <-ctx.Done():
			case <-stop:
			case <-rest.C:
			}
			rest.Stop()
		}
	}
}

// restAfter is the least rest after a write.
func restAfter(err error) time.Duration {
	if err != nil {
		return 500 * time.Millisecond
	}
	return 0
}

// precious reports whether an action destroys what the agents could tell the next attempt, or starts what could not tell: the
// journal must have it first.
func precious(a membership.Action) bool {
	switch a.(type) {
	case membership.Launch, membership.StopProcess, membership.Retire:
		return true
	}
	return false
}

// hold keeps something back until the journal has this turn, or until it has waited for too long. What is patient waits on.
func (j *journal) hold(now time.Time, patient bool, do func()) {
	h := held{turn: j.turn, do: do}
	if !patient {
		h.until = now.Add(journalPatience)
	}
	j.waiting = append(j.waiting, h)
}

// ready takes out what need not wait any longer.
func (j *journal) ready(now time.Time) []func() {
	var out []func()
	var still []held
	for _, h := range j.waiting {
		if late := !h.until.IsZero() && !now.Before(h.until); late || j.failures > 0 || h.turn <= j.safe {
			out = append(out, h.do)
		} else {
			still = append(still, h)
		}
	}
	j.waiting = still
	return out
}

// wake is when ready has to be asked even if nothing happens; zero: never.
func (j *journal) wake() time.Time {
	var at time.Time
	for _, h := range j.waiting {
		if !h.until.IsZero() && (at.IsZero() || h.until.Before(at)) {
			at = h.until
		}
	}
	return at
}

// due reports whether there is something to write, and nobody writes.
func (j *journal) due() bool { return j.writing == 0 && j.turn > j.safe }

// write starts to write a snapshot of the machine as it is now.
func (j *journal) write(attempt int32, now time.Time, m *membership.Machine) error {
	snapshot, err := m.Snapshot()
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	content, err := json.Marshal(record{journalVersion, attempt, now, snapshot})
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	j.writing = j.turn
	j.next <- content
	return nil
}

// wrote books the end of a write.
func (j *journal) wrote(err error, log *zap.Logger) {
	if err != nil {
		if j.failures++; j.failures == 1 {
			j.problem = fmt.Sprintf("the master's journal cannot be written: if the master dies, tasks may start anew: %v", err)
		}
		if j.failures == 1 || j.failures%60 == 0 {
			log.Warn("journal not written: if this master dies, tasks may start anew", zap.Error(err), zap.Int("in_a_row", j.failures))
		}
	} else {
		if j.failures > 0 {
			log.Info("journal written again", zap.Int("failed", j.failures))
		}
		j.failures, j.problem, j.safe = 0, "", j.writing
	}
	j.writing = 0
}

// errNoJournal says that no attempt before this one has written a journal.
var errNoJournal = errors.New("no attempt before has left a journal")

// recall finds the machine that the newest attempt before this one left, and when that was.
func (m *Master) recall(ctx context.Context) (*membership.Machine, time.Time, error) {
	for attempt := m.o.Container.Attempt.Attempt - 1; attempt > 0; attempt-- {
		machine, written, err := m.readJournal(ctx, attempt)
		if !errors.Is(err, fs.ErrNotExist) {
			return machine, written, err
		}
	}
	return nil, time.Time{}, errNoJournal
}

// readJournal reads one attempt's journal. The filesystem may be about to come back: an attempt often ends with its node.
func (m *Master) readJournal(ctx context.Context, attempt int32) (*membership.Machine, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, stageTimeout)
	defer cancel()
	name := path.Join(m.o.Manifest.Staging, launch.JournalFile(attempt))
	for pauses := rests(); ; {
		b, err := readFile(ctx, m.o.FS, name)
		if err == nil {
			return parseJournal(name, b)
		}
		if errors.Is(err, fs.ErrNotExist) || !errors.Is(err, dfs.ErrUnreachable) && !errors.Is(err, dfs.ErrSafeMode) {
			return nil, time.Time{}, fmt.Errorf("read %s: %w", name, err)
		}
		if pauses.Wait(ctx) != nil {
			return nil, time.Time{}, fmt.Errorf("read %s: %w", name, err)
		}
	}
}

func parseJournal(name string, b []byte) (*membership.Machine, time.Time, error) {
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, time.Time{}, fmt.Errorf("read %s: %w", name, err)
	}
	if r.Version != journalVersion {
		return nil, time.Time{}, fmt.Errorf("read %s: it is of version %d, this program reads %d", name, r.Version, journalVersion)
	}
	machine, err := membership.Restore(r.Machine)
	return machine, r.Written, err
}

// readFile reads a small file.
func readFile(ctx context.Context, fs dfs.FS, name string) ([]byte, error) {
	return dfs.ReadFile(ctx, fs, name, math.MaxInt64)
}
