package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"tfos/internal/control"
	"tfos/internal/job"
)

// What one look at a log costs at most, in bytes, in time, and of looks at the same time.
const (
	logBytes   = 64 << 10
	tailBytes  = 16 << 10 // of the first look
	logTimeout = 10 * time.Second
	logLooks   = 4
)

// piece is a part of a log, as the page gets it.
type piece struct {
	Text  string `json:"text"`
	Next  int64  `json:"next"`  // where the next look begins
	Cut   bool   `json:"cut"`   // something before it was left out
	More  bool   `json:"more"`  // more was there already
	Error string `json:"error"` // why there is none; empty: there is
}

// ReadLog reads a log at a task's agent.
type ReadLog func(ctx context.Context, agent string, r control.LogsRequest, chunk func(control.LogChunk) error) error

var errEnough = errors.New("enough of the log was read")

// tail reads what a log has from an offset on, as much as one look takes.
func tail(ctx context.Context, read ReadLog, agent, stream string, offset int64) (piece, error) {
	p := piece{Next: max(offset, 0)}
	var text []byte
	request := control.LogsRequest{Stream: stream, Offset: offset}
	first := true
	err := read(ctx, agent, request, func(c control.LogChunk) error {
		if first {
			p.Cut = c.Offset > max(offset, 0)
			first = false
		}
		taken := c.Data[:min(len(c.Data), logBytes-len(text))]
		text = append(text, taken...)
		p.Next = c.Offset + int64(len(taken))
		if len(text) == logBytes {
			p.More = true
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return piece{}, err
	}
	whole := wholeRunes(text)
	p.Next -= int64(len(text) - whole)
	p.Text = string(text[:whole])
	return p, nil
}

// wholeRunes is how much of a text ends in a whole character: the rest of the last one may not have
// been written yet.
func wholeRunes(b []byte) int {
	for i := 1; i < min(utf8.UTFMax, len(b)+1); i++ {
		if tail := b[len(b)-i:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return len(b) - i
			}
			break
		}
	}
	return len(b)
}

// logs answers with a part of a task's log.
func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	task, err := job.ParseTask(q.Get("task"))
	stream := q.Get("stream")
	offset, numberErr := strconv.ParseInt(q.Get("offset"), 10, 64)
	if err != nil || numberErr != nil || !slices.Contains([]string{control.Stdout, control.Stderr, control.AgentLog}, stream) {
		http.Error(w, "want task=ROLE/INDEX, stream=stdout, stderr or agent.log, and offset=BYTES", http.StatusBadRequest)
		return
	}
	if offset < 0 {
		offset = -tailBytes
	}
	ctx, cancel := context.WithTimeout(r.Context(), logTimeout)
	defer cancel()
	select {
	case s.looks <- struct{}{}:
		defer func() { <-s.looks }()
	case <-ctx.Done():
		http.Error(w, "too many look at logs", http.StatusServiceUnavailable)
		return
	}
	d, err := s.current(ctx)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	t, ok := d.Job.Find(task)
	switch {
	case !ok:
		reply(w, piece{Error: "the job has no task " + task.String()})
	case t.Agent == "":
		reply(w, piece{Error: task.String() + " has no agent now: it waits for a container"})
	default:
		p, err := tail(ctx, s.o.ReadLog, t.Agent, stream, offset)
		if err != nil {
			p = piece{Next: offset, Error: "the agent of " + task.String() + " does not give its log now: " + err.Error()}
		}
		reply(w, p)
	}
}

// Agents are connections to agents, kept for a while because a page that follows a log asks again
// and again.
type Agents struct {
	id   control.Identity
	idle time.Duration

	mu   sync.Mutex
	open map[string]*agentConn // guarded by mu, by address
}

type agentConn struct {
	client *control.AgentClient
	users  int // guarded by Agents.mu
	close  *time.Timer
}

// agentIdle is how long a connection is kept that nobody uses.
const agentIdle = 30 * time.Second

// NewAgents makes connections with a client's identity. It opens none.
func NewAgents(id control.Identity) *Agents {
	return &Agents{id: id, idle: agentIdle, open: make(map[string]*agentConn)}
}

// Read implements ReadLog.
func (a *Agents) Read(ctx context.Context, agent string, r control.LogsRequest, chunk func(control.LogChunk) error) error {
	a.mu.Lock()
	c := a.open[agent]
	if c == nil {
		client, err := control.DialAgent(agent, a.id, nil)
		if err != nil {
			a.mu.Unlock()
			return err
		}
		c = &agentConn{client: client}
		c.close = time.AfterFunc(a.idle, func() { a.drop(agent, c) })
		a.open[agent] = c
	}
	c.users++
	c.close.Stop()
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if c.users--; c.users == 0 {
			c.close.Reset(a.idle)
		}
	}()
	return c.client.Logs(ctx, r, chunk)
}

func (a *Agents) drop(agent string, c *agentConn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.users == 0 && a.open[agent] == c {
		delete(a.open, agent)
		c.client.Close()
	}
}

// Close closes the connections. Nothing is read any more.
func (a *Agents) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for agent, c := range a.open {
		c.close.Stop()
		c.client.Close()
		delete(a.open, agent)
	}
}
