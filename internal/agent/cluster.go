package agent

import (
	"net/http"
	"strconv"
	"time"

	"tfos/internal/clusterspec"
	"tfos/internal/job"
)

// clusterAnswer is the cluster_spec as a program sees it. Its keys are a promise to programs.
type clusterAnswer struct {
	Generation job.Generation      `json:"generation"`
	Cluster    map[string][]string `json:"cluster"` // by role, host:port by index; who only looks on is not in it

	changed <-chan struct{} // closed when there is a newer one
}

// maxClusterWait bounds how long a question for the next cluster_spec is held.
const maxClusterWait = time.Minute

// cluster is the newest cluster_spec that holds for the program.
func (o *owner) cluster() clusterAnswer {
	a := clusterAnswer{Generation: o.newest.Generation, Cluster: make(map[string][]string), changed: o.changed}
	for _, m := range o.newest.Members {
		if !job.Apart(m.Task.Role) {
			a.Cluster[m.Task.Role] = append(a.Cluster[m.Task.Role], m.Address)
		}
	}
	return a
}

// learn keeps a cluster_spec for those who ask.
func (o *owner) learn(s clusterspec.Spec) {
	o.newest = s
	close(o.changed)
	o.changed = make(chan struct{})
}

// serveCluster answers GET /v1/cluster?after=GENERATION&wait=MILLISECONDS: at once, or with after
// when there is a newer one or the wait is over.
func serveCluster(agent *Agent, w http.ResponseWriter, r *http.Request) {
	number := func(name string) (int64, bool) {
		text := r.URL.Query().Get(name)
		if text == "" {
			return -1, true
		}
		n, err := strconv.ParseInt(text, 10, 32)
		return n, err == nil && n >= 0
	}
	after, ok := number("after")
	wait, fine := number("wait")
	if !ok || !fine {
		reply(w, http.StatusBadRequest, errorBody{"want after=GENERATION and wait=MILLISECONDS, numbers that are not negative"})
		return
	}
	patience := time.NewTimer(min(time.Duration(max(wait, 0))*time.Millisecond, maxClusterWait))
	defer patience.Stop()
	for over := false; ; {
		answer := make(chan clusterAnswer, 1)
		if !agent.post(func(o *owner) { answer <- o.cluster() }) {
			reply(w, http.StatusServiceUnavailable, errorBody{"the agent is ending"})
			return
		}
		a := <-answer
		if over || int64(a.Generation) > after {
			reply(w, http.StatusOK, a)
			return
		}
		select {
		case <-a.changed:
		case <-patience.C:
			over = true
		case <-agent.ended:
		case <-r.Context().Done():
			return
		}
	}
}
