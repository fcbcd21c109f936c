package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"tfos/internal/agent/step"
	"tfos/internal/job"
)

// sunPath is how long a Unix socket's path may be (unix(7): 108 bytes with the terminating zero).
const sunPath = 107

// socketName is the program's socket in its directory.
const socketName = ".tfos-agent"

// api serves the program on a Unix socket that only its user can open: GET /v1/task says who it is, POST /v1/step takes the step
// that it is at, POST /v1/lease is for the module tfos.data.
type api struct {
	path     string
	dir      string // made for the socket; empty: none was
	listener net.Listener
	server   *http.Server
}

// newAPI serves on listener, or else on a Unix socket in dir.
func newAPI(listener net.Listener, dir string) (*api, error) {
	a := &api{
		listener: listener,
		server:   &http.Server{ReadHeaderTimeout: time.Minute, ReadTimeout: time.Minute, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 8 << 10},
	}
	if listener == nil {
		if err := a.listen(dir); err != nil {
			a.remove()
			return nil, err
		}
	}
	a.path = a.listener.Addr().String()
	return a, nil
}

// listen makes the socket in dir, or in a temporary directory where dir's path is too long, as those of YARN are.
func (a *api) listen(dir string) error {
	path := filepath.Join(dir, socketName)
	if len(path) > sunPath {
		var err error
		if a.dir, err = os.MkdirTemp("", "tfos-"); err != nil { // mode 0700
			return err
		}
		path = filepath.Join(a.dir, "agent")
	}
	var err error
	if a.listener, err = net.Listen("unix", path); err != nil {
		return err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		a.listener.Close()
		return err
	}
	return nil
}

func (a *api) remove() {
	if a.dir != "" {
		os.RemoveAll(a.dir)
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
	if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
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
		p, err := readStep(http.MaxBytesReader(w, r.Body, 4<<10))
		if err != nil {
			reply(w, http.StatusBadRequest, errorBody{err.Error()})
			return
		}
		answer := make(chan error, 1)
		if !agent.post(func(o *owner) { answer <- o.announce(p) }) {
			reply(w, http.StatusServiceUnavailable, errorBody{"the agent is ending"})
			return
		}
		if err := <-answer; err != nil {
			reply(w, http.StatusConflict, errorBody{err.Error()})
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
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

// readStep reads {"step": n, "steps": m}.
func readStep(body io.Reader) (step.Progress, error) {
	var b struct {
		Step  *int64 `json:"step"`
		Steps int64  `json:"steps"`
	}
	if err := json.NewDecoder(body).Decode(&b); err != nil {
		return step.Progress{}, fmt.Errorf("read a step: %w", err)
	}
	if b.Step == nil || *b.Step < 0 || b.Steps < 0 {
		return step.Progress{}, errors.New(`want {"step": n, "steps": m} with n and m not negative`)
	}
	return step.Progress{Step: *b.Step, Steps: b.Steps}, nil
}

// close ends serve and removes the socket.
func (a *api) close() {
	a.server.Close()
	a.remove()
}
