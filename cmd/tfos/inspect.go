package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tfos/internal/client"
	"tfos/internal/client/exit"
	"tfos/internal/client/term"
	"tfos/internal/status"
)

func (c *command) status() *cobra.Command {
	var watch, asJSON bool
	cmd := &cobra.Command{
		Use:   "status APP [--watch] [--json]",
		Short: "Show a job: its tasks, where they run, and how it fares",
		Long: `Show a job: its tasks, their incarnations, nodes and steps, its restarts and their causes, and links.
With --watch it is shown until it ends; with --json as well, one document per line and change.`,
		Args: application,
		RunE: func(cmd *cobra.Command, args []string) error {
			cluster, id, err := c.reach(cmd, args[0])
			if err != nil {
				return err
			}
			defer cluster.Close()
			if !watch {
				v, err := cluster.Status(cmd.Context(), id)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(c.stdout, v)
				}
				return term.Table(c.stdout, v, time.Now())
			}
			if asJSON {
				enc := json.NewEncoder(c.stdout)
				return cluster.Watch(cmd.Context(), id, func(v status.View) error { return enc.Encode(v) })
			}
			ui := c.watcher()
			defer ui.Close()
			return cluster.Watch(cmd.Context(), id, func(v status.View) error {
				ui.Status(v)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "go on until the job ends")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, whose keys are stable")
	return cmd
}

// watcher shows a job on stdout, for it is what was asked for.
func (c *command) watcher() client.UI {
	if screen, ok := drawable(c.stdout); ok {
		return term.NewLive(screen, nil)
	}
	return term.NewPlain(io.Discard, c.stdout, time.Now)
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func (c *command) list() *cobra.Command {
	var all, asJSON, prometheus, direct bool
	cmd := &cobra.Command{
		Use:   "list [--all] [--json] [--prometheus [--direct]]",
		Short: "List the jobs in this cluster",
		Long: `List the jobs that the cluster remembers, the newest first: yours, or everyone's with --all.

With --prometheus those that run are listed as Prometheus' file service discovery (file_sd_configs) reads them, to be
watched through YARN's web proxy; or directly, with --direct. See docs/metrics.md.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if direct && !prometheus {
				return exit.Errorf(exit.Usage, "--direct goes with --prometheus")
			}
			if prometheus {
				return c.writeTargets(cmd, all, direct)
			}
			clusters, err := c.clusters(cmd)
			if err != nil {
				return err
			}
			jobs := []client.Summary{}
			for _, cluster := range clusters {
				defer cluster.Close()
				more, err := cluster.List(cmd.Context(), all)
				if err != nil {
					return err
				}
				jobs = append(jobs, more...)
			}
			if asJSON {
				return writeJSON(c.stdout, jobs)
			}
			return writeList(c.stdout, jobs, time.Now())
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "everyone's jobs")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, whose keys are stable")
	cmd.Flags().BoolVar(&prometheus, "prometheus", false, "write those that run as targets for Prometheus")
	cmd.Flags().BoolVar(&direct, "direct", false, "with --prometheus: the masters' own addresses, not the proxy's")
	return cmd
}

// writeTargets lists the jobs that run for Prometheus. Embedded clusters have no proxy, and their
// masters no page.
func (c *command) writeTargets(cmd *cobra.Command, all, direct bool) error {
	if local, err := c.local(); err != nil {
		return err
	} else if local {
		return exit.Errorf(exit.Usage, "--master local --prometheus: masters of an embedded cluster serve no metrics")
	}
	cluster, err := c.configured(cmd)
	if err != nil {
		return err
	}
	defer cluster.Close()
	targets, err := cluster.Targets(cmd.Context(), all, direct)
	if err != nil {
		return err
	}
	return writeJSON(c.stdout, targets)
}

func writeList(w io.Writer, jobs []client.Summary, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tNAME\tUSER\tQUEUE\tSTATE\tSTARTED\tTOOK")
	for _, j := range jobs {
		end := now
		if j.Finished != nil {
			end = *j.Finished
		}
		fmt.Fprintln(t, strings.Join([]string{j.ID, term.Cell(j.Name), term.Cell(j.User), term.Cell(j.Queue), string(j.State), j.Started.Local().Format(time.DateTime), term.Elapsed(end.Sub(j.Started))}, "\t"))
	}
	return t.Flush()
}
