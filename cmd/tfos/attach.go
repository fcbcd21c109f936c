package main

import (
	"github.com/spf13/cobra"

	"tfos/internal/client"
)

func (c *command) attach() *cobra.Command {
	var o client.RunOptions
	cmd := &cobra.Command{
		Use:   "attach APP",
		Short: "Follow a job that was submitted before, and exit with its result",
		Long: `Follow a job that was submitted before as tfos run does: its progress and the log of its chief (else its first worker), from
the beginning, and exit with the job's own result. So it takes up a tfos run that was killed or lost its connection, and ends
with the same exit code. Of a job that has ended it shows the log and the result.

Ctrl-C once leaves the job to itself, or stops it with --kill-on-exit. Twice always returns at once.`,
		Example: `  tfos attach application_1700000000000_0042`,
		Args:    application,
		RunE: func(cmd *cobra.Command, args []string) error {
			cluster, id, err := c.reach(cmd, args[0])
			if err != nil {
				return err
			}
			defer cluster.Close()
			ui := c.ui(true)
			defer ui.Close()
			return cluster.Attach(cmd.Context(), id, ui, o)
		},
	}
	cmd.Flags().BoolVar(&o.KillOnExit, "kill-on-exit", false, "stop the job when interrupted")
	return cmd
}
