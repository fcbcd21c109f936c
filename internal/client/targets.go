package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"path"

	"tfos/internal/status"
	"tfos/internal/yarn"
)

// Target is a running job as Prometheus' service discovery names it, by file or over HTTP.
type Target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// Targets are the jobs whose metrics can be read now. They are read through YARN's web proxy, whose
// address stays when a job's master is replaced; or directly, where the masters let the reader in.
func (c *Cluster) Targets(ctx context.Context, everyone, direct bool) ([]Target, error) {
	reports, err := c.applications(ctx, everyone)
	if err != nil {
		return nil, err
	}
	targets := []Target{}
	for _, r := range reports {
		if stateOf(r) != status.Running {
			continue
		}
		at := r.TrackingURL
		if direct {
			at = r.OriginalURL
		}
		if t, ok := targetOf(r, at); ok {
			targets = append(targets, t)
		}
	}
	return targets, nil
}

// targetOf is an application whose page is at an address; false: it has none.
func targetOf(r yarn.Report, page string) (Target, bool) {
	u, err := url.Parse(page)
	if err != nil || u.Host == "" {
		return Target{}, false
	}
	return Target{[]string{u.Host}, map[string]string{
		"__scheme__": u.Scheme, "__metrics_path__": path.Join("/", u.Path, "metrics"),
		// All jobs behind one proxy have its address.
		"instance": r.ID.String(), "application": r.ID.String(), "name": r.Name, "user": r.User, "queue": r.Queue,
	}}, true
}

// targets answers Prometheus' HTTP service discovery.
func (h *history) targets(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	list, err := h.c.Targets(r.Context(), q.Has("all"), q.Has("direct"))
	if err != nil { // Prometheus goes on with the list that it has
		http.Error(w, "The jobs cannot be listed: "+err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(list) // an error is the reader's, who went away
}
