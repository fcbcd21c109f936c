package term

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"tfos/internal/status"
)

// Live keeps one line per task at the foot of a terminal, and lets everything else scroll by above. It reads no input and
// leaves signals, the cursor and the screen's content alone, so that the process may end at any moment.
type Live struct {
	program *tea.Program
	out     io.Writer // of the job's own output; nil: the terminal
	done    chan struct{}
	once    sync.Once
}

// NewLive starts drawing on terminal. The job's own output goes to out, or above the drawing if out is nil.
func NewLive(terminal io.Writer, out io.Writer) *Live {
	l := &Live{out: out, done: make(chan struct{})}
	l.program = tea.NewProgram(newModel(time.Now()), tea.WithOutput(terminal), tea.WithInput(nil), tea.WithoutSignalHandler(), tea.WithoutCatchPanics())
	go func() {
		defer close(l.done)
		_, _ = l.program.Run() // a terminal that cannot be drawn on is no reason to end
	}()
	return l
}

// Note writes a line above the drawing.
func (l *Live) Note(line string) { l.program.Println(line) }

// Staging moves the bar.
func (l *Live) Staging(done, total int64) { l.program.Send(stagingMsg{done, total}) }

// Status draws v.
func (l *Live) Status(v status.View) { l.program.Send(viewMsg{v}) }

// Log writes a piece of the job's own output.
func (l *Live) Log(data []byte) {
	if l.out != nil {
		l.out.Write(data)
		return
	}
	for line := range bytes.Lines(data) {
		// Of a line that overwrites itself the last state is left.
		line = bytes.TrimRight(line, "\r\n")
		line = line[bytes.LastIndexByte(line, '\r')+1:]
		l.program.Println(string(line))
	}
}

// Close erases the drawing and waits until everything is written.
func (l *Live) Close() {
	l.once.Do(func() { l.program.Send(endMsg{}) })
	<-l.done
}

type (
	stagingMsg struct{ done, total int64 }
	viewMsg    struct{ view status.View }
	endMsg     struct{}
	clockMsg   time.Time
)

// model is what is drawn. It is a value: Update gives the next one.
type model struct {
	started time.Time
	now     time.Time
	width   int // of the terminal; 0: not known yet
	height  int
	staging stagingMsg
	view    status.View
	ended   bool
}

func newModel(now time.Time) model { return model{started: now, now: now} }

// Init shows the cursor again, which bubbletea hides: nobody would bring it back if the process were killed.
func (m model) Init() tea.Cmd { return tea.Batch(tea.ShowCursor, clock()) }

// clock makes the elapsed time move.
func clock() tea.Cmd { return tea.Tick(time.Second, func(t time.Time) tea.Msg { return clockMsg(t) }) }

// Update applies one message.
func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case stagingMsg:
		m.staging = msg
	case viewMsg:
		lines := Lines(m.view, msg.view)
		m.view = msg.view
		return m, notable(lines)
	case clockMsg:
		m.now = time.Time(msg)
		return m, clock()
	case endMsg:
		m.ended = true
		return m, tea.Quit
	}
	return m, nil
}

// notable keeps in the scrolled part what the drawing will overwrite: what went wrong.
func notable(lines []string) tea.Cmd {
	var kept []string
	for _, l := range lines {
		if strings.Contains(l, " failed: ") || strings.Contains(l, " restarted after ") {
			kept = append(kept, l)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return tea.Println(strings.Join(kept, "\n"))
}

// View draws.
func (m model) View() string {
	switch {
	case m.ended:
		return ""
	case m.view.ID == "" && m.staging.total > 0 && m.staging.done < m.staging.total:
		return fit(fmt.Sprintf("staging %s %s of %s", bar(float64(m.staging.done)/float64(m.staging.total), 30), Bytes(m.staging.done), Bytes(m.staging.total)), m.width) + "\n"
	case m.view.ID == "":
		return ""
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
