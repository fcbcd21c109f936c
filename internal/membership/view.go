package membership

import (
	"cmp"
	"fmt"
	"time"

	"tfos/internal/job"
	"tfos/internal/status"
)

// View is the job as the machine sees it. What others know is left to them: id, user, tracking URL,
// progress, steps and checkpoints.
func (m *Machine) View() status.View {
	v := status.View{
		Name: m.job.Name, Queue: m.job.Queue, State: m.jobState(), Generation: m.s.Generation,
		Started: m.s.Began, Finished: optional(m.s.Ended), Diagnostics: m.situation(),
		Roles: make([]status.Role, 0, len(m.job.Roles)),
		Tasks: make([]status.Task, 0, len(m.s.Tasks)), Restarts: []status.Restart{}, Checkpoints: m.s.Checkpoints.views(), Inputs: []status.Input{},
		Recovery: m.recoveryView(), Attempt: max(m.s.Takeover.Attempt, 1), Takeovers: append([]time.Time{}, m.s.Takeover.Times...),
	}
	if m.s.Phase == finished {
		code := m.s.Result.ExitCode
		v.ExitCode = &code
	}
	for _, r := range m.job.Roles {
		v.Roles = append(v.Roles, status.Role{Name: r.Name, Instances: r.Instances, GPUs: r.GPUs})
	}
	for i := range m.s.Tasks {
		v.Tasks = append(v.Tasks, m.s.Tasks[i].view())
	}
	for _, r := range m.s.Restarts {
		v.Restarts = append(v.Restarts, status.Restart{Task: r.Task.String(), Cause: string(r.Cause), Why: r.Why, At: r.At, Seconds: r.Took.Seconds(), NewContainer: r.NewContainer,
			Step: r.Step, ResumedStep: r.restored(), LostSteps: r.lost()})
	}
	if b := m.s.Blame; !b.At.IsZero() {
		v.Failure = &status.Failure{At: b.At, Text: b.Text}
	}
	for _, n := range m.s.Counts {
		v.Counts = append(v.Counts, status.RestartCount{Role: n.Role, Cause: string(n.Cause), Count: n.Count})
	}
	return v
}

// recoveryView spells out what losses mean to the job.
func (m *Machine) recoveryView() status.Recovery {
	allowed := m.job.Recovery
	v := status.Recovery{Strategy: string(m.job.Strategy), Endpoints: string(m.job.Endpoints), Losses: make([]status.Loss, 0, len(m.job.Roles)),
		UserFailures: allowed.UserFailures, Window: allowed.Window.Seconds(), Failures: m.s.Budget.within(m.now, allowed.Window)}
	for _, lost := range m.job.Roles {
		v.Losses = append(v.Losses, status.Loss{Role: lost.Name, Also: m.follow(job.Task{Role: lost.Name})})
	}
	return v
}

// follow names those whose processes start again when a task is lost: tasks, or a role for all of
// its others.
func (m *Machine) follow(lost job.Task) []string {
	also := []string{}
	for _, role := range m.job.Roles {
		var tasks []string
		others := role.Instances
		if role.Name == lost.Role {
			others--
		}
		for i := range role.Instances {
			if t := (job.Task{Role: role.Name, Index: i}); m.follows(t, lost) { // never lost itself
				tasks = append(tasks, t.String())
			}
		}
		if len(tasks) > 1 && len(tasks) == others {
			tasks = []string{role.Name}
		}
		also = append(also, tasks...)
	}
	return also
}

func (t *task) view() status.Task {
	v := status.Task{
		Role: t.Task.Role, Index: t.Task.Index, Incarnation: t.Incarnation, State: t.state(),
		PID: t.PID, Address: t.Address, Agent: t.Agent, Started: optional(t.Started), Finished: optional(t.Ended), Cause: string(t.Cause), Why: t.Why,
	}
	if !t.Container.IsZero() {
		v.Container, v.Node = t.Container.String(), t.Node.Host
	}
	if t.ExitCode != nil {
		code := *t.ExitCode
		v.ExitCode = &code
	}
	return v
}

func (t *task) state() status.State {
	switch t.Outcome {
	case succeeded:
		return status.Succeeded
	case failed:
		return status.Failed
	case stopped:
		return status.Stopped
	}
	switch t.Run {
	case resting, waiting:
		return status.Pending
	case launched, joined, starting, pausing:
		return status.Starting
	}
	return status.Running
}

func (m *Machine) jobState() status.State {
	switch m.s.Phase {
	case training, stopping:
		return status.Running
	case finished:
		switch m.s.Result.ExitCode {
		case job.ExitSucceeded:
			return status.Succeeded
		case job.ExitKilled:
			return status.Stopped
		}
		return status.Failed
	}
	for i := range m.s.Tasks {
		if m.s.Tasks[i].held() {
			return status.Starting
		}
	}
	return status.Pending
}

// situation is one sentence on what the job waits for, or how it ended.
func (m *Machine) situation() string {
	if m.s.Result != nil {
		if waits := m.evaluating(); waits != "" {
			return waits
		}
		return m.s.Result.Diagnostics
	}
	if m.mode() == modeTakeover {
		return m.reporting()
	}
	if m.s.Phase == training {
		return m.recovering()
	}
	if m.s.Phase != forming {
		return ""
	}
	holds, came := 0, 0
	for i := range m.s.Tasks {
		if t := &m.s.Tasks[i]; t.held() {
			holds++
			if t.Run == joined {
				came++
			}
		}
	}
	total := len(m.s.Tasks)
	switch {
	case !m.s.AskAgain.IsZero():
		return fmt.Sprintf("could not get all %d containers within %s and gave back what it had; asks again at %s",
			total, m.job.Gang.Timeout, m.s.AskAgain.Format(time.TimeOnly+" MST"))
	case holds < total:
		return fmt.Sprintf("waits for containers: has %d of %d", holds, total)
	}
	return fmt.Sprintf("waits for agents to start: has %d of %d", came, total)
}

// reporting says how many agents have found an application master that took over.
func (m *Machine) reporting() string {
	holds, came := 0, 0
	for i := range m.s.Tasks {
		if t := &m.s.Tasks[i]; t.held() {
			holds++
			if !t.Unconfirmed {
				came++
			}
		}
	}
	return fmt.Sprintf("the application master was replaced, and waits for agents to report: has %d of %d", came, holds)
}

// recovering says what is being replaced, and why; empty: nothing is.
func (m *Machine) recovering() string {
	for i := range m.s.Tasks {
		t := &m.s.Tasks[i]
		why := ""
		switch {
		case t.Cause == CauseNone || t.Cause == CauseAftershock:
		case t.Why != "":
			why = fmt.Sprintf(" (%s: %s)", t.Cause, t.Why)
		default:
			why = " (" + string(t.Cause) + ")"
		}
		switch {
		case t.Outcome != open || t.Leaving:
		case t.New:
			return "grows by " + m.growing()
		case t.Run == resting || t.Run == waiting:
			return fmt.Sprintf("waits for a new container for %s%s", t.Task, why)
		case t.Run == launched:
			return fmt.Sprintf("waits for the new agent of %s to start", t.Task)
		case t.Run == pausing && t.Notice == nil:
			return fmt.Sprintf("starts %s again%s", t.Task, why)
		}
	}
	return cmp.Or(m.looking(), m.moving())
}

// optional is nil for a time that has not come.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
