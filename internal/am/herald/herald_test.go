package herald

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"tfos/internal/job"
	"tfos/internal/notify"
)

// hook is a webhook that answers one code after the other, and the last one again and again.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	codes  []int
	bodies []string // guarded by mu
}

func newHook(t *testing.T, codes ...int) *hook {
	h := &hook{codes: codes}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s, %q, %v", r.Method, r.Header.Get("Content-Type"), err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.bodies = append(h.bodies, string(b))
		code := h.codes[min(len(h.bodies), len(h.codes))-1]
		if code == http.StatusFound {
			w.Header().Set("Location", "http://elsewhere.example/")
		}
		w.WriteHeader(code)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) got() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bodies
}

// tells runs a Herald with one target, and returns its log.
func tells(t *testing.T, target job.Target, limit time.Duration, messages ...notify.Message) (log string, all bool) {
	t.Helper()
	core, seen := observer.New(zap.DebugLevel)
	h := New([]job.Target{target}, zap.New(core))
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wg.Go(func() { h.Run(ctx) })
	for _, m := range messages {
		h.Tell(m)
	}
	all = h.Rest(limit)
	b, err := json.Marshal(seen.All())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range seen.All() {
		log += e.Message
		for k, v := range e.ContextMap() {
			log += " " + k + "=" + toText(v)
		}
		log += "\n"
	}
	return log + string(b), all
}

func toText(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

const secret = "T0K3N"

func to(h *hook) job.Target {
	return job.Target{Name: "ops", Webhook: h.URL + "/services/" + secret + "?key=" + secret, Format: job.FormatJSON, On: []job.Event{job.EventFailure, job.EventStall}}
}

func TestWebhook(t *testing.T) {
	for _, c := range []struct {
		name  string
		codes []int
		posts int
		says  string
	}{
		{"at once", []int{200}, 1, "told"},
		{"after a while", []int{503, 429, 204}, 3, "told"},
		{"never", []int{404}, 1, "not told"},
		{"elsewhere", []int{302}, 1, "not told"},
	} {
		h := newHook(t, c.codes...)
		log, all := tells(t, to(h), time.Minute, notify.Message{Event: job.EventFailure, Name: "night"}, notify.Message{Event: job.EventSuccess})
		got := h.got()
		if !all || len(got) != c.posts || !strings.Contains(got[0], `"event":"failure"`) || !strings.Contains(log, c.says) {
			t.Errorf("%s: %d posts %q, all %v\n%s", c.name, len(got), got, all, log)
		}
		if strings.Contains(log, secret) {
			t.Errorf("%s: a secret is in the log:\n%s", c.name, log)
		}
	}
}

// TestDeadWebhook: nobody waits for it longer than he wants to, and the log names only the host.
func TestDeadWebhook(t *testing.T) {
	h := newHook(t, 200)
	h.Close()
	log, all := tells(t, to(h), 50*time.Millisecond, notify.Message{Event: job.EventStall})
	if all || !strings.Contains(log, "127.0.0.1 does not answer") || strings.Contains(log, secret) {
		t.Errorf("all %v, log:\n%s", all, log)
	}
}

func TestBacklogIsBounded(t *testing.T) {
	core, seen := observer.New(zap.DebugLevel)
	h := New([]job.Target{{Name: "x", Command: "cat", On: []job.Event{job.EventStall}}}, zap.New(core)) // which does not run
	for range backlog + 5 {
		h.Tell(notify.Message{Event: job.EventStall})
	}
	if n := seen.FilterMessageSnippet("too many messages").Len(); n != 5 {
		t.Errorf("%d were dropped, want 5", n)
	}
	if h.Wants(job.EventRestart) || !h.Wants(job.EventStall) {
		t.Error("it wants what nobody does")
	}
}

func TestCommand(t *testing.T) {
	t.Setenv("HADOOP_TOKEN_FILE_LOCATION", secret)
	out := filepath.Join(t.TempDir(), "out")
	target := job.Target{Name: "me", Command: "{ cat; echo $TFOS_EVENT $TFOS_JOB; env; } > " + out, On: []job.Event{job.EventFailure}}
	log, all := tells(t, target, time.Minute, notify.Message{Event: job.EventFailure, Name: "night", Text: "failed"})
	b, err := os.ReadFile(out)
	if err != nil || !all || !strings.HasPrefix(string(b), `{"event":"failure","text":"failed",`) || !strings.Contains(string(b), "\nfailure night\n") || strings.Contains(string(b), secret) {
		t.Errorf("all %v, %v, the command got:\n%s\n%s", all, err, b, log)
	}
	log, _ = tells(t, job.Target{Name: "me", Command: "exit 3 # " + secret, On: target.On}, 50*time.Millisecond, notify.Message{Event: job.EventFailure})
	if !strings.Contains(log, "exit status 3") || strings.Contains(log, secret) {
		t.Errorf("a command that fails:\n%s", log)
	}
}
