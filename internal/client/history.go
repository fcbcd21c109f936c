package client

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tfos/internal/client/exit"
	"tfos/internal/launch"
	"tfos/internal/page"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// What one look at the index costs at most.
const (
	historyJobs  = 200 // the newest
	historyReads = 8   // at the same time
)

// history serves the pages that masters left of this user's jobs, and a list of them. What a job
// left does not change any more, so a result is read once.
type history struct {
	c *Cluster

	mu   sync.Mutex
	seen map[yarn.ApplicationID]status.View // guarded by mu: results, without their tasks
}

// ServeHistory serves them on a listener until ctx ends; then it is nil.
func (c *Cluster) ServeHistory(ctx context.Context, l net.Listener) error {
	s := &http.Server{Handler: c.history(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return exit.Errorf(exit.Infrastructure, "serve pages of jobs: %w", err)
	}
	return nil
}

func (c *Cluster) history() http.Handler {
	h := &history{c: c, seen: make(map[yarn.ApplicationID]status.View)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", h.index)
	mux.HandleFunc("GET /targets", h.targets)
	mux.HandleFunc("GET /{app}", h.job)
	mux.HandleFunc("GET /{app}/{$}", h.job)
	return mux
}

// job answers with the page that a job's master left.
func (h *history) job(w http.ResponseWriter, r *http.Request) {
	id, err := yarn.ParseApplicationID(r.PathValue("app"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	b, err := h.c.readFile(r.Context(), path.Join(h.c.jobDir(id), launch.PageFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		http.Error(w, fmt.Sprintf("There is no page of %s here: it runs still, its master could not leave one, it is another user's, or it is forgotten. tfos status %s shows what is known.", id, id), http.StatusNotFound)
	case err != nil:
		http.Error(w, "The page cannot be read: "+err.Error(), http.StatusBadGateway)
	default:
		send(w, b)
	}
}

// send answers with HTML, whose own policy (package page) forbids whatever it does not need.
func send(w http.ResponseWriter, b []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "SAMEORIGIN")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.Write(b)
}

// index lists the newest jobs.
func (h *history) index(w http.ResponseWriter, r *http.Request) {
	jobs, err := h.jobs(r.Context())
	if err != nil {
		http.Error(w, "The jobs cannot be listed: "+err.Error(), http.StatusBadGateway)
		return
	}
	var rows strings.Builder
	for _, v := range jobs {
		code, took := "", ""
		if v.ExitCode != nil {
			code = fmt.Sprint(*v.ExitCode)
		}
		if v.Finished != nil {
			took = v.Finished.Sub(v.Started).Round(time.Second).String()
		}
		id := html.EscapeString(v.ID)
		fmt.Fprintf(&rows, `<tr><td><a href="%s/">%s</a></td><td>%s</td><td><span class="state %s">%s</span></td><td>%s</td><td>%s</td><td>%s</td><td class="num">%s</td><td>%s</td></tr>`+"\n",
			id, id, html.EscapeString(v.Name), html.EscapeString(string(v.State)), html.EscapeString(string(v.State)), html.EscapeString(v.Queue),
			v.Started.UTC().Format(time.DateTime), took, code, html.EscapeString(v.Diagnostics))
	}
	send(w, page.Index(h.c.User, rows.String()))
}

// jobs are those that have ended, the newest first.
func (h *history) jobs(ctx context.Context) ([]status.View, error) {
	ids, err := h.c.keptJobs(ctx)
	if err != nil {
		return nil, err
	}
	ids = ids[:min(len(ids), historyJobs)]
	views := make([]status.View, len(ids))
	var g errgroup.Group
	g.SetLimit(historyReads)
	for i, id := range ids {
		g.Go(func() error {
			views[i] = h.result(ctx, id)
			return nil
		})
	}
	_ = g.Wait() // none fails
	return slices.DeleteFunc(views, func(v status.View) bool { return v.ID == "" }), nil
}

// result is how a job ended; without an id if it has not, or its result cannot be read now.
func (h *history) result(ctx context.Context, id yarn.ApplicationID) status.View {
	h.mu.Lock()
	v, ok := h.seen[id]
	h.mu.Unlock()
	if ok {
		return v
	}
	v, err := h.c.result(ctx, id)
	if err != nil {
		return status.View{}
	}
	v = status.View{ID: id.String(), Name: v.Name, State: v.State, Queue: v.Queue, Started: v.Started, Finished: v.Finished, ExitCode: v.ExitCode, Diagnostics: v.Diagnostics}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen[id] = v
	return v
}
