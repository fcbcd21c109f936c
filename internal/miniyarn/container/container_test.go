package container

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tfos/internal/yarn"
)

// bench is a runner with directories of its own.
type bench struct {
	t    *testing.T
	r    *Runner
	dir  string
	logs string
	last int64
}

func newBench(t *testing.T, o Options) *bench {
	t.Helper()
	b := &bench{t: t, r: New(o), dir: t.TempDir(), logs: t.TempDir()}
	t.Cleanup(func() {
		if err := b.r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

func (b *bench) launch(command string) Launch {
	b.last++
	return Launch{
		ID:   yarn.ContainerID{Attempt: yarn.AttemptID{Application: yarn.ApplicationID{ClusterTimestamp: 17, Sequence: 1}, Attempt: 1}, ID: b.last},
		Node: yarn.NodeID{Host: "127.0.0.1", Port: 4711}, User: "ann", Resource: yarn.Resource{MemoryMiB: 1024, VCores: 1},
		Context: yarn.LaunchContext{Command: []string{command}}, Tokens: []byte("tokens"), Dir: b.dir, LogDir: b.logs,
	}
}

func (b *bench) run(l Launch) Exit {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	return b.r.Run(ctx, l)
}

func (b *bench) log(l Launch, name string) string {
	b.t.Helper()
	c, err := os.ReadFile(filepath.Join(LogDir(b.logs, l.ID), name))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(c)
}

func TestEnvironment(t *testing.T) {
	t.Setenv("JAVA_HOME", "/jdk")
	t.Setenv("SECRET_OF_THE_NODE", "x")
	b := newBench(t, Options{})
	l := b.launch(`env -0 >'<LOG_DIR>/env'; pwd >{{LOG_DIRS}}/pwd; ls -a >'<LOG_DIR>/ls'; stat -c %a container_tokens >'<LOG_DIR>/mode'; cat container_tokens >'<LOG_DIR>/tokens'`)
	l.Master, l.Submitted = true, time.UnixMilli(42)
	l.Context.Env = map[string]string{"A": "${B}/a<CPS>{{USER}}", "B": "b", "HOME": "/mine", "QUOTED": `\"'`}
	if exit := b.run(l); exit.Status != 0 || exit.Diagnostics != "" {
		t.Fatalf("%+v", exit)
	}
	app := filepath.Join(b.dir, "usercache/ann/appcache/application_17_0001")
	work := filepath.Join(app, l.ID.String())
	got := map[string]string{}
	for _, kv := range strings.Split(b.log(l, "env"), "\x00") {
		k, v, _ := strings.Cut(kv, "=")
		got[k] = v
	}
	for k, want := range map[string]string{
		"CONTAINER_ID": "container_17_0001_01_000001", "NM_HOST": "127.0.0.1", "NM_PORT": "4711", "LOCAL_DIRS": app,
		"LOCAL_USER_DIRS": filepath.Join(b.dir, "usercache/ann") + "/", "LOG_DIRS": LogDir(b.logs, l.ID),
		"USER": "ann", "LOGNAME": "ann", "HOME": "/home/", "PWD": work, "HADOOP_TOKEN_FILE_LOCATION": work + "/container_tokens",
		"APPLICATION_WEB_PROXY_BASE": "/proxy/application_17_0001", "APP_SUBMIT_TIME_ENV": "42", "MALLOC_ARENA_MAX": "", "NM_HTTP_PORT": "4711",
		"JAVA_HOME": "/jdk", "A": "b/a:ann", "B": "b", "QUOTED": `"'`,
	} {
		if v, ok := got[k]; !ok || v != want {
			t.Errorf("%s=%q, want %q", k, v, want)
		}
	}
	for _, k := range []string{"LOCALIZATION_COUNTERS", "JVM_PID", "PATH"} {
		if got[k] == "" {
			t.Errorf("%s is not set", k)
		}
	}
	if _, leaked := got["SECRET_OF_THE_NODE"]; leaked {
		t.Error("the node's own environment reached the container")
	}
	if got := b.log(l, "pwd"); got != work+"\n" {
		t.Errorf("ran in %q", got)
	}
	if got := b.log(l, "ls"); !strings.Contains(got, "tmp\n") {
		t.Errorf("directory holds %q", got)
	}
	if b.log(l, "mode") != "600\n" || b.log(l, "tokens") != "tokens" {
		t.Errorf("token file: mode %q, content %q", b.log(l, "mode"), b.log(l, "tokens"))
	}
	if _, err := os.Stat(work); !os.IsNotExist(err) {
		t.Errorf("the working directory stayed: %v", err)
	}
}

func TestExits(t *testing.T) {
	b := newBench(t, Options{})
	for _, x := range []struct {
		command string
		status  yarn.ExitStatus
		says    []string
	}{
		{"true", 0, nil},
		{"echo one; exit 0", 0, nil},
		{"echo boom >'<LOG_DIR>/task.stderr'; exit 3", 3, []string{"Exception from container-launch", "Exit code: 3", "Last 4096 bytes of task.stderr :\nboom"}},
		{"no-such-command", 127, []string{"no-such-command: command not found"}},
		{"kill -9 \\$\\$", 137, []string{"Killed by external signal", "Exit code is 137"}},
		{"kill -SEGV \\$\\$", 139, []string{"Exit code: 139"}},
		{`echo "`, 2, []string{"Exit code: 2"}}, // a quote in the wrong place, as on a cluster
	} {
		exit := b.run(b.launch(x.command))
		if exit.Status != x.status {
			t.Errorf("%s: %+v, want %d", x.command, exit, x.status)
		}
		for _, s := range x.says {
			if !strings.Contains(exit.Diagnostics, s) {
				t.Errorf("%s: diagnostics lack %q: %s", x.command, s, exit.Diagnostics)
			}
		}
		if x.says == nil && exit.Diagnostics != "" {
			t.Errorf("%s: %s", x.command, exit.Diagnostics)
		}
	}
}

// fifo is a pipe with a name by which a container says something; what it says is waited for.
func fifo(t *testing.T) (name string, read func() string) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	return name, func() string {
		t.Helper()
		b, err := os.ReadFile(name) // until the last writer closes
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
}

// background runs a container and hands out its end.
func (b *bench) background(ctx context.Context, l Launch) <-chan Exit {
	c := make(chan Exit, 1)
	go func() { c <- b.r.Run(ctx, l) }()
	return c
}

func TestStop(t *testing.T) {
	b := newBench(t, Options{})
	for name, command := range map[string]string{
		"obeys":                   "echo up >%[1]s; exec sleep 100",
		"cleans up":               "trap 'exit 0' TERM; echo up >%[1]s; sleep 100 & wait",
		"ignores SIGTERM":         "trap '' TERM; echo up >%[1]s; while :; do sleep 100; done",
		"its child ignores it":    "(trap '' TERM; echo up >%[1]s; sleep 100; sleep 100) & wait",
		"child in the background": "sleep 100 & echo up >%[1]s; wait",
	} {
		t.Run(name, func(t *testing.T) {
			says, read := fifo(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			pid := filepath.Join(t.TempDir(), "pid")
			end := b.background(ctx, b.launch("echo \\$\\$ >"+pid+"; "+fmt.Sprintf(command, says)))
			read()
			cancel(&Stop{Status: yarn.ExitKilledByAM, Diagnostics: "Container killed by the ApplicationMaster."})
			exit := <-end
			if exit.Status != yarn.ExitKilledByAM || !strings.Contains(exit.Diagnostics, "Container killed by the ApplicationMaster.") {
				t.Errorf("%+v", exit)
			}
			waitGone(t, pid)
		})
	}
}

// waitGone waits until the process group whose id a file holds is gone, zombies that init has not
// reaped aside.
func waitGone(t *testing.T, pidFile string) {
	t.Helper()
	b, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	group, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for {
		if alive := running(group); len(alive) == 0 {
			return
		} else {
			select {
			case <-deadline:
				t.Fatalf("still there: %v", alive)
			case <-tick.C:
			}
		}
	}
}

// running lists the processes of a session that are no zombies.
func running(session int) []process {
	var alive []process
	for _, p := range processes()[session] {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid)); err == nil && !strings.Contains(string(b), ") Z ") {
			alive = append(alive, p)
		}
	}
	return alive
}

func TestLeftoversAreEnded(t *testing.T) {
	b := newBench(t, Options{})
	pid := filepath.Join(t.TempDir(), "pid")
	if exit := b.run(b.launch("echo \\$\\$ >" + pid + "; sleep 100 & exit 0")); exit.Status != 0 {
		t.Errorf("%+v", exit)
	}
	waitGone(t, pid)
}

func TestSignals(t *testing.T) {
	b := newBench(t, Options{})
	says, read := fifo(t)
	sig := make(chan yarn.Signal)
	l := b.launch("trap 'exit 7' QUIT; echo up >" + says + "; while :; do sleep 0.01; done")
	l.Signals = sig
	end := b.background(t.Context(), l)
	read()
	sig <- yarn.SignalThreadDump
	if exit := <-end; exit.Status != 7 {
		t.Errorf("%+v", exit)
	}
}

func TestStopWhileLocalizing(t *testing.T) {
	asked := make(chan struct{})
	b := newBench(t, Options{Fetch: func(ctx context.Context, uri string) (Source, error) {
		close(asked)
		<-ctx.Done()
		return Source{}, ctx.Err()
	}})
	l := b.launch("true")
	l.Context.Files = map[string]yarn.LocalResource{"f": {URI: "far://away/f", Visibility: yarn.Private}}
	ctx, cancel := context.WithCancelCause(t.Context())
	end := b.background(ctx, l)
	<-asked
	cancel(&Stop{Status: yarn.ExitKilledByRM, Diagnostics: "Container killed by the ResourceManager."})
	if exit := <-end; exit.Status != yarn.ExitKilledByRM || !strings.Contains(exit.Diagnostics, "killed before being launched") {
		t.Errorf("%+v", exit)
	}
}

func TestMemory(t *testing.T) {
	b := newBench(t, Options{MemoryPoll: 10 * time.Millisecond})
	l := b.launch(`x=\$(head -c 60000000 /dev/zero | tr '\\0' x); sleep 100`)
	l.Resource.MemoryMiB = 32
	exit := b.run(l)
	if exit.Status != yarn.ExitPMemExceeded || !strings.Contains(exit.Diagnostics, "beyond the 'PHYSICAL' memory limit") || !strings.Contains(exit.Diagnostics, "/bin/bash -c") {
		t.Errorf("%+v", exit)
	}
	if exit := b.run(b.launch(`x=\$(head -c 60000000 /dev/zero | tr '\\0' x); true`)); exit.Status != 0 {
		t.Errorf("within its limit: %+v", exit)
	}
}

func TestClosedRunnerRunsNothing(t *testing.T) {
	b := newBench(t, Options{})
	if err := b.r.Close(); err != nil {
		t.Fatal(err)
	}
	if exit := b.run(b.launch("true")); exit.Status != yarn.ExitAborted {
		t.Errorf("%+v", exit)
	}
}

// orphanVar turns the test binary into a process that runs a container and waits to be killed.
const orphanVar = "TFOS_TEST_ORPHAN"

func TestMain(m *testing.M) {
	if dir := os.Getenv(orphanVar); dir != "" {
		l := Launch{ID: yarn.ContainerID{ID: 1}, User: "ann", Dir: dir, LogDir: dir, Context: yarn.LaunchContext{
			Command: []string{"echo \\$\\$ >" + dir + "/pid; trap '' TERM HUP; (trap '' TERM HUP; sleep 100; sleep 100) & sleep 0 && echo up >" + dir + "/up; wait"}}}
		New(Options{}).Run(context.Background(), l)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestContainersDoNotOutliveTheirRunner(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "up"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), orphanVar+"="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(filepath.Join(dir, "up")); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	waitGone(t, filepath.Join(dir, "pid"))
}
