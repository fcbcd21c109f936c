package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfos/internal/client/exit"
)

func TestTensorboard(t *testing.T) {
	isolate(t)
	dir, board := t.TempDir(), filepath.Join(t.TempDir(), "board")
	if err := os.WriteFile(board, []byte("#!/bin/sh\necho \"$@\"\nexit ${BOARD_EXIT:-0}\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	code, out, stderr := tfos(t, "tensorboard", dir, "--command", board, "--port", "7001", "--host", "0.0.0.0")
	if want := "--logdir " + dir + " --port 7001 --reload_interval 5 --host 0.0.0.0\n"; code != exit.OK || out != want || !strings.Contains(stderr, "http://0.0.0.0:7001/") {
		t.Errorf("exit code %d, %q, want %q\n%s", code, out, want, stderr)
	}
	for _, c := range []struct {
		code exit.Code
		says string
		args []string
	}{
		{exit.Usage, "TensorBoard is not here", []string{dir, "--command", "/not/there"}},
		{exit.Usage, "want 0 to 65535", []string{dir, "--command", board, "--port", "65536"}},
		{exit.Usage, "does not exist", []string{dir + "/x", "--command", board}},
		{exit.Usage, "--logdir goes with an application id", []string{dir, "--command", board, "--logdir", dir}},
		{exit.Usage, "want an application id or a directory", []string{dir, dir}},
	} {
		if code, _, stderr := tfos(t, append([]string{"tensorboard"}, c.args...)...); code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("%q: exit code %d, want %d and %q\n%s", c.args, code, c.code, c.says, stderr)
		}
	}
	t.Setenv("BOARD_EXIT", "3")
	if code, _, stderr := tfos(t, "tensorboard", dir, "--command", board); code != exit.Infrastructure || !strings.Contains(stderr, "TensorBoard ended: exit status 3") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}
