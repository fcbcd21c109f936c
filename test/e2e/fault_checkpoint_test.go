//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// brokenCheckpoints are what goes wrong with the newest of three checkpoints, ckpt-300, and from
// which one a job then goes on.
var brokenCheckpoints = []struct {
	name string
	do   func(t *testing.T, dir string)
	from string
}{
	{"nothing", func(*testing.T, string) {}, "ckpt-300"},
	{"shard-truncated", edit("ckpt-300.data-00000-of-00001", func(b []byte) []byte { return b[:len(b)-1] }), "ckpt-200"},
	{"shard-empty", edit("ckpt-300.data-00000-of-00001", func([]byte) []byte { return nil }), "ckpt-200"},
	{"shard-missing", remove("ckpt-300.data-00000-of-00001"), "ckpt-200"},
	{"bit-in-tensor", edit("ckpt-300.data-00000-of-00001", func(b []byte) []byte { b[9] ^= 4; return b }), "ckpt-200"},
	{"bit-in-string-tensor", edit("ckpt-300.data-00000-of-00001", func(b []byte) []byte { b[len(b)-20] ^= 4; return b }), "ckpt-200"},
	{"bit-in-index", edit("ckpt-300.index", func(b []byte) []byte { b[20] ^= 4; return b }), "ckpt-200"},
	{"index-missing", remove("ckpt-300.index"), "ckpt-200"},
	{"state-of-a-missing-one", edit("checkpoint", func(b []byte) []byte { return []byte(strings.ReplaceAll(string(b), "ckpt-300", "ckpt-400")) }), "ckpt-300"},
	{"state-of-another-place", edit("checkpoint", func(b []byte) []byte {
		return []byte(strings.ReplaceAll(string(b), `"ckpt-`, `"/home/someone/run/ckpt-`))
	}), "ckpt-300"},
	{"state-not-written", edit("checkpoint", func([]byte) []byte {
		return []byte("model_checkpoint_path: \"ckpt-200\"\nall_model_checkpoint_paths: \"ckpt-100\"\nall_model_checkpoint_paths: \"ckpt-200\"\n")
	}), "ckpt-300"},
}

func edit(file string, change func([]byte) []byte) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file), change(b), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// faulty makes a directory for each, below top.
func faulty(t *testing.T, top string) {
	t.Helper()
	for _, b := range brokenCheckpoints {
		dir := filepath.Join(top, b.name)
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "internal/client/testdata/checkpoints"))); err != nil {
			t.Fatal(err)
		}
		for i, step := range []string{"100", "200", "300"} { // copied in one instant, they would be of one age
			at := time.Now().Add(time.Duration(i-3) * time.Second)
			for _, suffix := range []string{".data-00000-of-00001", ".index"} {
				if err := os.Chtimes(filepath.Join(dir, "ckpt-"+step+suffix), at, at); err != nil {
					t.Fatal(err)
				}
			}
		}
		b.do(t, dir)
	}
}

// startsFrom runs a program that says where it was told to go on, and checks that.
func startsFrom(t *testing.T, env []string, dir, from string, args ...string) run {
	t.Helper()
	args = append([]string{"run", "--checkpoint-dir", dir, "--workers", "1", "--worker-memory", "256MiB"}, args...)
	r := tfos(t, env, append(args, "--", "echo goes on from $TFOS_RESUME_CHECKPOINT at $TFOS_RESUME_STEP")...).want(t, 0)
	if want := "goes on from " + dir + "/" + from + " at " + strings.TrimPrefix(from, "ckpt-") + "\n"; r.stdout != want {
		t.Errorf("the program said %q, want %q", r.stdout, want)
	}
	return r
}

// found checks what a directory holds then.
func found(t *testing.T, state string, names []string, from string) {
	t.Helper()
	if !strings.Contains(state, `model_checkpoint_path: "`+from+`"`) {
		t.Errorf("the state file says\n%s", state)
	}
	if broken := from == "ckpt-200"; slices.Contains(names, "set-aside") != broken {
		t.Errorf("left: %v", names)
	}
}

func TestFaultsInCheckpointsOnTheEmbeddedYARN(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	faulty(t, top)
	for _, b := range brokenCheckpoints {
		t.Run(b.name, func(t *testing.T) {
			dir := filepath.Join(top, b.name)
			startsFrom(t, nil, dir, b.from, "--master", "local")
			state, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
			if err != nil {
				t.Fatal(err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, e := range entries {
				names = append(names, e.Name())
			}
			found(t, string(state), names, b.from)
		})
	}
}

func TestFaultsInCheckpointsOnHDFS(t *testing.T) {
	t.Parallel()
	c := hadoop(t)
	top := filepath.Join(t.TempDir(), "faults")
	faulty(t, top)
	c.shell(t, "hdfs dfs -mkdir -p /models && hdfs dfs -put -p "+top+" /models/")
	for _, b := range brokenCheckpoints {
		t.Run(b.name, func(t *testing.T) {
			dir := "/models/faults/" + b.name
			r := startsFrom(t, c.env, "hdfs://"+dir, b.from)
			v := jobStatus(t, c.env, submittedRE.FindStringSubmatch(r.stderr)[1])
			if n := len(v.Checkpoints); n == 0 || v.Checkpoints[n-1].Path != "hdfs://"+dir+"/"+b.from || v.Checkpoints[n-1].Verdict != "whole" {
				t.Errorf("checkpoints %+v", v.Checkpoints)
			}
			found(t, c.shell(t, "hdfs dfs -cat "+dir+"/checkpoint"), c.list(t, dir), b.from)
		})
	}
}
