package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tfos/internal/client"
	"tfos/internal/client/exit"
	"tfos/internal/status"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

// tfos runs the command as main does.
func tfos(t *testing.T, args ...string) (code exit.Code, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, &out, &err)
	return code, out.String(), err.String()
}

func TestHelp(t *testing.T) {
	for _, name := range []string{"", "run", "predict", "submit", "plan", "convert", "resume", "attach", "status", "list", "logs", "kill", "scale", "debug", "history", "history ls", "history show", "history serve", "checkpoint", "checkpoint ls", "checkpoint verify", "checkpoint prune", "replay", "version"} {
		args := []string{"--help"}
		if name != "" {
			args = append(strings.Fields(name), "--help")
		}
		code, got, _ := tfos(t, args...)
		if code != exit.OK {
			t.Errorf("tfos %s: exit code %d", name, code)
		}
		if strings.Count(got, exit.Heading) != 1 || !strings.HasPrefix(name, "checkpoint") && !strings.Contains(got, exit.Table) {
			t.Errorf("tfos %s --help does not explain the exit codes", name)
		}
		golden := filepath.Join("testdata", "help"+strings.TrimSuffix("-"+strings.ReplaceAll(name, " ", "-"), "-")+".txt")
		if *rewrite {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("tfos %s --help changed: look at it, then go test ./cmd/tfos -rewrite\n%s", name, got)
		}
	}
}

// isolate takes away what the environment says of clusters, and gives tfos its two companions.
func isolate(t *testing.T) (conf string) {
	t.Helper()
	for _, name := range []string{"HADOOP_CONF_DIR", "YARN_CONF_DIR", "HADOOP_USER_NAME"} {
		t.Setenv(name, "")
	}
	home := t.TempDir()
	t.Setenv("TFOS_HOME", home)
	t.Setenv("TMPDIR", home)
	for _, name := range []string{"tfos-am", "tfos-agent"} {
		if err := os.WriteFile(filepath.Join(home, name), []byte("x"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	conf = t.TempDir()
	site := `<configuration><property><name>yarn.resourcemanager.address</name><value>127.0.0.1:1</value></property></configuration>`
	if err := os.WriteFile(filepath.Join(conf, "yarn-site.xml"), []byte(site), 0o644); err != nil {
		t.Fatal(err)
	}
	return conf
}

// TestWrongUsage is everything that is wrong before a cluster is asked: exit code 2, a message that
// says what to do, nothing on stdout.
func TestWrongUsage(t *testing.T) {
	conf := isolate(t)
	dir := t.TempDir()
	file := func(name, content string) string {
		full := filepath.Join(dir, name)
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return full
	}
	good := "command: 'true'\nroles: {worker: {instances: 2}}\n"
	for _, c := range []struct {
		name string
		args []string
		says []string
	}{
		{"unknown command", []string{"frobnicate"}, []string{`unknown command "frobnicate"`, "tfos --help"}},
		{"unknown flag", []string{"run", "--wrokers", "2"}, []string{"--wrokers"}},
		{"no configuration", []string{"submit", file("a.yaml", good)}, []string{"no Hadoop configuration", "--conf", "HADOOP_CONF_DIR", "YARN_CONF_DIR"}},
		{"no configuration there", []string{"list", "--conf", dir}, []string{dir + " holds no yarn-site.xml", "--conf"}},
		{"unknown cluster", []string{"list", "--master", "mesos"}, []string{"--master mesos: want yarn or local"}},
		{"submit to the local cluster", []string{"submit", "--master", "local", file("b.yaml", good)}, []string{"lives only while tfos run does"}},
		{"no local cluster", []string{"list", "--master", "local"}, []string{"no local cluster of yours is running"}},
		{"no job file", []string{"run", "--conf", conf, filepath.Join(dir, "none.yaml")}, []string{"none.yaml does not exist"}},
		{"two job files", []string{"run", "--conf", conf, "a.yaml", "b.yaml"}, []string{"want one job file", "after --"}},
		{"nothing after the dashes", []string{"run", "--conf", conf, "--workers", "1", "--"}, []string{"no command after --"}},
		{"unknown key", []string{"run", "--conf", conf, file("c.yaml", good+"quue: ml\n")}, []string{"c.yaml:3", "quue"}},
		{"wrong unit", []string{"run", "--conf", conf, file("d.yaml", "command: x\nroles: {worker: {memory: 4 bananas}}\n")}, []string{"d.yaml:2", "roles.worker.memory"}},
		{"no instances", []string{"run", "--conf", conf, file("e.yaml", "command: x\nroles: {worker: {instances: 0}}\n")}, []string{"e.yaml:2", "roles.worker.instances"}},
		{"wrong unit in a flag", []string{"run", "--conf", conf, "--workers", "1", "--worker-memory", "lots", "--", "true"}, []string{"--worker-memory"}},
		{"no command", []string{"run", "--conf", conf, "--workers", "1"}, []string{"command"}},
		{"missing file", []string{"run", "--conf", conf, file("f.yaml", good+"files: [train.py]\n")}, []string{"train.py does not exist"}},
		{"missing file of a flag", []string{"run", "--conf", conf, "--workers", "1", "--files", "nowhere.py", "--", "true"}, []string{"nowhere.py does not exist"}},
		{"environment", []string{"run", "--conf", conf, "--workers", "1", "--env", "X", "--", "true"}, []string{"--env X: want NAME=value"}},
		{"define", []string{"run", "--conf", conf, "--workers", "1", "-D", "x", "--", "true"}, []string{"-D x: want key=value"}},
		{"define unknown", []string{"run", "--conf", conf, "--workers", "1", "-D", "gang.timout=1m", "--", "true"}, []string{"gang.timout"}},
		{"log level", []string{"run", "--conf", conf, "--workers", "1", "--log-level", "loud", "--", "true"}, []string{"--log-level loud"}},
		{"no application", []string{"status"}, []string{"want one application id", "tfos list"}},
		{"nothing to resume", []string{"resume", "--conf", conf}, []string{"want an application id or a job file"}},
		{"resume nothing that is there", []string{"resume", "--conf", conf, "application_1"}, []string{`"application_1" is neither an application id nor a job file`}},
		{"resume a local application", []string{"resume", "--master", "local", "application_1_0001"}, []string{"ends with its job", "tfos resume --master local JOB.yaml"}},
		{"resume and leave a local cluster", []string{"resume", "--master", "local", "--detach", file("g.yaml", good)}, []string{"leave --detach out"}},
		{"resume without checkpoints", []string{"resume", "--master", "local", file("h.yaml", good)}, []string{"h has no directory of checkpoints", "--checkpoint-dir"}},
		{"resume from nothing", []string{"resume", "--master", "local", "--checkpoint-dir", filepath.Join(dir, "none"), file("i.yaml", good)}, []string{"there is no checkpoint in " + dir + "/none"}},
		{"not an application", []string{"kill", "job_1_2"}, []string{`"job_1_2" is no application id`}},
		{"no such directory", []string{"checkpoint", "ls", filepath.Join(dir, "none")}, []string{dir, "none does not exist"}},
		{"a file", []string{"checkpoint", "verify", file("model.keras", "x")}, []string{"model.keras is a file"}},
		{"no directory", []string{"checkpoint", "verify"}, []string{"want one directory"}},
		{"keep nothing", []string{"checkpoint", "prune", dir}, []string{"--keep of at least 1"}},
		{"no such checkpoint", []string{"checkpoint", "verify", dir, "ckpt-7"}, []string{"no checkpoint ckpt-7"}},
		{"checkpoint alone", []string{"checkpoint"}, []string{"want ls, verify or prune"}},
		{"not a task", []string{"logs", "application_1_0001", "worker"}, []string{`"worker" is not a task`}},
		{"not a stream", []string{"logs", "application_1_0001", "--stream", "x"}, []string{"--stream x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := tfos(t, c.args...)
			if code != exit.Usage || stdout != "" {
				t.Errorf("exit code %d, stdout %q", code, stdout)
			}
			for _, want := range c.says {
				if !strings.Contains(stderr, want) {
					t.Errorf("stderr %q does not say %q", stderr, want)
				}
			}
			if !strings.HasPrefix(stderr, "tfos: ") {
				t.Errorf("stderr %q", stderr)
			}
		})
	}
}

// TestJobFileFromStdin: - is read from stdin, and relative paths in it start in the current
// directory.
func TestJobFileFromStdin(t *testing.T) {
	conf := isolate(t)
	t.Chdir(t.TempDir())
	was := os.Stdin
	defer func() { os.Stdin = was }()
	if err := os.WriteFile("job", []byte(`{"command": "x", "roles": {"worker": {"instances": 1}}, "files": ["here.py"]}`+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"submit", "session"} {
		f, err := os.Open("job")
		if err != nil {
			t.Fatal(err)
		}
		os.Stdin = f
		code, _, stderr := tfos(t, verb, "--conf", conf, "-")
		if code != exit.Usage || !strings.Contains(stderr, " here.py does not exist") {
			t.Errorf("%s -: exit code %d, %q", verb, code, stderr)
		}
		f.Close()
	}
}

func TestMissingCompanions(t *testing.T) {
	conf := isolate(t)
	t.Setenv("TFOS_HOME", t.TempDir())
	code, _, stderr := tfos(t, "run", "--conf", conf, "--workers", "1", "--", "true")
	if code != exit.Usage || !strings.Contains(stderr, "tfos-am and tfos-agent") || !strings.Contains(stderr, "TFOS_HOME") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

func TestInterruptEndsQuietly(t *testing.T) {
	conf := isolate(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(client.ErrInterrupted)
	var out, err bytes.Buffer
	if code := run(ctx, []string{"run", "--conf", conf, "--workers", "1", "--", "true"}, &out, &err); code != exit.Interrupted {
		t.Errorf("exit code %d, %s", code, err.String())
	}
}

func TestVersion(t *testing.T) {
	code, got, _ := tfos(t, "version")
	if code != exit.OK || !strings.HasPrefix(got, "tfos ") {
		t.Errorf("exit code %d, %q", code, got)
	}
	_, got, _ = tfos(t, "version", "--json")
	var b build
	if err := json.Unmarshal([]byte(got), &b); err != nil || b.Version == "" || b.Go == "" || b.Platform == "" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestList(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	end := began.Add(90 * time.Second)
	var b bytes.Buffer
	if err := writeList(&b, []client.Summary{{ID: "application_1_0002", Name: "digits", User: "ann", Queue: "ml", State: status.Succeeded, Started: began, Finished: &end}}, end); err != nil {
		t.Fatal(err)
	}
	want := "ID                  NAME    USER  QUEUE  STATE      STARTED              TOOK\napplication_1_0002  digits  ann   ml     succeeded  2026-01-02 03:04:05  1:30\n"
	if b.String() != want {
		t.Errorf("wrote\n%swant\n%s", b.String(), want)
	}
}

// TestConvert: what is converted is on stdout, or in a file that was not there; what is not in it
// on stderr. A file that is no job of anybody's is wrong usage.
func TestConvert(t *testing.T) {
	dir := t.TempDir()
	xml := filepath.Join(dir, "tony.xml")
	text := `<configuration><property name="tony.worker.instances" value="2"/><property name="tony.odd" value="x"/></configuration>`
	if err := os.WriteFile(xml, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := tfos(t, "convert", xml)
	if code != exit.OK || !strings.Contains(stdout, "instances: 2") || !strings.Contains(stderr, "unknown: tony.odd") || !strings.Contains(stderr, "to be mended before it runs") {
		t.Errorf("convert: code %d\nstdout:\n%s\nstderr:\n%s", code, stdout, stderr)
	}
	out := filepath.Join(dir, "job.yaml")
	if code, _, stderr := tfos(t, "convert", xml, "-o", out); code != exit.OK {
		t.Errorf("convert -o: code %d, %s", code, stderr)
	}
	for says, args := range map[string][]string{
		"is there already":    {"convert", xml, "-o", out},
		"is a job file of":    {"convert", out},
		"does not exist":      {"convert", filepath.Join(dir, "none")},
		"want one file":       {"convert"},
		"want one of them":    {"run", "--master", "local", "--from", xml, out},
		"the job has no comm": {"run", "--master", "local", "--from", xml},
	} {
		if code, _, stderr := tfos(t, args...); code != exit.Usage || !strings.Contains(stderr, says) {
			t.Errorf("tfos %q: code %d, %q, want %q", args, code, stderr, says)
		}
	}
}

// TestOnlyTheSameSignalTwiceIsImpatience: Ctrl-C on `yarn jar tfos.jar` comes from the terminal as
// SIGINT and from the JVM as SIGTERM.
func TestOnlyTheSameSignalTwiceIsImpatience(t *testing.T) {
	signals := make(chan os.Signal)
	interrupted := make(chan bool, 4)
	impatient := make(chan bool)
	go func() { await(signals, func() { interrupted <- true }); close(impatient) }()
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		signals <- s // is received, so await has not returned
		<-interrupted
	}
	signals <- syscall.SIGTERM
	<-impatient
}
