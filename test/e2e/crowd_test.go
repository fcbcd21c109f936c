//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"
	"golang.org/x/sys/unix"

	"tfos/internal/launch"
	"tfos/internal/status"
	"tfos/test/light"
)

// crowd is a job of many tasks, and what happens to it. Its nodes are hollow and its agents light:
// of ours only the client and the master are the real ones.
type crowd struct {
	nodes int // NodeManagers
	tasks int // chief, one ps, and workers
	lost  int // nodes, at once
	more  int // workers, in the end
}

// TestThreeHundredTasks is a slice of TestMatrixThousandTasks.
func TestThreeHundredTasks(t *testing.T) {
	crowd{nodes: 60, tasks: 300, lost: 4, more: 50}.try(t, 4096)
}

// masterMiB is what the master of a thousand tasks may need at most, in all of its process.
const masterMiB = 100

// try runs the job: all learn the cluster_spec, nodes are lost, the master is killed, and the job
// grows. Nobody is taken for lost who is not.
func (w crowd) try(t *testing.T, nodeMiB int) {
	base := portBase - 1000
	c, err := startCluster("e2e-crowd", base, "--hollow", fmt.Sprint(w.nodes), "--heap", "512", "--set", "yarn.nm.liveness-monitor.expiry-interval-ms=30000",
		"--set", "yarn.resourcemanager.nodemanagers.heartbeat-interval-ms=3000", // as clusters of this size have it
		"--set", fmt.Sprint("yarn.nodemanager.resource.memory-mb=", nodeMiB), "--set", "yarn.nodemanager.resource.cpu-vcores=100")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.script("down"); err != nil {
			t.Error(err)
		}
	})
	l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", base+61))
	if err != nil {
		t.Fatal(err)
	}
	all := light.New(light.Options{Listener: l, Master: c.master(c.webhdfs(t)), Step: time.Second, Logger: zaptest.NewLogger(t)})
	t.Cleanup(all.Close)

	began := time.Now()
	id := strings.TrimSpace(tfos(t, c.env, "submit", jobFile(t, fmt.Sprintf(`name: crowd
command: played by test/light
roles:
  chief: {memory: 512MiB}
  ps: {instances: 1, memory: 512MiB}
  worker: {instances: %d, memory: 512MiB}
`, w.tasks-2))).want(t, 0).stdout)
	b := &breaker{t: t, c: c, id: id}
	informed := know(t, all, w.tasks)
	v := running(t, c, id, w.tasks)
	t.Logf("%d tasks: all know the cluster_spec %.1f s after the submission, the master at %.0f MiB", w.tasks, informed.Sub(began).Seconds(), b.masterPeak())

	began = time.Now()
	for _, host := range expendable(v, b.processes("tfos-am"), all, w.lost) {
		all.LoseNode(host)
	}
	informed = know(t, all, w.tasks)
	v = running(t, c, id, w.tasks)
	lost := len(v.Restarts)
	t.Logf("%d nodes with %d tasks lost: all know the cluster_spec after %.1f s", w.lost, lost, informed.Sub(began).Seconds())
	peak := b.masterPeak()

	c.confirmed(t, v)
	began = time.Now()
	for _, p := range b.processes("tfos-am") {
		b.signal(p, unix.SIGKILL)
	}
	eventually(t, "another master", func() bool { return jobStatus(t, c.env, id).Attempt == 2 })
	v = running(t, c, id, w.tasks)
	t.Logf("the master killed: the next one knows that all run after %.1f s", time.Since(began).Seconds())
	if len(v.Restarts) != lost {
		t.Errorf("%d restarts, and %d before the master was killed", len(v.Restarts), lost)
	}

	began = time.Now()
	tfos(t, c.env, "scale", id, fmt.Sprint("worker=", w.tasks-2+w.more)).want(t, 0)
	informed = know(t, all, w.tasks+w.more)
	v = running(t, c, id, w.tasks+w.more)
	t.Logf("%d more tasks: all know the cluster_spec after %.1f s", w.more, informed.Sub(began).Seconds())
	if len(v.Restarts) != lost {
		t.Errorf("%d restarts, and %d before the job grew", len(v.Restarts), lost)
	}
	grown := b.masterPeak()
	t.Logf("the master needed %.0f MiB at most, and the next one, of %d tasks, %.0f", peak, w.tasks+w.more, grown)
	if limit := float64(masterMiB * max(1000, w.tasks+w.more) / 1000); peak > masterMiB || grown > limit {
		t.Errorf("the masters needed %.0f and %.0f MiB, more than %d and %.0f", peak, grown, masterMiB, limit)
	}
	over := make(map[string]bool)
	for _, a := range all.Agents() {
		over[a.Container.String()] = a.Over
	}
	tfos(t, c.env, "kill", id).want(t, 0)
	gone(t, id)
	c.nobodySilent(t, id, over)
}

var acquiredRunsRE = regexp.MustCompile(`(container_\w+) Container Transitioned from ACQUIRED to RUNNING`)

// confirmed waits until the ResourceManager has heard from its nodes that each task's container
// runs, by its log: it tells nobody else. It keeps no others when a master dies.
func (c *cluster) confirmed(t *testing.T, v status.View) {
	t.Helper()
	eventually(t, "YARN to know that all containers run", func() bool {
		log, err := os.ReadFile(filepath.Join(filepath.Dir(c.conf), "log", "rm1.log"))
		if err != nil {
			t.Fatal(err)
		}
		runs := make(map[string]bool)
		for _, found := range acquiredRunsRE.FindAllSubmatch(log, -1) {
			runs[string(found[1])] = true
		}
		return !slices.ContainsFunc(v.Tasks, func(task status.Task) bool { return !runs[task.Container] })
	})
}

// master finds a job's master as agents do: in its staging directory.
func (c *cluster) master(nameNode string) func(ctx context.Context, staging string) (string, error) {
	client := c.http(time.Minute)
	return func(ctx context.Context, staging string) (string, error) {
		u, err := url.Parse(staging)
		if err != nil {
			return "", err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, nameNode+"/webhdfs/v1"+u.Path+"/"+launch.MasterFile+"?op=OPEN&user.name=root", nil)
		if err != nil {
			return "", err
		}
		resp, err := client.Do(r)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return "", err
		}
		m, err := launch.ParseMaster(body)
		return m.Address, err
	}
}

// know waits until so many agents live and all of them have the newest cluster_spec, which has as
// many members. It returns when the last of them got it.
func know(t *testing.T, all *light.Crowd, tasks int) (last time.Time) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d agents to know a cluster_spec of all", tasks), func() bool {
		n, newest := 0, slices.MaxFunc(append(all.Agents(), light.Agent{}), func(a, b light.Agent) int { return int(a.Generation - b.Generation) })
		last = time.Time{}
		for _, a := range all.Agents() {
			if a.Over {
				continue
			}
			n++
			if a.Generation != newest.Generation || a.Members != tasks {
				return false
			}
			if a.Informed.After(last) {
				last = a.Informed
			}
		}
		return n == tasks
	})
	return last
}

// expendable are hosts with tasks, none of them the master's, the chief's or a parameter server's.
func expendable(v status.View, masters []int, all *light.Crowd, n int) []string {
	keep := make(map[string]bool)
	for _, pid := range masters {
		if env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)); err == nil {
			for kv := range bytes.SplitSeq(env, []byte{0}) {
				if host, ok := bytes.CutPrefix(kv, []byte("NM_HOST=")); ok {
					keep[string(host)] = true
				}
			}
		}
	}
	for _, task := range v.Tasks {
		if task.Role != "worker" {
			keep[task.Node] = true
		}
	}
	var hosts []string
	for _, a := range all.Agents() {
		if !a.Over && !keep[a.Host] && len(hosts) < n {
			hosts, keep[a.Host] = append(hosts, a.Host), true
		}
	}
	return hosts
}

// masterPeak is the most memory that the master's process has needed so far, in MiB.
func (b *breaker) masterPeak() float64 {
	most := 0.0
	for _, pid := range b.processes("tfos-am") {
		most = max(most, hwm(fmt.Sprint("/proc/", pid)))
	}
	return most
}

// nobodySilent reads the logs of a job's masters: each agent that one of them took for silent was
// over.
func (c *cluster) nobodySilent(t *testing.T, id string, over map[string]bool) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(filepath.Dir(c.conf), "hollow", "*", "logs", id, "container_*_000001", "*"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("no logs of %s's masters: %v", id, err)
	}
	joined := 0
	for _, name := range logs {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var said struct{ Msg, Why, Container, Task string }
			if json.Unmarshal([]byte(line), &said) != nil {
				continue
			}
			if said.Msg == "agent joined" {
				joined++
			}
			if said.Msg == "agent left" && said.Why == "silent" && !over[said.Container] {
				t.Errorf("%s in %s was taken for silent, and lived", said.Task, said.Container)
			}
		}
	}
	if joined == 0 {
		t.Errorf("the logs of %s's masters name no agent", id)
	}
}
