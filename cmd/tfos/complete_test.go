package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestCompletion asks as the shells' scripts do.
func TestCompletion(t *testing.T) {
	isolate(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"run", "--endpoints", ""}, "redirect\nforward\ndirect\n:4\n"},
		{[]string{"--master", ""}, "yarn\nlocal\n:4\n"},
		{[]string{"logs", "--stream", ""}, "stdout\nstderr\nagent.log\n:4\n"},
		{[]string{"run", ""}, ":0\n"}, // a file
		{[]string{"checkpoint", "ls", ""}, ":0\n"},
		{[]string{"kill", "--master", "local", ""}, ":36\n"},           // there is no cluster, and no file is meant
		{[]string{"kill", "application_1_0001", ""}, ":4\n"},           // there is no second one
		{[]string{"logs", "application_1_0001", "m"}, "master\n:36\n"}, // nor a cluster whose job it could be
	} {
		code, got, stderr := tfos(t, append([]string{cobra.ShellCompRequestCmd}, c.args...)...)
		if code != 0 || got != c.want {
			t.Errorf("%q: exit code %d, %q, want %q; %s", c.args, code, got, c.want, stderr)
		}
	}
}

// TestArgumentsHaveKnownNames: one that is called otherwise would be completed with files.
func TestArgumentsHaveKnownNames(t *testing.T) {
	known := []string{"APP", "ROLE/INDEX", "ROLE=N", "JOB.yaml", "FILE", "DIR", "COMMAND...", "NAME...", "EVENTS.ndjson", "ls", "verify", "prune", "show", "serve", "master", "-"}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
		for i, word := range strings.Fields(cmd.Use)[1:] {
			if i > 0 && !strings.Contains(word, "ROLE") || strings.HasPrefix(word, "-") || strings.HasPrefix(word, "[-") || word == "[flags]" {
				continue
			}
			for name := range strings.SplitSeq(strings.Trim(word, "[]"), "|") {
				if !slices.Contains(known, name) {
					t.Errorf("%s: an argument is called %s: complete.go must know how to complete it", cmd.CommandPath(), name)
				}
			}
		}
	}
	walk((&command{}).root())
}

func TestManualPages(t *testing.T) {
	dir := t.TempDir()
	if code, _, stderr := tfos(t, "man", dir); code != 0 {
		t.Fatal(stderr)
	}
	b, err := os.ReadFile(filepath.Join(dir, "tfos-logs.1"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for _, want := range []string{`tfos-logs - Show what a job's tasks wrote`, `\fB--grep\fP`, "\n2    wrong usage or job file"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q:\n%s", want, page)
		}
	}
}
