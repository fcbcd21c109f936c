//go:build e2e

package e2e

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNodeManagersInTheCLocale, as systemd starts them: names that they cannot make are there when
// the program starts. An archive on HDFS they have to unpack themselves, and a job that has such
// names in one ends with the reason once two nodes have told it.
func TestNodeManagersInTheCLocale(t *testing.T) {
	t.Setenv("LC_ALL", "C")
	c, err := startCluster("e2e-locale", portBase+1000, "--nms", "2")
	if err != nil {
		t.Fatal(err)
	}
	defer c.must(t, "down") // the machine has no room for many
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "daten"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "Grüße.sh"), "echo grüezi 日本\n")
	writeFile(t, filepath.Join(dir, "daten", "Übung.txt"), "in the directory\n")
	writeFile(t, filepath.Join(dir, "plain.txt"), "by another name\n")
	tarGzip(t, filepath.Join(dir, "env.tar.gz"), "a b/Grüße.txt", "in the archive\n")
	job := filepath.Join(dir, "job.yaml")
	writeFile(t, job, `name: names
command: |
  sh Grüße.sh; cat daten/Übung.txt "env/a b/Grüße.txt" 'a$HOME:"b".txt'; echo "$T_X"
files: [Grüße.sh, daten, 'plain.txt#a$HOME:"b".txt']
archives: ["env.tar.gz#env"]
env: {T_X: "日本"}
roles: {worker: {instances: 1, memory: 256MiB}}
`)
	r := tfos(t, append(c.env, "LC_ALL=C.UTF-8"), "run", job).want(t, 0)
	for _, want := range []string{"grüezi 日本\n", "in the directory\n", "in the archive\n", "by another name\n"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("the worker does not say %q:\n%s", want, r.stdout)
		}
	}

	c.shell(t, fmt.Sprintf("hdfs dfs -mkdir -p /data && hdfs dfs -put %s/env.tar.gz /data/", dir))
	writeFile(t, job, "name: hopeless\ncommand: ls\narchives: [\"hdfs:///data/env.tar.gz#env\"]\nroles: {worker: {instances: 1, memory: 256MiB}}\n")
	r = tfos(t, c.env, "run", job).want(t, 3).says(t, "could not be brought into its container", "It was the same ", "LC_ALL=C")
	if strings.Contains(r.stderr, "incarnation 4") {
		t.Errorf("it was tried more than three times:\n%s", r.stderr)
	}
}

// tarGzip writes an archive with one file.
func tarGzip(t *testing.T, name, member, text string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: member, Mode: 0o644, Size: int64(len(text))}); err != nil {
		t.Fatal(err)
	}
	_, err = w.Write([]byte(text))
	if err := errors.Join(err, w.Close(), z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}
