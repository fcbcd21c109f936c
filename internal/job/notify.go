package job

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Event is something of a job that people want to be told.
type Event string

// The events.
const (
	EventSuccess  Event = "success"
	EventFailure  Event = "failure" // the job ended in any other way: it failed, was killed, or took too long
	EventRestart  Event = "restart" // tasks were lost and start again
	EventStall    Event = "stall"   // the training takes no steps any more
	EventDeadline Event = "deadline"
)

// Events are all there are. Who does not choose is told of all but restarts, which are tfos'
// business.
var (
	Events        = []Event{EventSuccess, EventFailure, EventRestart, EventStall, EventDeadline}
	defaultEvents = []Event{EventSuccess, EventFailure, EventStall, EventDeadline}
)

// Format is what a webhook expects.
type Format string

// The formats.
const (
	FormatJSON  Format = "json"
	FormatSlack Format = "slack" // {"text": …}: Slack, Mattermost and others
)

// Target is somebody who is told of a job's events: by a webhook or by a command, never both.
type Target struct {
	Name    string
	Webhook string // a URL, which is often a secret; empty: Command
	Format  Format
	Command string // a shell command line, run beside the master
	On      []Event
}

// Host is where a target's webhook is, without what may be a secret.
func (t Target) Host() string {
	u, err := url.Parse(t.Webhook)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// target reads one target.
func (d *decoder) target(f field) Target {
	key := join("notify", f.key)
	t := Target{Name: f.key, Format: FormatJSON}
	if f.key == "" || !isWord(f.key) {
		d.fail(f.at, key, "%q is no name for who is told: want letters, digits and _", f.key)
	}
	d.fields(f.value, key,
		rule{"webhook", d.text(&t.Webhook, checkWebhook)},
		rule{"format", scalarOf(d, &t.Format, parseFormat)},
		rule{"command", d.text(&t.Command, checkCommand)},
		rule{"on", d.list(func(text string, at place, key string) {
			if !slices.Contains(Events, Event(text)) {
				d.fail(at, key, "%q: want one of %s", text, eventNames())
			}
			t.On = append(t.On, Event(text))
		})},
	)
	has := func(name string) bool { return f.value.kind == mapping && f.value.field(name) != nil }
	switch {
	case !has("webhook") && !has("command"):
		d.fail(f.at, key, "wants a webhook or a command")
	case has("webhook") && has("command"):
		d.fail(f.at, key, "has a webhook and a command: make them two")
	case has("command") && has("format"):
		d.fail(f.at, join(key, "format"), "a command gets JSON")
	}
	if t.On == nil {
		t.On = slices.Clone(defaultEvents)
	}
	return t
}

func eventNames() string {
	names := make([]string, len(Events))
	for i, e := range Events {
		names[i] = string(e)
	}
	return strings.Join(names, ", ")
}

func parseFormat(s string) (Format, error) {
	if f := Format(s); f == FormatJSON || f == FormatSlack {
		return f, nil
	}
	return "", fmt.Errorf("%q: want json or slack", s)
}

// checkWebhook never repeats the URL: it may be a secret.
func checkWebhook(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("it is no http or https URL")
	}
	return nil
}

// Deadline is a time of day by which the job should have ended.
type Deadline struct {
	Clock string // 06:00; empty: there is none
	Zone  string // as in Europe/Berlin; empty: that of the machine that submits
}

// String writes it as a job file has it.
func (d Deadline) String() string { return strings.TrimSpace(d.Clock + " " + d.Zone) }

const clockLayout = "15:04"

func parseDeadline(s string) (Deadline, error) {
	clock, zone, _ := strings.Cut(s, " ")
	if _, err := time.Parse(clockLayout, clock); err != nil || len(clock) != len(clockLayout) || strings.ContainsAny(zone, " \t") {
		return Deadline{}, fmt.Errorf("%q: want a time of day as 06:00, or with a zone, 06:00 Europe/Berlin", s)
	}
	return Deadline{clock, zone}, nil
}

// Next is the first deadline after a moment, in its zone. A time of day that the clocks skip is an
// hour later; of one that comes twice it is the later.
func (d Deadline) Next(after time.Time) time.Time {
	clock, err := time.Parse(clockLayout, d.Clock)
	if err != nil {
		return time.Time{}
	}
	y, m, day := after.Date()
	for {
		at := time.Date(y, m, day, clock.Hour(), clock.Minute(), 0, 0, after.Location())
		if at.After(after) {
			return at
		}
		day++
	}
}
