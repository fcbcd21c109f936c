package guard

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestTheGuardIsBuiltFromItsSource: who changes the C code runs internal/supervise/guard/build and
// commits what it makes.
func TestTheGuardIsBuiltFromItsSource(t *testing.T) {
	source, err := os.ReadFile("process/guard.c")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(source)
	for machine, name := range map[elf.Machine]string{elf.EM_X86_64: "guard_amd64", elf.EM_AARCH64: "guard_arm64"} {
		b, err := os.ReadFile(filepath.Join("process", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(b, []byte("tfos-guard-source "+hex.EncodeToString(sum[:]))) {
			t.Errorf("%s was not built from the present source: run internal/supervise/guard/build", name)
		}
		f, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if f.Machine != machine || f.Type != elf.ET_EXEC {
			t.Errorf("%s is %s for %s", name, f.Type, f.Machine)
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC || p.Type == elf.PT_GNU_STACK && p.Flags&elf.PF_X != 0 {
				t.Errorf("%s needs an interpreter, a library or an executable stack: %s %s", name, p.Type, p.Flags)
			}
		}
	}
}

// TestExecFallsBackToAFile: a kernel may be told to run nothing that is in memory only.
func TestExecFallsBackToAFile(t *testing.T) {
	dir := t.TempDir()
	var tried []string
	err := Exec(dir, func(path string) error {
		tried = append(tried, path)
		if len(tried) == 1 {
			return &os.PathError{Op: "fork/exec", Path: path, Err: unix.EACCES}
		}
		err := exec.Command(path).Run() // a guard without a program
		if e, ok := err.(*exec.ExitError); !ok || e.ExitCode() != 2 {
			t.Errorf("%s: %v, want exit code 2", path, err)
		}
		return nil
	})
	if err != nil || len(tried) != 2 || filepath.Dir(tried[1]) != dir {
		t.Errorf("tried %q: %v", tried, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestParseEvent(t *testing.T) {
	for line, want := range map[string]Event{
		"started 4711 0 0 0 ":                 {Kind: Started, PID: 4711},
		"failed 0 2 0 0 /bin/no such program": {Kind: Failed, Code: 2, Text: "/bin/no such program"},
		"exited 4711 3 0 2 ":                  {Kind: Exited, PID: 4711, Code: 3, Left: 2},
		"exited 4711 0 9 0 ":                  {Kind: Exited, PID: 4711, Signal: 9},
	} {
		got, err := ParseEvent(line)
		if err != nil {
			t.Errorf("parse %q: %v", line, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
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

// FuzzParseEvent: a line is an error, or an event that is written again as a line of the same
// meaning.
func FuzzParseEvent(f *testing.F) {
	for _, line := range []string{"started 12 0 0 0 ", "failed 0 2 0 0 execve", "exited 0 1 9 3 a b", "x", "exited 99999999999999999999 0 0 0 ", "exited +1 -0 0 0  "} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		e, err := ParseEvent(line)
		if err != nil {
			if e != (Event{}) {
				t.Errorf("%q is %+v and %v", line, e, err)
			}
			return
		}
		again, err := ParseEvent(fmt.Sprintf("%s %d %d %d %d %s", e.Kind, e.PID, e.Code, e.Signal, e.Left, e.Text))
		if err != nil || again != e {
			t.Errorf("%q is %+v, and then %+v, %v", line, e, again, err)
		}
	})
}
