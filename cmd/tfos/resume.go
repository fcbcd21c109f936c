package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"tfos/internal/client"
	"tfos/internal/client/exit"
	"tfos/internal/launch"
)

func (c *command) resume() *cobra.Command {
	var j jobFlags
	var detach bool
	o := client.RunOptions{Resume: client.ResumeMust}
	cmd := &cobra.Command{
		Use:   "resume APP|JOB.yaml [flags] [-- COMMAND...]",
		Short: "Run a job again from its newest whole checkpoint",
		Long: `Submit a new application that goes on from the newest whole checkpoint of one that has failed, was killed or has finished,
and follow it as tfos run does. APP's job file and files are those that it was submitted with; with JOB.yaml they are read
anew. Every flag has a key in the job file; the flag wins.

Checkpoints that are broken and newer than the newest whole one are set aside first: renamed, never deleted. The tasks find
APP in TFOS_RESUMED_FROM, and the checkpoint in TFOS_RESUME_CHECKPOINT and TFOS_RESUME_STEP. When there is nothing to resume
from (no such application, still running, no checkpoint.dir, no whole checkpoint in it) nothing is started: exit code 2.`,
		Example: `  tfos resume application_1700000000000_0007
  tfos resume application_1700000000000_0007 --worker-memory 8GiB
  tfos resume job.yaml --detach`,
		RunE: func(cmd *cobra.Command, args []string) error {
			run := func(cluster *client.Cluster, p *client.Prepared, ui client.UI, earlier *client.Earlier) error {
				o.Earlier = earlier
				if !detach {
					return cluster.Run(cmd.Context(), p, ui, o)
				}
				s, err := cluster.SubmitOnly(cmd.Context(), p, ui, o)
				if err != nil {
					return err
				}
				fmt.Fprintln(c.stdout, s.ID)
				return nil
			}
			return c.resumeJob(cmd, &j, args, detach, run)
		},
	}
	j.add(cmd)
	j.follows(cmd, &o)
	cmd.Flags().BoolVar(&detach, "detach", false, "submit it, print its application id and return")
	return cmd
}

// resumeJob finds out what is to be resumed, and from where, and hands it to run.
func (c *command) resumeJob(cmd *cobra.Command, j *jobFlags, args []string, detach bool, run func(*client.Cluster, *client.Prepared, client.UI, *client.Earlier) error) error {
	what, commandLine, err := split(cmd, args)
	if err != nil {
		return err
	}
	local, err := c.local()
	if err != nil {
		return err
	}
	id, notID := client.ParseApplication(what)
	switch {
	case what == "":
		return exit.Errorf(exit.Usage, "want an application id or a job file").Try("tfos list shows the applications")
	case local && detach:
		return exit.Errorf(exit.Usage, "resume --master local --detach: the embedded cluster lives only while tfos resume does").Try("leave --detach out")
	case local && notID == nil:
		return exit.Errorf(exit.Usage, "resume %s --master local: an embedded cluster ends with its job, and keeps nothing of it", what).Try("use tfos resume --master local JOB.yaml")
	case local:
		p, err := j.prepare(cmd, args)
		if err != nil {
			return err
		}
		return c.embedded(cmd, p, func(l *client.Local, ui client.UI) error {
			return l.Run(cmd.Context(), p, ui, client.RunOptions{Resume: client.ResumeMust})
		})
	case notID != nil && !isFile(what):
		return exit.Errorf(exit.Usage, "%q is neither an application id nor a job file", what).Try("tfos list shows the applications")
	case notID != nil:
		return c.onCluster(cmd, j, args, !detach, func(cluster *client.Cluster, p *client.Prepared, ui client.UI) error {
			return run(cluster, p, ui, nil)
		})
	}

	overlay, err := j.overlay(cmd, commandLine)
	if err != nil {
		return err
	}
	cluster, err := c.connect(cmd, id)
	if err != nil {
		return err
	}
	defer cluster.Close()
	earlier, err := cluster.Earlier(cmd.Context(), id)
	if err != nil {
		return err
	}
	parsed, err := parseJob(launch.JobFile, earlier.File, overlay)
	if err != nil {
		return err
	}
	if err := cluster.Reuse(cmd.Context(), earlier, &parsed, overlay); err != nil {
		return err
	}
	p, err := j.prepareJob(cmd, parsed)
	if err != nil {
		return err
	}
	defer p.Close()
	ui := c.ui(!detach)
	defer ui.Close()
	return run(cluster, p, ui, earlier)
}

func isFile(name string) bool {
	_, err := os.Stat(name)
	return err == nil || !errors.Is(err, os.ErrNotExist)
}
