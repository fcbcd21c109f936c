package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"tfos/internal/agent/step"
	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/listen"
)

// api serves the program on a Unix socket that only its user can open: GET /v1/task says who it is,
// GET /v1/cluster what the cluster_spec is, POST /v1/step takes the step that it is at, POST
// /v1/lease is for the module tfos.data.
type api struct {
	listener net.Listener
	server   *http.Server
}

func newAPI(listener net.Listener) *api {
	return &api{
		listener: listener,
		server:   &http.Server{ReadHeaderTimeout: time.Minute, ReadTimeout: time.Minute, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 8 << 10},
	}
}

// description is what a program may want to know of itself. Its keys are a promise to programs.
type description struct {
	Task        string          `json:"task"`
	Role        string          `json:"role"`
	Index       int             `json:"index"`
	Incarnation job.Incarnation `json:"incarnation"`
	Generation  job.Generation  `json:"generation"`
	Container   string          `json:"container"`
	Address     string          `json:"address"`
	Step        int64           `json:"step"`
	Steps       int64           `json:"steps"`
}

// serve answers until close.
func (a *api) serve(agent *Agent) {
	a.server.Handler = handler(agent)
	if err := a.server.Serve(listen.Patient(a.listener, agent.log)); !errors.Is(err, http.ErrServerClosed) {
		agent.log.Error("the program's socket is not served", zap.Error(err))
	}
}

// handler answers for agent.
func handler(agent *Agent) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/task", func(w http.ResponseWriter, r *http.Request) {
		answer := make(chan description, 1)
		if !agent.post(func(o *owner) { answer <- o.describe() }) {
			reply(w, http.StatusServiceUnavailable, errorBody{"the agent is ending"})
			return
		}
		reply(w, http.StatusOK, <-answer)
	})
	mux.HandleFunc("POST /v1/step", func(w http.ResponseWriter, r *http.Request) {
		p, loss, err := readStep(http.MaxBytesReader(w, r.Body, 4<<10))
		if err != nil {
			reply(w, http.StatusBadRequest, errorBody{err.Error()})
			return
		}
		answer := make(chan error, 1)
		if !agent.post(func(o *owner) { answer <- o.announce(p, loss) }) {
			reply(w, http.StatusServiceUnavailable, errorBody{"the agent is ending"})
			return
		}
		if err := <-answer; err != nil {
			reply(w, http.StatusConflict, errorBody{err.Error()})
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /v1/cluster", func(w http.ResponseWriter, r *http.Request) { serveCluster(agent, w, r) })
	mux.HandleFunc("POST /v1/lease", func(w http.ResponseWriter, r *http.Request) { serveLease(agent, w, r) })
	return mux
}

type errorBody struct {
	Error string `json:"error"`
}

func reply(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(body) // an error is the program's, which went away
}

// readStep reads {"step": n, "steps": m, "loss": x}.
func readStep(body io.Reader) (step.Progress, control.Loss, error) {
	var b struct {
		Step  *int64   `json:"step"`
		Steps int64    `json:"steps"`
		Loss  *float64 `json:"loss"`
	}
	if err := json.NewDecoder(body).Decode(&b); err != nil {
		return step.Progress{}, control.Loss{}, fmt.Errorf("read a step: %w", err)
	}
	if b.Step == nil || *b.Step < 0 || b.Steps < 0 {
		return step.Progress{}, control.Loss{}, errors.New(`want {"step": n, "steps": m} with n and m not negative`)
	}
	var loss control.Loss
	if b.Loss != nil {
		loss = control.Loss{Known: true, Value: *b.Loss}
	}
	return step.Progress{Step: *b.Step, Steps: b.Steps}, loss, nil
}

// close ends serve and removes the socket.
func (a *api) close() {
	a.server.Close()
	a.listener.Close() // of one that was never served
}
