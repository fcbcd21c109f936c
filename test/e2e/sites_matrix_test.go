//go:build e2e && matrix

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"tfos/internal/status"
)

// site is a cluster whose configuration tests change. Each test begins with the configuration that
// the cluster came with.
type site struct {
	*cluster
	pristine map[string]string // files of its configuration directory
	changed  []string          // daemons that may run with another configuration
}

var aSite = sync.OnceValues(func() (*site, error) {
	c, err := startCluster("e2e-sites", portBase+6000, "--nms", "2")
	if err != nil {
		return nil, err
	}
	s := &site{cluster: c, pristine: map[string]string{}}
	for _, name := range []string{"core-site.xml", "yarn-site.xml", "capacity-scheduler.xml"} {
		b, err := os.ReadFile(filepath.Join(c.conf, name))
		if err != nil {
			return nil, err
		}
		s.pristine[name] = string(b)
	}
	return s, nil
})

// theSite is the cluster, where the users alice and bob have homes.
func theSite(t *testing.T) *site {
	t.Helper()
	s, err := aSite()
	if err != nil {
		t.Fatal(err)
	}
	s.shell(t, "hdfs dfs -mkdir -p /user/alice /user/bob && hdfs dfs -chown alice /user/alice && hdfs dfs -chown bob /user/bob")
	return s
}

// settings are properties of a site file: "key=value".
type settings []string

func (p settings) xml() string {
	var text strings.Builder
	for _, pair := range p {
		key, value, _ := strings.Cut(pair, "=")
		fmt.Fprintf(&text, "<property><name>%s</name><value>%s</value></property>\n", key, value)
	}
	return text.String()
}

// set adds properties to one of the files that the cluster came with.
func (s *site) set(t *testing.T, file string, p settings) {
	t.Helper()
	writeFile(t, filepath.Join(s.conf, file), strings.Replace(s.pristine[file], "</configuration>", p.xml()+"</configuration>", 1))
}

// queues are all queues of CapacityScheduler, in place of those that the cluster came with.
func (s *site) queues(t *testing.T, p settings) {
	t.Helper()
	full := settings{"yarn.scheduler.capacity.resource-calculator=org.apache.hadoop.yarn.util.resource.DominantResourceCalculator"}
	for _, pair := range p {
		full = append(full, "yarn.scheduler.capacity."+pair)
	}
	writeFile(t, filepath.Join(s.conf, "capacity-scheduler.xml"), "<configuration>\n"+full.xml()+"</configuration>\n")
}

// configure sets properties, from those that the cluster came with, and has daemons read them.
func (s *site) configure(t *testing.T, change func(), daemons ...string) {
	t.Helper()
	for name, text := range s.pristine {
		writeFile(t, filepath.Join(s.conf, name), text)
	}
	others := slices.DeleteFunc(s.changed, func(daemon string) bool { return slices.Contains(daemons, daemon) })
	if len(others) > 0 {
		s.must(t, append([]string{"restart"}, others...)...)
	}
	change()
	s.must(t, append([]string{"restart"}, daemons...)...)
	s.must(t, "wait")
	s.changed = daemons
}

// as is the environment of another user.
func (s *site) as(user string) []string {
	return append(slices.Clone(s.env), "HADOOP_USER_NAME="+user)
}

// idle is a job that does nothing until it is killed.
const idle = `name: idle
command: sleep 100000
roles: {worker: {instances: 1, memory: 256MiB}}
strategy: none
success: all
`

// submitted submits a job and has it killed at the test's end.
func (s *site) submitted(t *testing.T, user, text string, flags ...string) string {
	t.Helper()
	r := tfos(t, s.as(user), append([]string{"submit", jobFile(t, text)}, flags...)...).want(t, 0)
	id := strings.TrimSpace(r.stdout)
	t.Cleanup(func() { s.kill(context.WithoutCancel(t.Context()), t, user, id) }) // by now the context is done
	return id
}

func (s *site) end(t *testing.T, user, id string) {
	t.Helper()
	s.kill(t.Context(), t, user, id)
}

func (s *site) kill(ctx context.Context, t *testing.T, user, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	command(ctx, t, s.as(user), filepath.Join(root, "bin", "tfos"), "kill", id).want(t, 0)
}

// placed says in which queue a job ended up, by tfos status, and kills it.
func (s *site) placed(t *testing.T, user, queue string) string {
	t.Helper()
	var flags []string
	if queue != "" {
		flags = []string{"--queue", queue}
	}
	id := s.submitted(t, user, idle, flags...)
	v := jobStatus(t, s.as(user), id)
	s.end(t, user, id)
	if after := jobStatus(t, s.as(user), id); after.Queue != v.Queue {
		t.Errorf("%s was in %s, and after its end in %s", id, v.Queue, after.Queue)
	}
	return v.Queue
}

// waits follows what tfos status says of a job that waits, until it holds each of the phrases.
func (s *site) waits(t *testing.T, user, id string, phrases ...string) {
	t.Helper()
	var v status.View
	eventually(t, fmt.Sprintf("a word on why %s waits: %q", id, phrases), func() bool {
		v = jobStatus(t, s.as(user), id)
		return !slices.ContainsFunc(phrases, func(p string) bool { return !strings.Contains(v.Diagnostics, p) })
	})
	if v.State != status.Pending {
		t.Errorf("%s is %s", id, v.State)
	}
	text := tfos(t, s.as(user), "status", id).want(t, 0).stdout
	for _, p := range phrases {
		if !strings.Contains(text, p) {
			t.Errorf("tfos status of %s does not say %q:\n%s", id, p, text)
		}
	}
}

// TestMatrixOfCapacityQueues tries what sites do with CapacityScheduler: rules that place jobs,
// queues that are made for them, rights, limits, and nodes of an exclusive label.
func TestMatrixOfCapacityQueues(t *testing.T) {
	s := theSite(t)
	tree := settings{
		"maximum-am-resource-percent=0.9", "root.queues=default,dept,small,masters,auto,halted,one,private,gpus", "root.acl_submit_applications=nobody", "root.acl_administer_queue=root",
		"root.accessible-node-labels.gpu.capacity=100",
		"root.default.capacity=10", "root.default.user-limit-factor=10", "root.default.acl_submit_applications=*",
		"root.dept.capacity=30", "root.dept.maximum-capacity=50", "root.dept.queues=a,b", "root.dept.acl_submit_applications=*",
		"root.dept.a.capacity=50", "root.dept.a.user-limit-factor=10", "root.dept.b.capacity=50", "root.dept.b.user-limit-factor=10",
		"root.small.capacity=1", "root.small.maximum-capacity=5", "root.small.acl_submit_applications=*",
		"root.masters.capacity=10", "root.masters.maximum-am-resource-percent=0.001", "root.masters.user-limit-factor=10", "root.masters.acl_submit_applications=*",
		"root.auto.capacity=19", "root.auto.auto-queue-creation-v2.enabled=true", "root.auto.auto-queue-creation-v2.template.user-limit-factor=10", "root.auto.acl_submit_applications=*",
		"root.halted.capacity=5", "root.halted.state=STOPPED", "root.halted.acl_submit_applications=*",
		"root.one.capacity=10", "root.one.maximum-applications=1", "root.one.user-limit-factor=10", "root.one.acl_submit_applications=*",
		"root.private.capacity=10", "root.private.user-limit-factor=10", "root.private.acl_submit_applications=bob",
		"root.gpus.capacity=5", "root.gpus.accessible-node-labels=gpu", "root.gpus.accessible-node-labels.gpu.capacity=100",
		"root.gpus.default-node-label-expression=gpu", "root.gpus.user-limit-factor=10", "root.gpus.acl_submit_applications=*",
		"queue-mappings=u:bob:root.auto.%user,g:ml:root.dept.a",
	}
	s.configure(t, func() {
		s.queues(t, tree)
		s.set(t, "core-site.xml", settings{"hadoop.user.group.static.mapping.overrides=alice=ml;bob=ops;dr.who="})
		s.set(t, "yarn-site.xml", settings{"yarn.acl.enable=true", "yarn.admin.acl=root", "yarn.node-labels.enabled=true",
			"yarn.node-labels.fs-store.root-dir=file://" + t.TempDir()})
	}, "rm1")
	s.shell(t, `yarn rmadmin -addToClusterNodeLabels "gpu(exclusive=true)" && yarn rmadmin -replaceLabelsOnNode "$(yarn node -list 2>/dev/null | awk '/RUNNING/ {print $1}' | sort | tail -1)=gpu"`)

	t.Run("placed", func(t *testing.T) {
		for _, c := range []struct{ user, queue, want string }{
			{"root", "", "root.default"},
			{"alice", "", "root.dept.a"}, // her group's
			{"bob", "", "root.auto.bob"}, // his own, which is made
			{"alice", "root.auto.new", "root.auto.new"},
			{"alice", "b", "root.dept.b"},
			{"bob", "private", "root.private"},
		} {
			if queue := s.placed(t, c.user, c.queue); queue != c.want {
				t.Errorf("a job of %s for queue %q is in %s, want %s", c.user, c.queue, queue, c.want)
			}
		}
	})
	t.Run("refused", func(t *testing.T) {
		for _, c := range []struct {
			user, queue string
			job         string
			says        []string
		}{
			{"alice", "nope", idle, []string{"unknown queue: nope", "the cluster has root.", "root.dept.a"}},
			{"alice", "dept", idle, []string{"queue root.dept is divided into others: use one of root.dept.a, root.dept.b"}},
			{"alice", "root", idle, []string{"queue root is divided into others", "root.dept.b"}},
			{"alice", "halted", idle, []string{"STOPPED", "root.halted is stopped"}},
			{"alice", "private", idle, []string{"does not have permission", "alice wants the right to submit"}},
			{"alice", "small", idle, []string{`the job needs 768 MiB of memory all together, and queue "root.small" may never have more than 5 % of the cluster, 409 MiB`}},
			{"alice", "", strings.Replace(idle, "256MiB", "4GiB", 1), []string{`the job needs 4608 MiB of memory all together, and queue "root.dept.a" may never have more than 50 % of the cluster, 4 GiB`}},
			{"root", "", strings.Replace(idle, "1, memory: 256MiB", "2, memory: 5GiB", 1), []string{"even an empty cluster of 1 running node without a label holds only 1"}},
			{"root", "", idle + "node-label: gpu\n", []string{`may never have more than 0 % of the nodes with the label "gpu"`}},
			{"root", "gpus", idle + "node-label: ssd\n", []string{`no running node has the label "ssd"; the labels are gpu`}},
		} {
			var flags []string
			if c.queue != "" {
				flags = []string{"--queue", c.queue}
			}
			r := tfos(t, s.as(c.user), append([]string{"run", jobFile(t, c.job)}, flags...)...).want(t, 3).says(t, c.says...)
			if strings.Contains(r.stderr, "\tat ") {
				t.Errorf("a stack of Java:\n%s", r.stderr)
			}
		}
		s.submitted(t, "alice", idle, "--queue", "one")
		tfos(t, s.as("bob"), "run", jobFile(t, idle), "--queue", "one").want(t, 3).says(t, "already has 1 applications")
	})
	t.Run("waits for its queue's masters", func(t *testing.T) {
		first := s.submitted(t, "root", idle, "--queue", "masters")
		s.state(t, "root", first, status.Running)
		second := s.submitted(t, "root", idle, "--queue", "masters")
		s.waits(t, "root", second, "Queue's AM resource limit exceeded", "Queue Resource Limit for AM = <memory:")
		s.shows(t, "Queue's AM resource limit exceeded", "status", second, "--watch", "--json")
		s.end(t, "root", first)
		s.state(t, "root", second, status.Running)
		if v := jobStatus(t, s.env, second); strings.Contains(v.Diagnostics, "limit exceeded") {
			t.Errorf("now that it runs it is said to wait: %s", v.Diagnostics)
		}
		said := s.shows(t, "YARN says: Application is added to the scheduler and is not yet activated. Queue's AM resource limit exceeded.",
			"run", jobFile(t, idle), "--queue", "masters")
		s.end(t, "root", applicationRE.FindString(said))
	})
	t.Run("waits in a full queue", func(t *testing.T) {
		s.state(t, "root", s.submitted(t, "root", strings.Replace(idle, "256MiB", "3328MiB", 1), "--queue", "b"), status.Running)
		s.waits(t, "root", s.submitted(t, "root", idle, "--queue", "b"), "waiting for resources to be assigned for AM", "Queue's max capacity (absolute resource) = <memory:4096")
	})
	t.Run("waits for nodes of an exclusive label", func(t *testing.T) {
		first := s.submitted(t, "root", strings.Replace(idle, "256MiB", "7552MiB", 1), "--queue", "gpus")
		s.state(t, "root", first, status.Running)
		if v := jobStatus(t, s.env, first); nodeManager(v.Tasks[0].Node) != "nm2" {
			t.Errorf("it runs on %s, which has not the queue's label", v.Tasks[0].Node)
		}
		s.waits(t, "root", s.submitted(t, "root", idle, "--queue", "gpus"), "waiting for resources to be assigned for AM", "AM Partition = gpu")
	})
	t.Run("moved", func(t *testing.T) {
		id := s.submitted(t, "root", idle)
		s.state(t, "root", id, status.Running)
		s.shell(t, "yarn application -movetoqueue "+id+" -queue b")
		if v := jobStatus(t, s.env, id); v.Queue != "root.dept.b" {
			t.Errorf("after the move it is in %s", v.Queue)
		}
		tfos(t, s.env, "scale", id, "worker=20").want(t, 3).says(t, `queue "root.dept.b" may never have more than 50 %`)
	})
	t.Run("placed whatever the job says", func(t *testing.T) { // also where what it says could never hold it
		s.queues(t, append(slices.Clone(tree), "queue-mappings-override.enable=true"))
		s.shell(t, "yarn rmadmin -refreshQueues")
		for _, queue := range []string{"small", "halted", "nope", "dept"} {
			if got := s.placed(t, "alice", queue); got != "root.dept.a" {
				t.Errorf("a job of alice for queue %s is in %s", queue, got)
			}
		}
	})
}

// TestMatrixOfAbsoluteQueues gives queues amounts in place of percentages, and containers a largest
// size for each queue.
func TestMatrixOfAbsoluteQueues(t *testing.T) {
	s := theSite(t)
	s.configure(t, func() {
		s.queues(t, settings{"maximum-am-resource-percent=1", "root.queues=default,rest", "root.default.user-limit-factor=10",
			"root.default.capacity=[memory=2048,vcores=4]", "root.default.maximum-capacity=[memory=3072,vcores=6]", "root.default.maximum-allocation-mb=1024",
			"root.rest.capacity=[memory=4096,vcores=8]"})
	}, "rm1")
	tfos(t, s.env, "run", jobFile(t, strings.Replace(idle, "1, memory: 256MiB", "3, memory: 896MiB", 1))).want(t, 3).
		says(t, `the job needs 3200 MiB of memory all together, and queue "root.default" may never have more than 19 % of the cluster, 3 GiB`)
	tfos(t, s.env, "run", jobFile(t, strings.Replace(idle, "256MiB", "1280MiB", 1))).want(t, 3).says(t, "worker wants 1280 MiB, 1 vcore, and the largest container of queue root.default is 1 GiB")
	s.state(t, "root", s.submitted(t, "root", idle), status.Running)
}

// state waits until a job is in a state.
func (s *site) state(t *testing.T, user, id string, want status.State) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s to be %s", id, want), func() bool { return jobStatus(t, s.as(user), id).State == want })
}

// shows runs a command of root's that goes on, until it has written a phrase, and returns what it
// has written.
func (s *site) shows(t *testing.T, phrase string, args ...string) string {
	t.Helper()
	var out syncBuffer
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "bin", "tfos"), args...)
	cmd.Env = append(cleanEnv(), s.env...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // it was interrupted
	}()
	eventually(t, fmt.Sprintf("tfos %q to say %q", args, phrase), func() bool { return strings.Contains(out.String(), phrase) })
	return out.String()
}

// TestMatrixOfFairQueues tries the same with FairScheduler.
func TestMatrixOfFairQueues(t *testing.T) {
	s := theSite(t)
	allocations := filepath.Join(t.TempDir(), "fair-scheduler.xml")
	rules := func(last string) string {
		return `<allocations>
  <queue name="prod"><weight>2</weight></queue>
  <queue name="tiny"><maxAMShare>0.02</maxAMShare></queue>
  <queue name="capped"><maxResources>2048 mb,4 vcores</maxResources></queue>
  <queue name="private"><aclSubmitApps>bob</aclSubmitApps></queue>
  <queue name="users" type="parent"><aclSubmitApps>*</aclSubmitApps></queue>
  <queuePlacementPolicy><rule name="specified" create="false"/>` + last + `<rule name="reject"/></queuePlacementPolicy>
</allocations>`
	}
	writeFile(t, allocations, rules(`<rule name="nestedUserQueue" create="true"><rule name="default" queue="users" create="false"/></rule>`))
	s.configure(t, func() {
		s.set(t, "yarn-site.xml", settings{"yarn.resourcemanager.scheduler.class=org.apache.hadoop.yarn.server.resourcemanager.scheduler.fair.FairScheduler",
			"yarn.scheduler.fair.allocation.file=" + allocations})
	}, "rm1")
	for _, c := range []struct{ user, queue, want string }{
		{"alice", "", "root.users.alice"}, {"bob", "nowhere", "root.users.bob"}, {"alice", "prod", "root.prod"},
	} {
		if queue := s.placed(t, c.user, c.queue); queue != c.want {
			t.Errorf("a job of %s for queue %q is in %s, want %s", c.user, c.queue, queue, c.want)
		}
	}
	s.submitted(t, "alice", idle) // her queue lives as long
	tfos(t, s.as("alice"), "run", jobFile(t, idle), "--queue", "users").want(t, 3).
		says(t, "root.users is not a leaf queue", "queue root.users is divided into others: use one of root.users.", "root.users.alice")
	tfos(t, s.as("alice"), "run", jobFile(t, strings.Replace(idle, "256MiB", "1792MiB", 1)), "--queue", "capped").want(t, 3).
		says(t, `the job needs 2304 MiB of memory all together, and queue "root.capped" may never have more than 12 % of the cluster, 2 GiB`)
	id := s.submitted(t, "alice", idle, "--queue", "tiny")
	s.waits(t, "alice", id, "exceeds maximum AM resource allowed")
	s.shell(t, "yarn application -movetoqueue "+id+" -queue prod")
	s.state(t, "alice", id, status.Running)
	if v := jobStatus(t, s.as("alice"), id); v.Queue != "root.prod" {
		t.Errorf("after the move it is in %s", v.Queue)
	}

	writeFile(t, allocations, rules(""))
	s.shell(t, "yarn rmadmin -refreshQueues")
	tfos(t, s.as("alice"), "run", jobFile(t, idle)).want(t, 3).says(t, "the cluster refused idle: ", "the cluster has root.", "root.prod", "choose with --queue")
}
