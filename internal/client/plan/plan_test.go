package plan

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"testing"

	"tfos/internal/client/preflight"
	"tfos/internal/dfs"
	"tfos/internal/job"
	"tfos/internal/pyenv"
	"tfos/internal/yarn"
)

const mib = 1 << 20

// good are the facts of a job against which nothing speaks.
func good(t *testing.T, file string) Facts {
	t.Helper()
	j, err := job.Parse("job.yaml", []byte(file), nil)
	if err != nil {
		t.Fatal(err)
	}
	node := yarn.NodeReport{State: yarn.NodeRunning, Capability: yarn.Resource{MemoryMiB: 8192, VCores: 8}}
	leaf := yarn.Queue{Name: "ml", Path: "root.ml", Running: true}
	room := Place{URI: "hdfs://nn/user/ann", Space: dfs.Space{Free: 1 << 40, Names: math.MaxInt64, Bytes: math.MaxInt64}}
	return Facts{
		Job: j, User: "ann", Masters: 2, Upload: 30 * mib, Replication: 3, Home: room,
		Cluster: preflight.Facts{Max: yarn.Resource{MemoryMiB: 8192, VCores: 8}, Types: []yarn.ResourceType{{Name: yarn.MemoryName}, {Name: yarn.VCoresName}}, Nodes: []yarn.NodeReport{node, node}},
		Tree: &yarn.Queue{Name: "root", Path: "root", Running: true, Children: []yarn.Queue{leaf,
			{Name: "old", Path: "root.old"}, {Name: "dept", Path: "root.dept", Running: true, Children: []yarn.Queue{{Name: "a", Path: "root.dept.a", Running: true}}}}},
		Submit: []string{"ml", "root.old"}, Limits: &Limits{Path: "root.ml"}, Here: Machine{"x86_64", "2.31"},
	}
}

func TestFindings(t *testing.T) {
	venv := func(f pyenv.Facts) func(*Facts) {
		return func(x *Facts) { x.Archives = []Archive{{Name: "venv", Facts: f}} }
	}
	python := pyenv.Facts{Python: "bin/python3", Machine: "x86_64", GLibC: "2.17", TensorFlow: "2.21.0"}
	with := func(change func(*pyenv.Facts)) func(*Facts) {
		f := python
		change(&f)
		return venv(f)
	}
	for _, c := range []struct {
		name, job string
		facts     func(*Facts)
		want      string // "severity topic: words"; empty: nothing is found
	}{
		{name: "nothing", want: ""},
		{name: "no queue named", job: "queue: ml\n", facts: func(f *Facts) { f.Limits = nil; f.Job.Queue = "" }},
		{name: "too large a container", facts: func(f *Facts) { f.Job.Roles[0].MemoryMiB = 9000 }, want: "will not run containers: asks for 9000 MiB"},
		{name: "vcores", facts: func(f *Facts) { f.Job.Roles[0].VCores = 9; f.Cluster.Max.VCores = 99 }, want: "warning containers: asks for 9 vcores"},
		{name: "no nodes", facts: func(f *Facts) { f.Cluster.Nodes = nil }, want: "will not run containers: no NodeManager"},
		{name: "queues not listed", facts: func(f *Facts) { f.Tree = nil }, want: "not known queue: did not list"},
		{name: "no such queue", job: "queue: none\n", want: "warning queue: there is no queue \"none\""},
		{name: "divided queue", job: "queue: dept\n", want: "will not run queue: is divided"},
		{name: "stopped queue", job: "queue: old\n", want: "will not run queue: is stopped"},
		{name: "may not submit", job: "queue: root.dept.a\n", want: "will not run queue: ann may not submit"},
		{name: "rights not known", facts: func(f *Facts) { f.Submit = nil }, want: "not known queue: who may submit"},
		{name: "no page", facts: func(f *Facts) { f.Limits = nil }, want: "not known queue: did not answer"},
		{name: "full queue", facts: func(f *Facts) { f.Limits.Apps, f.Limits.MaxApps = 5, 5 }, want: "will not run queue: is full"},
		{name: "user limit", facts: func(f *Facts) { f.Limits.UserMiB, f.Limits.UserFactor = 512+2048, 0.5 }, want: "will not run queue: user-limit-factor 0.5"},
		{name: "user limit that one container passes", facts: func(f *Facts) { f.Limits.UserMiB = 512 + 2048 + 1 }},
		{name: "masters' share", facts: func(f *Facts) { f.Limits.MasterMiB, f.Limits.MasterUsedMiB = 1000, 600 }, want: "warning queue: master will have to wait"},
		{name: "masters' share that nobody uses", facts: func(f *Facts) { f.Limits.MasterMiB = 100 }},
		{name: "small master", facts: func(f *Facts) {
			f.Cluster.Nodes[0].Capability.VCores = 1000
			f.Job = f.Job.Sized("worker", 500)
			f.Job.Master.MemoryMiB = 32
			f.Job.Roles[0].MemoryMiB = 1
		}, want: "warning master: has 32 MiB"},
		{name: "one master", facts: func(f *Facts) { f.Masters = 1 }, want: "warning master: grants one master"},
		{name: "no token", facts: func(f *Facts) { f.Token = errors.New("no") }, want: "will not run hdfs: gives no token"},
		{name: "no permission", facts: func(f *Facts) { f.Home.Write = fmt.Errorf("x: %w", fs.ErrPermission) }, want: "will not run hdfs: ann may not write there"},
		{name: "no home", facts: func(f *Facts) { f.Home.Write, f.Home.Missing = fs.ErrPermission, true }, want: "will not run hdfs: is not there, and ann may not make it"},
		{name: "no checkpoints", facts: func(f *Facts) { f.Checkpoint = Place{URI: "hdfs://nn/m", Write: fs.ErrPermission} }, want: "will not run hdfs: checkpoints are to be written to hdfs://nn/m"},
		{name: "rights of a directory not known", facts: func(f *Facts) { f.Home.Write = errors.New("slow") }, want: "not known hdfs: slow"},
		{name: "a filesystem that does not say", facts: func(f *Facts) { f.Home = Place{URI: "file:///x", Write: errors.ErrUnsupported} }},
		{name: "full", facts: func(f *Facts) { f.Home.Space.Free = 90 * mib }, want: "will not run hdfs: 90.0 MiB are left, and the job's files need 90.0 MiB"},
		{name: "space quota", facts: func(f *Facts) { f.Home.Space.Bytes = -5 }, want: "will not run hdfs: leaves 0 bytes"},
		{name: "name quota", facts: func(f *Facts) { f.Home.Space.Names = 3 }, want: "will not run hdfs: leaves 3 files"},
		{name: "room not known", facts: func(f *Facts) { f.Home.SpaceErr = errors.New("slow") }, want: "not known hdfs: how much room"},
		{name: "old Hadoop tells no quota", facts: func(f *Facts) { f.Home.SpaceErr = errors.ErrUnsupported }},
		{name: "good environment", facts: venv(python)},
		{name: "no environment in an archive", facts: venv(pyenv.Facts{})},
		{name: "broken archive", facts: func(f *Facts) { f.Archives = []Archive{{Name: "a", Err: errors.New("cut")}} }, want: "not known python: archive a"},
		{name: "linked python", facts: with(func(f *pyenv.Facts) { f.Link = "/usr/bin/python3" }), want: "warning python: is a link to /usr/bin/python3"},
		{name: "another machine's", facts: with(func(f *pyenv.Facts) { f.Machine = "aarch64" }), want: "warning python: is for aarch64"},
		{name: "newer libc", facts: with(func(f *pyenv.Facts) { f.GLibC = "2.100" }), want: "warning python: needs glibc 2.100"},
		{name: "no tensorflow", facts: with(func(f *pyenv.Facts) { f.TensorFlow = "" }), want: "warning python: has TensorFlow"},
		{name: "static python", facts: with(func(f *pyenv.Facts) { f.Static = true }), want: "warning endpoints: loads no libraries"},
		{name: "unset preload", facts: func(f *Facts) { f.Job.Roles[0].Command = "unset LD_PRELOAD; true" }, want: "warning endpoints: unsets LD_PRELOAD"},
	} {
		t.Run(c.name, func(t *testing.T) {
			queue := c.job
			if queue == "" {
				queue = "queue: ml\n"
			}
			f := good(t, queue+"command: 'true'\nroles: {worker: {instances: 2}}\n")
			if c.facts != nil {
				c.facts(&f)
			}
			found := Of(f)
			if c.want == "" {
				if len(found) > 0 {
					t.Fatalf("found %+v, want nothing", found)
				}
				return
			}
			severity, words, _ := strings.Cut(c.want, ": ")
			if len(found) != 1 || string(found[0].Severity)+" "+found[0].Topic != severity || !strings.Contains(found[0].What+", "+found[0].Why, words) {
				t.Fatalf("found %+v, want %s", found, c.want)
			}
			if WillNotRun(found) != (found[0].Severity == Refused) {
				t.Errorf("will not run: %v", WillNotRun(found))
			}
			if found[0].Severity != NotKnown && (found[0].Why == "" || found[0].Do == "") {
				t.Errorf("%+v does not say why, and what to do", found[0])
			}
		})
	}
}

// TestGravestFirst: what keeps a job from running is not to be overlooked.
func TestGravestFirst(t *testing.T) {
	f := good(t, "queue: ml\ncommand: 'true'\nroles: {worker: {}}\n")
	f.Tree, f.Masters, f.Token = nil, 1, errors.New("no")
	var got []string
	for _, x := range Of(f) {
		got = append(got, string(x.Severity))
	}
	if want := "will not run, warning, not known"; strings.Join(got, ", ") != want {
		t.Errorf("%q, want %s", got, want)
	}
}

func TestLimits(t *testing.T) {
	capacity := `{"scheduler":{"schedulerInfo":{"type":"capacityScheduler","queueName":"root","queues":{"queue":[
		{"queueName":"dept","queues":{"queue":[{"queueName":"a","queuePath":"root.dept.a","absoluteCapacity":25.0,"userLimitFactor":2.0,"maxApplications":7,"numApplications":3,
			"AMResourceLimit":{"memory":1024,"vCores":1},"usedAMResource":{"memory":512,"vCores":1}}]}},
		{"queueName":"free","absoluteCapacity":75.0,"userLimitFactor":-1.0}]}}}}`
	fair := `{"scheduler":{"schedulerInfo":{"type":"fairScheduler","rootQueue":{"queueName":"root","childQueues":{"queue":{"queueName":"root.b","maxApps":1,"numActiveApps":1,
		"amMaxResources":{"memory":2048,"vCores":2},"amUsedResources":{"memory":100,"vCores":1}}}}}}}`
	for _, c := range []struct {
		page, queue string
		want        Limits
		ok          bool
	}{
		{capacity, "a", Limits{"root.dept.a", 2, 4096, 1024, 512, 3, 7}, true},
		{capacity, "dept.a", Limits{"root.dept.a", 2, 4096, 1024, 512, 3, 7}, true},
		{capacity, "free", Limits{Path: "root.free", UserFactor: -1}, true},
		{capacity, "dept", Limits{}, false},
		{fair, "b", Limits{Path: "root.b", MasterMiB: 2048, MasterUsedMiB: 100}, true},
		{`{}`, "b", Limits{}, false},
	} {
		got, ok, err := LimitsOf([]byte(c.page), c.queue, 8192)
		if err != nil || ok != c.ok || got != c.want {
			t.Errorf("%s: %+v, %v, %v; want %+v, %v", c.queue, got, ok, err, c.want, c.ok)
		}
	}
	if _, _, err := LimitsOf([]byte("<html>"), "a", 1); err == nil {
		t.Error("a page that is no JSON was read")
	}
}

func FuzzLimits(f *testing.F) {
	f.Add(`{"scheduler":{"schedulerInfo":{"queues":{"queue":[{"queueName":"a"}]}}}}`)
	f.Fuzz(func(t *testing.T, page string) { LimitsOf([]byte(page), "a", 1) })
}
