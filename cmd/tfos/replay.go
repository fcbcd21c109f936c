package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tfos/internal/client/exit"
	"tfos/internal/membership"
	"tfos/internal/membership/story"
	"tfos/internal/yarn"
)

// maxDifferences bounds how many differences are shown: the first ones say what changed, the others
// follow from them.
const maxDifferences = 5

func (c *command) replay() *cobra.Command {
	var asStory bool
	cmd := &cobra.Command{
		Use:   "replay EVENTS.ndjson|APP [--as-story]",
		Short: "Re-step a job's event log in the state machine of this tfos",
		Long: `Re-step the event log of a job that has ended in the state machine that this tfos carries, and show where it decides
otherwise than the job's master did. The log is a file, or that of an application, which its master left with the job's files.
Of a log that became too long the master keeps the beginning and the newest turns: which are missing is said on stderr.
With --as-story the log is written to stdout as a test of the state machine (internal/membership/testdata).

Exit code 0: the same decisions; 1: others; 2: the log cannot be read.`,
		Example: `  tfos replay events.ndjson
  tfos replay application_1700000000000_0001 --as-story >story.txt`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return exit.Errorf(exit.Usage, "%s: want one event log or application id", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := c.eventLog(cmd, args[0])
			if err != nil {
				return err
			}
			if asStory {
				return c.tellStory(args[0], log)
			}
			return c.compare(args[0], log)
		},
	}
	cmd.Flags().BoolVar(&asStory, "as-story", false, "write the log as a story")
	return cmd
}

// eventLog reads the log that an argument names: a file if there is one of that name.
func (c *command) eventLog(cmd *cobra.Command, name string) ([]byte, error) {
	id, notID := yarn.ParseApplicationID(name)
	log, err := os.ReadFile(name)
	switch {
	case err == nil:
		return log, nil
	case notID != nil:
		return nil, exit.Errorf(exit.Usage, "read the event log: %w", err).Try("want a file or an application id; tfos list shows the jobs")
	}
	cluster, err := c.connect(cmd, id)
	if err != nil {
		return nil, err
	}
	defer cluster.Close()
	return cluster.EventLog(cmd.Context(), id)
}

func (c *command) compare(name string, log []byte) error {
	parts, err := membership.ReadParts(log)
	if err != nil {
		return unreadable(name, err)
	}
	var differences []membership.Difference
	turns, taken := 0, 0 // in the log, and by the master
	for _, p := range parts {
		if missing := p.Before; missing.Turns > 0 {
			fmt.Fprintf(c.stderr, "%s: turns %d to %d, from %s to %s, are missing: the log became too long. After them it is re-stepped from the state that the log has there.\n",
				name, taken+1, taken+missing.Turns, missing.From.Format(time.RFC3339), missing.To.Format(time.RFC3339))
			taken += missing.Turns
		}
		more, err := membership.Replay(p.Header, p.Turns)
		if err != nil {
			return unreadable(name, err)
		}
		for _, d := range more {
			d.Turn += taken
			differences = append(differences, d)
		}
		turns, taken = turns+len(p.Turns), taken+len(p.Turns)
	}
	for _, d := range differences[:min(len(differences), maxDifferences)] {
		fmt.Fprint(c.stdout, d)
	}
	if len(differences) > 0 {
		return exit.Errorf(exit.JobFailed, "%s: %d of %d turns differ, from turn %d on", name, len(differences), turns, differences[0].Turn)
	}
	fmt.Fprintf(c.stderr, "%s: all %d turns are the same\n", name, turns)
	return nil
}

func (c *command) tellStory(name string, log []byte) error {
	text, err := story.Write(log)
	if err != nil {
		return unreadable(name, err)
	}
	_, err = fmt.Fprint(c.stdout, text)
	return err
}

func unreadable(name string, err error) error {
	var known *exit.Error
	if errors.As(err, &known) {
		return err
	}
	return exit.Errorf(exit.Usage, "%s: %w", name, err).Try("a log can be re-stepped by a tfos of the version that wrote it; tfos version shows this one's")
}
