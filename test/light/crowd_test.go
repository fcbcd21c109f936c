package light_test

import (
	"context"
	"net"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/test/light"
)

// TestMasterOfThreeHundred has 300 tasks lose nodes at once and then their master, and grow. Nobody
// is taken for lost who is not, however little the machine lets anyone run.
func TestMasterOfThreeHundred(t *testing.T) {
	const tasks, lost, more = 300, 20, 50
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var y *fakeYARN
	started := make(chan struct{})
	crowd := light.New(light.Options{Listener: l, Step: time.Second, Logger: zap.NewNop(), Master: func(context.Context, string) (string, error) {
		<-started
		return y.where(), nil
	}})
	defer crowd.Close()
	core, said := observer.New(zap.InfoLevel)
	y = newYARN(t, tasks, l.Addr().String(), zap.New(core))
	close(started)
	y.running(t)
	y.knows(t, crowd)

	over := make(map[string]bool) // by container
	for _, a := range crowd.Agents() {
		if a.Task.Role == job.Worker && len(over) < lost {
			over[a.Container.String()] = true
			crowd.LoseNode(a.Host)
		}
	}
	y.knows(t, crowd)
	if v := y.running(t); len(v.Restarts) != lost {
		t.Errorf("%d restarts after the loss of %d nodes with a task each", len(v.Restarts), lost)
	}

	y.replace(t)
	y.knows(t, crowd)
	if v := y.running(t); len(v.Restarts) != lost || v.Attempt != 2 {
		t.Errorf("%d restarts under master %d, and %d nodes were lost", len(v.Restarts), v.Attempt, lost)
	}

	c := y.client(t)
	defer c.Close()
	if answer, err := c.Scale(t.Context(), control.ScaleWish{Role: job.Worker, Count: tasks - 2 + more}); err != nil || answer.Refused != "" {
		t.Fatal(answer, err)
	}
	y.tasks += more
	y.knows(t, crowd)
	if v := y.running(t); len(v.Restarts) != lost {
		t.Errorf("%d restarts after the job has grown, and %d nodes were lost", len(v.Restarts), lost)
	}
	y.stop(t)
	for _, e := range said.FilterMessage("agent left").All() {
		if is := e.ContextMap(); is["why"] == "silent" && !over[is["container"].(string)] {
			t.Errorf("%s was taken for silent, and lived", is["task"])
		}
	}
}

// knows waits until all agents that live have the same cluster_spec, which has all tasks.
func (y *fakeYARN) knows(t *testing.T, crowd *light.Crowd) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		n, newest := 0, job.Generation(0)
		for _, a := range crowd.Agents() {
			newest = max(newest, a.Generation)
		}
		for _, a := range crowd.Agents() {
			if !a.Over && a.Running && a.Generation == newest && a.Members == y.tasks {
				n++
			}
		}
		if n == y.tasks {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d agents run and know the cluster_spec, generation %d", n, y.tasks, newest)
		}
	}
}
