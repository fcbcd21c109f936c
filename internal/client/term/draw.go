package term

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"tfos/internal/status"
)

var (
	bold, faint = style(ansi.Style{}.Bold()), style(ansi.Style{}.Faint())

	// Colours of the sixteen that every terminal's theme defines.
	colours = map[status.State]style{
		status.Pending:   faint,
		status.Starting:  style(ansi.Style{}.ForegroundColor(ansi.Yellow)),
		status.Running:   style(ansi.Style{}.ForegroundColor(ansi.Blue)),
		status.Succeeded: style(ansi.Style{}.ForegroundColor(ansi.Green)),
		status.Failed:    style(ansi.Style{}.ForegroundColor(ansi.Red)),
		status.Stopped:   faint,
	}
	marks = map[status.State]string{
		status.Pending: "·", status.Starting: "◌", status.Running: "●", status.Succeeded: "✓", status.Failed: "✗", status.Stopped: "–",
	}
)

// style is how text looks on a terminal.
type style ansi.Style

// Render gives text the style, unless NO_COLOR is set (no-color.org).
func (s style) Render(text string) string {
	if text == "" || os.Getenv("NO_COLOR") != "" {
		return text
	}
	return ansi.Style(s).Styled(text)
}

// model is what is drawn. It is a value.
type model struct {
	started time.Time
	now     time.Time
	width   int // of the terminal; 0: not known
	height  int

	done, total int64 // bytes staged, of how many
	view        status.View
}

// empty reports whether there is nothing to be drawn yet.
func (m model) empty() bool { return m.view.ID == "" && m.total == 0 }

// notable is what of a change should stay to be read when the drawing is gone: what went wrong.
func notable(was, is status.View) []string {
	return slices.DeleteFunc(Lines(was, is), func(line string) bool {
		return !strings.HasPrefix(line, problem) && !strings.Contains(line, " failed: ") && !strings.Contains(line, " restarted after ") && !strings.Contains(line, " lost at step ")
	})
}

// draw gives the lines, each with its end.
func (m model) draw() string {
	if m.view.ID == "" && m.done < m.total {
		return fit(fmt.Sprintf("staging %s %s of %s", bar(float64(m.done)/float64(m.total), 30), Bytes(m.done), Bytes(m.total)), m.width) + "\n"
	}
	if m.view.ID == "" {
		return faint.Render(fit("waiting for the cluster", m.width)) + "\n"
	}
	rows := []string{m.header()}
	tasks, more := m.shown()
	for _, t := range tasks {
		rows = append(rows, m.row(t))
	}
	if more > 0 {
		rows = append(rows, faint.Render(fmt.Sprintf("  … and %d more", more)))
	}
	for i, r := range rows {
		rows[i] = fit(r, m.width)
	}
	return strings.Join(rows, "\n") + "\n"
}

// header is the job in one line.
func (m model) header() string {
	running := 0
	for _, t := range m.view.Tasks {
		if t.State == status.Running {
			running++
		}
	}
	since := m.started
	if !m.view.Started.IsZero() {
		since = m.view.Started
	}
	return fmt.Sprintf("%s %s  %s  %d/%d tasks running  %s", bold.Render(Printable(m.view.Name)), faint.Render(m.view.ID), m.view.State,
		running, len(m.view.Tasks), Elapsed(m.now.Sub(since)))
}

// shown picks the tasks that the terminal has room for. Where there are too many, those that do not
// simply run come first.
func (m model) shown() (tasks []status.Task, more int) {
	tasks = m.view.Tasks
	room := len(tasks)
	if m.height > 0 {
		room = max(m.height/2-2, 3) // the other half is for the log
	}
	if len(tasks) <= room {
		return tasks, 0
	}
	tasks = slices.Clone(tasks)
	slices.SortStableFunc(tasks, func(a, b status.Task) int { return cmp.Compare(urgency(a.State), urgency(b.State)) })
	return tasks[:room], len(tasks) - room
}

func urgency(s status.State) int {
	return slices.Index([]status.State{status.Failed, status.Starting, status.Pending, status.Running, status.Succeeded, status.Stopped}, s)
}

// row is a task in one line.
func (m model) row(t status.Task) string {
	widest, node := 0, 0
	for _, u := range m.view.Tasks {
		widest, node = max(widest, len(name(u))), max(node, len(Printable(u.Node)))
	}
	colour := colours[t.State]
	row := fmt.Sprintf("  %s %-*s %s %-*s", colour.Render(marks[t.State]), widest, name(t), colour.Render(fmt.Sprintf("%-9s", t.State)), node, Printable(t.Node))
	if t.Incarnation > 1 {
		row += fmt.Sprintf("  incarnation %d", t.Incarnation)
	}
	switch {
	case t.Steps > 0:
		row += fmt.Sprintf("  %s step %d of %d", bar(float64(t.Step)/float64(t.Steps), 16), t.Step, t.Steps)
	case t.Step > 0:
		row += fmt.Sprintf("  step %d", t.Step)
	}
	if t.State == status.Failed {
		row += "  " + Printable(cause(t))
	}
	return strings.TrimRight(row, " ")
}

// bar draws a fraction.
func bar(fraction float64, width int) string {
	full := int(min(max(fraction, 0), 1) * float64(width))
	return colours[status.Running].Render(strings.Repeat("━", full)) + faint.Render(strings.Repeat("━", width-full))
}

// Elapsed is "0:42", "12:03" or "2:05:00".
func Elapsed(d time.Duration) string {
	s := max(int(d/time.Second), 0)
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// fit cuts a line to the terminal's width: one that wrapped would be drawn over wrongly.
func fit(s string, width int) string {
	if width <= 0 {
		return s
	}
	return ansi.Truncate(s, width, "…")
}
