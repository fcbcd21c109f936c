package light_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"tfos/test/light"
)

// envAgents has the test binary play the agents instead: it prints where containers are to connect,
// and ends with its stdin.
const envAgents = "TFOS_TEST_AGENTS"

func TestMain(m *testing.M) {
	if os.Getenv(envAgents) == "" {
		os.Exit(m.Run())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	c := light.New(light.Options{Listener: l, Step: time.Second, Logger: zap.NewNop()})
	_, _ = io.Copy(io.Discard, os.Stdin)
	c.Close()
}

// TestMasterOfLightAgents runs a job of forty tasks to its end, by a client's wish.
func TestMasterOfLightAgents(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	crowd := light.New(light.Options{Listener: l, Step: time.Second, Logger: zap.NewNop()})
	defer crowd.Close()
	y := newYARN(t, 40, l.Addr().String(), zap.NewNop())
	v := y.running(t)
	if got := len(crowd.Agents()); got != 40 {
		t.Errorf("%d agents were launched", got)
	}
	for _, a := range crowd.Agents() {
		if a.Generation != 1 || a.Members != 40 || a.Over {
			t.Errorf("%+v", a)
		}
	}
	if v.Generation != 1 || len(v.Restarts) > 0 {
		t.Errorf("generation %d, restarts %+v", v.Generation, v.Restarts)
	}
	y.stop(t)
}

// BenchmarkMaster is what a master of many tasks needs: memory of its process (this one; the agents
// are another's) once all have run for a while, and the time until all know the cluster_spec.
func BenchmarkMaster(b *testing.B) {
	for _, n := range []int{100, 300, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				agents := exec.Command(os.Args[0])
				agents.Env, agents.Stderr = append(os.Environ(), envAgents+"=1"), os.Stderr
				in, err := agents.StdinPipe()
				if err != nil {
					b.Fatal(err)
				}
				out, err := agents.StdoutPipe()
				if err != nil {
					b.Fatal(err)
				}
				if err := agents.Start(); err != nil {
					b.Fatal(err)
				}
				address, err := bufio.NewReader(out).ReadString('\n')
				if err != nil {
					b.Fatal(err)
				}
				began := time.Now()
				y := newYARN(b, n, strings.TrimSpace(address), zap.NewNop())
				y.running(b)
				b.ReportMetric(time.Since(began).Seconds(), "s-to-run")
				b.ReportMetric(rss(b), "MiB")
				y.stop(b)
				in.Close()
				if err := agents.Wait(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// rss is this process's memory in MiB.
func rss(t testing.TB) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmRSS: %f kB", &kib); n == 1 {
			return kib / 1024
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
