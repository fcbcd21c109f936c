package fileserver

import (
	"path"
	"slices"
	"sync"
	"time"

	"tfos/internal/dfs"
)

// growingFiles are those that this server's programs have open for writing.
// What a program flushed it reads at once, though flushes are put off (syncEvery): whoever is about
// to look at such a file settles it first.
type growingFiles struct {
	mu      sync.Mutex
	writers map[fileID][]*writer // guarded by mu
}

// fileID is a file, by whatever name a program opened it.
type fileID struct {
	fs   dfs.FS
	name string
}

func (g *growingFiles) add(id fileID, w *writer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.writers == nil {
		g.writers = map[fileID][]*writer{}
	}
	g.writers[id] = append(g.writers[id], w)
}

func (g *growingFiles) remove(id fileID, w *writer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.writers[id] = slices.DeleteFunc(g.writers[id], func(o *writer) bool { return o == w })
	if len(g.writers[id]) == 0 {
		delete(g.writers, id)
	}
}

// settle does what flushes have put off, and says when the file was synced last; zero: nobody here
// writes it.
func (g *growingFiles) settle(f dfs.FS, name string) time.Time {
	g.mu.Lock()
	writers := slices.Clone(g.writers[fileID{f, path.Clean(name)}])
	g.mu.Unlock()
	var last time.Time
	for _, w := range writers {
		if at := w.settle(); at.After(last) {
			last = at
		}
	}
	return last
}
