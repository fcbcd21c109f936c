package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tfos/internal/client/exit"
	"tfos/internal/dfs"
)

// models is a copy of a directory that TensorFlow wrote. Its checkpoints are a minute apart.
func models(t *testing.T, name string) string {
	t.Helper()
	isolate(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("../../internal/checkpoint/testdata", name))); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	err := filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(file, ".index") {
			at = at.Add(time.Minute)
			err = os.Chtimes(file, at, at)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestCheckpointLs(t *testing.T) {
	dir := models(t, "v2")
	code, out, stderr := tfos(t, "checkpoint", "ls", dir, "--json")
	var list []shown
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != exit.OK || stderr != "" {
		t.Fatalf("exit code %d, %v, %s%s", code, err, out, stderr)
	}
	if len(list) != 3 || list[2].Name != "ckpt-4" || *list[2].Step != 400 || list[2].Verdict != "whole" || list[2].Bytes != 3732 {
		t.Errorf("%+v", list)
	}
	if err := os.Remove(filepath.Join(dir, "ckpt-4.index")); err != nil {
		t.Fatal(err)
	}
	code, out, stderr = tfos(t, "checkpoint", "ls", dir, "--quick")
	if code != exit.OK || !strings.Contains(out, "ckpt-4.index is missing") || !strings.Contains(out, "not verified") || !strings.Contains(stderr, "checkpoint names ckpt-4, which is not there") {
		t.Errorf("exit code %d\n%s%s", code, out, stderr)
	}
}

func TestCheckpointVerify(t *testing.T) {
	dir := models(t, "v2")
	code, out, stderr := tfos(t, "checkpoint", "verify", dir)
	if code != exit.OK || strings.Count(out, ": whole\n") != 3 || strings.Count(stderr, "GB/s") != 3 {
		t.Errorf("exit code %d\n%s%s", code, out, stderr)
	}
	if err := os.Truncate(filepath.Join(dir, "ckpt-3.data-00000-of-00001"), 3068); err != nil {
		t.Fatal(err)
	}
	code, out, stderr = tfos(t, "checkpoint", "verify", dir)
	if code != exit.JobFailed || !strings.Contains(out, "ckpt-3: ckpt-3.data-00000-of-00001 has 3068 bytes, should have 3069\n") || !strings.Contains(stderr, "1 of 3 checkpoints are broken") {
		t.Errorf("exit code %d\n%s%s", code, out, stderr)
	}
	if code, out, _ = tfos(t, "checkpoint", "verify", dir, "ckpt-4"); code != exit.OK || out != "ckpt-4: whole\n" {
		t.Errorf("one that is whole: exit code %d\n%s", code, out)
	}
}

func TestCheckpointPrune(t *testing.T) {
	dir := models(t, "v2")
	code, out, stderr := tfos(t, "checkpoint", "prune", dir, "--keep", "1", "--dry-run")
	if code != exit.OK || strings.Count(out, "would delete") != 2 {
		t.Errorf("exit code %d\n%s%s", code, out, stderr)
	}
	code, out, stderr = tfos(t, "checkpoint", "prune", dir, "--keep", "2")
	if code != exit.OK || out != "deleted ckpt-2, step 200, 3.6 KiB in 2 files\n" {
		t.Errorf("exit code %d\n%s%s", code, out, stderr)
	}
	state, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil || strings.Contains(string(state), "ckpt-2") || !strings.Contains(string(state), `model_checkpoint_path: "ckpt-4"`) {
		t.Errorf("the state file says %s, %v", state, err)
	}
	if code, out, stderr = tfos(t, "checkpoint", "verify", dir); code != exit.OK || strings.Count(out, "whole") != 2 {
		t.Errorf("exit code %d\n%s%s", code, out, stderr)
	}
}

// cluster is a Hadoop configuration's default filesystem, in memory.
type cluster struct{ *dfs.Memory }

func (c cluster) Resolve(_ context.Context, uri string) (dfs.FS, string, error) {
	if name, ok := strings.CutPrefix(uri, "file://"); ok {
		return dfs.NewLocal("/"), name, nil
	}
	return c, uri, nil
}

// A relative name needs no ./, and means what there is.
func TestCheckpointDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	where, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	var down error
	c := cluster{dfs.NewMemory(dfs.MemoryOptions{User: "ann", Refuse: func(string, string) error { return down }})}
	for _, name := range []string{"here", "both", "odd #1%20"} {
		if err := os.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"there", "both", "/models"} {
		if !path.IsAbs(name) {
			name = path.Join(c.Home(), name)
		}
		if err := c.Mkdir(t.Context(), name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range []struct {
		name, want string // URI, or what the error says
		down       error
	}{
		{"here", "file://" + where + "/here", nil},
		{"odd #1%20", "file://" + where + "/odd #1%20", nil},
		{"here", "file://" + where + "/here", dfs.ErrUnreachable},
		{"./both", "file://" + where + "/both", nil},
		{".", "file://" + where, nil},
		{"there", c.URI(path.Join(c.Home(), "there")), nil},
		{"both", "both is on this machine, and in the home directory of " + c.URI("/") + "\n  say ./both, or " + c.URI(path.Join(c.Home(), "both")), nil},
		{"nowhere", where + "/nowhere does not exist, and neither does " + c.URI(path.Join(c.Home(), "nowhere")), nil},
		{"./there", "file://" + where + "/there does not exist", nil},
		{"/models", c.URI("/models"), nil},
		{where + "/here", c.URI(where+"/here") + " does not exist\n  there is one on this machine: file://" + where + "/here", nil},
	} {
		down = k.down
		f, dir, err := (&command{stderr: io.Discard}).directory(t.Context(), c, k.name)
		got := fmt.Sprint(err)
		if err == nil {
			got = f.URI(dir)
		}
		if got != k.want {
			t.Errorf("%s: %s, want %s", k.name, got, k.want)
		}
	}
}
