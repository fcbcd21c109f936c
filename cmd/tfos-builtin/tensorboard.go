package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/pause"
	"tfos/internal/tensorboard"
	"tfos/internal/tensorflow"
)

// board keeps a TensorBoard running until it is told to end. No training fails for want of one:
// what is wrong is said, and tried again.
func board() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	for pauses := pause.Growing(time.Second, time.Minute); ctx.Err() == nil; {
		if err := serveBoard(ctx); ctx.Err() == nil {
			if err == nil {
				err = errors.New("TensorBoard ended")
			}
			again := pauses.Next()
			fmt.Fprintf(os.Stderr, "tfos-builtin: %v; again in %v\n", err, again.Round(time.Second))
			if pause.For(ctx, again) != nil {
				break
			}
		}
	}
	return nil
}

// serveBoard runs TensorBoard until it ends or ctx does.
func serveBoard(ctx context.Context) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	s := tensorboard.Server{Dir: filepath.Join(dir, "tensorboard-events"), Prefix: os.Getenv(launch.EnvTensorBoardPath), Stdout: os.Stdout, Stderr: os.Stderr}
	if s.Command, err = findBoard(os.Getenv, dir); err != nil {
		return err
	}
	if s.Port, err = number("TB_PORT", ""); err != nil {
		return err
	}
	files, err := container()
	if err != nil {
		return err
	}
	defer files.Close()
	f, events, release, err := files.Use(ctx, launch.CheckpointURI(cmp.Or(os.Getenv(job.EnvBoardLogs), os.Getenv("TFOS_CHECKPOINT_DIR"))))
	if err != nil {
		return err
	}
	defer release()
	if local, ok := strings.CutPrefix(f.URI(events), "file://"); ok {
		s.Dir = local
		return s.Run(ctx)
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	s.Copy = tensorboard.NewMirror(f, events, s.Dir)
	s.Failed = func(err error) {
		fmt.Fprintf(os.Stderr, "tfos-builtin: new events cannot be had now, and are looked for again: %v\n", err)
	}
	return s.Run(ctx)
}

// findBoard is the command of the TensorBoard that a job's environment has, which is looked for
// where TensorFlow is, and then in PATH.
func findBoard(getenv func(string) string, dir string) ([]string, error) {
	for _, place := range tensorflow.Environments(getenv, dir) {
		for _, lib := range tensorflow.Packages {
			found, err := filepath.Glob(filepath.Join(place, lib, "tensorboard/main.py"))
			python := filepath.Join(place, "bin", "python3")
			if _, missing := os.Stat(python); err == nil && len(found) > 0 && missing == nil {
				return []string{python, "-m", "tensorboard.main"}, nil
			}
		}
	}
	if script, err := exec.LookPath("tensorboard"); err == nil {
		return []string{script}, nil
	}
	return nil, errors.New("there is no TensorBoard in the task's environment: pip install tensorboard in the one that the job brings, or that PYTHON names")
}
