package term

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"tfos/internal/checkpoint"
	"tfos/internal/job"
	"tfos/internal/status"
)

// Table writes a job for someone who asks once.
func Table(w io.Writer, v status.View, now time.Time) error {
	end := now
	if v.Finished != nil {
		end = *v.Finished
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { fmt.Fprintln(t, strings.TrimRight(strings.Join(cells, "\t"), "\t")) }
	line(v.ID, Cell(v.Name))
	state := string(v.State)
	if v.ExitCode != nil {
		state += fmt.Sprintf(", exit code %d", *v.ExitCode)
	}
	line("state", state)
	line("queue", Cell(v.Queue))
	line("user", Cell(v.User))
	if !v.Started.IsZero() {
		line("started", fmt.Sprintf("%s, %s", v.Started.Local().Format(time.DateTime), Elapsed(end.Sub(v.Started))))
	}
	if v.TrackingURL != "" && v.TrackingURL != "N/A" {
		line("page", Cell(v.TrackingURL))
	}
	for i, text := range recovery(v.Recovery) {
		line([]string{"recovery", ""}[min(i, 1)], text)
	}
	for _, p := range v.Problems {
		line("problem", Cell(p))
	}
	if f := v.Failure; f != nil && v.ExitCode == nil { // afterwards it is in what was said
		line("failed", f.At.Local().Format(time.TimeOnly)+" "+strings.ReplaceAll(strings.TrimSpace(f.Text), "\n", "\n\t"))
	}
	if v.Diagnostics != "" {
		line("said", strings.ReplaceAll(strings.TrimSpace(v.Diagnostics), "\n", "\n\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	tasks(t, v)
	for _, r := range v.Restarts {
		line := Cell(restartLine(r))
		if line == "" {
			line = Cell(fmt.Sprintf("%s lost: %s; it is not back", r.Task, why(r)))
		}
		fmt.Fprintf(t, "\n%s\t%s", r.At.Local().Format(time.TimeOnly), line)
	}
	for _, at := range v.Takeovers {
		fmt.Fprintf(t, "\n%s\tapplication master restarted (attempt %d now)", at.Local().Format(time.TimeOnly), v.Attempt)
	}
	if len(v.Restarts)+len(v.Takeovers) > 0 {
		fmt.Fprintln(t)
	}
	mirrored := false
	for _, task := range v.Tasks {
		for _, line := range mirrorLines(task) {
			mirrored = true
			fmt.Fprintf(t, "\n%s", line)
		}
	}
	if mirrored {
		fmt.Fprintln(t)
	}
	for _, c := range v.Checkpoints {
		kind, step := "checkpoint", fmt.Sprintf("step %d", c.Step)
		if c.Format == string(checkpoint.SavedModel) {
			kind = "model"
		}
		if c.Step < 0 {
			step = ""
		}
		fmt.Fprintf(t, "\n%s\t%s\t%s\t%s\t%s", kind, step, Bytes(c.Bytes), c.Verdict, Cell(c.Path))
	}
	if len(v.Checkpoints) > 0 {
		fmt.Fprintln(t)
	}
	return t.Flush()
}

// recovery spells out what the job does when something is lost.
func recovery(r status.Recovery) []string {
	if r.Strategy == "" {
		return nil
	}
	lines := []string{fmt.Sprintf("strategy %s, endpoints %s; %d of %d failures of the program within %s", r.Strategy, r.Endpoints, r.Failures, r.UserFailures,
		time.Duration(r.Window*float64(time.Second)))}
	var alone []string
	for _, l := range r.Losses {
		if len(l.Also) == 0 {
			alone = append(alone, l.Role)
			continue
		}
		lines = append(lines, fmt.Sprintf("a lost %s starts again, and with it %s", l.Role, strings.Join(l.Also, ", ")))
	}
	if len(alone) > 0 {
		lines = append(lines, fmt.Sprintf("a lost %s starts again alone", strings.Join(alone, " or ")))
	}
	if r.Masters > 0 {
		lines = append(lines, Masters(r.Masters, time.Duration(r.MasterWindow*float64(time.Second)), r.Resubmit))
	}
	if r.Endpoints == string(job.EndpointsDirect) {
		lines = append(lines, "one that moves to another container has all others start again")
	}
	return lines
}

// Masters says what deaths of the application master come to: the cluster grants so many of them
// within the window.
func Masters(granted int, window time.Duration, resubmit int) string {
	s := fmt.Sprintf("YARN ends the job when its master dies %d times within %s, lost nodes and preemption apart (yarn.resourcemanager.am.max-attempts)",
		granted, strings.TrimSuffix(window.String(), "0s"))
	switch {
	case resubmit == 1:
		s += "; tfos run then submits it again, once (recovery.resubmit)"
	case resubmit > 1:
		s += fmt.Sprintf("; tfos run then submits it again, up to %d times (recovery.resubmit)", resubmit)
	}
	return s
}

// mirrorLines say what became of a task's local checkpoints.
func mirrorLines(t status.Task) []string {
	if t.Mirror == nil {
		return nil
	}
	var lines []string
	say := func(what string, c *status.Copied) {
		if c != nil {
			lines = append(lines, fmt.Sprintf("%s\t%s %s, %s in %.1f s", name(t), what, Cell(c.Checkpoint), Bytes(c.Bytes), c.Seconds))
		}
	}
	say("fetched", t.Mirror.Fetched)
	say("copied", t.Mirror.Uploaded)
	if t.Mirror.Problem != "" {
		lines = append(lines, name(t)+"\t"+Cell(t.Mirror.Problem))
	}
	return lines
}

func tasks(w io.Writer, v status.View) {
	if len(v.Tasks) == 0 {
		return
	}
	fmt.Fprintln(w, "\nTASK\tSTATE\tINCARNATION\tNODE\tCONTAINER\tSTEP\tCAUSE")
	for _, t := range v.Tasks {
		step := ""
		switch {
		case t.Steps > 0:
			step = fmt.Sprintf("%d/%d", t.Step, t.Steps)
		case t.Step > 0:
			step = fmt.Sprint(t.Step)
		}
		why, _, _ := strings.Cut(t.Cause, "\n")
		if t.Why != "" {
			why += ": " + t.Why
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", name(t), t.State, t.Incarnation, Cell(t.Node), t.Container, step, Cell(why))
	}
}
