// Package term shows people how a job fares: live on a terminal, or as plain lines in a file or
// pipe.
//
// It decides nothing: it is told of views, staging and log output, and writes them. What is a job's
// own output goes to one writer, everything else to the other.
package term

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tfos/internal/status"
)

// Lines says in words what changed from one view to the next; the first view is compared with an
// empty one.
func Lines(prev, next status.View) []string {
	if prev.ID != "" && next.ID != prev.ID { // the job was submitted again
		prev = status.View{}
	}
	var lines []string
	before := map[string]status.Task{}
	for _, t := range prev.Tasks {
		before[name(t)] = t
	}
	for _, t := range next.Tasks {
		if line := taskLine(before[name(t)], t); line != "" {
			lines = append(lines, line)
		}
	}
	if next.Generation > prev.Generation {
		lines = append(lines, fmt.Sprintf("cluster_spec %d published: %s", next.Generation, roles(next)))
	}
	for _, p := range next.Problems {
		if !slices.Contains(prev.Problems, p) {
			lines = append(lines, problem+p)
		}
	}
	for _, p := range prev.Problems {
		if !slices.Contains(next.Problems, p) {
			lines = append(lines, "over: "+p)
		}
	}
	for _, at := range next.Takeovers[min(len(prev.Takeovers), len(next.Takeovers)):] {
		lines = append(lines, fmt.Sprintf("the application master restarted at %s (attempt %d)", at.Local().Format(time.TimeOnly), next.Attempt))
	}
	lines = append(lines, restartLines(prev.Restarts, next.Restarts)...)
	if next.Diagnostics != prev.Diagnostics && next.Diagnostics != "" && quiet(next) {
		lines = append(lines, next.Diagnostics)
	}
	return lines
}

// quiet reports whether no line about a task tells what the job waits for, or that all is well but
// for something.
func quiet(v status.View) bool {
	if v.State == status.Succeeded {
		return true
	}
	return v.State == status.Running && !slices.ContainsFunc(v.Tasks, func(t status.Task) bool {
		return t.State == status.Pending || t.State == status.Starting || t.State == status.Failed
	})
}

// problem begins a line that tells what is in the job's way.
const problem = "problem: "

// restartLines says what became of restarts: that a task is back, and what its loss cost once that
// is known.
func restartLines(prev, next []status.Restart) []string {
	type loss struct {
		task string
		at   time.Time
	}
	before := make(map[loss]string, len(prev))
	for _, r := range prev {
		before[loss{r.Task, r.At}] = restartLine(r)
	}
	var lines []string
	for _, r := range next {
		if line := restartLine(r); line != "" && line != before[loss{r.Task, r.At}] {
			lines = append(lines, line)
		}
	}
	return lines
}

// restartLine is a restart in a sentence; empty: the task is not back.
func restartLine(r status.Restart) string {
	switch {
	case r.Seconds == 0:
		return ""
	case r.ResumedStep == nil:
		return fmt.Sprintf("%s restarted after %.1f s: %s", r.Task, r.Seconds, why(r))
	case *r.ResumedStep == 0:
		return fmt.Sprintf("%s lost at step %d (%s); started over; %d steps, %.1f s", r.Task, r.Step, why(r), r.LostSteps, r.Seconds)
	}
	return fmt.Sprintf("%s lost at step %d (%s); resumed from %d; %d steps, %.1f s", r.Task, r.Step, why(r), *r.ResumedStep, r.LostSteps, r.Seconds)
}

// why is the cause of a restart, and what happened: "program: exit code 1: ValueError: bad shard".
func why(r status.Restart) string {
	if r.Why == "" {
		return r.Cause
	}
	return r.Cause + ": " + r.Why
}

func name(t status.Task) string { return t.ID().String() }

// taskLine is what became of a task; empty: nothing that a person would want to know.
func taskLine(was, is status.Task) string {
	if was.State == is.State && was.Incarnation == is.Incarnation && was.Node == is.Node {
		return ""
	}
	again := ""
	if is.Incarnation > 1 {
		again = fmt.Sprintf(", incarnation %d", is.Incarnation)
	}
	switch is.State {
	case status.Starting:
		return fmt.Sprintf("%s starting on %s%s", name(is), is.Node, again)
	case status.Running:
		return fmt.Sprintf("%s running on %s, pid %d%s", name(is), is.Node, is.PID, again)
	case status.Succeeded:
		return name(is) + " succeeded"
	case status.Failed:
		return fmt.Sprintf("%s failed: %s", name(is), cause(is))
	case status.Stopped:
		return name(is) + " stopped"
	}
	if was.State != "" && was.State != is.State {
		if is.Why != "" {
			again += fmt.Sprintf(" (%s: %s)", is.Cause, is.Why)
		}
		return fmt.Sprintf("%s waits for a container%s", name(is), again)
	}
	return "" // every task of a new job is pending
}

func cause(t status.Task) string {
	switch {
	case t.Cause != "" && t.ExitCode != nil:
		return fmt.Sprintf("%s, exit code %d", t.Cause, *t.ExitCode)
	case t.Cause != "":
		return t.Cause
	case t.ExitCode != nil:
		return fmt.Sprintf("exit code %d", *t.ExitCode)
	}
	return "cause unknown"
}

// roles counts the tasks by role, in the view's order: "1 chief, 2 worker".
func roles(v status.View) string {
	var order []string
	n := map[string]int{}
	for _, t := range v.Tasks {
		if n[t.Role]++; n[t.Role] == 1 {
			order = append(order, t.Role)
		}
	}
	for i, r := range order {
		order[i] = fmt.Sprintf("%d %s", n[r], r)
	}
	return strings.Join(order, ", ")
}
