package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"tfos/internal/job"
	"tfos/internal/membership"
)

// playCrowd plays a job of very many tasks: a twentieth of its nodes is lost at once, then its
// master dies, and it grows by half. It takes a minute of the world's time for each.
func playCrowd(t testing.TB, tasks int) *master {
	t.Helper()
	servers := tasks / 50
	text := fmt.Sprintf("command: x\nroles: {chief: {memory: 1GiB}, worker: {instances: %d, memory: 1GiB}, ps: {instances: %d, memory: 1GiB}}\n", tasks-1-servers, servers)
	j, err := job.Parse("job.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(Options{}, rand.New(rand.NewPCG(uint64(tasks), 2)))
	w.sc = scenario{nodes: tasks/4 + 2, nodeMiB: 8 << 10, jobs: []job.Job{j}, steady: true, journal: time.Second}
	w.build()
	m := w.masters[0]
	w.after(90*time.Second, func() { loseNodes(w, m, w.sc.nodes/20) })
	w.after(3*time.Minute/2+30*time.Second, w.killMaster)
	w.after(3*time.Minute, func() {
		count := m.audit.job.Roles[1].Instances + tasks/2
		m.audit.wished(m.journal.turn+1, job.Worker, count)
		m.turn(membership.Scaled{Role: job.Worker, Count: count})
	})
	out := w.play()
	if len(out.Violations) > 0 {
		t.Fatalf("%d tasks:\n  %s", tasks, strings.Join(out.Violations, "\n  "))
	}
	if r := out.Results[0]; r.ExitCode != job.ExitSucceeded {
		t.Errorf("%d tasks: exit code %d: %s", tasks, r.ExitCode, r.Diagnostics)
	}
	return m
}

// loseNodes takes nodes away on which workers live, and nobody else.
func loseNodes(w *world, m *master, n int) {
	keep := map[string]bool{m.node.Host: true}
	for _, g := range w.agents {
		if g.alive && g.task.Role != job.Worker {
			keep[g.node.Host] = true
		}
	}
	for _, g := range slices.Clone(w.agents) {
		if n > 0 && g.alive && !keep[g.node.Host] {
			keep[g.node.Host] = true
			n--
			w.takeNode(g.node)
		}
	}
}

// TestCrowd: of a thousand tasks those alone start again that were on the nodes that are lost.
func TestCrowd(t *testing.T) {
	t.Parallel()
	const tasks = 1000
	m := playCrowd(t, tasks)
	moved, all := 0, 0
	for _, agents := range m.agents {
		all++
		if len(agents) > 1 {
			moved++
		}
	}
	if all != tasks+tasks/2 || moved == 0 || moved > tasks/20*2 {
		t.Errorf("%d tasks, of which %d had another container; a twentieth of the nodes was lost", all, moved)
	}
}

// BenchmarkCrowd is the same of as many tasks as a job may have, once it has grown.
func BenchmarkCrowd(b *testing.B) {
	for _, n := range []int{1000, 3300} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				playCrowd(b, n)
			}
		})
	}
}
