package fileserver

import (
	"errors"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"tfos/internal/dfs"
)

// failing fails a number of writes and closes with an error.
type failing struct {
	dfs.Writer
	left *int
	err  error
}

func (f failing) Write(b []byte) (int, error) {
	if *f.left > 0 {
		*f.left--
		return 0, f.err
	}
	return f.Writer.Write(b)
}

func (f failing) Close() error {
	if *f.left > 0 {
		*f.left--
		return f.err
	}
	return f.Writer.Close()
}

func TestSpoolWritesAgain(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		err     error
		failing int
		want    bool
	}{
		{dfs.ErrUnreachable, 3, true},
		{dfs.ErrSafeMode, 3, true},
		{dfs.ErrNoSpace, 3, true},
		{dfs.ErrBusy, 1, true},
		{fs.ErrNotExist, 1, true},
		{dfs.ErrBusy, 3, false},
		{dfs.ErrUnreachable, 1000, false},
		{dfs.ErrQuota, 1, false},
		{fs.ErrPermission, 1, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			memory := inMemory(t)
			left := 0
			s, err := newSpool(t.Context(), dir, "/f", zap.NewNop(), func() (dfs.Writer, error) {
				w, err := createOver(t.Context(), memory, "/f")
				return failing{w, &left, c.err}, err
			})
			if err != nil {
				t.Fatal(err)
			}
			write := func(text string) (err error) {
				_, err = s.Write([]byte(text))
				return err
			}
			err = write("one ")
			left = c.failing
			if err = errors.Join(err, write("two ")); err == nil {
				left = c.failing
				err = errors.Join(write("three"), s.Close())
			}
			got, readErr := contents(t, memory, "/f")
			if c.want && (err != nil || readErr != nil || got != "one two three") {
				t.Errorf("%v: %v, %q, %v", c.err, err, got, readErr)
			}
			if !c.want && (!errors.Is(err, c.err) || !errors.Is(readErr, fs.ErrNotExist)) {
				t.Errorf("%v: %v, %q, %v", c.err, err, got, readErr)
			}
		})
	}
}

// A file that its last writer still holds, because he died with his container, is waited for, but
// not for ever.
func TestTakingOver(t *testing.T) {
	for _, c := range []struct {
		held time.Duration
		want error
	}{
		{0, nil},
		{65 * time.Second, nil},
		{time.Hour, dfs.ErrBusy},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &Server{ctx: t.Context(), log: zap.NewNop()}
			begin := time.Now()
			_, err := s.takeOver("/log", func() (dfs.Writer, error) {
				if time.Since(begin) < c.held {
					return nil, dfs.ErrBusy
				}
				return nil, nil
			})
			if waited := time.Since(begin); !errors.Is(err, c.want) || waited > 2*time.Minute {
				t.Errorf("held for %v: %v after %v, want %v", c.held, err, waited, c.want)
			}
		})
	}
}
