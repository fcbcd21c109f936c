package yarntest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tfos/internal/hadoop/token"
	"tfos/internal/yarn"
	"tfos/internal/yarn/yarnrpc"
)

// taskScript is what containers run. It tells its process by a file named after the container.
const taskScript = `#!/bin/bash
echo $$ > "$1/$CONTAINER_ID.pid.tmp" && mv "$1/$CONTAINER_ID.pid.tmp" "$1/$CONTAINER_ID.pid"
case $2 in
sleep) exec sleep 600 ;;
exit) exit "$3" ;;
kill) kill -"$3" $$; sleep 600 ;;
tell)
	echo to stdout
	echo to stderr >&2
	{
		env
		echo "DIRECTORY=$(pwd)"
		echo "DATA=$(cat data.txt)"
		echo "AGAIN=$(cat again.txt)"
		echo "ODD=$(cat 'a b%20#?+.txt')"
		[ -x data.txt ] && echo EXECUTABLE=yes
		echo "INNER=$(cat arch/sub/inner.txt)"
		[ -x arch/sub/run ] && echo INNER_EXECUTABLE=yes
		[ -x arch/sub/inner.txt ] || echo INNER_PLAIN=yes
	} > "$1/told.tmp"
	cp "$HADOOP_TOKEN_FILE_LOCATION" "$1/told.tokens"
	mv "$1/told.tmp" "$1/told" ;;
esac
`

// launch is a context that runs taskScript with arguments.
func (a *application) launch(args ...string) yarn.LaunchContext {
	a.t.Helper()
	if _, err := os.Stat(filepath.Join(a.dir, "task.sh")); err != nil {
		a.file("task.sh", taskScript)
	}
	info, err := os.Stat(filepath.Join(a.dir, "task.sh"))
	must(a.t, err)
	command := append([]string{"./task.sh", a.dir}, args...)
	return yarn.LaunchContext{
		Files: map[string]yarn.LocalResource{"task.sh": {
			URI: fileURI(filepath.Join(a.dir, "task.sh")), Size: info.Size(), ModTime: info.ModTime(), Visibility: yarn.Application,
		}},
		Command: append(command, "1><LOG_DIR>/stdout", "2><LOG_DIR>/stderr"),
	}
}

// start starts taskScript in a container.
func (a *application) start(c yarn.Container, args ...string) {
	a.t.Helper()
	must(a.t, a.nodes.Start(a.context(a.t), c, a.launch(args...)))
}

// up waits until the container's script runs.
func (a *application) up(c yarn.Container) {
	a.t.Helper()
	a.until(a.t, c.ID.String()+" did not come up", func() bool { return a.pid(c) > 0 })
}

// pid is the container's process, 0 if there was none yet.
func (a *application) pid(c yarn.Container) int {
	a.t.Helper()
	b, err := os.ReadFile(filepath.Join(a.dir, c.ID.String()+".pid"))
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	must(a.t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	must(a.t, err)
	return pid
}

// alive reports whether a process is there and not a zombie.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// testContainers asks for two shapes of containers and looks at what a process in one is given.
func testContainers(t *testing.T, s *suite) {
	a := s.submit(t, nil)
	a.register()
	large := yarn.Resource{MemoryMiB: 256, VCores: 1}
	cs := a.ask(yarn.Ask{ID: 11, Priority: 1, Resource: small, Count: 2}, yarn.Ask{ID: 12, Priority: 2, Resource: large, Count: 1})
	if len(cs) != 3 {
		t.Fatalf("granted %d containers, want 3", len(cs))
	}
	ids := map[yarn.ContainerID]bool{}
	for _, c := range cs {
		asked := map[int64]yarn.Resource{11: small, 12: large}[c.AskID]
		if ids[c.ID] || c.ID.Attempt != a.container.Attempt || c.Priority != int32(c.AskID-10) || c.Token.IsZero() || c.NodeHTTP == "" {
			t.Errorf("granted %+v", c)
		}
		if err := yarn.CheckGrant(asked, c); err != nil {
			t.Error(err)
		}
		if a.tokens[c.Node] != 1 {
			t.Errorf("the token of node %s came %d times", c.Node, a.tokens[c.Node])
		}
		ids[c.ID] = true
	}
	a.testTold(cs[0])

	// More on the same node: no second token.
	more := a.ask(yarn.Ask{ID: 13, Priority: 3, Resource: small, Count: 1})[0]
	if a.tokens[more.Node] != 1 {
		t.Errorf("the token of node %s came %d times", more.Node, a.tokens[more.Node])
	}

	// The life of a container, as its node tells it.
	c := cs[1]
	var unknown *yarnrpc.ContainerError
	if st, err := a.nodes.Statuses(s.context(t), c.Node, c.ID); !errors.As(err, &unknown) || unknown.ID != c.ID {
		t.Errorf("status of a container not started: %+v, %v", st, err)
	}
	a.start(c, "sleep")
	a.up(c)
	statuses, err := a.nodes.Statuses(s.context(t), c.Node, c.ID)
	if err != nil || len(statuses) != 1 || statuses[0].ID != c.ID || statuses[0].State != yarn.ContainerRunning {
		t.Errorf("status of a running container: %+v, %v", statuses, err)
	}
	if err := a.nodes.Start(s.context(t), c, a.launch("sleep")); err == nil {
		t.Error("the same container was started twice")
	}
	forged := more
	forged.Token.Password = slices.Clone(forged.Token.Password)
	forged.Token.Password[0]++
	if err := a.nodes.Start(s.context(t), forged, a.launch("sleep")); !errors.Is(err, yarn.ErrUnauthorized) {
		t.Errorf("start with a forged token: %v", err)
	}
	r := a.report()
	if r.Containers != 1+4 && r.Containers != 1+3 { // the first may have been counted off already
		t.Errorf("%d containers are in use", r.Containers)
	}
	must(t, a.nodes.Stop(s.context(t), c.Node, c.ID))
	if st := a.ended(c); st.ExitStatus != yarn.ExitKilledByAM {
		t.Errorf("stopped: %+v", st)
	}
	if alive(a.pid(c)) {
		t.Error("the process of a stopped container lives")
	}
}

// testTold runs a script that tells what it was given.
func (a *application) testTold(c yarn.Container) {
	t := a.t
	l := a.launch("tell")
	l.Env = map[string]string{"TFOS_PLAIN": "a b", "TFOS_DIR": "$PWD", "TFOS_LOGS": "<LOG_DIR>"}
	l.Files["data.txt"] = a.file("data.txt", "some data")
	l.Files["again.txt"] = l.Files["data.txt"]
	l.Files["a b%20#?+.txt"] = a.file("a b%20#?+.txt", "odd data")
	l.Files["arch"] = a.archive()
	secret := token.Token{Kind: "test", Service: "svc", Identifier: []byte("who"), Password: token.Secret("secret")}
	var given token.Credentials
	given.Add("alias", secret)
	l.Tokens = given.Encode()
	must(t, a.nodes.Start(a.context(t), c, l))
	if st := a.ended(c); st.ExitStatus != yarn.ExitSuccess || st.State != yarn.ContainerComplete {
		t.Fatalf("the telling container: %v, %s", st.ExitStatus, st.Diagnostics)
	}
	told, err := os.ReadFile(filepath.Join(a.dir, "told"))
	must(t, err)
	env := map[string]string{}
	for _, line := range strings.Split(string(told), "\n") {
		if key, value, ok := strings.Cut(line, "="); ok {
			env[key] = value
		}
	}
	for key, want := range map[string]string{
		"CONTAINER_ID": c.ID.String(), "NM_HOST": c.Node.Host, "NM_PORT": strconv.Itoa(int(c.Node.Port)), "NM_HTTP_PORT": portOf(c.NodeHTTP),
		"USER": a.User, "TFOS_PLAIN": "a b", "TFOS_DIR": env["DIRECTORY"], "PWD": env["DIRECTORY"],
		"DATA": "some data", "AGAIN": "some data", "ODD": "odd data", "EXECUTABLE": "yes", "INNER": "inner data", "INNER_EXECUTABLE": "yes",
		"HADOOP_TOKEN_FILE_LOCATION": env["DIRECTORY"] + "/container_tokens",
	} {
		if env[key] != want {
			t.Errorf("in the container %s is %q, want %q", key, env[key], want)
		}
	}
	for _, key := range []string{"LOCAL_DIRS", "LOG_DIRS", "HOME", "PATH", "LOGNAME"} {
		if env[key] == "" {
			t.Errorf("in the container there is no %s", key)
		}
	}
	if !slices.Contains(strings.Split(env["LOG_DIRS"], ","), env["TFOS_LOGS"]) {
		t.Errorf("<LOG_DIR> is %q, not one of %q", env["TFOS_LOGS"], env["LOG_DIRS"])
	}
	for name, want := range map[string]string{"stdout": "to stdout\n", "stderr": "to stderr\n"} {
		if got, err := os.ReadFile(filepath.Join(env["TFOS_LOGS"], name)); err != nil || string(got) != want {
			t.Errorf("log %s: %q, %v", name, got, err)
		}
	}
	data, err := os.ReadFile(filepath.Join(a.dir, "told.tokens"))
	must(t, err)
	creds, err := token.Decode(data)
	must(t, err)
	if got, ok := creds.Token("alias"); !ok || got.Kind != "test" || string(got.Password) != "secret" || len(creds.Entries()) != 1 {
		t.Errorf("the container's credentials are %v", creds)
	}
}

func portOf(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// archive makes a .tar.gz with a plain file and an executable one.
func (a *application) archive() yarn.LocalResource {
	a.t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, f := range []struct {
		name, content string
		mode          int64
	}{{"sub/inner.txt", "inner data", 0o644}, {"sub/run", "#!/bin/sh\n", 0o755}} {
		must(a.t, w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), ModTime: time.Unix(1e9, 0)}))
		_, err := w.Write([]byte(f.content))
		must(a.t, err)
	}
	must(a.t, w.Close())
	must(a.t, z.Close())
	r := a.file("arch.tar.gz", b.String())
	r.Archive = true
	return r
}

// testEnds ends containers in every way that can be had, and reads what YARN makes of it.
func testEnds(t *testing.T, s *suite) {
	a := s.submit(t, nil)
	a.register()
	grant := func() yarn.Container {
		return a.ask(yarn.Ask{ID: 1, Priority: 1, Resource: small, Count: 1})[0]
	}
	run := func(l yarn.LaunchContext) yarn.ContainerStatus {
		c := grant()
		must(t, a.nodes.Start(s.context(t), c, l))
		return a.ended(c)
	}
	for _, test := range []struct {
		args []string
		want yarn.ExitStatus
	}{
		{[]string{"exit", "0"}, 0},
		{[]string{"exit", "3"}, 3},
		{[]string{"exit", "255"}, 255},
		{[]string{"kill", "KILL"}, 137},
		{[]string{"kill", "TERM"}, 143},
		{[]string{"kill", "SEGV"}, 139},
	} {
		if st := run(a.launch(test.args...)); st.ExitStatus != test.want || st.State != yarn.ContainerComplete {
			t.Errorf("%v: %v, %q; want %v", test.args, st.ExitStatus, st.Diagnostics, test.want)
		}
	}

	l := a.launch()
	l.Command = []string{"no-such-command"}
	if st := run(l); st.ExitStatus != 127 {
		t.Errorf("a command that there is not: %v, %q", st.ExitStatus, st.Diagnostics)
	}

	data, noArchive := a.file("data", "data"), a.file("bad.tar.gz", "no archive")
	for name, spoil := range map[string]func() yarn.LocalResource{
		"a file whose time differs":  func() yarn.LocalResource { r := data; r.ModTime = r.ModTime.Add(-time.Second); return r },
		"a file that there is not":   func() yarn.LocalResource { r := data; r.URI += ".not"; return r },
		"an archive that is not one": func() yarn.LocalResource { r := noArchive; r.Archive = true; return r },
	} {
		l := a.launch("exit", "0")
		l.Files["bad"] = spoil()
		if st := run(l); st.ExitStatus != yarn.ExitInvalid || st.Diagnostics == "" {
			t.Errorf("%s: %v, %q", name, st.ExitStatus, st.Diagnostics)
		}
	}

	for signal, want := range map[yarn.Signal]yarn.ExitStatus{yarn.SignalGraceful: 143, yarn.SignalForceful: 137} {
		c := grant()
		a.start(c, "sleep")
		a.up(c)
		must(t, a.nodes.Signal(s.context(t), c.Node, c.ID, signal))
		if st := a.ended(c); st.ExitStatus != want {
			t.Errorf("after %v: %v, %q", signal, st.ExitStatus, st.Diagnostics)
		}
	}
}

// testReleases gives containers back, before and after they started, and gets too many.
func testReleases(t *testing.T, s *suite) {
	a := s.submit(t, nil)
	a.register()
	cs := slices.Clone(a.ask(yarn.Ask{ID: 1, Priority: 1, Resource: small, Count: 2}))
	a.start(cs[0], "sleep")
	a.up(cs[0])
	a.ledger.Release(cs[0].ID, cs[1].ID)
	for i, what := range []string{"running", "unused"} {
		if st := a.ended(cs[i]); st.ExitStatus != yarn.ExitAborted {
			t.Errorf("an %s container given back: %v, %q", what, st.ExitStatus, st.Diagnostics)
		}
	}
	s.until(t, "the process of a container given back lives", func() bool { return !alive(a.pid(cs[0])) })

	// Cancelled asks bring nothing, or what comes goes back by itself.
	a.ledger.SetAsk(yarn.Ask{ID: 2, Priority: 2, Resource: small, Count: 2})
	a.beat()
	a.ledger.SetAsk(yarn.Ask{ID: 2, Priority: 2, Count: 0, Resource: small})
	a.ledger.SetAsk(yarn.Ask{ID: 3, Priority: 3, Resource: small, Count: 1})
	a.beatUntil("no container came after a cancelled ask", func() bool { return a.ledger.Wanted() == 0 })
	a.beatUntil("surplus was not given back", func() bool {
		snap := a.ledger.Snapshot()
		return !snap.Unsaid && len(snap.Releasing) == 0
	})
	if held := a.ledger.Snapshot().Held; len(held) != 1 {
		t.Errorf("holds %v, want one container", held)
	}
	s.until(t, "the ResourceManager counts surplus", func() bool { return a.report().Containers == 2 })
}
