// Package story writes an event log as a story: the text of which membership's tests are made
// (testdata/*.txt there). What happened to a real job becomes a test of the machine that way.
//
// The story asserts what the machine of this program does, which for a log of this version is what
// it did. It holds nothing of where the job ran but host names: containers are numbered in the
// order in which they come, and time starts at the story's own noon unless the log begins in the
// middle of a life.
package story

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"tfos/internal/job"
	"tfos/internal/membership"
	"tfos/internal/yarn"
)

// epoch is when a story begins.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// container is the container that a story calls cN.
func container(n int) yarn.ContainerID {
	return yarn.ContainerID{Attempt: yarn.AttemptID{Application: yarn.ApplicationID{ClusterTimestamp: 1, Sequence: 1}, Attempt: 1}, ID: int64(n)}
}

// Write tells an event log as a story, with comments ahead of it.
func Write(log []byte, comments ...string) (string, error) {
	parts, err := membership.ReadParts(rename(log))
	if err != nil {
		return "", err
	}
	var w writer
	for _, c := range comments {
		fmt.Fprintf(&w.b, "# %s\n", strings.ReplaceAll(c, "\n", "\n# "))
	}
	for _, p := range parts {
		if p.Before.Turns > 0 {
			fmt.Fprintf(&w.b, "# %d turns are missing here, from %s to %s.\n", p.Before.Turns, p.Before.From.Format(time.RFC3339), p.Before.To.Format(time.RFC3339))
		}
		if err := w.part(p.Header, p.Turns); err != nil {
			return "", err
		}
	}
	return w.b.String(), nil
}

// part tells a stretch of a log without a gap.
func (w *writer) part(header membership.Header, turns []membership.Turn) error {
	machine, err := header.Machine()
	if err != nil {
		return err
	}
	shift, err := w.head(header, turns)
	if err != nil {
		return err
	}
	for _, t := range turns {
		now := t.Time.Add(shift)
		ev := plain(t.Event)
		if err := w.event(now, ev); err != nil {
			return err
		}
		w.output(membership.Tell(machine.Step(now, ev).All()))
	}
	return nil
}

var containers = regexp.MustCompile(`container(?:_e\d+)?_\d+_\d+_\d+_\d+`)

// rename numbers the containers of a log.
func rename(log []byte) []byte {
	names := make(map[string]string)
	return containers.ReplaceAllFunc(log, func(old []byte) []byte {
		name, ok := names[string(old)]
		if !ok {
			name = container(len(names) + 1).String()
			names[string(old)] = name
		}
		return []byte(name)
	})
}

// plain leaves out what decides nothing: ports of nodes and of agents' own servers.
func plain(ev membership.Event) membership.Event {
	switch ev := ev.(type) {
	case membership.Granted:
		ev.Node.Port = 1
		return ev
	case membership.Joined:
		host, _, _ := strings.Cut(ev.Address, ":")
		ev.Agent, ev.Witness = host+":1", 0
		return ev
	}
	return ev
}

type writer struct {
	b   strings.Builder
	now time.Time // of the event before
}

// head makes the machine. What a job file cannot say is said by the log's own first line, and then
// its times must stay.
func (w *writer) head(h membership.Header, turns []membership.Turn) (shift time.Duration, err error) {
	j, err := job.Parse("job.yaml", []byte(h.Job), nil)
	if err != nil {
		return 0, fmt.Errorf("the job of the event log: %w", err)
	}
	simple := membership.New(j, h.Seed, membership.Options{StableEndpoints: h.Options.StableEndpoints, MaxStrikes: h.Options.MaxStrikes}).Header()
	a, err := json.Marshal(simple)
	if err != nil {
		return 0, err
	}
	b, err := json.Marshal(h)
	if err != nil {
		return 0, err
	}
	if string(a) != string(b) {
		if len(turns) > 0 {
			w.now = turns[0].Time.UTC()
		}
		w.input("machine at="+w.now.Format(time.RFC3339Nano), string(b))
		w.b.WriteString("----\n\n")
		return 0, nil
	}
	line := fmt.Sprintf("job seed=%d strikes=%d", h.Seed, h.Options.MaxStrikes)
	if h.Options.StableEndpoints {
		line += " stable"
	}
	w.input(line, h.Job)
	w.b.WriteString("----\n\n")
	w.now = epoch
	if len(turns) > 0 {
		shift = epoch.Sub(turns[0].Time)
	}
	return shift, nil
}

// event writes an event as the command that has a name for it, or else as it is logged.
func (w *writer) event(now time.Time, ev membership.Event) error {
	after := ""
	if d := now.Sub(w.now); d != 0 {
		after = " after=" + d.String()
	}
	w.now = now
	line, text, told := command(ev)
	want, err := membership.EncodeEvent(ev)
	if err != nil {
		return err
	}
	got, err := membership.EncodeEvent(told)
	if told != nil && err != nil {
		return err
	}
	if told == nil || string(got) != string(want) || !quotable(text) {
		line, text = "event", string(want)
	}
	w.input(line+after, text)
	return nil
}

// quotable reports whether a story gives a text back as it was.
func quotable(text string) bool {
	return text == strings.TrimSpace(text) && !strings.Contains(text, "\r") && !strings.Contains("\n"+text+"\n", "\n----\n")
}

func (w *writer) input(line, text string) {
	w.b.WriteString(line + "\n")
	if text != "" {
		w.b.WriteString(strings.TrimRight(text, "\n") + "\n")
	}
}

func (w *writer) output(text string) {
	text = strings.TrimRight(text, "\n")
	if strings.Contains(text, "\n\n") {
		text = "----\n" + text + "\n----\n----"
	}
	w.b.WriteString("----\n" + text + "\n\n")
}

// command is an event's line and the text below it, with the event as it is read from them: what a
// command does not tell is missing there. Nil: no command tells it.
func command(ev membership.Event) (line, text string, told membership.Event) {
	switch ev := ev.(type) {
	case membership.Began:
		return "began", "", membership.Began{}
	case membership.Tick:
		return "tick", "", ev
	case membership.Unfit:
		return "unfit", ev.Reason, membership.Unfit{Reason: ev.Reason}
	case membership.StopRequested:
		return "stop-requested", ev.Reason, membership.StopRequested{Reason: ev.Reason}
	case membership.MasterFailed:
		return "master-failed", ev.Reason, membership.MasterFailed{Reason: ev.Reason}
	case membership.ClusterSized:
		return fmt.Sprintf("cluster-sized nodes=%d", ev.Nodes), "", membership.ClusterSized{Nodes: ev.Nodes}
	case membership.Scaled:
		line := fmt.Sprintf("scaled role=%s count=%d", ev.Role, ev.Count)
		if ev.Renew {
			line += " renew"
		}
		return line, "", membership.Scaled{Role: ev.Role, Count: ev.Count, Renew: ev.Renew}
	case membership.Granted:
		return fmt.Sprintf("granted role=%s c=%d node=%s", ev.Role, ev.Container.ID, ev.Node.Host), "",
			membership.Granted{Role: ev.Role, Container: ev.Container, Node: ev.Node}
	case membership.Completed:
		return fmt.Sprintf("completed c=%d code=%d", ev.Container.ID, ev.Exit), ev.Diagnostics,
			membership.Completed{Container: ev.Container, Exit: ev.Exit, Diagnostics: ev.Diagnostics}
	case membership.LaunchFailed:
		return fmt.Sprintf("launch-failed task=%s inc=%d c=%d", ev.Task, ev.Incarnation, ev.Container.ID), ev.Reason,
			membership.LaunchFailed{Task: ev.Task, Incarnation: ev.Incarnation, Container: ev.Container, Reason: ev.Reason}
	case membership.Joined:
		return fmt.Sprintf("joined task=%s inc=%d c=%d address=%s", ev.Task, ev.Incarnation, ev.Container.ID, ev.Address), "",
			membership.Joined{Task: ev.Task, Incarnation: ev.Incarnation, Container: ev.Container, Agent: ev.Agent, Address: ev.Address}
	case membership.Left:
		line := fmt.Sprintf("left task=%s inc=%d c=%d", ev.Task, ev.Incarnation, ev.Container.ID)
		if ev.Silent {
			line += " silent"
		}
		return line, "", membership.Left{Task: ev.Task, Incarnation: ev.Incarnation, Container: ev.Container, Silent: ev.Silent}
	case membership.Started:
		return fmt.Sprintf("started task=%s inc=%d%s pid=%d", ev.Task, ev.Incarnation, in(ev.Container), ev.PID), "", ev
	case membership.Exited:
		return exited(ev)
	}
	return "", "", nil
}

// in names the container that an event may name.
func in(c yarn.ContainerID) string {
	if c.IsZero() {
		return ""
	}
	return fmt.Sprintf(" c=%d", c.ID)
}

func exited(ev membership.Exited) (line, text string, told membership.Event) {
	line = fmt.Sprintf("exited task=%s inc=%d%s code=%d", ev.Task, ev.Incarnation, in(ev.Container), ev.Code)
	out := ev
	out.Reason, out.Stderr = "", nil
	if ev.Signal != "" {
		line += " signal=" + ev.Signal
	}
	if ev.OOM {
		line += " oom"
	}
	if ev.Stopped {
		line += " stopped"
	}
	if ev.Lost {
		line += " lost"
	}
	if ev.Reason != "" {
		out.Reason = ev.Reason
		return line + " not-started", ev.Reason, out
	}
	text = strings.Join(ev.Stderr, "\n")
	if text != "" {
		out.Stderr = strings.Split(text, "\n")
	}
	return line, text, out
}
