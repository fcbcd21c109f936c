package main

import (
	"github.com/spf13/cobra"

	"tfos/internal/client"
	"tfos/internal/client/exit"
	"tfos/internal/job"
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
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return exit.Errorf(exit.Usage, "%s: want an application id, and perhaps a task as worker/0", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := client.ParseApplication(args[0])
			if err != nil {
				return err
			}
			var task job.Task
			if len(args) > 1 {
				if task, err = job.ParseTask(args[1]); err != nil {
					return exit.Errorf(exit.Usage, "%w", err).Try("without a task it is the application master that is looked into")
				}
			}
			cluster, err := c.connect(cmd, id)
			if err != nil {
				return err
			}
			defer cluster.Close()
			return cluster.Debug(cmd.Context(), id, task, page, c.stdout)
		},
	}
	cmd.Flags().StringVar(&page, "page", "", "`NAME` of what to show (default: which pages there are)")
	return cmd
}
