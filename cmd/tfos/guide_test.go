package main

import (
	"os"
	"strings"
	"testing"

	"tfos/internal/client/exit"
)

// TestTheHandbookHasEveryExitCode: its table is for who finds a code in a scheduler's log.
func TestTheHandbookHasEveryExitCode(t *testing.T) {
	b, err := os.ReadFile("../../docs/guide/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(exit.Table) {
		if fields := strings.Fields(line); len(fields) > 0 && strings.HasPrefix(line, "  ") && !strings.Contains(string(b), "\n| "+fields[0]+" | ") {
			t.Errorf("docs/guide/operations.md has no row for exit code %s", fields[0])
		}
	}
}
