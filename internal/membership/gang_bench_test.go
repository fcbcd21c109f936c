package membership

import (
	"fmt"
	"testing"
	"time"

	"tfos/internal/job"
	"tfos/internal/yarn"
)

// gang is a job that a benchmark leads through its life, one event after the other, with the
// machine's wake asked after each as the master does.
type gang struct {
	m     *Machine
	tasks []job.Task
	now   time.Time
	last  int // container
}

func newGang(b *testing.B, strategy job.Strategy, n int) *gang {
	b.Helper()
	text := fmt.Sprintf("command: x\nstrategy: %s\nsuccess: all\nroles: {worker: {instances: %d}}", strategy, 2)
	if strategy == job.StrategyParameterServer {
		text = fmt.Sprintf("command: x\nstrategy: %s\nsuccess: all\nroles: {chief: {}, ps: {instances: %d}, worker: {instances: 2}}", strategy, n/10)
	}
	j, err := job.Parse("job.yaml", []byte(text), nil)
	if err != nil {
		b.Fatal(err)
	}
	grown := &j.Roles[len(j.Roles)-1]
	grown.Instances = n // a job file has no room for so many
	if strategy == job.StrategyParameterServer {
		grown.Instances -= n/10 + 1
	}
	return &gang{m: New(j, 1, Options{StableEndpoints: true}), tasks: j.Tasks(), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func (g *gang) step(ev Event) []Action {
	g.now = g.now.Add(time.Millisecond)
	actions := g.m.Step(g.now, ev).All()
	g.m.Wake()
	return actions
}

// grant gives a task a container, on a node of its own.
func (g *gang) grant(role string) []Action {
	g.last++
	return g.step(Granted{role, container(g.last), yarn.NodeID{Host: fmt.Sprintf("n%d", g.last), Port: 1}})
}

func (g *gang) join(t job.Task, inc job.Incarnation, c int) []Action {
	return g.step(Joined{Task: t, Incarnation: inc, Container: container(c), Agent: fmt.Sprintf("n%d:1", c), Address: fmt.Sprintf("n%d:2", c)})
}

// train brings all programs up.
func (g *gang) train(b *testing.B) {
	b.Helper()
	g.step(Began{})
	for _, t := range g.tasks {
		g.grant(t.Role)
	}
	var last []Action
	for i, t := range g.tasks {
		last = g.join(t, 1, i+1)
	}
	if len(last) != len(g.tasks)+1 {
		b.Fatalf("%d actions for the last agent of %d", len(last), len(g.tasks))
	}
	for i, t := range g.tasks {
		g.step(Started{Task: t, Incarnation: 1, PID: i})
	}
}

// BenchmarkGang is a job's whole life: containers, agents, processes, a step before each end, ends.
func BenchmarkGang(b *testing.B) {
	for _, strategy := range []job.Strategy{job.StrategyParameterServer, job.StrategyMirrored} {
		for _, n := range []int{100, 250, 500, 1000, 10000} {
			b.Run(fmt.Sprintf("%s/%d", strategy, n), func(b *testing.B) {
				for b.Loop() {
					g := newGang(b, strategy, n)
					g.train(b)
					for i, t := range g.tasks {
						g.step(Progressed{Step: int64(i + 1)})
						g.step(Exited{Task: t, Incarnation: 1})
						g.step(Completed{Container: container(i + 1)})
					}
					if !g.m.Finished() {
						b.Fatal("the job has not finished")
					}
				}
			})
		}
	}
}

// BenchmarkLostWorker is the loss of one worker's node, and its way back into the training.
func BenchmarkLostWorker(b *testing.B) {
	for _, strategy := range []job.Strategy{job.StrategyParameterServer, job.StrategyMirrored} {
		for _, n := range []int{1000, 10000} {
			b.Run(fmt.Sprintf("%s/%d", strategy, n), func(b *testing.B) {
				g := newGang(b, strategy, n)
				g.train(b)
				w := g.tasks[len(g.tasks)-1]
				c, inc := len(g.tasks), job.Incarnation(1)
				for b.Loop() {
					g.now = g.now.Add(time.Hour) // a new row of failures
					g.step(Completed{Container: container(c), Exit: yarn.ExitPreempted})
					g.grant(w.Role)
					c, inc = g.last, inc+1
					g.join(w, inc, c)
					if len(g.step(Started{Task: w, Incarnation: inc, PID: c})) > 0 {
						b.Fatal("its start has led to something")
					}
				}
			})
		}
	}
}

// BenchmarkLostPeer is the loss of one mirrored worker, with whom all others end and start again.
func BenchmarkLostPeer(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				g := newGang(b, job.StrategyMirrored, n)
				g.train(b)
				b.StartTimer()
				g.step(Completed{Container: container(1), Exit: yarn.ExitPreempted})
				for _, t := range g.tasks[1:] {
					g.step(Exited{Task: t, Incarnation: 1, Ended: job.Ended{Code: 1}})
				}
				g.grant(job.Worker)
				if starts := g.join(g.tasks[0], 2, g.last); len(starts) < n {
					b.Fatalf("%d starts", len(starts))
				}
				for i, t := range g.tasks {
					g.step(Started{Task: t, Incarnation: 2, PID: i})
				}
			}
		})
	}
}
