package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"tfos/internal/dfs"
	"tfos/internal/hadoop/token"
	"tfos/internal/launch"
	"tfos/internal/predict"
	"tfos/internal/predict/plan"
	"tfos/internal/storage"
)

// runPredict runs the model over the shards that it leases, until all are done.
func runPredict() (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	output, agent := os.Getenv(plan.EnvOutput), os.Getenv("TFOS_AGENT")
	if output == "" || agent == "" {
		return fmt.Errorf("%s or TFOS_AGENT is not set: tfos predict submits a job that has them", plan.EnvOutput)
	}
	incarnation, err := number(launch.EnvIncarnation, "")
	if err != nil {
		return err
	}
	parallel, err := number(plan.EnvParallel, "1")
	if err != nil {
		return err
	}
	files, err := container()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	out, dir, release, err := files.Use(ctx, launch.CheckpointURI(output))
	if err != nil {
		return err
	}
	defer release()
	p, err := predict.ReadPlan(ctx, out, dir)
	if err != nil {
		return err
	}
	model := plan.ModelName
	if p.Model != plan.ModelName {
		model = filepath.Join(launch.TaskDir, "model")
		if err := fetch(ctx, files, p.Model, model); err != nil {
			return fmt.Errorf("fetch the model: %w", err)
		}
	}
	tf, err := load()
	if err != nil {
		return err
	}
	f, err := tf.Open(model, p.Signature)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	progress := predict.NewProgress(agent)
	defer progress.Close()
	w, err := predict.New(predict.Options{
		Plan: p, Model: f, Leases: predict.NewAgentLeases(agent, incarnation, p),
		Open: opener(files), Output: out, Dir: dir, Parallel: parallel, Progress: progress.Set,
	})
	if err != nil {
		return err
	}
	began, used := time.Now(), processor()
	rows, parts, err := w.Run(ctx)
	took := time.Since(began).Seconds()
	fmt.Printf("wrote %d rows in %d files of %s, in %.2f s, %.2f s of processor time: %.0f rows/s\n",
		rows, parts, p.Output, took, (processor() - used).Seconds(), float64(rows)/took)
	return err
}

// processor is the processor time that this process has used.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// number is a variable that holds one.
func number(name, otherwise string) (int, error) {
	n, err := strconv.Atoi(cmp.Or(os.Getenv(name), otherwise))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return n, nil
}

// container is the filesystems that the container's tokens and configuration open.
func container() (*storage.Storage, error) {
	name := os.Getenv("HADOOP_TOKEN_FILE_LOCATION")
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the container's credentials: %w", err)
	}
	credentials, err := token.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("read the container's credentials in %s: %w", name, err)
	}
	return storage.New(storage.Options{Conf: launch.TaskConf, Tokens: credentials.Tokens(), User: os.Getenv("USER")}), nil
}

// opener opens input files. The filesystems stay open as long as the output's is held.
func opener(files *storage.Storage) func(ctx context.Context, path string) (dfs.File, error) {
	return func(ctx context.Context, path string) (dfs.File, error) {
		d, name, release, err := files.Use(ctx, launch.CheckpointURI(path))
		if err != nil {
			return nil, err
		}
		defer release()
		return d.Open(ctx, name)
	}
}

// fetch copies a directory into the container.
func fetch(ctx context.Context, files *storage.Storage, uri, local string) error {
	d, name, release, err := files.Use(ctx, uri)
	if err != nil {
		return err
	}
	defer release()
	return predict.Fetch(ctx, d, name, local)
}
