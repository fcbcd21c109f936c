package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tfos/internal/client/term"
	"tfos/internal/job"
	"tfos/internal/status"
)

// completionPatience is how long the cluster may take to answer a person who pressed Tab.
const completionPatience = 5 * time.Second

// runningOnly are commands that do nothing to a job that has ended.
var runningOnly = map[string]bool{"kill": true, "scale": true, "debug": true, "stacks": true}

// flagValues are flags that take one of a few words.
var flagValues = map[string][]string{
	"master":    {"yarn", "local"},
	"log-level": {"debug", "info", "warn", "error"},
	"endpoints": {string(job.EndpointsRedirect), string(job.EndpointsForward), string(job.EndpointsDirect)},
	"stream":    {"stdout", "stderr", "agent.log"},
}

// completes has the shell complete the arguments of cmd and of the commands below it, by what their
// usage lines call them, and flags that take one of a few words.
func (c *command) completes(cmd *cobra.Command) error {
	for _, sub := range cmd.Commands() {
		if err := c.completes(sub); err != nil {
			return err
		}
	}
	wants := slices.DeleteFunc(strings.Fields(cmd.Use)[1:], func(word string) bool { return word == "[flags]" || strings.HasPrefix(word, "[-") })
	if len(wants) > 0 && !cmd.HasSubCommands() {
		cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) >= len(wants) {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
			defer cancel()
			cmd.SetContext(ctx)
			return c.argument(cmd, strings.Split(strings.Trim(wants[len(args)], "[]"), "|"), args, typed)
		}
	}
	for name, values := range flagValues {
		if cmd.LocalFlags().Lookup(name) == nil {
			continue
		}
		if err := cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			return err
		}
	}
	return nil
}

// argument is what an argument can be that the usage line calls one of names, and the ways a shell
// completes it otherwise.
func (c *command) argument(cmd *cobra.Command, names, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	how := cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	var found []cobra.Completion
	for _, name := range names {
		var more []cobra.Completion
		var err error
		switch name {
		case "APP":
			more, err = c.applications(cmd)
		case "ROLE/INDEX":
			more, err = c.ofJob(cmd, args[0], func(v status.View) (all []cobra.Completion) {
				for _, t := range v.Tasks {
					all = append(all, cobra.CompletionWithDesc(t.ID().String(), string(t.State)))
				}
				return all
			})
		case "ROLE=N":
			how |= cobra.ShellCompDirectiveNoSpace
			more, err = c.ofJob(cmd, args[0], func(v status.View) (all []cobra.Completion) {
				for _, r := range v.Roles {
					all = append(all, cobra.CompletionWithDesc(r.Name+"=", fmt.Sprintf("now %d", r.Instances)))
				}
				return all
			})
		case "master":
			more = []cobra.Completion{"master"}
		default: // a file or directory
			how = cobra.ShellCompDirectiveDefault
		}
		if err != nil {
			cobra.CompDebugln(err.Error(), false)
		}
		found = append(found, more...)
	}
	found = slices.DeleteFunc(found, func(one cobra.Completion) bool { return !strings.HasPrefix(one, typed) })
	return found, how
}

// applications are the jobs that the cluster remembers, the newest first.
func (c *command) applications(cmd *cobra.Command) (all []cobra.Completion, err error) {
	clusters, err := c.clusters(cmd)
	if err != nil {
		return nil, err
	}
	for _, cluster := range clusters {
		defer cluster.Close()
		jobs, err := cluster.List(cmd.Context(), false)
		if err != nil {
			return nil, err
		}
		for _, j := range jobs {
			if j.Finished == nil || !runningOnly[cmd.Name()] {
				all = append(all, cobra.CompletionWithDesc(j.ID, term.Printable(j.Name)+", "+string(j.State)))
			}
		}
	}
	return all, nil
}

// ofJob is something of the job that was named before.
func (c *command) ofJob(cmd *cobra.Command, name string, pick func(status.View) []cobra.Completion) ([]cobra.Completion, error) {
	cluster, id, err := c.reach(cmd, name)
	if err != nil {
		return nil, err
	}
	defer cluster.Close()
	v, err := cluster.Status(cmd.Context(), id)
	return pick(v), err
}
