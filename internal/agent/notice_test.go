package agent_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/clusterspec"
	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/launch"
)

// TestNotice: the file comes and goes with what the master says, and stays for the next process.
func TestNotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.master()
		s.Start(start(1))
		w.expect("after start", "run train1", "joined inc=1", "started inc=1 pid=100")
		name := ""
		for _, kv := range w.runner.spec().Env {
			if value, ok := strings.CutPrefix(kv, "TFOS_NOTICE_FILE="); ok {
				name = value
			}
		}
		if filepath.Dir(name) != filepath.Join(w.dir, launch.TaskDir) {
			t.Fatalf("TFOS_NOTICE_FILE is %q, want a file of ours in %s", name, w.dir)
		}
		deadline := time.Now().Add(time.Minute).UTC()
		s.Notice(control.Notice{Reason: "draining", Left: time.Minute, Signal: "SIGUSR1"})
		w.expect("after the notice", "signal user defined signal 1")
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var n map[string]any
		if err := json.Unmarshal(b, &n); err != nil {
			t.Fatal(err)
		}
		if n["reason"] != "draining" || n["deadline"] != deadline.Format(time.RFC3339) || n["deadline_unix"] != float64(deadline.Unix()) {
			t.Errorf("the file says %s", b)
		}
		s.Notice(control.Notice{Reason: "draining", Left: time.Minute, Signal: "SIGNONSENSE"})
		s.Notice(control.Notice{})
		s.Notice(control.Notice{})
		w.expect("after it was taken back")
		if _, err := os.Stat(name); !os.IsNotExist(err) {
			t.Errorf("the file is still there: %v", err)
		}
		w.end()
	})
}

// TestCluster: a program asks for the cluster_spec, and waits for the next one.
func TestCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.expect("at first", "joined inc=1")
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return w.net.Host("node").Dial(ctx, "node:8")
		}}}
		ask := func(query string) (code int, generation int, workers int) {
			response, err := client.Get("http://agent/v1/cluster" + query)
			if err != nil {
				t.Error(err)
				return 0, 0, 0
			}
			defer response.Body.Close()
			var a struct {
				Generation int
				Cluster    map[string][]string
			}
			if err := json.NewDecoder(response.Body).Decode(&a); err != nil && response.StatusCode == http.StatusOK {
				t.Error(err)
			}
			return response.StatusCode, a.Generation, len(a.Cluster["worker"])
		}
		spec := func(generation job.Generation, workers int) clusterspec.Spec {
			s := clusterspec.Spec{Generation: generation, Members: []clusterspec.Member{{Task: job.Task{Role: job.Evaluator}, Incarnation: 1, Address: "e:1"}}}
			for i := range workers {
				s.Members = append(s.Members, clusterspec.Member{Task: job.Task{Role: "worker", Index: i}, Incarnation: 1, Address: "w:1"})
			}
			return s
		}
		w.master().Spec(spec(2, 2))
		synctest.Wait()
		if code, g, n := ask(""); code != 200 || g != 2 || n != 2 {
			t.Errorf("status %d, generation %d, %d workers", code, g, n)
		}
		began := time.Now()
		if code, g, _ := ask("?after=2&wait=3000"); code != 200 || g != 2 || time.Since(began) != 3*time.Second {
			t.Errorf("status %d, generation %d after %v", code, g, time.Since(began))
		}
		time.AfterFunc(time.Second, func() { w.master().Spec(spec(3, 3)) })
		if code, g, n := ask("?after=2&wait=30000"); code != 200 || g != 3 || n != 3 {
			t.Errorf("status %d, generation %d, %d workers", code, g, n)
		}
		if code, _, _ := ask("?after=x"); code != 400 {
			t.Errorf("status %d of nonsense", code)
		}
		w.end()
	})
}
