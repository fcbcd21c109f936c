package fileserver

import (
	"context"
	"path"
	"time"

	"go.uber.org/zap"

	"tfos/internal/dfs"
)

const (
	sweepRest = 10 * time.Minute // between two looks at a directory
	maxSwept  = 1000             // directories that are remembered
)

// sweep has removed what writers left behind who died, in the directory of a file that is about to
// be written: whoever writes there now was often started in their place. It does not wait for it.
func (s *Server) sweep(name string) {
	dir := locate(name)
	dir.path = path.Dir(dir.path)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || time.Since(s.swept[dir.String()]) < sweepRest {
		return
	}
	if len(s.swept) >= maxSwept {
		clear(s.swept)
	}
	s.swept[dir.String()] = time.Now()
	s.busy.Add(1)
	go func() {
		defer s.busy.Done()
		err := tree{files: s.o.Files}.at(s.ctx, dir.String(), func(f dfs.FS, inside string) error { return s.sweepIn(s.ctx, f, inside) })
		if err != nil {
			s.log.Debug("what dead writers left cannot be removed", zap.Stringer("dir", dir), zap.Error(err))
		}
	}()
}

func (s *Server) sweepIn(ctx context.Context, f dfs.FS, dir string) error {
	gone, err := f.Sweep(ctx, dir)
	for _, name := range gone {
		s.log.Info("removed a file that its writer, who died, had not finished", zap.String("file", name))
	}
	return err
}
