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
		Max:    yarn.Resource{MemoryMiB: 16384, VCores: 8, Custom: map[string]int64{job.GPU: 4}},
		Types:  []yarn.ResourceType{{Name: "memory-mb", Units: "Mi"}, {Name: "vcores"}, {Name: job.GPU}},
		Queue:  &yarn.Queue{Name: "ml", Path: "root.ml", Running: true, MaxCapacity: 0.75, Labels: []string{"*"}},
		Nodes:  []yarn.NodeReport{node(8192, 0), node(8192, 0), node(12288, 2, "gpu"), lost},
		Shared: map[string]bool{"gpu": true},
	}
}

// plain takes the labels of nodes away.
func plain(f *Facts) {
	f.Shared = nil
	for i := range f.Nodes {
		f.Nodes[i].Labels = nil
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
		{name: "over the queue's share of vcores", job: worker(9, job.Resources{MemoryMiB: 128, VCores: 1}), mod: func(f *Facts) { plain(f); f.VCores = true },
			want: "the job needs 10 vcores all together, and queue \"root.ml\" may never have more than 75 % of the cluster, 9 vcores"},
		{name: "over the largest allocation", job: worker(1, job.Resources{MemoryMiB: 20480, VCores: 1}),
			want: "role worker asks for 20 GiB of memory, more than any container may have here: 16 GiB of memory"},
		{name: "too many vcores", job: worker(1, job.Resources{MemoryMiB: 1024, VCores: 9}),
			want: "role worker asks for 9 vcores, more than any container may have here: 8 vcores"},
		{name: "over every node", job: worker(1, job.Resources{MemoryMiB: 14336, VCores: 1}),
			want: "role worker asks for 14 GiB of memory, more than any node has: the largest of 3 running nodes has 12 GiB of memory"},
		{name: "not that many times", job: worker(4, job.Resources{MemoryMiB: 6144, VCores: 1}), mod: func(f *Facts) { f.Nodes = f.Nodes[:2] },
			want: "asks for 4 containers of 6 GiB, 1 vcore; even an empty cluster of 2 running nodes holds only 2"},
		{name: "over the queue's limit by what containers are rounded up to", job: worker(11, job.Resources{MemoryMiB: 256, VCores: 1}), mod: func(f *Facts) { plain(f); f.MinMiB = 2048 },
			want: "needs 24 GiB of memory all together, and queue \"root.ml\" may never have more than 75 % of the cluster, 21 GiB of memory"},
		{name: "over a limit that nodes of others may exceed", job: worker(11, small)},
		{name: "over the queue's limit", job: worker(11, small), mod: plain,
			want: "needs 23040 MiB of memory all together, and queue \"root.ml\" may never have more than 75 % of the cluster, 21 GiB of memory"},
		{name: "unknown resource", job: worker(1, job.Resources{MemoryMiB: 1024, VCores: 1, GPUs: 1}), mod: func(f *Facts) { f.Types = f.Types[:2] },
			want: `role worker: unknown resource type: the cluster does not count "yarn.io/gpu"`},
		{name: "gpus", job: worker(2, job.Resources{MemoryMiB: 1024, VCores: 1, GPUs: 1})},
		{name: "too many gpus for a node", job: worker(1, job.Resources{MemoryMiB: 1024, VCores: 1, GPUs: 3}),
			want: "asks for 3 yarn.io/gpu, more than any node has: the largest of 3 running nodes has 2 yarn.io/gpu"},
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
		{label: "gpu", mib: 13312, want: `the largest of 1 running node with the label "gpu" has 12 GiB`},
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

// TestQueues: what a queue may ever have, and which nodes are for it, is known once YARN has placed
// the job.
func TestQueues(t *testing.T) {
	gpus := func(mib int64) yarn.Resource {
		return yarn.Resource{MemoryMiB: mib, VCores: 4, Custom: map[string]int64{job.GPU: 2}}
	}
	capacity := func(label string, most map[string]yarn.Resource) *yarn.Queue {
		return &yarn.Queue{Name: "a", Path: "root.dept.a", Running: true, MaxCapacity: 1, Labels: []string{"*"}, DefaultLabel: label, Scheduler: yarn.CapacityScheduler, Most: most}
	}
	for _, c := range []struct {
		name   string
		mib    int64
		count  int
		label  string
		shared bool // the nodes with the label gpu
		minMiB int64
		queue  *yarn.Queue
		want   string
	}{
		{name: "on the node of an exclusive label, where it may have to be", mib: 10240, count: 1},
		{name: "on the node of an exclusive label, in a queue of that label", mib: 10240, count: 1, queue: capacity("gpu", map[string]yarn.Resource{"": gpus(16384), "gpu": gpus(12288)})},
		{name: "too large without the node of an exclusive label", mib: 10240, count: 1, queue: capacity("", nil),
			want: "role worker asks for 10 GiB of memory, more than any node has: the largest of 2 running nodes without a label has 8 GiB"},
		{name: "too many without the node of an exclusive label", mib: 7680, count: 3, queue: capacity("", nil),
			want: "asks for 3 containers of 7680 MiB, 1 vcore; even an empty cluster of 2 running nodes without a label holds only 2"},
		{name: "too much without the node of an exclusive label", mib: 8192, count: 2, queue: capacity("", nil),
			want: "the job needs 16896 MiB of memory all together, and 2 running nodes without a label have 16 GiB of memory"},
		{name: "on a node that is shared", mib: 10240, count: 1, shared: true, queue: capacity("", map[string]yarn.Resource{"": gpus(1024)})},
		{name: "over the limit of a queue below others", mib: 2048, count: 2, queue: capacity("", map[string]yarn.Resource{"": gpus(4096)}),
			want: "the job needs 4608 MiB of memory all together, and queue \"root.dept.a\" may never have more than 25 % of the cluster, 4 GiB of memory"},
		{name: "over the limit by the multiples that are granted", mib: 2049, count: 1, minMiB: 2048, queue: capacity("", map[string]yarn.Resource{"": gpus(4096)}),
			want: "the job needs 6 GiB of memory all together"},
		{name: "FairScheduler", mib: 1024, count: 1, queue: &yarn.Queue{Name: "root.capped", Running: true, Scheduler: yarn.FairScheduler, Most: map[string]yarn.Resource{"": {MemoryMiB: 512, VCores: 1 << 30}}},
			want: "queue \"root.capped\" may never have more than 3 % of the cluster, 512 MiB of memory"},
		{name: "over the queue's share of a label", mib: 1024, count: 3, label: "gpu", queue: capacity("", map[string]yarn.Resource{"": gpus(16384), "gpu": gpus(2048)}),
			want: "the job needs 3 GiB of memory all together, and queue \"root.dept.a\" may never have more than 17 % of the nodes with the label \"gpu\", 2 GiB of memory"},
		{name: "in a queue with nothing of a label", mib: 1024, count: 1, label: "gpu", queue: capacity("", map[string]yarn.Resource{"": gpus(16384)}),
			want: "may never have more than 0 % of the nodes with the label \"gpu\", 0 MiB of memory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := facts()
			if !c.shared {
				f.Shared = nil
			}
			f.Queue, f.MinMiB = c.queue, c.minMiB
			j := worker(c.count, job.Resources{MemoryMiB: c.mib, VCores: 1})
			j.Roles[0].NodeLabel = c.label
			err := Check(j, f)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || exit.Of(err) != exit.Refused) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
