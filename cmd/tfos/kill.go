package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (c *command) kill() *cobra.Command {
	return &cobra.Command{
		Use:   "kill APP",
		Short: "End a job",
		Long: `End a job: its master is asked to stop the tasks in order, and YARN kills what has not ended then.
A job that has ended already is left as it is.`,
		Args: application,
		RunE: func(cmd *cobra.Command, args []string) error {
			cluster, id, err := c.reach(cmd, args[0])
			if err != nil {
				return err
			}
			defer cluster.Close()
			return cluster.Kill(cmd.Context(), id, "killed by "+cluster.User, func(line string) { fmt.Fprintln(c.stderr, line) })
		},
	}
}
