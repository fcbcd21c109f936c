package fileserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"go.uber.org/zap"

	"tfos/internal/dfs"
	"tfos/internal/pause"
)

const (
	// maxSpool is up to where what a file holds is kept to write it again, in bytes.
	maxSpool = 4 << 30
	// giveUpAfter bounds how long a file is tried to be written again, from the first failure in a
	// row.
	giveUpAfter = 2 * time.Minute
)

// spool is a file on its way to HDFS that is written again from the start if all DataNodes of a
// block die under it, or the NameNode is away for a while: the HDFS client gives a file up then.
// Meanwhile what was written lies on the local disk, without a name, so that it goes with the
// agent. A file that outgrows maxSpool is no longer covered.
type spool struct {
	ctx    context.Context
	create func() (dfs.Writer, error)
	name   string
	log    *zap.Logger

	out   dfs.Writer
	local *os.File // nil: not covered
	size  int64
}

// newSpool begins a file that create creates, with a copy in dir.
func newSpool(ctx context.Context, dir, name string, log *zap.Logger, create func() (dfs.Writer, error)) (*spool, error) {
	s := &spool{ctx: ctx, create: create, name: name, log: log}
	var err error
	if s.out, err = create(); err != nil {
		return nil, err
	}
	if s.local, err = os.CreateTemp(dir, ".tfos-spool-"); err == nil {
		err = os.Remove(s.local.Name())
	}
	if err != nil {
		s.uncover(err)
	}
	return s, nil
}

// uncover goes on without a copy.
func (s *spool) uncover(why error) {
	s.log.Info("a file is written without a copy on the local disk: a block that loses all its DataNodes will be its end", zap.String("file", s.name), zap.NamedError("cause", why))
	if s.local != nil {
		s.local.Close()
		s.local = nil
	}
}

// Write implements io.Writer.
func (s *spool) Write(b []byte) (int, error) {
	if s.local != nil {
		_, err := s.local.WriteAt(b, s.size)
		if s.size += int64(len(b)); err == nil && s.size > maxSpool {
			err = fmt.Errorf("it is larger than %d MiB", maxSpool>>20)
		}
		if err != nil {
			s.uncover(err)
		}
	}
	if _, err := s.out.Write(b); err != nil {
		if err := s.again(err, false); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// again writes everything anew after a failure, and closes the file too if that is asked for.
func (s *spool) again(cause error, closed bool) error {
	deadline := time.Now().Add(giveUpAfter)
	once := taken(cause)
	for pauses := pause.Growing(time.Second, 15*time.Second); ; {
		s.out.Abort()
		if s.local == nil || !passing(cause) && !once || time.Now().After(deadline) {
			return cause
		}
		once = false
		s.log.Warn("a file is written again from its start", zap.String("file", s.name), zap.Int64("bytes", s.size), zap.NamedError("cause", cause))
		if pauses.Wait(s.ctx) != nil {
			return cause
		}
		if cause = s.replay(closed); cause == nil {
			return nil
		}
	}
}

func (s *spool) replay(closed bool) error {
	out, err := s.create()
	if err != nil {
		return err
	}
	s.out = out
	if _, err := io.CopyBuffer(onlyWriter{out}, io.NewSectionReader(s.local, 0, s.size), make([]byte, maxData)); err != nil {
		return err
	}
	if closed {
		return out.Close()
	}
	return nil
}

// passing reports whether an error may be another a little later: not those that are about the file
// or its directory.
func passing(err error) bool {
	if errors.Is(err, dfs.ErrNoSpace) { // so it is called too when no DataNode can be reached
		return true
	}
	c := codeOf(err)
	return c == codeUnavailable || c == codeUnknown || c == codeDeadlineExceeded || c == codeDataLoss
}

// taken reports whether an error may say that the hidden file was taken from its writer: somebody
// took it for dead, since it had not reached the NameNode for a minute. If it was the directory
// that went, the next try says so.
func taken(err error) bool { return errors.Is(err, dfs.ErrBusy) || errors.Is(err, fs.ErrNotExist) }

// Sync implements dfs.Writer. Nobody can read the file yet, and a copy is on the local disk.
func (s *spool) Sync() error { return nil }

// Close implements dfs.Writer.
func (s *spool) Close() error {
	err := s.out.Close()
	if err != nil {
		err = s.again(err, true)
	}
	s.discard()
	return err
}

// Abort implements dfs.Writer.
func (s *spool) Abort() {
	s.out.Abort()
	s.discard()
}

func (s *spool) discard() {
	if s.local != nil {
		s.local.Close()
		s.local = nil
	}
}
