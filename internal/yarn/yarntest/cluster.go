package yarntest

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"tfos/internal/yarn"
)

// testCluster asks all that a client asks before it submits.
func testCluster(t *testing.T, s *suite) {
	ctx := s.context(t)
	first, err := s.client.NewApplication(ctx)
	must(t, err)
	second, err := s.client.NewApplication(ctx)
	must(t, err)
	if first.ID == second.ID || first.ID.ClusterTimestamp == 0 {
		t.Errorf("new applications %v and %v", first.ID, second.ID)
	}
	if !small.Fits(first.Max) {
		t.Errorf("the largest container is %v", first.Max)
	}

	nodes, err := s.client.Nodes(ctx)
	must(t, err)
	running := slices.DeleteFunc(nodes, func(n yarn.NodeReport) bool { return n.State != yarn.NodeRunning })
	if len(running) == 0 {
		t.Fatal("no node runs")
	}
	for _, n := range running {
		if !small.Fits(n.Capability) || n.ID.Port == 0 || n.HTTP == "" || n.Rack == "" {
			t.Errorf("node %+v", n)
		}
	}
	metrics, err := s.client.ClusterMetrics(ctx)
	must(t, err)
	if metrics.Active != len(running) {
		t.Errorf("%d nodes are active, and %d run", metrics.Active, len(running))
	}

	types, err := s.client.ResourceTypes(ctx)
	if err != nil && !errors.Is(err, yarn.ErrUnsupported) {
		t.Errorf("resource types: %v", err)
	}
	want := []string{yarn.MemoryName, yarn.VCoresName}
	if s.Custom != "" {
		want = append(want, s.Custom)
	}
	for _, name := range want {
		if err == nil && !slices.ContainsFunc(types, func(r yarn.ResourceType) bool { return r.Name == name }) {
			t.Errorf("%s is not among the resource types %v", name, types)
		}
	}

	queue, err := s.client.Queue(ctx, s.Queue)
	must(t, err)
	if queue.Name != s.Queue || !queue.Running || queue.Capacity <= 0 || queue.Capacity > 1 {
		t.Errorf("queue %+v", queue)
	}
	if q, err := s.client.Queue(ctx, "no-such-queue"); !errors.Is(err, yarn.ErrUnknownQueue) {
		t.Errorf("queue that there is not: %+v, %v", q, err)
	}
	root, err := s.client.Queues(ctx)
	must(t, err)
	if root.Name != "root" || !slices.ContainsFunc(root.Children, func(q yarn.Queue) bool { return q.Name == s.Queue }) {
		t.Errorf("the tree of queues %+v lacks %s", root, s.Queue)
	}

	if r, err := s.client.Report(ctx, second.ID); !errors.Is(err, yarn.ErrUnknownApplication) {
		t.Errorf("report of an application never submitted: %+v, %v", r, err)
	}
	if err := s.client.Kill(ctx, second.ID, ""); !errors.Is(err, yarn.ErrUnknownApplication) {
		t.Errorf("kill of an application never submitted: %v", err)
	}
}

// testRefused submits what cannot run.
func testRefused(t *testing.T, s *suite) {
	ctx := s.context(t)

	// The queue is looked at after the answer, or before, as the version pleases.
	a := s.prepare(t, func(sub *yarn.Submission) { sub.Queue = "no-such-queue" })
	err := s.client.Submit(ctx, a.submission)
	if err == nil {
		var r yarn.Report
		s.until(t, "an application in a queue that there is not was not refused", func() bool {
			r = a.report()
			return r.State.Terminal()
		})
		if r.State != yarn.StateFailed || r.Attempt.Attempt != 0 || !strings.Contains(r.Diagnostics, "no-such-queue") {
			t.Errorf("in a queue that there is not: %+v", r)
		}
	} else if !errors.Is(err, yarn.ErrRefused) || !strings.Contains(err.Error(), "no-such-queue") {
		t.Errorf("in a queue that there is not: %v", err)
	}

	a = s.prepare(t, func(sub *yarn.Submission) { sub.Resource.MemoryMiB = 1 << 30 })
	if err := s.client.Submit(ctx, a.submission); !errors.Is(err, yarn.ErrRefused) || !errors.Is(err, yarn.ErrInvalidResource) {
		t.Errorf("with a master larger than any node: %v", err)
	}
	if r, err := s.client.Report(ctx, a.id); !errors.Is(err, yarn.ErrUnknownApplication) {
		t.Errorf("report of it: %+v, %v", r, err)
	}

	a = s.prepare(t, func(sub *yarn.Submission) { sub.NodeLabel = "no-such-label" })
	if err := s.client.Submit(ctx, a.submission); !errors.Is(err, yarn.ErrRefused) {
		t.Errorf("on a node label that there is not: %v", err)
	}

	a = s.prepare(t, func(sub *yarn.Submission) { sub.Tags = []string{"größe"} })
	if err := s.client.Submit(ctx, a.submission); err == nil || !strings.Contains(err.Error(), "größe") {
		t.Errorf("with a tag that YARN does not take: %v", err)
	}
}
