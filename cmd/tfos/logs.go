package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tfos/internal/client"
	"tfos/internal/client/exit"
)

func (c *command) logs() *cobra.Command {
	var follow bool
	var stream, grep string
	var since time.Duration
	cmd := &cobra.Command{
		Use:   "logs APP [ROLE/INDEX|master] [-f] [--stream NAME] [--since TIME] [--grep PATTERN]",
		Short: "Show what a job's tasks wrote",
		Long: `Show what a job's tasks wrote, all of them or one: from their nodes while the job runs, afterwards from where the cluster
keeps logs. "master" stands for the application master's own log, of a job that has ended. A terminal shows control characters
and does not obey them; a file or pipe gets every byte as it is.

With -f lines come as they are printed, of all tasks at once, each behind its task's name (in colours on a terminal, unless
NO_COLOR is set), across restarts and moves, which a line tells of, and of tasks that are added while the job runs.`,
		Example: `  tfos logs application_1700000000000_0042 worker/0 -f
  tfos logs application_1700000000000_0042 -f --since 10m --grep 'loss|accuracy'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return exit.Errorf(exit.Usage, "tfos logs: want an application id, and perhaps a task as worker/0").Try("tfos list shows the ids")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := client.ParseApplication(args[0])
			if err != nil {
				return err
			}
			which := ""
			if len(args) > 1 {
				which = args[1]
			}
			o, err := client.ParseLogs(which, stream, grep, since, follow)
			if err != nil {
				return err
			}
			_, terminal := drawable(c.stdout)
			o.Colour = terminal && os.Getenv("NO_COLOR") == ""
			o.Note = func(text string) { fmt.Fprintln(c.stderr, text) }
			cluster, err := c.connect(cmd, id)
			if err != nil {
				return err
			}
			defer cluster.Close()
			return cluster.CopyLogs(cmd.Context(), id, o, c.stdout)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the job ends")
	cmd.Flags().StringVar(&grep, "grep", "", "only lines that match the regular expression `PATTERN`")
	cmd.Flags().DurationVar(&since, "since", 0, "only what was printed in the last `TIME`, as in 10m, to five seconds")
	cmd.Flags().StringVar(&stream, "stream", "", "`NAME` of one: stdout, stderr or agent.log (default stdout and stderr)")
	return cmd
}
