package control_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"tfos/internal/clusterspec"
	"tfos/internal/control"
)

// envAgents has the test binary be a crowd of agents instead: the address of their master and their
// number. The job's authority comes by stdin, whose end ends them.
const envAgents = "TFOS_TEST_CROWD"

// agents joins a master with many agents that say nothing but that they live, and returns the
// process's exit code.
func agents(text string) int {
	if err := join(text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func join(text string) error {
	address, number, _ := strings.Cut(text, " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	pem := make([]byte, 4096)
	size, err := os.Stdin.Read(pem)
	if err != nil {
		return err
	}
	authority, err := control.ParseAuthority(pem[:size])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for i := range n {
		s := agentSubject(i)
		id, err := authority.Issue(s)
		if err != nil {
			return err
		}
		link, err := control.NewLink(control.LinkOptions{
			Identity: id, Handler: idle{}, Master: func(context.Context) (string, error) { return address, nil },
			Hello: control.Hello{Container: s.Container, Task: s.Task, Incarnation: 1, Agent: "node:1", Address: "node:2"},
		})
		if err != nil {
			return err
		}
		all.Go(func() { _ = link.Run(ctx) })
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

type idle struct{}

func (idle) Spec(clusterspec.Spec) {}
func (idle) Start(control.Start)   {}
func (idle) Stop(control.Stop)     {}
func (idle) Retire(control.Retire) {}
func (idle) Notice(control.Notice) {}
func (idle) Forward(string)        {}
func (idle) Stacks(string)         {}

// registrar counts who joined, and keeps their sessions as a master does.
type registrar struct {
	control.MasterHandler
	all      sync.WaitGroup
	mu       sync.Mutex
	sessions []*control.Session
}

func (r *registrar) Joined(s *control.Session, _ control.Hello) {
	r.mu.Lock()
	r.sessions = append(r.sessions, s)
	r.mu.Unlock()
	r.all.Done()
}

func (r *registrar) Left(*control.Session, control.Departure) {}

// BenchmarkMemoryPerAgent is what a master needs for each agent that is connected: of live heap and
// stacks, over loopback TCP, with another process's agents.
func BenchmarkMemoryPerAgent(b *testing.B) {
	const n = 1000
	authority, err := control.NewAuthority()
	if err != nil {
		b.Fatal(err)
	}
	identity, err := authority.Issue(control.Subject{Party: control.PartyMaster})
	if err != nil {
		b.Fatal(err)
	}
	pem, err := authority.PEM()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		r := &registrar{}
		r.all.Add(n)
		master, err := control.NewMaster(control.MasterOptions{Listener: l, Identity: identity, Handler: r})
		if err != nil {
			b.Fatal(err)
		}
		before := inUse()
		served := make(chan error, 1)
		go func() { served <- master.Run(context.Background()) }()
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", envAgents, l.Addr(), n))
		child.Stderr = os.Stderr
		in, err := child.StdinPipe()
		if err != nil {
			b.Fatal(err)
		}
		if err := child.Start(); err != nil {
			b.Fatal(err)
		}
		if _, err := in.Write(pem); err != nil {
			b.Fatal(err)
		}
		r.all.Wait()
		after := inUse()
		b.ReportMetric(float64(after.heap-before.heap)/1024/n, "KiB-heap/agent")
		b.ReportMetric(float64(after.stack-before.stack)/1024/n, "KiB-stack/agent")
		b.ReportMetric(float64(after.heap+after.stack-before.heap-before.stack)/1024/n, "KiB/agent")
		b.ReportMetric(float64(after.goroutines-before.goroutines)/n, "goroutines/agent")
		in.Close()
		if err := child.Wait(); err != nil {
			b.Fatal(err)
		}
		master.Close()
		if err := <-served; err != nil {
			b.Fatal(err)
		}
	}
}

type memory struct {
	heap, stack, goroutines int64
}

func inUse() memory {
	runtime.GC()
	runtime.GC() // the first only empties pools into what the second frees
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return memory{int64(m.HeapAlloc), int64(m.StackInuse), int64(runtime.NumGoroutine())}
}
