// Package once has the work that a key names done by one application at a time, and by none after
// one that succeeded, whoever asks for it, however many at once, and whenever they die.
//
// A key's applications are files of a directory, 1, 2, …: its tries. Creating such a file decides,
// for of any number of submitters only one can. It names an application whose submission lies
// staged by then, so that everyone who finds the file can hand the application in; and to hand it
// in twice is to hand it in once, for YARN knows applications by their ids. So nobody waits for
// anybody, and no clock decides. A new try begins only when the newest one has ended, and not when
// it succeeded. See docs/decisions/0016-once.md.
package once

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"tfos/internal/dfs"
	"tfos/internal/job"
	"tfos/internal/status"
)

// Outcome is how a try ended.
type Outcome struct {
	State       status.State `json:"state"`
	ExitCode    int          `json:"exit_code"`
	Diagnostics string       `json:"diagnostics"`
	Finished    time.Time    `json:"finished"`
}

// Succeeded reports whether the key's work is done.
func (o Outcome) Succeeded() bool { return o.State == status.Succeeded }

// Try is one application of a key.
type Try struct {
	Number      int      `json:"-"`           // from 1; 0: there is none
	Key         string   `json:"key"`         //
	Application string   `json:"application"` // application_…
	Cluster     string   `json:"cluster"`     // the ResourceManager's address, as its submitter knew it
	Outcome     *Outcome `json:"outcome"`     // null: it has not ended, or nobody has seen that yet
}

// Standing is what YARN says of a try.
type Standing struct {
	Known bool     // to YARN: it was handed in, and has not been forgotten
	Ended *Outcome // nil: it has not
}

// Refused is an error of HandIn: YARN has refused the application for good.
type Refused struct{ Err error }

func (r *Refused) Error() string { return r.Err.Error() }

// Unwrap gives YARN's error.
func (r *Refused) Unwrap() error { return r.Err }

// Submitter is what entering a key takes beside the key's book.
type Submitter interface {
	// Stage prepares an application so that whoever reads of it can hand it in. last is the try
	// before, that of number 0 for the first.
	Stage(ctx context.Context, last Try) (Try, error)
	// Discard removes what Stage made, for an application that no try names.
	Discard(ctx context.Context, t Try)
	// Ask asks YARN how a try stands.
	Ask(ctx context.Context, t Try) (Standing, error)
	// Result is what lies in the try's staging directory of its end; nil: nothing.
	Result(ctx context.Context, t Try) (*Outcome, error)
	// Leave puts an end there, unless something lies there already. A master that starts and finds
	// one starts nothing.
	Leave(ctx context.Context, t Try, o Outcome) error
	// Staged reports whether a try lies ready to be handed in, which nobody knows to have happened.
	Staged(ctx context.Context, t Try) (bool, error)
	// HandIn gives YARN a staged application, which others may do at the same time.
	HandIn(ctx context.Context, t Try) error
}

// Book is what is known of one key.
type Book struct {
	fs  dfs.FS
	dir string
	key string
}

// Open is the book of a key among those in a directory. It reads nothing yet.
func Open(files dfs.FS, books, key string) Book {
	return Book{fs: files, dir: path.Join(books, directory(key)), key: key}
}

// directory names a key's directory: some of it for people, and a sum that tells it from others.
func directory(key string) string {
	const most = 60
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, key)
	sum := sha256.Sum256([]byte(key))
	return plain[:min(len(plain), most)] + "-" + hex.EncodeToString(sum[:12])
}

// Enter returns the key's newest try once that is YARN's, or has succeeded. It begins one if there
// is none, or if the newest has ended otherwise than well. began says that this call did.
func (b Book) Enter(ctx context.Context, s Submitter) (t Try, began bool, err error) {
	for {
		last, err := b.Last(ctx)
		if err != nil {
			return Try{}, false, err
		}
		if last.Number > 0 && last.Outcome == nil {
			if last, err = b.settleNow(ctx, s, last); err != nil {
				return last, false, err
			}
		}
		if last.Number > 0 && (last.Outcome == nil || last.Outcome.Succeeded()) {
			return last, false, nil
		}
		next, won, err := b.begin(ctx, s, last)
		if err != nil {
			return Try{}, false, err
		}
		if won {
			return next, true, b.handIn(ctx, s, next)
		}
	}
}

// Lost is how a try ended that YARN has forgotten and that left no word of its own.
func Lost() Outcome {
	return Outcome{State: status.Failed, ExitCode: job.ExitInfrastructure, Diagnostics: "the cluster has forgotten the application, which left no result"}
}

// settleNow finds out how a try stands whose end nobody has seen, and hands it in if its submitter
// has not. The answer has its outcome, if it has ended.
//
// Before a try counts as ended a result lies in its staging directory, and only then is YARN's
// answer taken: a submitter that slept all the while may still hand the application in, but its
// master finds the result.
func (b Book) settleNow(ctx context.Context, s Submitter, t Try) (Try, error) {
	for {
		left, err := s.Result(ctx, t)
		if err != nil {
			return t, err
		}
		standing, err := s.Ask(ctx, t)
		if err != nil {
			return t, err
		}
		if standing.Known && standing.Ended == nil {
			return t, nil
		}
		if left != nil {
			if t.Outcome, err = s.Result(ctx, t); err == nil { // its master may have written another since
				err = b.Settle(ctx, t)
			}
			return t, err
		}
		end := Lost()
		if standing.Known {
			end = *standing.Ended
		} else if staged, err := s.Staged(ctx, t); err != nil {
			return t, err
		} else if staged {
			return t, b.handIn(ctx, s, t)
		}
		if err := s.Leave(ctx, t, end); err != nil {
			return t, err
		}
	}
}

// begin stages an application and makes it the key's next try, unless another submitter was first.
func (b Book) begin(ctx context.Context, s Submitter, last Try) (Try, bool, error) {
	next, err := s.Stage(ctx, last)
	if err != nil {
		return Try{}, false, err
	}
	next.Number, next.Key = last.Number+1, b.key
	if err := context.Cause(ctx); err != nil {
		s.Discard(ctx, next)
		return Try{}, false, err
	}
	ctx, cancel := outlasting(ctx)
	defer cancel()
	claimErr := b.claim(ctx, next)
	if claimErr == nil {
		return next, true, nil
	}
	// The answer may have been lost: the file says who it names.
	found, err := b.read(ctx, next.Number)
	switch {
	case err == nil && found.Application == next.Application:
		return next, true, nil
	case err == nil || errors.Is(err, fs.ErrNotExist) && !errors.Is(claimErr, fs.ErrExist):
		s.Discard(ctx, next)
		if err == nil {
			return Try{}, false, nil
		}
	}
	return Try{}, false, fmt.Errorf("begin try %d of %q: %w", next.Number, b.key, claimErr)
}

// patience bounds what is done for a try that an interruption is not to leave half done.
const patience = 2 * time.Minute

// outlasting is a context that an interruption does not end: a try that has begun is handed in.
func outlasting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), patience)
}

// handIn gives a try to YARN. One that is refused has ended with that.
func (b Book) handIn(ctx context.Context, s Submitter, t Try) error {
	ctx, cancel := outlasting(ctx)
	defer cancel()
	err := s.HandIn(ctx, t)
	var refused *Refused
	if errors.As(err, &refused) {
		t.Outcome = &Outcome{State: status.Failed, ExitCode: job.ExitRefused, Diagnostics: refused.Error()}
		if left := s.Leave(ctx, t, *t.Outcome); left != nil {
			return err // the next submitter finds out
		}
		return errors.Join(err, b.Settle(ctx, t))
	}
	return err
}

// Last is the newest try; number 0: there is none.
func (b Book) Last(ctx context.Context) (Try, error) {
	list, err := b.fs.List(ctx, b.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Try{}, nil
	}
	if err != nil {
		return Try{}, err
	}
	newest := 0
	for _, info := range list {
		if n, err := strconv.Atoi(path.Base(info.Name)); err == nil {
			newest = max(newest, n)
		}
	}
	if newest == 0 {
		return Try{}, nil
	}
	return b.read(ctx, newest)
}

// Settle records how a try ended. Everyone who sees the end may, and all write the same.
func (b Book) Settle(ctx context.Context, t Try) error {
	content, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	return dfs.WriteFile(ctx, b.fs, b.name(t.Number), content, 0o600)
}

func (b Book) name(number int) string { return path.Join(b.dir, strconv.Itoa(number)) }

// maxTry bounds the file of a try, in bytes. What YARN says of an end can be long.
const maxTry = 1 << 20

func (b Book) read(ctx context.Context, number int) (Try, error) {
	content, err := dfs.ReadFile(ctx, b.fs, b.name(number), maxTry)
	if err != nil {
		return Try{}, err
	}
	t := Try{Number: number}
	if err := json.Unmarshal(content, &t); err != nil {
		return Try{}, fmt.Errorf("read %s: %w", b.fs.URI(b.name(number)), err)
	}
	return t, nil
}

// claim creates the file of a try: fs.ErrExist if there is one.
func (b Book) claim(ctx context.Context, t Try) error {
	content, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	if err := b.fs.Mkdir(ctx, b.dir, 0o700); err != nil {
		return err
	}
	return dfs.CreateFile(ctx, b.fs, b.name(t.Number), content, 0o600)
}

// Create makes a file unless there is one, which is no error.
func Create(ctx context.Context, files dfs.FS, name string, content []byte) error {
	if err := dfs.CreateFile(ctx, files, name, content, 0o600); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Sweep forgets keys whose work was done before a moment, and up to a number of them. Nobody begins
// a try of such a key, so that none is lost.
func Sweep(ctx context.Context, files dfs.FS, books string, before time.Time, atMost int) error {
	list, err := files.List(ctx, books)
	if err != nil {
		return err
	}
	for _, info := range list {
		if atMost == 0 || !info.IsDir() || !info.ModTime.Before(before) {
			continue
		}
		t, err := Book{fs: files, dir: info.Name}.Last(ctx)
		if err != nil {
			return err
		}
		if t.Outcome == nil || !t.Outcome.Succeeded() {
			continue
		}
		if err := files.Remove(ctx, info.Name, true); err != nil {
			return err
		}
		atMost--
	}
	return nil
}
