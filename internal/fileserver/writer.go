package fileserver

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/dfs"
	"tfos/internal/pause"
)

// syncEvery is the least time between two flushes of a file that grows in place: each is a call to
// a NameNode and waits for every DataNode, and event writers ask for one after every ten values.
const syncEvery = time.Second

// leaseWait is how long a file to be appended to is waited for that another holds. A writer who
// died holds it for a minute, and HDFS then takes seconds to agree on how long the file is.
const leaseWait = 90 * time.Second

// writer is a file open for writing. One connection uses it.
type writer struct {
	path    string
	size    int64 // when it was opened
	release func()
	reopen  func() (dfs.Writer, error) // to append to the file
	log     *zap.Logger

	mu      sync.Mutex
	file    dfs.Writer  // guarded by mu, as what follows; nil: it is whole, and opened again for what comes
	inPlace bool        // it grows under its name; else it appears when it is flushed or closed
	err     error       // what ended the file before it was closed, or of a flush that nobody waited for
	dirty   bool        // something was written since the last sync
	timer   *time.Timer // syncs later; nil: nothing is due
	synced  time.Time
	closed  bool
}

// growing reports whether others read a file of this name while it is written, from its first byte
// on.
func growing(name string) bool { return strings.Contains(path.Base(name), "tfevents") }

func (s *Server) create(name string) (*writer, error) {
	s.sweep(name)
	return s.openWriter(name, growing(name), func(f dfs.FS, inside string) (dfs.Writer, int64, error) {
		create := func() (dfs.Writer, error) { return createOver(s.ctx, f, inside) }
		if !growing(name) {
			w, err := newSpool(s.ctx, s.o.Dir, name, s.log, create)
			if err != nil {
				return nil, 0, err
			}
			return w, 0, nil
		}
		w, err := create()
		if err != nil {
			return nil, 0, err
		}
		return nil, 0, w.Close()
	})
}

func (s *Server) append(name string) (*writer, error) {
	return s.openWriter(name, true, func(f dfs.FS, inside string) (dfs.Writer, int64, error) {
		open := func() (dfs.Writer, error) { return f.Append(s.ctx, inside) }
		w, err := s.takeOver(name, open)
		if errors.Is(err, fs.ErrNotExist) {
			if w, err = f.Create(s.ctx, inside, dfs.CreateOptions{}); err == nil {
				err = w.Close()
			}
			if err == nil {
				w, err = open()
			}
		}
		if err != nil {
			return nil, 0, err
		}
		info, err := f.Stat(s.ctx, inside)
		if err != nil {
			w.Abort()
			return nil, 0, err
		}
		return w, info.Size, nil
	})
}

// takeOver opens a file to append to it, and waits for one that another has open: it may be the
// incarnation before this one, which died with its container.
func (s *Server) takeOver(name string, open func() (dfs.Writer, error)) (dfs.Writer, error) {
	deadline := time.Now().Add(leaseWait)
	for pauses := pause.Growing(time.Second, 5*time.Second); ; {
		w, err := open()
		if !errors.Is(err, dfs.ErrBusy) || time.Now().After(deadline) {
			return w, err
		}
		if pauses.Taken() == 0 {
			s.log.Info("a file to be appended to is still held by another writer, and waited for", zap.String("file", name), zap.NamedError("cause", err))
		}
		if pauses.Wait(s.ctx) != nil {
			return nil, err
		}
	}
}

func (s *Server) openWriter(name string, inPlace bool, open func(f dfs.FS, inside string) (dfs.Writer, int64, error)) (*writer, error) {
	f, inside, release, err := s.o.Files.Use(s.ctx, name)
	if err != nil {
		return nil, err
	}
	file, size, err := open(f, inside)
	if err != nil {
		release()
		return nil, err
	}
	w := &writer{path: name, size: size, log: s.log, file: file, inPlace: inPlace}
	w.reopen = func() (dfs.Writer, error) { return f.Append(s.ctx, inside) }
	id := fileID{f, path.Clean(inside)}
	s.growing.add(id, w)
	w.release = func() { s.growing.remove(id, w); release() }
	return w, nil
}

func (w *writer) write(b []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	if w.file == nil {
		if w.file, w.err = w.reopen(); w.err != nil {
			w.file = nil
			return w.err
		}
	}
	w.dirty = true
	_, err := w.file.Write(b)
	return err
}

// flush lets others read what was written, at once or within a second. A file that was to appear
// whole appears with the first one: nobody flushes what is not to be read yet.
func (w *writer) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil && !w.inPlace {
		if w.err = w.file.Close(); w.err == nil {
			w.file, w.inPlace, w.dirty, w.synced = nil, true, false, time.Now()
		}
	}
	if w.err != nil || !w.dirty || w.timer != nil {
		return w.err
	}
	wait := syncEvery - time.Since(w.synced)
	if wait <= 0 {
		return w.syncNow()
	}
	w.timer = time.AfterFunc(wait, func() { w.settle() })
	return nil
}

// settle does a flush that was put off, and says when the last one was done.
func (w *writer) settle() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil && !w.closed { // else it was done meanwhile
		if err := w.syncNow(); err != nil {
			w.err = err // for the next that asks
		}
	}
	return w.synced
}

// syncNow syncs. The caller holds mu.
func (w *writer) syncNow() error {
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
	w.dirty = false
	err := w.file.Sync()
	w.synced = time.Now()
	return err
}

// sync makes what was written safe. Event writers call it where others flush, and lose little.
func (w *writer) sync() error {
	if growing(w.path) {
		return w.flush()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || !w.inPlace || !w.dirty {
		return w.err
	}
	return w.syncNow()
}

// close makes the file whole.
func (w *writer) close() error {
	defer w.release()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end()
	switch {
	case w.file == nil:
		return w.err
	case w.err != nil:
		w.file.Abort()
		return w.err
	}
	return w.file.Close()
}

// orphaned gives up a file whose writer died, or keeps what there is of one that grows in place.
func (w *writer) orphaned() {
	defer w.release()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end()
	if w.file == nil {
		return
	}
	if !w.inPlace {
		w.file.Abort()
		w.log.Info("a file was given up: the program left it unfinished", zap.String("file", w.path))
		return
	}
	if err := w.file.Close(); err != nil {
		w.log.Warn("the end of a file is lost, whose writer died", zap.String("file", w.path), zap.Error(err))
	}
}

// end stops what is due later. The caller holds mu.
func (w *writer) end() {
	w.closed = true
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}
