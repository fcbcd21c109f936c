package tensorboard

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestServer: TensorBoard is told where its events are and where to be, and its failure is told.
func TestServer(t *testing.T) {
	board := filepath.Join(t.TempDir(), "board")
	if err := os.WriteFile(board, []byte("#!/bin/sh\necho \"$@\"; exit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for want, s := range map[string]Server{
		"-m main --logdir /events --port 7 --reload_interval 5 --host n1\n":                           {Command: []string{board, "-m", "main"}, Host: "n1"},
		"--logdir /events --port 7 --reload_interval 5 --bind_all --path_prefix /proxy/tensorboard\n": {Command: []string{board}, Prefix: "/proxy/tensorboard"},
	} {
		var said strings.Builder
		s.Dir, s.Port, s.Stdout = "/events", 7, &said
		if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "TensorBoard ended: exit status 3") {
			t.Errorf("it ended with %v", err)
		}
		if said.String() != want {
			t.Errorf("it was called with %q, want %q", said.String(), want)
		}
	}
}
