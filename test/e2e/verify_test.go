//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	checkpoints     = flag.Int("checkpoints", 39, "how many random checkpoints TestCheckpointsOfTensorFlow verifies")
	checkpointsSeed = flag.Uint64("checkpoints-seed", 1, "of them, and of the damage")
)

// verdict is one element of what tfos checkpoint verify --json says.
type verdict struct {
	Name    string   `json:"name"`
	Step    int64    `json:"step"`
	Format  string   `json:"format"`
	Verdict string   `json:"verdict"`
	Files   []string `json:"files"`
}

// verified runs tfos checkpoint verify.
func verified(t testing.TB, env []string, dir string, code int) []verdict {
	t.Helper()
	r := tfos(t, env, "checkpoint", "verify", dir, "--json").want(t, code)
	var list []verdict
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil {
		t.Fatalf("%v\n%s", err, r.stdout)
	}
	return list
}

// TestCheckpointsOfTensorFlow: of checkpoints of random variables, in every format, none is called
// broken; then one bit is flipped in each that has checksums, and each is.
func TestCheckpointsOfTensorFlow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), patience+time.Duration(*checkpoints)*time.Second)
	defer cancel()
	command(ctx, t, nil, python(t), program("checkpoints.py"), dir, strconv.Itoa(*checkpoints), strconv.FormatUint(*checkpointsSeed, 10)).want(t, 0)
	list := verified(t, nil, dir, 0)
	formats := map[string]int{}
	for _, v := range list {
		if formats[v.Format]++; v.Verdict != "whole" {
			t.Errorf("false alarm about %s: %s", v.Name, v.Verdict)
		}
	}
	if len(list) != *checkpoints {
		t.Errorf("%d checkpoints were found, want %d", len(list), *checkpoints)
	}
	t.Logf("no false alarm among %v", formats)

	rng := rand.New(rand.NewPCG(*checkpointsSeed, 0))
	damaged := map[string]string{}
	for _, v := range list {
		name, ok := flip(t, rng, dir, v)
		if ok {
			damaged[v.Name] = name
		}
	}
	found := 0
	for _, v := range verified(t, nil, dir, 1) {
		name, want := damaged[v.Name]
		switch {
		case want && v.Verdict == "whole":
			t.Errorf("not found in %s: %s", v.Name, name)
		case want && !strings.Contains(v.Verdict, filepath.Base(strings.Fields(name)[0])):
			t.Errorf("%s has %s, but is said to be: %s", v.Name, name, v.Verdict)
		case want:
			found++
		case v.Verdict != "whole":
			t.Errorf("%s was not touched: %s", v.Name, v.Verdict)
		}
	}
	t.Logf("%d of %d flipped bits found", found, len(damaged))
}

// flip flips a bit in one file of a checkpoint, if that has checksums.
func flip(t *testing.T, rng *rand.Rand, dir string, v verdict) (what string, ok bool) {
	t.Helper()
	var files []string
	for _, f := range v.Files {
		if v.Format == "bundle" || v.Format == "saved-model" || v.Format == "legacy" {
			switch ext := filepath.Ext(f); {
			case ext == ".meta", ext == ".pb":
			default:
				files = append(files, f)
			}
		}
	}
	if len(files) == 0 {
		return "", false
	}
	name := files[rng.IntN(len(files))]
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if len(content) == 0 {
		return "", false
	}
	i := rng.IntN(len(content))
	content[i] ^= 1 << rng.IntN(8)
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s with a flipped bit in byte %d", name, i), true
}

// faults are what a disk, a network or a killed writer does to the newest of three checkpoints.
var faults = []struct {
	name  string
	do    func(t *testing.T, dir string)
	says  string // verify, of the newest or the directory
	whole int    // checkpoints that are left
}{
	{"shard-cut-by-a-byte", resize("ckpt-4.data-00000-of-00001", -1), "ckpt-4.data-00000-of-00001 has 3068 bytes, should have 3069", 2},
	{"shard-empty", truncate("ckpt-4.data-00000-of-00001"), "ckpt-4.data-00000-of-00001 has 0 bytes, should have 3069", 2},
	{"shard-missing", remove("ckpt-4.data-00000-of-00001"), "ckpt-4.data-00000-of-00001 is missing", 2},
	{"float-flipped", change("ckpt-4.data-00000-of-00001", []byte{0, 0, 0x6c, 0x42}), "tensor w/.ATTRIBUTES/VARIABLE_VALUE in ckpt-4.data-00000-of-00001 is damaged", 2}, // 59.0, the last of w
	{"string-flipped", change("ckpt-4.data-00000-of-00001", []byte("three words here")), "tensor words/.ATTRIBUTES/VARIABLE_VALUE in ckpt-4.data-00000-of-00001 is damaged", 2},
	{"index-flipped", change("ckpt-4.index", []byte("words/.ATTRIBUTES")), "ckpt-4.index is damaged", 2},
	{"checkpoint-names-a-missing-one", remove("ckpt-4.data-00000-of-00001", "ckpt-4.index"), "checkpoint names ckpt-4, which is not there", 2},
	{"killed-between-data-and-index", remove("ckpt-4.index"), "ckpt-4.index is missing", 2},
}

// TestCheckpointFaultsOnHDFS: each fault is found on a real HDFS and said. A writer killed between
// index and `checkpoint` leaves a whole one that `checkpoint` does not name.
func TestCheckpointFaultsOnHDFS(t *testing.T) {
	c := hadoop(t)
	dir := t.TempDir()
	fill := func(name string) string {
		to := filepath.Join(dir, name)
		if err := os.CopyFS(to, os.DirFS(filepath.Join(root, "internal/checkpoint/testdata/v2"))); err != nil {
			t.Fatal(err)
		}
		return to
	}
	for _, f := range faults {
		f.do(t, fill(f.name))
	}
	unnamed := filepath.Join(fill("killed-between-index-and-checkpoint"), "checkpoint")
	if err := os.WriteFile(unnamed, []byte("model_checkpoint_path: \"ckpt-3\"\nall_model_checkpoint_paths: \"ckpt-3\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	at := fmt.Sprintf("/tmp/checkpoint-faults-%d", os.Getpid())
	c.shell(t, fmt.Sprintf("hdfs dfs -mkdir -p %s && hdfs dfs -put %s/* %s", at, dir, at))
	for _, f := range faults {
		r := tfos(t, c.env, "checkpoint", "verify", at+"/"+f.name).want(t, 1)
		if out := r.stdout + r.stderr; !strings.Contains(out, f.says) || strings.Count(r.stdout, ": whole\n") != f.whole {
			t.Errorf("%s: want %q and %d whole ones\n%s", f.name, f.says, f.whole, out)
		}
	}
	for _, v := range verified(t, c.env, at+"/killed-between-index-and-checkpoint", 0) {
		if v.Verdict != "whole" {
			t.Errorf("%s: %s", v.Name, v.Verdict)
		}
	}
	if r := tfos(t, c.env, "checkpoint", "prune", at+"/float-flipped", "--keep", "1").want(t, 0); r.stdout != "deleted ckpt-2, step 200, 3.6 KiB in 2 files\n" {
		t.Errorf("prune beside a broken one: %s", r.stdout)
	}
	if left := verified(t, c.env, at+"/float-flipped", 1); len(left) != 2 || left[0].Name != "ckpt-3" || left[0].Verdict != "whole" {
		t.Errorf("after pruning: %+v", left)
	}
}

func resize(name string, by int64) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		info, err := os.Stat(filepath.Join(dir, name))
		if err == nil {
			err = os.Truncate(filepath.Join(dir, name), info.Size()+by)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func truncate(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.Truncate(filepath.Join(dir, name), 0); err != nil {
			t.Fatal(err)
		}
	}
}

func remove(names ...string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		for _, name := range names {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// change flips a bit of the first byte of what lies somewhere in a file.
func change(name string, what []byte) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		name := filepath.Join(dir, name)
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		i := bytes.Index(content, what)
		if i < 0 {
			t.Fatalf("%s does not hold %q", name, what)
		}
		content[i] ^= 4
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
