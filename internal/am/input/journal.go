package input

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"go.uber.org/zap"

	"tfos/internal/dfs"
	"tfos/internal/lease"
	"tfos/internal/pause"
	"tfos/internal/writeahead"
)

// Journal keeps the newest state of the machine in the job's staging directory, for the attempt of
// the master that comes after this one: no call is answered before the journal has what the answer
// says. What is written is a file of this attempt, so that a zombie of an attempt before cannot
// spoil it, beside the lists of files, which are named by their content and written once.
type Journal struct {
	FS      dfs.FS
	Dir     string
	Attempt int32
}

// journalVersion changes when older journals cannot be read any more.
const journalVersion = 1

// record is the journal's content.
type record struct {
	Version int               `json:"tfos_input"`
	Files   map[string]string `json:"files"`   // names of the lists, by the machine's key
	Machine json.RawMessage   `json:"machine"` // its snapshot
}

func (j Journal) name(attempt int32) string {
	return path.Join(j.Dir, fmt.Sprintf("input-%d.json", attempt))
}

// scribe writes one journal. One write is under way at a time.
type scribe struct {
	Journal
	written map[string]bool        // names of lists that are there
	names   map[*lease.File]string // of lists, by their first element
}

func newScribe(j Journal) *scribe {
	return &scribe{j, make(map[string]bool), make(map[*lease.File]string)}
}

func (s *scribe) write(ctx context.Context, machine []byte, files map[string][]lease.File) error {
	r := record{Version: journalVersion, Files: make(map[string]string), Machine: machine}
	for key, list := range files {
		name, err := s.list(ctx, list)
		if err != nil {
			return err
		}
		r.Files[key] = name
	}
	content, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return create(ctx, s.FS, s.name(s.Attempt), content)
}

// list writes a list of files, unless it is there.
func (s *scribe) list(ctx context.Context, list []lease.File) (string, error) {
	if name, ok := s.names[&list[0]]; ok { // a list that is known does not change
		return name, nil
	}
	content, err := json.Marshal(list)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	name := "input-files-" + hex.EncodeToString(sum[:8]) + ".json"
	if !s.written[name] {
		if err := create(ctx, s.FS, path.Join(s.Dir, name), content); err != nil {
			return "", err
		}
	}
	s.written[name], s.names[&list[0]] = true, name
	return name, nil
}

// recall finds the machine that the newest attempt before this one left; a new one if none has.
func (j Journal) recall(ctx context.Context) (*lease.Machine, error) {
	for attempt := j.Attempt - 1; attempt > 0; attempt-- {
		var r record
		err := j.read(ctx, j.name(attempt), &r)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if r.Version != journalVersion {
			return nil, fmt.Errorf("%s is of version %d, this program reads %d", j.name(attempt), r.Version, journalVersion)
		}
		files := make(map[string][]lease.File)
		for key, name := range r.Files {
			var list []lease.File
			if err := j.read(ctx, path.Join(j.Dir, path.Base(name)), &list); err != nil {
				return nil, err
			}
			files[key] = list
		}
		return lease.FromSnapshot(r.Machine, files)
	}
	return lease.New(), nil
}

func (j Journal) read(ctx context.Context, name string, into any) error {
	b, err := content(ctx, j.FS, name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// content reads a file.
func content(ctx context.Context, fs dfs.FS, name string) ([]byte, error) {
	b, err := dfs.ReadFile(ctx, fs, name, maxState)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}

// create writes a file, in place of one that was there.
func create(ctx context.Context, fs dfs.FS, name string, content []byte) error {
	if err := dfs.WriteFile(ctx, fs, name, content, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// journalWait bounds one write, journalPause is the pause after one that failed.
const (
	journalWait  = time.Minute
	journalPause = time.Second
)

// keeping is what the owner knows of its journal.
type keeping struct {
	scribe  *scribe // nil: there is no journal, and nobody waits for it
	book    writeahead.Book[debt]
	problem string // why the first write in a row failed; empty: none did
}

// debt is an answer that the journal does not have yet.
type debt struct {
	to     chan lease.Answer
	answer lease.Answer
}

// wrote is the end of a write.
type wrote struct{ err error }

// give answers a call once the journal has what led to the answer.
func (o *owner) give(c call, a lease.Answer) {
	o.keeping.book.Promise(debt{c.answer, a})
	o.pay()
}

// pay gives the answers that the journal has.
func (o *owner) pay() {
	for _, d := range o.keeping.book.Kept(o.keeping.scribe == nil) {
		d.to <- d.answer
	}
}

// keep starts to write the machine down if something has changed and nobody writes.
func (o *owner) keep(ctx context.Context) {
	k := &o.keeping
	if k.scribe == nil || !k.book.Due() {
		return
	}
	machine, err := o.machine.Snapshot()
	if err != nil {
		o.o.Log.Error("state of the input not written down", zap.Error(err)) // it is made of plain values: never
		return
	}
	files, failed := o.machine.FilesOf(), k.book.Failures() > 0
	k.book.Write()
	o.work.Go(func() {
		if failed && pause.For(ctx, journalPause) != nil {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, journalWait)
		defer cancel()
		o.post(wrote{k.scribe.write(ctx, machine, files)})
	})
}

// wrote books the end of a write, and pays what was owed for it.
func (o *owner) wrote(err error) {
	k := &o.keeping
	news := k.book.Wrote(err)
	if err == nil {
		k.problem = ""
		o.pay()
		return
	}
	if k.book.Failures() == 1 {
		k.problem = fmt.Sprintf("how far the input is cannot be written down, so programs wait for their input: %v", err)
	}
	if news {
		o.o.Log.Warn("state of the input not written down: programs wait for their input", zap.Error(err), zap.Int("in_a_row", k.book.Failures()))
	}
}
