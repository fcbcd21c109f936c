package am

import (
	"context"
	"fmt"
	"path"
	"time"

	"go.uber.org/zap"

	"tfos/internal/dfs"
	"tfos/internal/launch"
)

// stageTimeout bounds the writing of one small file.
const stageTimeout = 20 * time.Second

// stage writes one of the job's files into its staging directory, replacing the one before.
func (m *Master) stage(ctx context.Context, name string, content []byte) error {
	ctx, cancel := context.WithTimeout(ctx, stageTimeout)
	defer cancel()
	name = path.Join(m.o.Manifest.Staging, name)
	if err := dfs.WriteFile(ctx, m.o.FS, name, content, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// announce writes where this master listens, for clients and for agents that an attempt before
// started.
func (m *Master) announce(ctx context.Context, address string) error {
	b, err := launch.Master{Address: address, Attempt: m.o.Container.Attempt.Attempt}.Encode()
	if err != nil {
		return err
	}
	return m.stage(ctx, launch.MasterFile, b)
}

// sweep removes what masters before this one were writing into the staging directory when they
// died.
func (m *Master) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stageTimeout)
	defer cancel()
	if _, err := m.o.FS.Sweep(ctx, m.o.Manifest.Staging); err != nil {
		m.log.Warn("half-written files of masters that died may be left", zap.Error(err))
	}
}
