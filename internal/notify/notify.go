// Package notify says what people want to be told of a job while nobody looks: the events, and the
// texts in which webhooks and commands get them. It sends nothing and reads no clock.
package notify

import (
	"encoding/json"
	"strings"
	"time"

	"tfos/internal/job"
)

// Message is one event of a job. Its JSON keys are stable: a webhook gets them.
type Message struct {
	Event       job.Event `json:"event"`
	Text        string    `json:"text"` // a sentence for people
	Application string    `json:"application"`
	Attempt     int32     `json:"attempt"` // of the master that says it
	Name        string    `json:"name"`
	User        string    `json:"user"`
	Queue       string    `json:"queue"`
	State       string    `json:"state"`
	Step        int64     `json:"step"`      // 0: not known
	ExitCode    *int      `json:"exit_code"` // null while the job runs
	At          time.Time `json:"at"`
	URL         string    `json:"url"` // of the job's page; empty: there is none
}

// Body is what a target's webhook gets.
func (m Message) Body(f job.Format) []byte {
	var body any = m
	if f == job.FormatSlack {
		body = struct {
			Text string `json:"text"`
		}{m.slack()}
	}
	b, err := json.Marshal(body)
	if err != nil {
		panic("notify: a message of texts and numbers cannot be written: " + err.Error())
	}
	return b
}

var icons = map[job.Event]string{
	job.EventSuccess: ":white_check_mark:", job.EventFailure: ":x:", job.EventRestart: ":repeat:", job.EventStall: ":hourglass:", job.EventDeadline: ":alarm_clock:",
}

// slack is the message as Slack shows it, and as others who take its webhooks do. What looks like
// markup in a job's name or a program's last line is none: Slack has three characters to escape.
func (m Message) slack() string {
	plain := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
	s := icons[m.Event] + " *" + plain(m.Name) + "* " + plain(m.Text)
	if m.URL != "" {
		return s + " (<" + plain(m.URL) + "|" + m.Application + ">)"
	}
	return s + " (" + m.Application + ")"
}

// Env is what a target's command is told in its environment, beside the message on its stdin.
func (m Message) Env() []string {
	return []string{"TFOS_EVENT=" + string(m.Event), "TFOS_TEXT=" + m.Text, "TFOS_JOB=" + m.Name, "TFOS_APPLICATION=" + m.Application, "TFOS_URL=" + m.URL}
}
