package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tfos/internal/client"
	"tfos/internal/client/exit"
	"tfos/internal/client/plan"
)

func (c *command) plan() *cobra.Command {
	var j jobFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "plan [JOB.yaml] [flags] [-- COMMAND...]",
		Short: "Ask the cluster whether a job would run, and upload nothing",
		Long: `Ask the cluster whether a job would run: nodes, labels and GPUs, the queue's limits and who may submit to it, what one user and
masters may have of it, room, quota and rights on HDFS, tokens, and whether the Python of its archives fits. Nothing is uploaded or
submitted. Each finding says what, why, and what to do:

  will not run  the cluster would refuse it, or it would wait for ever
  warning       it may wait, or fail later
  not known     the cluster did not say

tfos run and tfos submit look at nodes, labels, GPUs and the queue's share by themselves.
Warnings alone end with exit code 0.`,
		Example: `  tfos plan job.yaml
  tfos plan job.yaml --queue ml --workers 200 --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if local, err := c.local(); err != nil {
				return err
			} else if local {
				return exit.Errorf(exit.Usage, "plan --master local: there is no cluster to ask").Try("tfos run --master local")
			}
			return c.onCluster(cmd, &j, args, false, func(cluster *client.Cluster, p *client.Prepared, ui client.UI) error {
				found, err := cluster.Plan(cmd.Context(), p, ui)
				if err != nil {
					return err
				}
				if err := writeFindings(c.stdout, found, asJSON); err != nil {
					return err
				}
				return client.Verdict(found)
			})
		},
	}
	j.add(cmd)
	j.source(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "findings as JSON: severity, topic, what, why, do")
	return cmd
}

func writeFindings(w io.Writer, found []plan.Finding, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(struct {
			Runs     bool           `json:"runs"`
			Findings []plan.Finding `json:"findings"`
		}{!plan.WillNotRun(found), append([]plan.Finding{}, found...)})
	}
	if len(found) == 0 {
		_, err := fmt.Fprintln(w, "nothing speaks against the job")
		return err
	}
	for _, f := range found {
		fmt.Fprintf(w, "%s (%s): %s\n", f.Severity, f.Topic, f.What)
		for _, line := range []string{f.Why, f.Do} {
			if line != "" {
				fmt.Fprintf(w, "  %s\n", line)
			}
		}
	}
	return nil
}
