package main

import (
	"bufio"
	"errors"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"tfos/internal/client"
	"tfos/internal/client/exit"
)

// session runs a job for another program, like Spark's driver. People have no use for it.
func (c *command) session() *cobra.Command {
	var j jobFlags
	var host string
	cmd := &cobra.Command{
		Use:    "session JOB.yaml|- [flags]",
		Hidden: true,
		Short:  "Run a job for the program that started tfos, and end it with that program",
		Long: `Run a job for the program that started tfos, which tfos.compat.TFCluster does. Each line of stdout is an event, each line of
stdin a wish, in JSON. The job is stopped when stdin ends. With - the first line of stdin is the job file, in JSON.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			in := bufio.NewReader(cmd.InOrStdin())
			o := client.SessionOptions{In: in, Out: c.stdout, Host: host}
			if len(args) > 0 && args[0] == "-" {
				file, _ := in.ReadString('\n') // of a line that was cut off the parser tells
				j.stdin = strings.NewReader(file)
			}
			err := c.runSession(cmd, &j, args, o)
			if errors.Is(err, client.ErrEnded) {
				return nil // an event told
			}
			if err != nil {
				client.Ended(o.Out, err)
			}
			return err
		},
	}
	j.add(cmd)
	cmd.Flags().StringVar(&host, "host", "localhost", "`NAME` of this host, by which feeders reach it")
	return cmd
}

func (c *command) runSession(cmd *cobra.Command, j *jobFlags, args []string, o client.SessionOptions) error {
	var any net.ListenConfig
	var err error
	if o.Listener, err = any.Listen(cmd.Context(), "tcp", ":0"); err != nil {
		return exit.Errorf(exit.Infrastructure, "listen for feeders: %w", err)
	}
	defer o.Listener.Close()
	if c.master == "executors" {
		return c.inExecutors(cmd, j, args, o)
	}
	local, err := c.local()
	if err != nil {
		return err
	}
	if !local {
		return c.onCluster(cmd, j, args, false, func(cluster *client.Cluster, p *client.Prepared, _ client.UI) error {
			return cluster.Session(cmd.Context(), p, o)
		})
	}
	p, err := j.prepare(cmd, args)
	if err != nil {
		return err
	}
	return c.embedded(cmd, p, func(l *client.Local, _ client.UI) error { return l.Session(cmd.Context(), p, o) })
}

// inExecutors runs a job whose tasks are in executors of Spark.
func (c *command) inExecutors(cmd *cobra.Command, j *jobFlags, args []string, o client.SessionOptions) error {
	p, err := j.prepare(cmd, args)
	if err != nil {
		return err
	}
	defer p.Close()
	binaries, err := client.FindBinaries(binaryDirs()...)
	if err != nil {
		return err
	}
	var any net.ListenConfig
	slots, err := any.Listen(cmd.Context(), "tcp", ":0")
	if err != nil {
		return exit.Errorf(exit.Infrastructure, "listen for slots: %w", err)
	}
	defer slots.Close()
	var conf []string
	if c.conf != "" {
		conf = append(conf, c.conf)
	}
	local, err := client.StartSlots(cmd.Context(), localDir(), o.Host, conf, c.logger())
	if err != nil {
		return err
	}
	o.Slots = &client.Slots{Cluster: local, Listener: slots, Agent: binaries.Agent}
	err = local.Session(cmd.Context(), p, o)
	return errors.Join(err, local.Close(err != nil))
}
