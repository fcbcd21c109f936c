package preflight

import (
	"strings"
	"testing"

	"tfos/internal/client/exit"
	"tfos/internal/job"
	"tfos/internal/yarn"
)

func node(mib int64, gpus int64, labels ...string) yarn.NodeReport {
	n := yarn.NodeReport{State: yarn.NodeRunning, Capability: yarn.Resource{MemoryMiB: mib, VCores: 4}, Labels: labels}
	if gpus > 0 {
		n.Capability.Custom = map[string]int64{job.GPU: gpus}
	}
	return n
}

func facts() Facts {
	lost := node(1<<20, 0, "huge")
	lost.State = yarn.NodeLost
	return Facts{
		Max:   yarn.Resource{MemoryMiB: 16384, VCores: 8, Custom: map[string]int64{job.GPU: 4}},
		Types: []yarn.ResourceType{{Name: "memory-mb", Units: "Mi"}, {Name: "vcores"}, {Name: job.GPU}},
		Queue: yarn.Queue{Name: "ml", Path: "root.ml", Running: true, MaxCapacity: 0.75, Labels: []string{"*"}},
		Nodes: []yarn.NodeReport{node(8192, 0), node(8192, 0), node(12288, 2, "gpu"), lost},
	}
}

func worker(instances int, r job.Resources) *job.Job {
	return &job.Job{Master: job.Resources{MemoryMiB: 512, VCores: 1}, Roles: []job.Role{{Name: "worker", Instances: instances, Resources: r}}}
}

func TestCheck(t *testing.T) {
	small := job.Resources{MemoryMiB: 2048, VCores: 1}
	for _, c := range []struct {
		name string
		job  *job.Job
		mod  func(*Facts)
		want string // empty: it passes
	}{
		{name: "fits", job: worker(4, small)},
		{name: "more vcores than a node, which memory-only schedulers grant", job: worker(1, job.Resources{MemoryMiB: 1024, VCores: 6})},
		{name: "more vcores than a node, which are counted", job: worker(1, job.Resources{MemoryMiB: 1024, VCores: 6}), mod: func(f *Facts) { f.VCores = true },
			want: "asks for 6 vcores, more than any node has: the largest of 3 running nodes has 4 vcores"},
		{name: "more small containers than vcores", job: worker(40, job.Resources{MemoryMiB: 128, VCores: 1}), mod: func(f *Facts) { f.VCores = true },
			want: "asks for 40 containers of 128 MiB, 1 vcore; even an empty cluster of 3 running nodes holds only 12"},
		{name: "more small containers than anybody counts", job: worker(40, job.Resources{MemoryMiB: 128, VCores: 1})},
		{name: "one vcore too few for the master", job: worker(12, job.Resources{MemoryMiB: 128, VCores: 1}), mod: func(f *Facts) { f.VCores = true },
			want: "the job needs 13 vcores all together, and 3 running nodes have 12 vcores"},
		{name: "over the queue's share of vcores", job: worker(9, job.Resources{MemoryMiB: 128, VCores: 1}), mod: func(f *Facts) { f.VCores = true },
			want: "the job needs 10 vcores all together, and queue \"ml\" may never have more than 75 % of the cluster, 9 vcores"},
		{name: "over the largest allocation", job: worker(1, job.Resources{MemoryMiB: 20480, VCores: 1}),
			want: "role worker asks for 20 GiB of memory, more than any container may have here: 16 GiB of memory"},
		{name: "too many vcores", job: worker(1, job.Resources{MemoryMiB: 1024, VCores: 9}),
			want: "role worker asks for 9 vcores, more than any container may have here: 8 vcores"},
		{name: "over every node", job: worker(1, job.Resources{MemoryMiB: 14336, VCores: 1}),
			want: "role worker asks for 14 GiB of memory, more than any node has: the largest of 3 running nodes has 12 GiB of memory"},
		{name: "not that many times", job: worker(4, job.Resources{MemoryMiB: 6144, VCores: 1}), mod: func(f *Facts) { f.Nodes = f.Nodes[:2] },
			want: "asks for 4 containers of 6 GiB, 1 vcore; even an empty cluster of 2 running nodes holds only 2"},
		{name: "over the queue's limit by what containers are rounded up to", job: worker(11, job.Resources{MemoryMiB: 256, VCores: 1}), mod: func(f *Facts) { f.MinMiB = 2048 },
			want: "needs 24 GiB of memory all together, and queue \"ml\" may never have more than 75 % of the cluster, 21 GiB of memory"},
		{name: "over the queue's limit", job: worker(11, small),
			want: "needs 23040 MiB of memory all together, and queue \"ml\" may never have more than 75 % of the cluster, 21 GiB of memory"},
		{name: "unknown resource", job: worker(1, job.Resources{MemoryMiB: 1024, VCores: 1, GPUs: 1}), mod: func(f *Facts) { f.Types = f.Types[:2] },
			want: `role worker: unknown resource type: the cluster does not count "yarn.io/gpu"`},
		{name: "gpus", job: worker(2, job.Resources{MemoryMiB: 1024, VCores: 1, GPUs: 1})},
		{name: "too many gpus for a node", job: worker(1, job.Resources{MemoryMiB: 1024, VCores: 1, GPUs: 3}),
			want: "asks for 3 yarn.io/gpu, more than any node has: the largest of 3 running nodes has 2 yarn.io/gpu"},
		{name: "stopped queue", job: worker(1, small), mod: func(f *Facts) { f.Queue.Running = false }, want: `queue "ml" is stopped`},
		{name: "parent queue", job: worker(1, small), mod: func(f *Facts) { f.Queue.Children = []yarn.Queue{{Name: "a"}, {Name: "b"}} }, want: "use one of a, b"},
		{name: "no nodes", job: worker(1, small), mod: func(f *Facts) { f.Nodes = f.Nodes[3:] }, want: "no NodeManager of the cluster is running (1 known)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := facts()
			if c.mod != nil {
				c.mod(&f)
			}
			err := Check(c.job, f)
			if c.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || exit.Of(err) != exit.Refused {
				t.Errorf("error (code %d) %v\nwant one with %q, code 3", exit.Of(err), err, c.want)
			}
		})
	}
}

func TestLabels(t *testing.T) {
	for _, c := range []struct {
		label  string
		queues []string
		mib    int64
		want   string
	}{
		{label: "gpu", mib: 10240},
		{label: "ssd", mib: 1024, want: `no running node has the label "ssd"; the labels are gpu`},
		{label: "huge", mib: 1024, want: `no running node has the label "huge"`},
		{label: "gpu", mib: 1024, queues: []string{"ssd"}, want: `queue "ml" may not use nodes with the label "gpu"`},
		{label: "gpu", mib: 13312, want: "the largest of 1 running node has 12 GiB"},
	} {
		f := facts()
		if c.queues != nil {
			f.Queue.Labels = c.queues
		}
		j := worker(1, job.Resources{MemoryMiB: c.mib, VCores: 1})
		j.Roles[0].NodeLabel = c.label
		err := Check(j, f)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("label %s, %d MiB: %v, want %q", c.label, c.mib, err, c.want)
		}
	}
}
