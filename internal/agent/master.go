package agent

import (
	"context"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"tfos/internal/dfs"
	"tfos/internal/launch"
	"tfos/internal/storage"
)

// maxMasterFile bounds what is read of launch.MasterFile, in bytes.
const maxMasterFile = 1 << 16

// masterFile finds the job's master: the one that started the agent at first, and after that the
// one that is named in the job's staging directory. One goroutine uses it.
type masterFile struct {
	known   string // the address that was told last, host:port
	uri     string // of the file; empty: there is none to look into
	storage *storage.Storage
	log     *zap.Logger
	asked   bool // the first address was told
	failed  bool // the look before did not succeed
}

// find is asked before each attempt to connect. While the file does not tell, it is the address
// that is known.
func (f *masterFile) find(ctx context.Context) (string, error) {
	if !f.asked || f.uri == "" {
		f.asked = true
		return f.known, nil
	}
	m, err := f.read(ctx)
	if err != nil && !f.failed {
		f.log.Warn("the job's staging directory does not tell where the master is", zap.Error(err))
	}
	f.failed = err != nil
	if err == nil && m.Address != f.known {
		f.log.Info("another master", zap.String("master", m.Address), zap.Int32("attempt", m.Attempt))
		f.known = m.Address
	}
	return f.known, nil
}

func (f *masterFile) read(ctx context.Context) (m launch.Master, err error) {
	fs, name, release, err := f.storage.Use(ctx, f.uri)
	if err != nil {
		return m, err
	}
	defer release()
	b, err := dfs.ReadFile(ctx, fs, name, maxMasterFile)
	if err != nil {
		return m, fmt.Errorf("read %s: %w", name, err)
	}
	if m, err = launch.ParseMaster(b); err != nil {
		return m, fmt.Errorf("read %s: %w", name, err)
	}
	return m, nil
}

// masterURI is where the file lies in a staging directory.
func masterURI(staging string) string {
	if staging == "" {
		return ""
	}
	return strings.TrimRight(staging, "/") + "/" + launch.MasterFile
}
