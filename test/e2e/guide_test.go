//go:build e2e && guide

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// fence is a block of a page: its language, the words behind that, and its lines.
var fence = regexp.MustCompile("(?ms)^```(\\w*) ?([^\n]*)\n(.*?)^```$")

// onCluster marks a page whose commands need a cluster.
const onCluster = "<!-- on a cluster -->"

// onSpark is in pages whose programs test/spark/test_guides.py runs.
const onSpark = "spark-submit"

// TestGuide runs the command blocks of every page of docs/guide, in the order in which they stand,
// in one shell for each page. A block with a name is that file. What a block of text shows, the
// commands before it must have printed, in this order; … stands for anything.
func TestGuide(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs/guide/*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), onSpark) {
			continue
		}
		t.Run(filepath.Base(page), func(t *testing.T) {
			env := []string{"PYTHON=" + python(t), "TFOS_SOURCE=" + root, "TMPDIR=" + t.TempDir(), "PYTHONPATH=" + filepath.Join(root, "python"), "PATH=" + filepath.Join(root, "bin") + ":" + os.Getenv("PATH")}
			if strings.Contains(string(text), onCluster) {
				env = append(hadoop(t).env, env...)
			}
			runPage(t, string(text), env)
		})
	}
}

// runPage runs one page.
func runPage(t *testing.T, page string, env []string) {
	t.Helper()
	dir := t.TempDir()
	script := "set -euo pipefail\n"
	var wants [][]string // for each command block
	for _, m := range fence.FindAllStringSubmatch(page, -1) {
		language, name, body := m[1], m[2], m[3]
		switch {
		case language == "sh":
			script += fmt.Sprintf("exec >%d.out 2>%d.err\n%s", len(wants), len(wants), body)
			wants = append(wants, nil)
		case language == "text" && len(wants) > 0:
			wants[len(wants)-1] = strings.Split(strings.TrimSpace(body), "\n")
		case name != "": // it is there from the beginning
			if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	shell := append(on(env), "bash", "-c", script)
	cmd := exec.CommandContext(ctx, shell[0], shell[1:]...)
	cmd.Dir, cmd.Env = dir, append(cleanEnv(), env...)
	failed := cmd.Run()
	for i, want := range wants {
		out, _ := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%d.out", i))) // of a block that was not reached there is none
		told, _ := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%d.err", i)))
		rest, missing := string(out)+string(told), ""
		for _, line := range want {
			for part := range strings.SplitSeq(line, "…") {
				_, after, ok := strings.Cut(rest, strings.TrimSpace(part))
				if !ok && missing == "" {
					missing = part
				}
				rest = after
			}
		}
		if failed != nil || missing != "" {
			t.Errorf("command block %d: %v; it should print %q\nstdout:\n%s\nstderr:\n%s", i, failed, missing, out, told)
		}
	}
}
