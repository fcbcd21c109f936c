package client

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"tfos/internal/client/exit"
	"tfos/internal/client/plan"
	"tfos/internal/dfs"
	"tfos/internal/job"
	"tfos/internal/yarn"
)

// TestQueueIsAskedForOnce: where YARN puts a job into the queue that it names, what was said of
// that queue still holds.
func TestQueueIsAskedForOnce(t *testing.T) {
	for _, c := range []struct{ names, put, asks string }{
		{"ml", "root.ml", "ml"}, {"ml", "ml", "ml"}, {"ml", "default", "ml default"}, {"", "ml", "ml"},
	} {
		w := newWorld(t)
		w.verdict = func(r *yarn.Report) { r.State, r.Queue = yarn.StateAccepted, c.put }
		if c.put == "root.ml" {
			w.queues = append(w.queues, "root.ml")
		}
		queue := ""
		if c.names != "" {
			queue = "queue: " + c.names + "\n"
		}
		if _, err := w.cluster().SubmitOnly(t.Context(), prepare(t, parsed(t, queue+"command: 'true'\nroles: {worker: {}}\n")), (&shown{}).ui(), RunOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(w.asked, " "); got != c.asks {
			t.Errorf("a job that names %q and is put into %q: asked for %q, want %q", c.names, c.put, got, c.asks)
		}
	}
}

// TestPlan: everything that speaks against a job is told at once, and nothing is uploaded.
func TestPlan(t *testing.T) {
	w := newWorld(t)
	c := w.cluster()
	c.Masters = 1
	page := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ws/v1/cluster/scheduler" {
			t.Errorf("asked for %s", r.URL)
		}
		rw.Write([]byte(`{"scheduler":{"schedulerInfo":{"queueName":"root","queues":{"queue":[{"queueName":"ml","absoluteCapacity":10,"userLimitFactor":1}]}}}}`))
	}))
	defer page.Close()
	c.Web = []string{"http://127.0.0.1:1", page.URL}
	found, err := c.Plan(t.Context(), prepare(t, parsed(t, "queue: ml\ncommand: 'true'\nroles: {worker: {instances: 2, memory: 2GiB}, ps: {gpus: 1}}\n")), (&shown{}).ui())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`will not run containers role ps: unknown resource type`,
		`will not run queue the job needs 6656 MiB of memory all together one user may have 1638 MiB of queue "root.ml" (user-limit-factor 1), so it would wait for ever`,
		`warning master the cluster grants one master`,
	}
	for _, say := range want {
		if !slices.ContainsFunc(found, func(f plan.Finding) bool {
			return strings.HasPrefix(string(f.Severity)+" "+f.Topic+" "+f.What+" "+f.Why, say)
		}) {
			t.Errorf("no finding %q in %+v", say, found)
		}
	}
	if len(found) != len(want) {
		t.Errorf("%d findings, want %d: %+v", len(found), len(want), found)
	}
	if err := Verdict(found); exit.Of(err) != exit.Refused || !strings.Contains(err.Error(), "2 reasons") {
		t.Errorf("verdict %v, want code 3", err)
	}
	if left, err := w.fs.List(t.Context(), "/user/ann"); err != nil || len(left) > 0 || len(w.sent) > 0 {
		t.Errorf("left %v on the cluster, submitted %v (%v)", left, w.sent, err)
	}
	if found, err := c.Plan(t.Context(), prepare(t, parsed(t, "command: 'true'\nroles: {worker: {}}\nmaster: {memory: 1GiB}\n")), (&shown{}).ui()); err != nil || Verdict(found) != nil {
		t.Errorf("a job that fits: %+v, %v", found, err)
	}
	w.down = dfs.ErrUnreachable
	if _, err := c.Plan(t.Context(), prepare(t, parsed(t, "command: 'true'\nroles: {worker: {}}\n")), (&shown{}).ui()); exit.Of(err) != exit.Infrastructure {
		t.Errorf("a cluster that does not answer: %v, want code 4", err)
	}
}

func parsed(t *testing.T, file string) job.Job {
	t.Helper()
	j, err := job.Parse("job.yaml", []byte(file), nil)
	if err != nil {
		t.Fatal(err)
	}
	return j
}
