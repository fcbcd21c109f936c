package agent

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/control"
)

// TestWhenWhatWasPrinted: a mark for the first of what comes in each five seconds, whichever
// process wrote it.
func TestWhenWhatWasPrinted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, began := t.TempDir(), time.Now()
		l := newLogs(dir, agentLogLimits, nil)
		defer l.close()
		for _, after := range []time.Duration{0, time.Second, 4 * time.Second, time.Hour} {
			time.Sleep(after)
			l.timed[control.Stdout].Write([]byte("0123456789"))
		}
		l.timed[control.Stderr].Write([]byte("x"))
		var got strings.Builder
		if err := l.Logs(t.Context(), control.LogsRequest{Stream: control.Times}, func(c control.LogChunk) error {
			got.Write(c.Data)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		later := began.Add(time.Hour + 5*time.Second)
		want := string(control.Mark(control.Stdout, began, 0)) + string(control.Mark(control.Stdout, began.Add(5*time.Second), 20)) +
			string(control.Mark(control.Stdout, later, 30)) + string(control.Mark(control.Stderr, later, 0))
		if got.String() != want {
			t.Errorf("marks\n%swant\n%s", got.String(), want)
		}
	})
}
