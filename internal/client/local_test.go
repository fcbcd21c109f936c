package client

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"tfos/internal/client/exit"
	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/miniyarn"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

func TestWhatIsNotOnesOwnIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tfos-1")
	if err := makeOwn(dir); err != nil {
		t.Fatal(err)
	}
	if err := makeOwn(dir); err != nil {
		t.Errorf("the second time: %v", err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := makeOwn(dir); exit.Of(err) != exit.Usage {
		t.Errorf("open to everyone: %v", err)
	}
	if err := makeOwn(filepath.Join(dir, "none", "tfos-1")); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "set TMPDIR") {
		t.Errorf("in a TMPDIR that there is not: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	if err := makeOwn(link); exit.Of(err) != exit.Usage {
		t.Errorf("a link: %v", err)
	}
}

// nobody is a user of the machine who has nothing to do with us.
const nobody = 65534

// asNobody runs f as another user, if we may: on a thread that ends with it.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	done := make(chan unix.Errno)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is of no more use
		_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody)
		if errno == 0 {
			f()
		}
		done <- errno
	}()
	if errno := <-done; errno != 0 {
		t.Fatal(errno)
	}
}

// TestOthersFindNothingOfALocalCluster looks at its files as another user of the machine does, and
// has that user plant some.
func TestOthersFindNothingOfALocalCluster(t *testing.T) {
	top, err := os.MkdirTemp("", "local") // testing's own are closed to others, and would hide what is open
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	if err := os.Chmod(top, 0o777); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(top, "tfos")
	l, err := StartLocal(t.Context(), root, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(l.dir, localConf)
	credentials := filepath.Join(at, miniyarn.TokenFile)
	asNobody(t, func() {
		if _, err := os.ReadFile(credentials); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("nobody reads the token: %v", err)
		}
		if _, err := os.ReadDir(root); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("nobody lists the clusters: %v", err)
		}
	})
	reach := func() error {
		clusters, err := Locals(t.Context(), root, zap.NewNop())
		if err == nil {
			_, err = clusters[0].List(t.Context(), true)
		}
		return errors.Join(err, closeAll(clusters))
	}
	if err := reach(); err != nil {
		t.Fatalf("its own user: %v", err)
	}
	for name, open := range map[string]os.FileMode{root: 0o711, l.dir: 0o755, at: 0o750, credentials: 0o640, filepath.Join(at, "yarn-site.xml"): 0o602} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		spoil := map[string]func(string) error{"open": func(n string) error { return os.Chmod(n, open) }}
		if os.Getuid() == 0 {
			spoil["somebody else's"] = func(n string) error { return os.Chown(n, nobody, nobody) }
		}
		for how, do := range spoil {
			if err := do(name); err != nil {
				t.Fatal(err)
			}
			if err := reach(); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "of yours alone") {
				t.Errorf("%s is %s: %v", strings.TrimPrefix(name, top), how, err)
			}
			if err := errors.Join(os.Chmod(name, info.Mode().Perm()), os.Chown(name, os.Getuid(), os.Getgid())); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Close(false); err != nil {
		t.Error(err)
	}
}

// TestJobsOfAllLocalClustersAreFound has two clusters, and looks for a job of each.
func TestJobsOfAllLocalClustersAreFound(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	var ids []yarn.ApplicationID
	for range 2 {
		l, err := StartLocal(t.Context(), root, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close(false) })
		app, err := l.RM.NewApplication(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sub := yarn.Submission{ID: app.ID, Type: launch.ApplicationType, Resource: yarn.Resource{MemoryMiB: 128, VCores: 1}}
		sub.Launch.Command = []string{"sleep 1000"}
		if err := l.RM.Submit(t.Context(), sub); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, app.ID)
	}
	for i, id := range ids {
		c, err := LocalOf(t.Context(), root, id, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.report(t.Context(), id); err != nil {
			t.Errorf("the job of cluster %d: %v", i, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	unknown := ids[0]
	unknown.Sequence = 77
	c, err := LocalOf(t.Context(), root, unknown, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.report(t.Context(), unknown); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "no such application") {
		t.Errorf("a job of none: %v", err)
	}
}

func TestSweepRemovesWhatTheDeadLeft(t *testing.T) {
	root, now := t.TempDir(), time.Now()
	cluster := func(name string, age time.Duration, files ...string) string {
		t.Helper()
		dir := filepath.Join(root, name)
		for _, f := range append(files, localLock) {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o700); err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(dir, f), "x")
		}
		if err := os.Chtimes(dir, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	alive := cluster("alive", time.Hour, "home/a", "logs/app/c/stdout")
	held, err := lock(filepath.Join(alive, localLock), unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	dead := cluster("dead", time.Hour, "home/a", "logs/app/c/stdout")
	silent := cluster("silent", time.Hour, "home/a")
	old := cluster("old", 25*time.Hour, "logs/app/c/stdout")
	starting := cluster("starting", time.Second, "home/a")

	sweep(root, now, zap.NewNop())
	for name, want := range map[string]bool{
		alive + "/home/a": true, dead + "/home/a": false, dead + "/logs/app/c/stdout": true,
		silent: false, old: false, starting + "/home/a": true,
	} {
		if _, err := os.Stat(name); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", strings.TrimPrefix(name, root), err == nil, want)
		}
	}
	if _, err := Locals(t.Context(), filepath.Join(t.TempDir(), "none"), zap.NewNop()); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "no local cluster of yours is running") {
		t.Errorf("connect to none: %v", err)
	}
}

func TestFindConf(t *testing.T) {
	good, empty := t.TempDir(), t.TempDir()
	writeFile(t, filepath.Join(good, "yarn-site.xml"), "<configuration/>")
	for _, c := range []struct {
		flag, hadoop, yarn string
		want               int // directories; 0: refused
	}{
		{},
		{flag: good, want: 1},
		{flag: empty},
		{flag: good, hadoop: empty, want: 1},
		{hadoop: good, want: 1},
		{yarn: good, want: 1},
		{hadoop: empty, yarn: good, want: 2},
		{hadoop: empty + ":" + good, want: 1},
		{hadoop: empty},
	} {
		dirs, err := FindConf(c.flag, func(name string) string {
			return map[string]string{"HADOOP_CONF_DIR": c.hadoop, "YARN_CONF_DIR": c.yarn}[name]
		})
		if len(dirs) != c.want || c.want == 0 && (exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "--conf")) {
			t.Errorf("%+v: %q, %v", c, dirs, err)
		}
	}
}

func TestConnectRefuses(t *testing.T) {
	for _, c := range []struct {
		core string
		code exit.Code
		says string
	}{
		{"<configuration><property><name>hadoop.security.authentication</name><value>kerberos</value></property></configuration>", exit.Refused, "wants Kerberos"},
		{"<configuration><property>", exit.Usage, "core-site.xml"},
		{"<configuration><property><name>fs.defaultFS</name><value>s3a://bucket</value></property></configuration>", exit.Usage, "s3a"},
	} {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, "core-site.xml"), c.core)
		writeFile(t, filepath.Join(dir, "yarn-site.xml"), "<configuration><property><name>yarn.resourcemanager.address</name><value>rm:8032</value></property></configuration>")
		_, err := Connect(t.Context(), ConnectOptions{Conf: []string{dir}, Getenv: func(string) string { return "" }, Log: zap.NewNop()})
		if exit.Of(err) != c.code || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: code %d, %v", c.core, exit.Of(err), err)
		}
	}
}

func TestDiskLogs(t *testing.T) {
	dir := t.TempDir()
	at := filepath.Join(dir, anID.String(), "c1")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(at, "stdout"), "0123456789")
	var got []byte
	read := func(ctx context.Context, container string, offset int64) error {
		got = nil
		return diskLogs{dir}.Read(ctx, LogFile{Application: anID, Container: container, Stream: "stdout"}, offset, func(b []byte) error {
			got = append(got, b...)
			return nil
		})
	}
	if err := read(t.Context(), "c1", 4); err != nil || string(got) != "456789" {
		t.Errorf("%q, %v", got, err)
	}
	if err := read(t.Context(), "c2", 0); !os.IsNotExist(err) {
		t.Errorf("of no container: %v", err)
	}
}

// TestLogsThatStayWhereTheyAre: of a node in an executor of Spark it is said where its logs are, of
// the other the logs are shown.
func TestLogsThatStayWhereTheyAre(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"c1/stdout": "here\n", "c2/elsewhere": "nm2:/work/tfos-logs/c2"} {
		name = filepath.Join(dir, anID.String(), name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, name, content)
	}
	c := &Cluster{Logs: diskLogs{dir}}
	v := status.View{Tasks: []status.Task{{Role: "worker", Container: "c1"}, {Role: "worker", Index: 1, Container: "c2"}}}
	read := func(task status.Task, stream string, write func([]byte) error) error {
		return c.keptLog(t.Context(), yarn.Report{ID: anID}, task, stream, time.Time{}, write)
	}
	const said = "the logs of nodes in Spark's executors stay there: worker/1 at nm2:/work/tfos-logs/c2"
	var out, notes strings.Builder
	o := LogsOptions{Streams: []string{"stdout", "stderr"}, Note: func(text string) { notes.WriteString(text) }}
	if err := c.eachLog(v, o, &out, read); err != nil || !strings.HasSuffix(out.String(), "here\n") || notes.String() != said {
		t.Errorf("of both: %v, %q, %q", err, out.String(), notes.String())
	}
	o.Task = job.Task{Role: "worker", Index: 1}
	if err := c.eachLog(v, o, &out, read); exit.Of(err) != exit.Refused || !strings.Contains(err.Error(), said) {
		t.Errorf("of one: %v", err)
	}
}

// TestLocalClusterRunsWhatItIsGiven submits to a real embedded cluster a master that dies:
// everything between the client and the master's process is real, and nothing of it is left but the
// logs.
func TestLocalClusterRunsWhatItIsGiven(t *testing.T) {
	root, bin := filepath.Join(t.TempDir(), "root"), t.TempDir()
	writeFile(t, filepath.Join(bin, "tfos-am"), "#!/bin/sh\nls >&2\necho of no use >&2\nexit 3\n")
	writeFile(t, filepath.Join(bin, "tfos-agent"), "agent")
	b, err := FindBinaries(bin)
	if err != nil {
		t.Fatal(err)
	}
	j := aJob()
	j.Queue = "" // YARN knows one
	p, err := Prepare(j, b, "1.2.3", "info")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	l, err := StartLocal(t.Context(), root, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	var s shown
	runErr := l.Run(t.Context(), p, s.ui(), RunOptions{})
	if exit.Of(runErr) != exit.Infrastructure || !strings.Contains(runErr.Error(), "of no use") || !strings.Contains(runErr.Error(), "its logs are in "+root) {
		t.Errorf("code %d: %v\nstderr %s", exit.Of(runErr), runErr, s.err.String())
	}

	others, err := Locals(t.Context(), root, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	other := others[0]
	jobs, err := other.List(t.Context(), false)
	if err != nil || len(jobs) != 1 || jobs[0].State != status.Failed {
		t.Fatalf("seen from elsewhere: %+v, %v", jobs, err)
	}
	id, err := ParseApplication(jobs[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	if err := other.CopyLogs(t.Context(), id, LogsOptions{Master: true, Streams: []string{control.Stderr}}, &log); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"==> master/1 stderr <==", "==> master/2 stderr <==", launch.JobFile, launch.ManifestFile, launch.ConfFile, launch.MasterBinary} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the masters' logs lack %q:\n%s", want, log.String())
		}
	}
	if err := errors.Join(other.Close(), l.Close(true)); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(root, "*", "*")); err != nil || len(left) != 1 || filepath.Base(left[0]) != localLogs {
		t.Errorf("left %q, %v", left, err)
	}
}

// TestConnectAsAUserWithARealm: the cluster knows jane@EXAMPLE.COM as jane, whose home that is.
func TestConnectAsAUserWithARealm(t *testing.T) {
	dir := t.TempDir()
	for name, site := range map[string]string{
		"core-site.xml": "<configuration><property><name>fs.defaultFS</name><value>hdfs://nn:8020</value></property>" +
			"<property><name>hadoop.rpc.socket.factory.class.default</name><value>org.apache.hadoop.net.SocksSocketFactory</value></property>" +
			"<property><name>hadoop.socks.server</name><value>gw:1080</value></property></configuration>",
		"yarn-site.xml": "<configuration><property><name>yarn.resourcemanager.hostname</name><value>rm</value></property></configuration>",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(site), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"jane@EXAMPLE.COM": "jane", "jane/gw@EXAMPLE.COM": "jane", `CORP\jane`: `CORP\jane`, "jane@b@c": ""} {
		c, err := Connect(t.Context(), ConnectOptions{Conf: []string{dir}, Log: zap.NewNop(), Getenv: func(key string) string {
			return map[string]string{"HADOOP_USER_NAME": "oozie", "HADOOP_PROXY_USER": name}[key]
		}})
		if want == "" {
			if exit.Of(err) != exit.Usage {
				t.Errorf("%s: %v, want wrong usage", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := c.unreachable("submit", errors.New("timeout")); !strings.Contains(err.Error(), "through the SOCKS proxy gw:1080") {
			t.Errorf("behind a proxy: %v", err)
		}
		if c.User != want || c.Home != "/user/"+want {
			t.Errorf("%s is %s with home %s", name, c.User, c.Home)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
