package supervise_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tfos/internal/job"
	"tfos/internal/supervise"
	"tfos/internal/supervise/guard"
)

// TestMain lets the test binary be an agent to be killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if os.Args[1] == "agent" {
			os.Exit(agent(os.Args[2], os.Args[3]))
		}
	}
	os.Exit(m.Run())
}

// agent starts a program in dir and stays until it is killed. With "adopt" it tells how the program
// ended.
func agent(dir, how string) int {
	p, err := supervise.Start(supervise.Spec{
		Command: "source ./program", Dir: dir, Env: os.Environ(), Adopt: how == "adopt",
		Stdout: logTo(filepath.Join(dir, "stdout")), Stderr: logTo(filepath.Join(dir, "stderr")),
	})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	x := p.Exit()
	fmt.Println(x.Code, x.Left, x.Lost)
	return 0
}

// logTo appends to a file.
func logTo(name string) io.Writer { return appender(name) }

type appender string

func (a appender) Write(b []byte) (int, error) {
	f, err := os.OpenFile(string(a), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	n, err := f.Write(b)
	return n, errors.Join(err, f.Close())
}

// patience bounds every wait of these tests. It passes only when something is broken.
const patience = 30 * time.Second

// life is a pipe that programs hold open while they live: they find its name in $LIFE.
type life struct {
	t     *testing.T
	name  string
	lines *bufio.Reader
}

func newLife(t *testing.T, dir string) *life {
	t.Helper()
	l := &life{t: t, name: filepath.Join(dir, "life")}
	if err := syscall.Mkfifo(l.name, 0o600); err != nil {
		t.Fatal(err)
	}
	return l
}

// line waits for the next line that a program wrote.
func (l *life) line() string {
	l.t.Helper()
	var line string
	within(l.t, "a line from the program", func() error {
		if l.lines == nil {
			f, err := os.Open(l.name) // returns when a program has opened it
			if err != nil {
				return err
			}
			l.t.Cleanup(func() { f.Close() })
			l.lines = bufio.NewReader(f)
		}
		s, err := l.lines.ReadString('\n')
		line = strings.TrimSpace(s)
		return err
	})
	return line
}

// ended waits until nobody holds the pipe any more: everything that inherited it is gone.
func (l *life) ended() {
	l.t.Helper()
	within(l.t, "the end of all processes", func() error {
		_, err := io.Copy(io.Discard, l.lines)
		return err
	})
}

func within(t *testing.T, what string, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("wait for %s: %v", what, err)
		}
	case <-time.After(patience):
		t.Fatalf("wait for %s: none within %v", what, patience)
	}
}

func start(t *testing.T, dir, command string) *supervise.Process {
	t.Helper()
	p, err := supervise.Start(supervise.Spec{
		Command: command,
		Dir:     dir,
		Env:     append(os.Environ(), "LIFE="+filepath.Join(dir, "life")),
		Stdout:  logTo(filepath.Join(dir, "stdout")),
		Stderr:  logTo(filepath.Join(dir, "stderr")),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop(0); exit(t, p) })
	return p
}

func exit(t *testing.T, p *supervise.Process) supervise.Exit {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(patience):
		t.Fatalf("the program did not end within %v", patience)
	}
	return p.Exit()
}

func TestExit(t *testing.T) {
	for _, c := range []struct {
		name, command string
		want          supervise.Exit
	}{
		{"clean", "true", supervise.Exit{}},
		{"code", "echo last words >&2; exit 3", supervise.Exit{Ended: job.Ended{Code: 3, Stderr: []string{"last words"}}}},
		{"words on stdout", "echo out of data; exit 3", supervise.Exit{Ended: job.Ended{Code: 3, Stderr: []string{"out of data"}}}},
		{"words on stdout, and no failure", "echo done", supervise.Exit{}},
		{"signal", "kill -SEGV $$", supervise.Exit{Ended: job.Ended{Code: 139, Signal: "SIGSEGV"}}},
		{"killed, though not by us", "kill -KILL $$", supervise.Exit{Ended: job.Ended{Code: 137, Signal: "SIGKILL"}}},
		{"a simple command takes the shell's place", `sh -c 'kill -TERM $$'`, supervise.Exit{Ended: job.Ended{Code: 143, Signal: "SIGTERM"}}},
		{"not found", "trian.py --epochs 3", supervise.Exit{Ended: job.Ended{Code: 127, Reason: "command not found: trian.py", Stderr: []string{"tfos: line 1: trian.py: command not found"}}}},
		{"no such path", "./trian.py", supervise.Exit{Ended: job.Ended{Code: 127, Reason: "command not found: ./trian.py", Stderr: []string{"tfos: line 1: ./trian.py: No such file or directory"}}}},
		{"exec of what is not there", "exec trian.py", supervise.Exit{Ended: job.Ended{Code: 127, Reason: "command not found: trian.py", Stderr: []string{"tfos: line 1: exec: trian.py: not found"}}}},
		{"not executable", ": >notes; ./notes", supervise.Exit{Ended: job.Ended{Code: 126, Reason: "cannot run ./notes: permission denied", Stderr: []string{"tfos: line 1: ./notes: Permission denied"}}}},
		{"the program's own 127", "echo hm >&2; exit 127", supervise.Exit{Ended: job.Ended{Code: 127, Stderr: []string{"hm"}}}},
		{"syntax", "if", supervise.Exit{Ended: job.Ended{Code: 2, Stderr: []string{"tfos: -c: line 2: syntax error: unexpected end of file from `if' command on line 1"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := exit(t, start(t, t.TempDir(), c.command))
			if c.name == "syntax" { // worded otherwise by each bash
				got.Stderr = c.want.Stderr
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.command, diff)
			}
		})
	}
}

func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	for _, s := range []supervise.Spec{
		{Command: "true", Dir: filepath.Join(dir, "missing")},
		{Command: strings.Repeat("x", 1<<20)}, // longer than the kernel takes
	} {
		if _, err := supervise.Start(s); err == nil {
			t.Errorf("start %+v: no error", s)
		}
	}
}

func TestOutputIsAppendedAndItsEndKept(t *testing.T) {
	dir := t.TempDir()
	if got := exit(t, start(t, dir, "echo out; echo one >&2")).Stderr; !cmp.Equal(got, []string{"one"}) {
		t.Errorf("stderr of the first: %q", got)
	}
	// A second program in the same files: what the first wrote stays, and is not taken for the
	// second's.
	if got := exit(t, start(t, dir, "echo more; echo two >&2")).Stderr; !cmp.Equal(got, []string{"two"}) {
		t.Errorf("stderr of the second: %q", got)
	}
	for name, want := range map[string]string{"stdout": "out\nmore\n", "stderr": "one\ntwo\n"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestTheProgramSeesItsEnvironmentAndNoMore(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("OURS", "x")
	out := filepath.Join(dir, "out")
	p, err := supervise.Start(supervise.Spec{
		Command: `exec /usr/bin/env; true`, Env: []string{"GIVEN=1 $HOME \"`"}, Dir: dir, Stdout: logTo(out), Stderr: logTo(filepath.Join(dir, "err")),
	})
	if err != nil {
		t.Fatal(err)
	}
	exit(t, p)
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(got), "GIVEN=1 $HOME \"`\n") || strings.Contains(string(got), "OURS=") {
		t.Errorf("environment:\n%s", got)
	}
}

// TestTheProgramInheritsNothing: a program that held our end of the guard's socket would keep
// itself alive.
func TestTheProgramInheritsNothing(t *testing.T) {
	dir := t.TempDir()
	exit(t, start(t, dir, `for fd in /proc/self/fd/*; do readlink $fd; done | grep -c socket; true`))
	if got, err := os.ReadFile(filepath.Join(dir, "stdout")); err != nil || string(got) != "0\n" {
		t.Errorf("sockets in the program: %q, %v", got, err)
	}
}

func TestStopGivesGrace(t *testing.T) {
	dir := t.TempDir()
	l := newLife(t, dir)
	p := start(t, dir, `exec 9>$LIFE; trap 'echo saved >&2; exit 7' TERM; sleep 1000000 & echo ready >&9; wait`)
	l.line()
	p.Stop(time.Hour)
	want := supervise.Exit{Ended: job.Ended{Code: 7, Stopped: true, Stderr: []string{"saved"}}}
	if diff := cmp.Diff(want, exit(t, p)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestStopLeavesChildrenTheGrace: the shell around the program dies of SIGTERM at once; the program
// must still have its time.
func TestStopLeavesChildrenTheGrace(t *testing.T) {
	dir := t.TempDir()
	l := newLife(t, dir)
	p := start(t, dir, `exec 9>$LIFE; bash -c 'trap "echo saved >&2; exit 7" TERM; sleep 1000000 & echo ready >&9; wait'; true`)
	l.line()
	p.Stop(time.Hour)
	got := exit(t, p)
	if got.Signal != "SIGTERM" || !cmp.Equal(got.Stderr, []string{"saved"}) {
		t.Errorf("exit: %+v", got)
	}
	l.ended()
}

func TestStopKillsWhatIgnoresIt(t *testing.T) {
	dir := t.TempDir()
	l := newLife(t, dir)
	p := start(t, dir, `exec 9>$LIFE; trap '' TERM; echo ready >&9; exec sleep 1000000`)
	l.line()
	p.Stop(time.Hour)
	p.Stop(time.Millisecond) // brings it forward
	p.Stop(time.Hour)        // and does not put it off
	if got := exit(t, p); got.Signal != "SIGKILL" || got.Code != 137 || !got.Stopped || got.OOM {
		t.Errorf("exit: %+v", got)
	}
	l.ended()
}

func TestStopReachesAStoppedProgram(t *testing.T) {
	dir := t.TempDir()
	l := newLife(t, dir)
	p := start(t, dir, `exec 9>$LIFE; echo $BASHPID >&9; kill -STOP $$`)
	l.line()
	p.Stop(time.Hour)
	if got := exit(t, p); got.Signal != "SIGTERM" {
		t.Errorf("exit: %+v", got)
	}
}

// runaways are ways out of a process group: a child, one in a session of its own, one that nobody
// waits for. Each says so when it is out, takes no hint, and stays. They hold the pipe of life; the
// program tells on when all are there.
const runaways = `
exec 9>$LIFE
stay() { trap "" TERM HUP INT; echo $1 >&9; exec sleep 1000000; }
export -f stay
stay child &
setsid bash -c "stay session" &
(setsid bash -c "(setsid bash -c 'stay orphan' &)" &)
`

// await waits until each of names has said that it runs.
func (l *life) await(names ...string) {
	l.t.Helper()
	var got []string
	for range names {
		got = append(got, l.line())
	}
	slices.Sort(got)
	if !slices.Equal(got, names) {
		l.t.Fatalf("processes: %q, want %q", got, names)
	}
}

func TestNothingSurvivesTheProgramsOwnEnd(t *testing.T) {
	dir := t.TempDir()
	l := newLife(t, dir)
	if err := syscall.Mkfifo(filepath.Join(dir, "go"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, dir, runaways+"read -r _ <go; exit 5")
	l.await("child", "orphan", "session")
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	if got := exit(t, p); got.Code != 5 || got.Left != 0 {
		t.Errorf("exit: %+v", got)
	}
	l.ended()
}

func TestNothingSurvivesStop(t *testing.T) {
	dir := t.TempDir()
	l := newLife(t, dir)
	p := start(t, dir, runaways+"stay program")
	l.await("child", "orphan", "program", "session")
	p.Stop(0)
	if got := exit(t, p); got.Signal != "SIGKILL" || got.Left != 0 {
		t.Errorf("exit: %+v", got)
	}
	l.ended()
}

// TestNothingSurvivesOfACrowd: more children than one look at the kernel's lists holds, and deeper
// ones than one round reaches.
func TestNothingSurvivesOfACrowd(t *testing.T) {
	dir := t.TempDir()
	l := newLife(t, dir)
	p := start(t, dir, `exec 9>$LIFE
		trap "" TERM
		for i in {1..300}; do sleep 1000000 & done
		export deep='[ $1 -gt 0 ] && { bash -c "$deep" deep $(($1-1)); true; } || { echo deep >&9; exec sleep 1000000; }'
		bash -c "$deep" deep 40 & wait`)
	l.await("deep")
	p.Stop(0)
	if got := exit(t, p); got.Left != 0 {
		t.Errorf("exit: %+v", got)
	}
	l.ended()
}

// TestTheGuardTakesLittle: what it has mapped counts against the container where YARN checks
// virtual memory. A process of Go has 1.2 GB.
func TestTheGuardTakesLittle(t *testing.T) {
	dir := t.TempDir()
	l := newLife(t, dir)
	p := start(t, dir, `exec 9>$LIFE; echo $PPID >&9; exec sleep 1000000`)
	status, err := os.ReadFile(filepath.Join("/proc", l.line(), "status"))
	if err != nil {
		t.Fatal(err)
	}
	var kib int
	for line := range strings.Lines(string(status)) {
		if _, err := fmt.Sscanf(line, "VmPeak: %d kB", &kib); err == nil {
			break
		}
	}
	t.Logf("address space: %d KiB", kib)
	if kib == 0 || kib > 1024 {
		t.Errorf("the guard has %d KiB of address space, want 1024 at most:\n%s", kib, status)
	}
	p.Stop(0)
	exit(t, p)
}

// startAgent runs a process that starts a program and can be killed.
func startAgent(t *testing.T, dir, program, how string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "program"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "agent", dir, how)
	cmd.Env = append(os.Environ(), "LIFE="+filepath.Join(dir, "life"))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // as a NodeManager starts it
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd, bufio.NewReader(out)
}

// TestNothingSurvivesTheAgent: a NodeManager ends a container by SIGKILL to the process group it
// made, in which nothing is but the agent.
func TestNothingSurvivesTheAgent(t *testing.T) {
	dir := t.TempDir()
	l := newLife(t, dir)
	a, _ := startAgent(t, dir, runaways+"stay program", "plain")
	l.await("child", "orphan", "program", "session")
	if err := syscall.Kill(-a.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	l.ended()
}

// TestNothingSurvivesTheGuard: the kernel may choose the guard when memory is short.
func TestNothingSurvivesTheGuard(t *testing.T) {
	dir := t.TempDir()
	l := newLife(t, dir)
	a, out := startAgent(t, dir, runaways+"stay program", "adopt")
	l.await("child", "orphan", "program", "session")
	below := guard.Descendants(a.Process.Pid)
	if len(below) < 5 {
		t.Fatalf("processes below the agent: %v", below)
	}
	if err := syscall.Kill(below[0], syscall.SIGKILL); err != nil { // nearest first: the guard
		t.Fatal(err)
	}
	l.ended()
	within(t, "the agent's word", func() error {
		line, err := out.ReadString('\n')
		if line != "137 0 true\n" {
			t.Errorf("agent: %q, want code 137, nothing left, and that it was not the program", line)
		}
		return err
	})
}

// BenchmarkRestart is what a restart in place costs beside the program's own start and end.
func BenchmarkRestart(b *testing.B) {
	dir := b.TempDir()
	out := filepath.Join(dir, "out")
	for b.Loop() {
		p, err := supervise.Start(supervise.Spec{Command: "true", Dir: dir, Stdout: logTo(out), Stderr: logTo(out)})
		if err != nil {
			b.Fatal(err)
		}
		if x := p.Exit(); x.Code != 0 {
			b.Fatalf("exit: %+v", x)
		}
	}
}

// TestUsageIsThatOfAllProcesses: of the program, of what it started, and of what outlived its
// parent.
func TestUsageIsThatOfAllProcesses(t *testing.T) {
	dir := t.TempDir()
	l := newLife(t, dir)
	p := start(t, dir, `(sh -c 'x=$(head -c 30000000 /dev/zero | tr "\\0" a); echo ready >"$LIFE"; exec 9>"$LIFE"; sleep 1000' & ); sleep 1000`)
	if got := l.line(); got != "ready" {
		t.Fatal(got)
	}
	u := p.Usage()
	if u.Memory < 30_000_000 || u.Memory > 300_000_000 || u.CPU <= 0 {
		t.Errorf("%+v", u)
	}
	p.Stop(0)
	exit(t, p)
	if u := p.Usage(); u != (supervise.Usage{}) {
		t.Errorf("of a program that has ended: %+v", u)
	}
}
