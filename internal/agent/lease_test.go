package agent_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"tfos/internal/lease"
)

// Lease grants a piece to whoever wants one, and agrees to everything else.
func (w *world) Lease(_ context.Context, c lease.Call) (lease.Answer, error) {
	w.say("lease %s %s %d %+v", c.Holder, c.Client, c.Number, c.Op)
	if _, ok := c.Op.(lease.Next); ok {
		return lease.Answer{State: lease.Granted, Epoch: 2, Lease: lease.Lease{ID: 7, Epoch: 2, Piece: 3, Path: "/a", Size: 100, From: 10, To: 20, Position: 15}}, nil
	}
	return lease.Answer{State: lease.Agreed}, nil
}

// post is what the program posts to its agent, and the answer.
func (w *world) post(path, body string) (int, string) {
	w.t.Helper()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return w.net.Host("node").Dial(ctx, "node:8")
		},
	}}
	r, err := client.Post("http://agent"+path, "application/json", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.StatusCode, string(bytes.TrimSpace(b))
}

func TestAProgramsCallsForLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.expect("at first", "joined inc=1")
		who := func(op string) string { return fmt.Sprintf(`{"incarnation": 1, "client": "c", "number": 5, %s}`, op) }
		for _, c := range []struct {
			body, answer string
			code         int
			said         []string
		}{
			{
				who(`"next": {"dataset": {"name": "d", "patterns": ["/*"], "kind": "text", "split": 9}, "epoch": 2}`),
				`{"state":"granted","epoch":2,"lease":{"id":7,"piece":3,"path":"/a","size":100,"from":10,"to":20,"position":15}}`, 200,
				[]string{"lease worker/0 (incarnation 1) c 5 {Dataset:text of /*, split 9, epochs 0 Epoch:2 Now:false}"},
			},
			{
				who(`"ack": [{"lease": 7, "position": 18, "end": ""}, {"lease": 8, "position": 1, "end": "done"}]`), `{"state":"agreed"}`, 200,
				[]string{"lease worker/0 (incarnation 1) c 5 {Acks:[{Lease:7 Position:18 End:0} {Lease:8 Position:1 End:1}]}"},
			},
			{who(`"save": {"step": 4, "alone": true}`), `{"state":"agreed"}`, 200, []string{"lease worker/0 (incarnation 1) c 5 {Step:4 Alone:true}"}},
			{who(`"restore": {"step": 4}`), `{"state":"agreed"}`, 200, []string{"lease worker/0 (incarnation 1) c 5 {Step:4}"}},
			{who(`"ack": [{"lease": 7, "end": "soon"}]`), `{"error":"read a call for leases: \"soon\" is no end of a lease: want done or returned"}`, 400, nil},
			{who(`"save": {"step": 4}, "restore": {"step": 4}`), `{"error":"read a call for leases: want one of next, ack, save and restore"}`, 400, nil},
			{`{"incarnation": 2, "client": "c", "number": 1, "save": {"step": 4}}`, `{"error":"the call is of incarnation 2, and the task is incarnation 1 now"}`, 409, nil},
		} {
			code, answer := w.post("/v1/lease", c.body)
			if code != c.code || answer != c.answer {
				t.Errorf("%s: answered %d %s, want %d %s", c.body, code, answer, c.code, c.answer)
			}
			w.expect(c.body, c.said...)
		}
		w.net.Cut("am")
		if code, answer := w.post("/v1/lease", who(`"save": {"step": 4}`)); code != 503 || !strings.Contains(answer, "ask the master for input") {
			t.Errorf("without a master: %d %s", code, answer)
		}
		w.end()
	})
}
