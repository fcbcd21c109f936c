package endpoint_test

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"go.uber.org/zap"

	"tfos/internal/endpoint"
	"tfos/internal/job"
	"tfos/internal/membership"
)

// ps0 is the peer that moves about in the tests; worker0 is the task whose process connects.
var (
	worker0 = job.Task{Role: "worker"}
	ps0     = job.Task{Role: "ps"}
	roles   = []string{"worker", "ps"}
)

// proof is what the agent of each task of the tests says.
func proof(t job.Task) endpoint.Proof { return endpoint.ProofOf("the job of these tests", t) }

// server is one incarnation of a task, with its agent. It says its name to whoever connects, then repeats what it hears.
type server struct {
	name string
	l    net.Listener
	wg   sync.WaitGroup
	mu   sync.Mutex
	open []net.Conn // guarded by mu
	mute bool       // reads nothing
	// holder is whose agent holds the port; nobody: no agent does, as after its end.
	holder  job.Task
	witness *endpoint.Witness

	incarnation int
	at          string // where to listen; empty: anywhere. With nobody's agent
}

var nobody job.Task

// serve starts an incarnation of ps/0.
func serve(t testing.TB, name string) *server {
	return startServer(t, &server{name: name, holder: ps0})
}

func startServer(t testing.TB, s *server) *server {
	t.Helper()
	l, next := listenPair(t, s.at)
	s.l = l
	s.wg.Go(s.accept)
	if s.holder == nobody {
		next.Close()
	} else {
		s.witness = endpoint.NewWitness(next, proof(s.holder), zap.NewNop())
		s.wg.Go(s.witness.Run)
	}
	t.Cleanup(s.close)
	return s
}

// listenPair opens two ports, one after the other: at an address, or, if that is empty, anywhere.
func listenPair(t testing.TB, at string) (net.Listener, net.Listener) {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp4", cmp.Or(at, "127.0.0.1:0"))
		if err != nil {
			t.Fatal(err)
		}
		next, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", l.Addr().(*net.TCPAddr).Port+1))
		if err == nil {
			return l, next
		}
		defer l.Close() // so that the next one is another
	}
	t.Fatal("no two free ports are neighbours")
	return nil, nil
}

func (s *server) addr() string { return s.l.Addr().String() }

func (s *server) accept() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.open = append(s.open, c)
		s.mu.Unlock()
		s.wg.Go(func() {
			fmt.Fprintln(c, s.name)
			if !s.mute {
				io.Copy(c, c)
				c.Close()
			}
		})
	}
}

func (s *server) close() {
	s.l.Close()
	if s.witness != nil {
		s.witness.Close()
	}
	s.mu.Lock()
	for _, c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// spec is a generation in which worker/0 listens somewhere and ps/0 at an address, or nowhere.
func spec(g int, inc int, address string) membership.Spec {
	return membership.Spec{Generation: job.Generation(g), Members: []membership.Member{
		{Task: worker0, Incarnation: 1, Address: "127.0.0.1:9"},
		{Task: ps0, Incarnation: job.Incarnation(inc), Address: address},
	}}
}
