// Package clusterspec is the cluster_spec: where each task of a job listens, and what a task's
// process reads of it, in TF_CONFIG and the other environment variables.
//
// It turns a spec into text, the same text for the same spec. Package membership decides which spec
// holds; this package knows nothing of ports, agents and processes.
package clusterspec

import (
	"encoding/json"
	"maps"
	"net"
	"slices"
	"strconv"

	"tfos/internal/job"
)

// Env is what the job says of the environment of one task's processes: its variables, the role's
// over them, and over both who the task is. The agent adds what only it knows, Documents among it.
func Env(j job.Job, t job.Task) map[string]string {
	env := make(map[string]string)
	maps.Copy(env, j.Env)
	if r, ok := j.Role(t.Role); ok {
		maps.Copy(env, r.Env)
	}
	maps.Copy(env, map[string]string{
		"TFOS_JOB":   j.Name,
		"TFOS_ROLE":  t.Role,
		"TFOS_INDEX": strconv.Itoa(t.Index),
	})
	if j.Checkpoint.Dir != "" {
		env["TFOS_CHECKPOINT_DIR"] = j.Checkpoint.Dir
	}
	return env
}

// Cluster is what the documents need to know of a job besides the spec.
type Cluster struct {
	Leader   job.Task
	Services []string // roles that do not train: parameter servers and other services
	Watched  bool     // an evaluator is shown the cluster, beside its own place
}

// ClusterOf is a job's.
func ClusterOf(j job.Job) Cluster {
	// An Estimator's evaluator wants to know the training cluster, though it never connects to it.
	// A mirrored strategy in an evaluator would take that cluster for its own, and wait for it.
	c := Cluster{Leader: j.Leader(), Watched: j.Strategy == job.StrategyParameterServer || j.Strategy == job.StrategyV1}
	for _, r := range j.Roles {
		if p := j.Part(r.Name); p == job.PartServes || p == job.PartAids {
			c.Services = append(c.Services, r.Name)
		}
	}
	return c
}

// Documents are the variables that tell a task's process of its peers, TF_CONFIG first of all. The
// spec has every task of the job, with the addresses as this process is to see them. Of those that
// programs written for other launchers read (RANK, MASTER_ADDR and the like) the user's are to win.
func (c Cluster) Documents(spec Spec, t job.Task) map[string]string {
	docs := c.conventions(spec, t)
	docs["TF_CONFIG"] = c.TFConfig(spec, t)
	docs["TFOS_GENERATION"] = strconv.Itoa(int(spec.Generation))
	return docs
}

// TFConfig is TF_CONFIG:
// {"cluster":{"ps":["a:1"],"worker":["b:1","c:1"]},"task":{"index":0,"type":"worker"}}, keys
// sorted.
//
// An evaluator, and TensorBoard, are in nobody's cluster: the others would wait for them. Their own
// TF_CONFIG has a cluster of themselves, and for an evaluator of the others as well if they are
// watched.
func (c Cluster) TFConfig(spec Spec, t job.Task) string {
	type task struct {
		Type  string `json:"type"`
		Index int    `json:"index"`
	}
	return text(struct {
		Cluster map[string][]string `json:"cluster"`
		Task    task                `json:"task"`
	}{c.seen(spec, t), task{t.Role, t.Index}})
}

// seen is the cluster in a task's TF_CONFIG.
func (c Cluster) seen(spec Spec, t job.Task) map[string][]string {
	if !job.Apart(t.Role) {
		return cluster(spec)
	}
	seen := make(map[string][]string)
	if c.Watched && t.Role == job.Evaluator {
		seen = cluster(spec)
	}
	address, _ := spec.Address(t)
	seen[t.Role] = []string{address}
	return seen
}

// cluster lists the addresses of each role by index, without those who only look on.
func cluster(spec Spec) map[string][]string {
	c := make(map[string][]string)
	for _, m := range spec.Members { // ordered by index within a role
		if !job.Apart(m.Task.Role) {
			c[m.Task.Role] = append(c[m.Task.Role], m.Address)
		}
	}
	return c
}

// conventions are the variables that programs written for other launchers read.
//
// Ranks count the tasks that train: the leader is 0, then come the others in the order of the spec.
// Services (parameter servers) and evaluators have none, and are not in WORLD_SIZE. Each task is
// alone in its container, so LOCAL_RANK is 0. MASTER_ADDR and MASTER_PORT are the leader's.
func (c Cluster) conventions(spec Spec, t job.Task) map[string]string {
	peers := 0
	for _, m := range spec.Members {
		if m.Task.Role == t.Role {
			peers++
		}
	}
	env := map[string]string{
		"CLUSTER_SPEC": text(cluster(spec)),
		"JOB_NAME":     t.Role,
		"TASK_INDEX":   strconv.Itoa(t.Index),
		"TASK_NUM":     strconv.Itoa(peers),
		"IS_CHIEF":     strconv.FormatBool(t == c.Leader),
	}
	if a, ok := spec.Address(c.Leader); ok {
		if host, port, err := net.SplitHostPort(a); err == nil {
			env["MASTER_ADDR"], env["MASTER_PORT"] = host, port
		}
	}
	ranks := c.ranks(spec)
	if rank := slices.Index(ranks, t); rank >= 0 {
		env["RANK"] = strconv.Itoa(rank)
		env["WORLD_SIZE"] = strconv.Itoa(len(ranks))
		env["LOCAL_RANK"] = "0"
	}
	return env
}

// ranks are the tasks that train, each at its rank.
func (c Cluster) ranks(spec Spec) []job.Task {
	var first, rest []job.Task
	for _, m := range spec.Members {
		switch {
		case slices.Contains(c.Services, m.Task.Role) || job.Apart(m.Task.Role):
		case m.Task == c.Leader:
			first = append(first, m.Task)
		default:
			rest = append(rest, m.Task)
		}
	}
	return append(first, rest...)
}

// text is v as JSON, map keys sorted.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("clusterspec: strings and numbers cannot be written: " + err.Error())
	}
	return string(b)
}
