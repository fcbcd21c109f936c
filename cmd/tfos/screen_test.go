package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"tfos/internal/client"
	"tfos/internal/client/exit"
	"tfos/internal/client/term/termtest"
	"tfos/internal/launch"
	"tfos/internal/yarn"
)

// TestTerminalsObeyNobodyElse has a job whose name, diagnostics and log hold what terminals obey. A
// terminal shows it; a pipe gets every byte.
func TestTerminalsObeyNobodyElse(t *testing.T) {
	isolate(t)
	l, err := client.StartLocal(t.Context(), localDir(), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(false) })
	const attack = "\x1b]0;owned\x07\x1b[2J"
	app, err := l.RM.NewApplication(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sub := yarn.Submission{ID: app.ID, Name: "nice" + attack, Type: launch.ApplicationType, MaxAttempts: 1,
		Resource: yarn.Resource{MemoryMiB: 128, VCores: 1}}
	sub.Launch.Command = []string{`(printf 'here\033]0;owned\007\033[2J\n'; exit 1)`, "1><LOG_DIR>/stdout"}
	if err := l.RM.Submit(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	for r, tick := (yarn.Report{}), time.NewTicker(10*time.Millisecond); !r.State.Terminal(); <-tick.C {
		if r, err = l.RM.Report(t.Context(), app.ID); err != nil {
			t.Fatal(err)
		}
	}
	id := app.ID.String()
	for _, args := range [][]string{{"list"}, {"status", id}, {"status", id, "--json"}, {"logs", id, "master"}, {"list", "--debug"}, {"kill", id + attack}} {
		args := append(args, "--master", "local")
		p := termtest.Open(t)
		run(t.Context(), args, output(p.Terminal), output(p.Terminal))
		seen := p.Close()
		if strings.ContainsAny(seen, "\x1b\x07") {
			t.Errorf("tfos %q commands the terminal: %q", args, seen)
		}
		if !strings.Contains(seen, "x1b]0;owned") && !strings.Contains(seen, "u001b]0;owned") {
			t.Errorf("tfos %q hides what is there: %q", args, seen)
		}
	}
	if _, stdout, _ := tfos(t, "list", "--master", "local"); !strings.Contains(stdout, attack) {
		t.Errorf("a pipe gets the list as %q", stdout)
	}
	code, stdout, stderr := tfos(t, "logs", id, "master", "--master", "local", "--stream", "stdout")
	if want := []byte("here" + attack + "\n"); code != exit.OK || !bytes.Contains([]byte(stdout), want) {
		t.Errorf("a pipe gets the log as %q\n%s", stdout, stderr)
	}
	name := filepath.Join(t.TempDir(), "out")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	run(t.Context(), []string{"logs", id, "master", "--master", "local", "--stream", "stdout"}, output(f), output(f))
	if b, err := os.ReadFile(name); err != nil || !bytes.Contains(b, []byte(attack)) {
		t.Errorf("a file gets the log as %q, %v", b, err)
	}
}
