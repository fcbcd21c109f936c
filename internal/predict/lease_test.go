package predict

import (
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"tfos/internal/predict/plan"
)

// agentOf is an agent that gives answers in turn, and notes what it was asked. Their number is the
// call's.
func agentOf(t *testing.T, answers ...string) (socket string, asked *[]map[string]any) {
	t.Helper()
	asked = new([]map[string]any)
	socket = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.URL.Path != "/v1/lease" || len(answers) == 0 {
			t.Errorf("%s: %v, %v", r.URL, body, err)
		}
		*asked = append(*asked, body)
		answer := answers[0]
		answers = answers[1:]
		if status, ok := map[string]int{"u": http.StatusServiceUnavailable, "c": http.StatusConflict}[answer[:1]]; ok {
			w.WriteHeader(status)
			answer = `{"error": "` + answer[1:] + `"}`
		}
		if _, err := w.Write([]byte(answer)); err != nil {
			t.Error(err)
		}
	})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return socket, asked
}

// TestLeasesOfAnAgent waits for a shard while there is none and while there is no master, and says
// what is done.
func TestLeasesOfAnAgent(t *testing.T) {
	socket, asked := agentOf(t, `{"state": "waiting"}`, "uno master", `{"state": "granted", "epoch": 1, "lease": {"id": 5, "from": 32, "to": 48}}`, `{"state": "agreed"}`, `{"state": "over", "epoch": 1}`)
	l := NewAgentLeases(socket, 3, plan.Plan{Settings: plan.Settings{Output: "/o[u]t"}})
	shard, ok, err := l.Next(t.Context())
	if shard != 2 || !ok || err != nil {
		t.Fatalf("shard %d, %v, %v", shard, ok, err)
	}
	if err := l.Done(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := l.Next(t.Context()); ok || err != nil {
		t.Fatalf("%v, %v", ok, err)
	}
	for i, number := range []float64{1, 1, 1, 2, 3} {
		if a := (*asked)[i]; a["number"] != number || a["incarnation"] != 3. {
			t.Errorf("call %d is %v", i, a)
		}
	}
	text, err := json.Marshal((*asked)[0]["next"])
	if want := `"patterns":["/o\\[u]t/_tfos/shards"],"split":16`; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("asked for %s, want %s", text, want)
	}
	if text, err = json.Marshal((*asked)[3]["ack"]); string(text) != `[{"end":"done","lease":5,"position":48}]` || err != nil {
		t.Errorf("acknowledged by %s", text)
	}
}

// TestALostWorkerStops: its shards are another's.
func TestALostWorkerStops(t *testing.T) {
	for _, answer := range []string{`{"state": "refused", "code": "lost", "reason": "worker/0 counts as lost"}`, "cworker/0 counts as lost"} {
		socket, _ := agentOf(t, answer)
		if _, _, err := NewAgentLeases(socket, 1, plan.Plan{}).Next(t.Context()); err == nil || !strings.Contains(err.Error(), "worker/0 counts as lost") {
			t.Error(err)
		}
	}
}
