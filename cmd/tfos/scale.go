package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tfos/internal/client"
	"tfos/internal/client/exit"
	"tfos/internal/control"
)

func (c *command) scale() *cobra.Command {
	var restart bool
	cmd := &cobra.Command{
		Use:   "scale APP ROLE=N",
		Short: "Give a role of a running job another number of tasks",
		Long: `Give a role of a running job another number of tasks. New ones wait for containers beside the others, who go on; those who
are too many, the highest indices, are stopped in order. What the others notice depends on the job's strategy:

  parameter-server  nothing; the coordinator uses new workers from its next start on
  mirrored          all processes start again in place at the new size, from the newest checkpoint
  v1                the same when it grows; nothing when it shrinks
  none              nothing

The number of parameter servers cannot change: the model's variables live there.`,
		Example: `  tfos scale application_1700000000000_0042 worker=8`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return exit.Errorf(exit.Usage, "%s: want an application id and ROLE=N", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := client.ParseApplication(args[0])
			if err != nil {
				return err
			}
			role, number, ok := strings.Cut(args[1], "=")
			n, err := strconv.ParseInt(number, 10, 32)
			if !ok || role == "" || err != nil {
				return exit.Errorf(exit.Usage, "%q: want ROLE=N, as in worker=4", args[1])
			}
			cluster, err := c.connect(cmd, id)
			if err != nil {
				return err
			}
			defer cluster.Close()
			wish := control.ScaleWish{Role: role, Count: int(n), RestartCoordinator: restart}
			return cluster.Scale(cmd.Context(), id, wish, func(line string) { fmt.Fprintln(c.stderr, line) })
		},
	}
	cmd.Flags().BoolVar(&restart, "restart-coordinator", false, "have a coordinator with parameter servers start again once the new tasks are there, to use them")
	return cmd
}
