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
	"tfos/internal/writeahead"
)

// The journal is the newest state of the machine, in a file of the attempt that writes it: a zombie
// of an attempt before cannot spoil it, and no file is ever appended to, which HDFS refuses for a
// minute after the writer's death. One write is under way at a time, and what changes meanwhile
// goes into the next one.

// journalVersion changes when older journals cannot be read any more.
const journalVersion = 1

// record is the journal's content.
type record struct {
	Version int             `json:"tfos_journal"`
	Attempt int32           `json:"attempt"` // that wrote it
	Written time.Time       `json:"written"` // by the owner's clock: the next attempt's goes on from there
	Machine json.RawMessage `json:"machine"` // membership's snapshot
}

// journal carries snapshots to the filesystem. It decides nothing; the owner uses the fields below
// store.
type journal struct {
	store func(ctx context.Context, content []byte) error

	next   chan []byte // capacity 1: the owner sends one when the one before is stored
	stored chan error  // capacity 1

	book    writeahead.Book[func()] // what clients are told waits in it for as long as no write fails
	problem string                  // why the first write in a row failed; empty: none did
	outbox  membership.Outbox
}

func newJournal(store func(context.Context, []byte) error) *journal {
	return &journal{store: store, next: make(chan []byte, 1), stored: make(chan error, 1)}
}

// run writes what the owner sends. It rests as long as a write took, so that a crowd of events
// costs the NameNode little. After stop it ends when the write under way has, and after ctx's end
// at once.
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
	j.book.Write()
	j.next <- content
	return nil
}

// wrote books the end of a write.
func (j *journal) wrote(err error, log *zap.Logger) {
	failed := j.book.Failures()
	news := j.book.Wrote(err)
	switch {
	case err == nil:
		j.problem = ""
	case failed == 0:
		j.problem = fmt.Sprintf("the master's journal cannot be written: if the master dies, tasks may start anew: %v", err)
	}
	switch {
	case !news:
	case err == nil:
		log.Info("journal written again", zap.Int("failed", failed))
	default:
		log.Warn("journal not written: if this master dies, tasks may start anew", zap.Error(err), zap.Int("in_a_row", j.book.Failures()))
	}
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

// readJournal reads one attempt's journal. The filesystem may be about to come back: an attempt
// often ends with its node.
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
