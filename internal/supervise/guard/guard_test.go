package guard

import (
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEventsAreReadAsWritten(t *testing.T) {
	for _, e := range []Event{
		{Kind: Started, PID: 4711},
		{Kind: Failed, Text: "/bin/bash: no such file or directory"},
		{Kind: Failed, Text: ""},
		{Kind: Exited, PID: 4711, Code: 3, Left: 2},
		{Kind: Exited, PID: 4711, Signal: 9},
	} {
		line := e.encode()
		got, err := ParseEvent(line[:len(line)-1])
		if err != nil {
			t.Errorf("parse %q: %v", line, err)
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", line, diff)
		}
	}
	for _, line := range []string{"", "started", "started 1 2 3 4", "started a 0 0 0 "} {
		if _, err := ParseEvent(line); err == nil {
			t.Errorf("parse %q: no error", line)
		}
	}
}

func TestParentIn(t *testing.T) {
	for stat, want := range map[string]int{
		"12 (bash) S 7 12 12 0":     7,
		"12 (a) b) (c) R 99 12 1":   99, // a name may hold anything
		"12 (tmux: server) S 1 1 1": 1,
	} {
		if got, ok := parentIn(stat); !ok || got != want {
			t.Errorf("parentIn(%q) = %d, %v; want %d", stat, got, ok, want)
		}
	}
	for _, stat := range []string{"", "12 (bash", "12 (bash) S", "12 (bash) S x"} {
		if got, ok := parentIn(stat); ok {
			t.Errorf("parentIn(%q) = %d, want none", stat, got)
		}
	}
}

// TestBothWaysFindTheSameChildren: the scan is for kernels that keep no lists of children.
func TestBothWaysFindTheSameChildren(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for name, children := range map[string]func(int) []int{"list": childrenOf, "scan": scan()} {
		if got := children(os.Getpid()); !slices.Contains(got, cmd.Process.Pid) {
			t.Errorf("by %s: %v, without %d", name, got, cmd.Process.Pid)
		}
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
