package main

import (
	"github.com/spf13/cobra"

	"tfos/internal/client"
	"tfos/internal/client/exit"
	"tfos/internal/job"
	"tfos/internal/yarn"
)

func (c *command) showDebug() *cobra.Command {
	var page string
	cmd := &cobra.Command{
		Use:   "debug APP [ROLE/INDEX] [--page NAME]",
		Short: "Look inside a running job's master or agents",
		Long: `Look inside a running job's master, or the agent of a task: what its goroutines are doing, its memory, where its machine
stands, and the last events. Without --page the pages are listed. They come over the job's own connections: only who
submitted the job can look.`,
		Example: `  tfos debug application_1700000000000_0042 --page goroutines
  tfos debug application_1700000000000_0042 --page events > events.ndjson; tfos replay events.ndjson
  tfos debug application_1700000000000_0042 worker/0 --page heap > heap; go tool pprof heap`,
		Args: applicationAndTask,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.look(cmd, args, "without a task it is the application master that is looked into", func(cluster *client.Cluster, id yarn.ApplicationID, task job.Task) error {
				return cluster.Debug(cmd.Context(), id, task, page, c.stdout)
			})
		},
	}
	cmd.Flags().StringVar(&page, "page", "", "`NAME` of what to show (default: which pages there are)")
	return cmd
}

func (c *command) stacks() *cobra.Command {
	return &cobra.Command{
		Use:   "stacks APP [ROLE/INDEX]",
		Short: "Show where the processes of a running job are",
		Long: `Show where the processes of a running job are: the stacks of each thread of its Python programs, and of other processes
where they wait in the kernel. Nothing is stopped by it. Without a task all tasks are asked. The goroutines of tfos' own
processes are in tfos debug.`,
		Args: applicationAndTask,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.look(cmd, args, "without a task all are asked", func(cluster *client.Cluster, id yarn.ApplicationID, task job.Task) error {
				return cluster.Stacks(cmd.Context(), id, task, c.stdout)
			})
		},
	}
}

// applicationAndTask are the arguments of a command that looks into a job.
func applicationAndTask(cmd *cobra.Command, args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return exit.Errorf(exit.Usage, "%s: want an application id, and perhaps a task as worker/0", cmd.CommandPath())
	}
	return nil
}

// look carries out a command whose arguments are applicationAndTask.
func (c *command) look(cmd *cobra.Command, args []string, without string, into func(*client.Cluster, yarn.ApplicationID, job.Task) error) error {
	id, err := client.ParseApplication(args[0])
	if err != nil {
		return err
	}
	var task job.Task
	if len(args) > 1 {
		if task, err = job.ParseTask(args[1]); err != nil {
			return exit.Errorf(exit.Usage, "%w", err).Try("%s", without)
		}
	}
	cluster, err := c.connect(cmd, id)
	if err != nil {
		return err
	}
	defer cluster.Close()
	return into(cluster, id, task)
}
