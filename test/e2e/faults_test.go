//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tfos/internal/fault"
	"tfos/internal/job"
	"tfos/internal/membership"
	"tfos/internal/status"
)

// TestFaults is a part of the matrix (TestMatrix, `make matrix`): every strategy, and every kind of
// fault once.
func TestFaults(t *testing.T) {
	c := hadoop(t)
	for _, row := range []struct{ plan, strategy string }{
		{"worker-process", "mirrored"},
		{"ps-process", "v1"},
		{"leader-node", "mirrored"},
		{"worker-node-stops", "v1"},
		{"worker-cut", "ps"},
		{"worker-and-manager", "v1"},
		{"safe-mode", "v1"},
		{"master-stops-for-long", "mirrored"},
	} {
		t.Run(row.plan+" "+row.strategy, func(t *testing.T) { c.survives(t, row.plan, row.strategy) })
	}
}

// lasting are the digits jobs of the matrix. No task has room beside the master, so that a plan's
// node is never the master's.
var lasting = map[string]string{
	"ps": `name: lasting-ps
command: ${PYTHON:-python3} train_ps.py --steps 400 --pause 0.08
files: [%[1]s/train_ps.py, %[1]s/digits.py]
roles:
  chief:  {instances: 1, memory: 3GiB}
  worker: {instances: 2, memory: 3GiB}
  ps:     {instances: 1, memory: 3GiB, service: true}
master: {memory: 6GiB}
`,
	"mirrored": `name: lasting-mirrored
command: ${PYTHON:-python3} train_mirrored.py --steps 400 --pause 0.08
files: [%[1]s/train_mirrored.py, %[1]s/digits.py]
roles:
  worker: {instances: 2, memory: 3GiB}
strategy: mirrored
master: {memory: 6GiB}
`,
	"v1": `name: lasting-v1
command: ${PYTHON:-python3} train_v1.py --steps 400 --pause 0.08
files: [%[1]s/train_v1.py, %[1]s/digits.py]
roles:
  chief:  {instances: 1, memory: 3GiB}
  worker: {instances: 2, memory: 3GiB}
  ps:     {instances: 1, memory: 3GiB, service: true}
strategy: v1
master: {memory: 6GiB}
`,
}

func lastingJob(strategy string) string {
	if strategy == "builtin" { // ps, and nothing but the server's program differs
		return strings.NewReplacer("lasting-ps", "lasting-builtin", "service: true", "builtin: ps").Replace(lastingJob("ps"))
	}
	return fmt.Sprintf(lasting[strategy], filepath.Join(root, "examples", "digits"))
}

// outlasting is a lasting job that goes on until agents that stand still are given up: their nodes
// answer, and that takes its time.
func outlasting(p fault.Plan, strategy string) string {
	still := slices.ContainsFunc(p, func(f fault.Fault) bool { return f.Kind == fault.StopAgent && f.For > 20*time.Second })
	if !still {
		return lastingJob(strategy)
	}
	return strings.ReplaceAll(lastingJob(strategy), "--steps 400", "--steps 900")
}

// planFor is a plan of package fault's for a job of the matrix; false: it is about a task that the
// job does not have.
func planFor(t testing.TB, plan, strategy string) (fault.Plan, bool) {
	t.Helper()
	all, err := fault.All()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(n fault.Named) bool { return n.Name == plan })
	if i < 0 {
		t.Fatalf("no plan %s", plan)
	}
	j, err := job.Parse("job.yaml", []byte(lastingJob(strategy)), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := all[i].Plan.For(j)
	return p, err == nil
}

// survives trains through a fault plan: the job ends well and as accurate as without it, nobody
// restarts or moves but those whom the plan costs something (fault.Plan.Expect), whoever was
// replaced ends when it is back, and nothing is left over.
func (c *cluster) survives(t *testing.T, planName, strategy string) {
	c.survivesBy(t, planName, strategy, "redirect")
}

// survivesBy is survives for a job whose tasks reach each other by a carrier: redirect, forward or
// direct.
func (c *cluster) survivesBy(t *testing.T, planName, strategy, carrier string) {
	plan, ok := planFor(t, planName, strategy)
	if !ok {
		t.Skipf("%s jobs have no such task", strategy)
	}
	dir := "hdfs:///models/" + planName + "-" + strategy + "-" + carrier
	id := strings.TrimSpace(tfos(t, c.env, "submit", "--env", "PYTHON="+python(t),
		"--checkpoint-dir", dir, jobFile(t, outlasting(plan, strategy)+"endpoints: "+carrier+"\n")).want(t, 0).stdout)
	b := newBreaker(t, c, id, plan)
	b.carrier = carrier
	defer b.restore()
	before := b.await(plan[0])
	w := witnesses(t, b, before)
	b.run(plan)
	after := b.end(w)
	b.restore() // a job may end before its faults do, and what they hold cannot
	if *after.ExitCode != 0 {
		t.Fatalf("exit code %d: %s\n%s", *after.ExitCode, after.Diagnostics, tail(tfos(t, c.env, "logs", id).stdout, 60))
	}
	var out string
	eventually(t, "the accuracy in the logs, of which a NodeManager that was away brings its part when it is back", func() bool {
		out = tfos(t, c.env, "logs", id).want(t, 0).stdout
		return accuracyRE.MatchString(out)
	})
	got := accuracy(t, out)
	if got < wantAccuracy {
		t.Errorf("accuracy %.4f, want at least %.2f", got, wantAccuracy)
	}
	header, _ := c.eventLog(t, id)
	j, err := job.Parse("job.yaml", []byte(header.Job), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := plan.Expect(j, header.Options.StableEndpoints, func(on job.Task) []job.Task { return b.hit[on] })
	b.compare(before, after, want)
	b.print(planName, strategy, after, got)
	w.gone(t, after)
	c.nothingLeft(t, id)
}

// end waits for the job's end, and meanwhile ends the faults whose time is over. Who was replaced
// while it could not be reached must be gone soon after it can be.
func (b *breaker) end(w *witness) status.View {
	b.t.Helper()
	var after status.View
	back := false // some came back who may have been replaced
	eventually(b.t, "the end of "+b.id, func() bool {
		had := b.pending
		b.relieve()
		after = b.view()
		back = back || b.pending < had
		if back && after.ExitCode == nil && len(after.Tasks) > 0 { // without, there is no master at the moment
			b.sent(w, after)
			back = false
		}
		return after.ExitCode != nil
	})
	return after
}

// sent waits until those who were replaced while they could not be reached have ended.
func (b *breaker) sent(w *witness, now status.View) {
	b.t.Helper()
	began := time.Now()
	for _, old := range w.tasks {
		if find(b.t, now, name(old.task)).Container == old.task.Container {
			continue
		}
		eventually(b.t, fmt.Sprintf("the replaced %s to end", name(old.task)), func() bool { return !alive(old.agent) && !alive(old.task.PID) })
		b.t.Logf("the replaced %s had ended %.1f s after it could be reached again", name(old.task), time.Since(began).Seconds())
	}
}

// compare holds the tasks that restarted and moved against those that the plan allows.
func (b *breaker) compare(before, after status.View, want fault.Expectation) {
	b.t.Helper()
	for _, was := range before.Tasks {
		is := find(b.t, after, name(was))
		task := job.Task{Role: was.Role, Index: was.Index}
		if moved := is.Container != was.Container; moved != want.Moves[task] {
			b.t.Errorf("%s was in %s and is in %s; the plan moves it: %v", task, was.Container, is.Container, want.Moves[task])
		}
		if is.Container == was.Container && is.Address != was.Address {
			b.t.Errorf("%s is at %s and was at %s, in the same container", task, is.Address, was.Address)
		}
		if is.Endpoints != b.carrier {
			b.t.Errorf("%s reaches its peers by %q: %s", task, is.Endpoints, is.EndpointsReason)
		}
		restarted := is.Incarnation > was.Incarnation
		if restarted != want.Restarts[task] {
			b.t.Errorf("%s is incarnation %d; the plan restarts it: %v", task, is.Incarnation, want.Restarts[task])
		}
		// A master that took over knows since when it knows of a process.
		if now, then := process(is), process(was); !restarted && (is.PID != was.PID || now != then && after.Attempt == before.Attempt) {
			b.t.Errorf("%s is %s, was %s, and says that it did not restart", task, now, then)
		}
	}
}

// process is who a task's process is, and since when.
func process(t status.Task) string { return fmt.Sprintf("process %d since %s", t.PID, t.Started) }

// print writes the row: seconds from the first fault until all that it hit had a process again that
// knows its cluster_spec.
func (b *breaker) print(plan, strategy string, after status.View, accuracy float64) {
	containers, last, who := 0, 0.0, []string{}
	for _, r := range after.Restarts {
		if r.NewContainer {
			containers++
		}
		last = max(last, r.At.Sub(b.since).Seconds()+r.Seconds)
		who = append(who, fmt.Sprintf("%s (%s, %.1f s)", r.Task, r.Cause, r.Seconds))
	}
	fmt.Printf("%-24s %-9s %5.1f s  %d new containers  accuracy %.3f  %s\n", plan, strategy, last, containers, accuracy, strings.Join(who, ", "))
}

// witness is what a job's processes were and had before anything went wrong.
type witness struct{ tasks []seen }

type seen struct {
	task   status.Task
	agent  int    // its PID
	socket string // that its program was given
}

func witnesses(t *testing.T, b *breaker, v status.View) *witness {
	t.Helper()
	w := &witness{}
	for _, task := range v.Tasks {
		s := seen{task: task, agent: b.agent(task)}
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", task.PID))
		if err != nil {
			t.Fatalf("%s: %v", name(task), err)
		}
		for kv := range strings.SplitSeq(string(environ), "\x00") {
			if socket, ok := strings.CutPrefix(kv, "TFOS_AGENT="); ok {
				s.socket = socket
			}
		}
		if _, err := os.Stat(s.socket); err != nil {
			t.Errorf("%s: its agent's socket: %v", name(task), err)
		}
		w.tasks = append(w.tasks, s)
	}
	return w
}

// gone fails the test if anything of these processes is left: they themselves, their ports, their
// sockets.
func (w *witness) gone(t *testing.T, after status.View) {
	t.Helper()
	for _, s := range w.tasks {
		for _, address := range []string{s.task.Address, s.task.Agent, find(t, after, name(s.task)).Address, find(t, after, name(s.task)).Agent} {
			_, port, _ := strings.Cut(address, ":")
			eventually(t, "port "+port+" of "+name(s.task)+" to be free", func() bool { return !listening(t, port) })
		}
		if _, err := os.Lstat(s.socket); err == nil {
			t.Errorf("%s is left of %s", s.socket, name(s.task))
		}
		if dir := filepath.Dir(s.socket); strings.HasPrefix(filepath.Base(dir), "tfos-") {
			if _, err := os.Lstat(dir); err == nil {
				t.Errorf("%s is left of %s", dir, name(s.task))
			}
		}
	}
}

// nothingLeft fails the test if an application that ended has left a process, a container, a
// directory on a node, or files on HDFS besides those that are kept of a job.
func (c *cluster) nothingLeft(t *testing.T, id string) {
	t.Helper()
	gone(t, id)
	number := strings.TrimPrefix(id, "application_")
	eventually(t, "the nodes to forget the containers of "+id, func() bool {
		dirs, err := filepath.Glob(filepath.Join(filepath.Dir(c.conf), "nm*", "local", "usercache", "*", "appcache", id))
		if err != nil {
			t.Fatal(err)
		}
		return len(dirs) == 0
	})
	if running := c.rest(t, c.rmWeb(t)+"/ws/v1/cluster/apps/"+id); !strings.Contains(running, `"runningContainers":-1`) && !strings.Contains(running, `"runningContainers":0`) {
		t.Errorf("containers of %s still run: %s", number, running)
	}
	kept := []string{"client.pem", "events.ndjson", "hadoop-conf.xml", "job.yaml", "manifest.json", "master.json", "page.html", "result.json"}
	journal := regexp.MustCompile(`^(journal|input)[-.]`) // what a next master would have gone on from
	for _, file := range c.list(t, "/user/root/.tfos/jobs/"+id) {
		if !slices.Contains(kept, file) && !journal.MatchString(file) {
			t.Errorf("%s is left in the staging directory", file)
		}
	}
}

// eventLog is an ended job's: its master writes it last.
func (c *cluster) eventLog(t *testing.T, id string) (membership.Header, []membership.Turn) {
	t.Helper()
	gone(t, id)
	log := c.rest(t, c.webhdfs(t)+"/webhdfs/v1/user/root/.tfos/jobs/"+id+"/events.ndjson?op=OPEN&user.name=root")
	h, turns, err := membership.ReadLog([]byte(log))
	if err != nil {
		t.Fatal(err)
	}
	return h, turns
}

// rest is the answer to a GET.
func (c *cluster) rest(t testing.TB, url string) string {
	t.Helper()
	resp, err := c.http(time.Minute).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %v\n%s", url, resp.Status, err, body)
	}
	return string(body)
}

func alive(pid int) bool { return unix.Kill(pid, 0) == nil }

// listening reports whether somebody listens on a TCP port of this machine.
func listening(t *testing.T, port string) bool {
	t.Helper()
	n, err := strconv.Atoi(port)
	if err != nil {
		return false
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) { // "0: 0100007F:1F90 00000000:0000 0A …"
			f := strings.Fields(line)
			if len(f) > 3 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", n)) {
				return true
			}
		}
	}
	return false
}

// tail is the last lines of a text.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
