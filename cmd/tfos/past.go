package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tfos/internal/client"
	"tfos/internal/client/exit"
	"tfos/internal/client/term"
)

// remembering reaches the cluster whose filesystem keeps ended jobs.
func (c *command) remembering(cmd *cobra.Command) (*client.Cluster, error) {
	local, err := c.local()
	switch {
	case err != nil:
		return nil, err
	case local:
		return nil, exit.Errorf(exit.Usage, "%s --master local: an embedded cluster ends with its job, and keeps nothing of it", cmd.CommandPath())
	}
	return c.configured(cmd)
}

func (c *command) historyLs() *cobra.Command {
	var asJSON bool
	var number int
	cmd := &cobra.Command{
		Use:   "ls [--number N] [--json]",
		Short: "List jobs that have ended, the newest first",
		Long: `List your jobs that have ended, the newest first: how each ended, when, how long it took, and how many of its tasks' processes
were started again.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if number < 1 {
				return exit.Errorf(exit.Usage, "--number %d: want at least 1", number)
			}
			cluster, err := c.remembering(cmd)
			if err != nil {
				return err
			}
			defer cluster.Close()
			jobs, err := cluster.History(cmd.Context(), number)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(c.stdout, append([]client.Past{}, jobs...))
			}
			return writeHistory(c.stdout, jobs)
		},
	}
	cmd.Flags().IntVar(&number, "number", 50, "at most `N` jobs")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, whose keys are stable")
	return cmd
}

func writeHistory(w io.Writer, jobs []client.Past) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tNAME\tSTATE\tEXIT\tENDED\tTOOK\tRESTARTS")
	for _, j := range jobs {
		fmt.Fprintln(t, strings.Join([]string{j.ID, term.Cell(j.Name), string(j.State), strconv.Itoa(j.ExitCode), j.Finished.Local().Format(time.DateTime),
			term.Elapsed(j.Finished.Sub(j.Started)), strconv.Itoa(j.Restarts)}, "\t"))
	}
	return t.Flush()
}

func (c *command) historyShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show APP [--json]",
		Short: "Show a job that has ended",
		Long: `Show a job that has ended as its master left it: what tfos status shows, without asking YARN. Its log is in tfos logs APP as
long as the cluster keeps logs, and its events in tfos replay APP.`,
		Args: application,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := client.ParseApplication(args[0])
			if err != nil {
				return err
			}
			cluster, err := c.remembering(cmd)
			if err != nil {
				return err
			}
			defer cluster.Close()
			v, err := cluster.PastView(cmd.Context(), id)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(c.stdout, v)
			}
			return term.Table(c.stdout, v, time.Now())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, whose keys are stable: see docs/status-json.md")
	return cmd
}
