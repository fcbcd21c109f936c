package endpoint_test

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"

	"go.uber.org/zap"

	"tfos/internal/clusterspec"
	"tfos/internal/endpoint"
	"tfos/internal/job"
)

// ps0 is the peer that moves about in the tests; worker0 is the task whose process connects.
var (
	worker0 = job.Task{Role: "worker"}
	ps0     = job.Task{Role: "ps"}
	roles   = []string{"worker", "ps"}
)

// proof is what the agent of each task of the tests says.
func proof(t job.Task) endpoint.Proof { return endpoint.ProofOf("the job of these tests", t) }

// server is one incarnation of a task, with its agent. It says its name to whoever connects, then
// repeats what it hears.
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
	s.l = listen(t, cmp.Or(s.at, "127.0.0.1:0"))
	s.wg.Go(s.accept)
	w := witness(t, s.l, s.holder)
	if s.holder == nobody {
		w.Close()
	} else {
		s.witness = w
		s.wg.Go(w.Run)
	}
	t.Cleanup(s.close)
	return s
}

// witnesses are the ports of the witnesses by the ports of their servers, as agents publish them.
var witnesses sync.Map

// witness makes one for a server, held by an agent.
func witness(t testing.TB, of net.Listener, holder job.Task) *endpoint.Witness {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	witnesses.Store(of.Addr().(*net.TCPAddr).Port, l.Addr().(*net.TCPAddr).Port)
	return endpoint.NewWitness(l, proof(holder), zap.NewNop())
}

func listen(t testing.TB, at string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", at)
	if err != nil {
		t.Fatal(err)
	}
	return l
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
func spec(g int, inc int, address string) clusterspec.Spec {
	return clusterspec.Spec{Generation: job.Generation(g), Members: []clusterspec.Member{member(worker0, 1, "127.0.0.1:9"), member(ps0, inc, address)}}
}

// member is one as its agent publishes it. At an address that is no server's, nobody proves
// anything.
func member(t job.Task, inc int, address string) clusterspec.Member {
	m := clusterspec.Member{Task: t, Incarnation: job.Incarnation(inc), Address: address, Witness: 9}
	if _, port, err := net.SplitHostPort(address); err == nil {
		number, _ := strconv.Atoi(port)
		if w, ok := witnesses.Load(number); ok {
			m.Witness = w.(int)
		}
	}
	return m
}
