package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tfos/internal/client"
	"tfos/internal/client/exit"
	"tfos/internal/client/stage"
	"tfos/internal/client/term"
	"tfos/internal/tensorboard"
	"tfos/internal/yarn"
)

func (c *command) tensorboard() *cobra.Command {
	var o tensorboardOptions
	cmd := &cobra.Command{
		Use:   "tensorboard APP|DIR [--logdir DIR] [--port N] [--host HOST] [--command COMMAND]",
		Short: "Open TensorBoard on a job's events, while it trains or afterwards",
		Long: `Open TensorBoard on the events in a directory and those below it, on this machine, until it is interrupted. Of a job,
running or ended, it is the job's checkpoint.dir, unless --logdir names another. Events that lie on HDFS are copied into a temporary
directory, and what is new every five seconds: TensorBoard itself need not reach HDFS. DIR is found as by tfos checkpoint.

TensorBoard must be installed here (pip install tensorboard). It listens on localhost: reach it from elsewhere through ssh -L,
or give it an address with --host, where everybody can see it who reaches that.`,
		Example: `  tfos tensorboard application_1700000000000_0042
  tfos tensorboard hdfs:///models/digits --port 7000
  tfos tensorboard application_1700000000000_0042 --logdir hdfs:///logs/digits --command ~/venv/bin/tensorboard`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return exit.Errorf(exit.Usage, "%s: want an application id or a directory", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return c.openTensorboard(cmd, args[0], o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.logdir, "logdir", "", "`DIR` of the events, if it is not the job's checkpoint.dir")
	f.StringVar(&o.host, "host", "localhost", "`HOST` to listen at")
	f.IntVar(&o.port, "port", 6006, "`N`: port to listen at; 0: any")
	f.StringVar(&o.command, "command", "tensorboard", "`COMMAND` that is TensorBoard")
	return cmd
}

type tensorboardOptions struct {
	logdir, host, command string
	port                  int
}

func (c *command) openTensorboard(cmd *cobra.Command, what string, o tensorboardOptions) error {
	program, err := exec.LookPath(o.command)
	if err != nil {
		return exit.Errorf(exit.Usage, "TensorBoard is not here: %w", err).Try("pip install tensorboard, or say --command /path/to/venv/bin/tensorboard")
	}
	if o.port < 0 || o.port > 65535 {
		return exit.Errorf(exit.Usage, "--port %d: want 0 to 65535", o.port)
	}
	ctx := cmd.Context()
	name := what
	if id, err := yarn.ParseApplicationID(what); err == nil {
		if name = o.logdir; name == "" {
			if name, err = c.eventsOf(cmd, id); err != nil {
				return err
			}
		}
	} else if o.logdir != "" {
		return exit.Errorf(exit.Usage, "--logdir goes with an application id: give one directory")
	}
	files, err := client.Files(c.conf, os.Getenv, c.logger())
	if err != nil {
		return err
	}
	defer files.Close()
	f, dir, err := c.directory(ctx, files, name)
	if err != nil {
		if e := (*exit.Error)(nil); f == nil || errors.As(err, &e) {
			return err
		}
		return stage.Explain(f, "look at", dir, err)
	}
	if local, ok := strings.CutPrefix(f.URI(dir), "file://"); ok {
		return c.serveTensorboard(ctx, program, local, nil, o)
	}
	copied, err := os.MkdirTemp("", "tfos-tensorboard-")
	if err != nil {
		return exit.Errorf(exit.Infrastructure, "%w", err)
	}
	defer os.RemoveAll(copied)
	m := tensorboard.NewMirror(f, dir, copied)
	got, err := m.Update(ctx)
	if err != nil {
		return stage.Explain(f, "copy events of", dir, err)
	}
	fmt.Fprintf(c.stderr, "tfos: %d files with %s from %s; what is new is copied every %v\n", got.Files, term.Bytes(got.Bytes), f.URI(dir), tensorboard.Every)
	if got.Files == 0 {
		fmt.Fprintln(c.stderr, "tfos: there are no events yet: TensorBoard will show them once there are")
	}
	return c.serveTensorboard(ctx, program, copied, m, o)
}

// eventsOf is the directory of a job's checkpoints, as its job file in its directory says.
func (c *command) eventsOf(cmd *cobra.Command, id yarn.ApplicationID) (string, error) {
	cluster, err := c.connect(cmd, id)
	if err != nil {
		return "", err
	}
	defer cluster.Close()
	j, err := cluster.JobOf(cmd.Context(), id)
	if err != nil {
		return "", err
	}
	if j.Checkpoint.Dir == "" {
		return "", exit.Errorf(exit.Usage, "%s has no checkpoint.dir", id).Try("--logdir names the directory of its events")
	}
	return j.Checkpoint.Dir, nil
}

// serveTensorboard runs TensorBoard on a directory, which a copy fills if there is one, until it
// ends or ctx does.
func (c *command) serveTensorboard(ctx context.Context, program, dir string, m *tensorboard.Mirror, o tensorboardOptions) error {
	fmt.Fprintf(c.stderr, "tfos: TensorBoard of %s at http://%s/\n", dir, net.JoinHostPort(o.host, strconv.Itoa(o.port)))
	server := tensorboard.Server{Command: []string{program}, Dir: dir, Copy: m, Host: o.host, Port: o.port, Stdout: c.stdout, Stderr: c.stderr}
	server.Failed = func(err error) {
		fmt.Fprintf(c.stderr, "tfos: new events cannot be had now, and are looked for again: %v\n", err)
	}
	err := server.Run(ctx)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return exit.Errorf(exit.Infrastructure, "%w", err)
}
