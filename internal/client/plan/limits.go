package plan

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Limits are what the scheduler's configuration lets one user, and masters, have of a queue. Zero:
// it does not say, or sets no limit.
type Limits struct {
	Path                     string
	UserFactor               float64 // user-limit-factor
	UserMiB                  int64   // the most that one user ever gets
	MasterMiB, MasterUsedMiB int64
	Apps, MaxApps            int64
}

// queueJSON is a queue on the ResourceManager's page ws/v1/cluster/scheduler: the
// CapacityScheduler's fields, then the FairScheduler's.
type queueJSON struct {
	QueueName       string     `json:"queueName"`
	QueuePath       string     `json:"queuePath"`
	Absolute        float64    `json:"absoluteCapacity"` // percent
	UserLimitFactor float64    `json:"userLimitFactor"`
	MaxApplications int64      `json:"maxApplications"`
	NumApplications int64      `json:"numApplications"`
	AMLimit         memory     `json:"AMResourceLimit"`
	AMUsed          memory     `json:"usedAMResource"`
	Queues          nested     `json:"queues"`
	AMMaxResources  memory     `json:"amMaxResources"`
	AMUsedResources memory     `json:"amUsedResources"`
	ChildQueues     nested     `json:"childQueues"`
	RootQueue       *queueJSON `json:"rootQueue"`
}

type memory struct {
	MiB int64 `json:"memory"`
}

// nested are the queues below one: {"queue": […]}, the list itself, or one alone where there is
// one.
type nested []queueJSON

func (n *nested) UnmarshalJSON(b []byte) error {
	var inner struct {
		Queue json.RawMessage `json:"queue"`
	}
	if b = bytes.TrimSpace(b); bytes.HasPrefix(b, []byte("{")) && json.Unmarshal(b, &inner) == nil && inner.Queue != nil {
		b = inner.Queue
	}
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) {
		var one queueJSON
		if err := json.Unmarshal(b, &one); err != nil {
			return err
		}
		*n = nested{one}
		return nil
	}
	return json.Unmarshal(b, (*[]queueJSON)(n))
}

// LimitsOf reads what the ResourceManager's page about its scheduler says of a queue; clusterMiB is
// the memory of all nodes. ok is false where the queue is not on the page.
func LimitsOf(page []byte, queue string, clusterMiB int64) (l Limits, ok bool, _ error) {
	var doc struct {
		Scheduler struct {
			Info queueJSON `json:"schedulerInfo"`
		} `json:"scheduler"`
	}
	if err := json.Unmarshal(page, &doc); err != nil {
		return l, false, err
	}
	root := doc.Scheduler.Info
	if root.RootQueue != nil { // the FairScheduler's
		root = *root.RootQueue
	}
	q, ok := root.find(queue, "")
	if !ok {
		return l, false, nil
	}
	l = Limits{Path: q.QueuePath, UserFactor: q.UserLimitFactor, MaxApps: q.MaxApplications, Apps: q.NumApplications, MasterMiB: q.AMLimit.MiB, MasterUsedMiB: q.AMUsed.MiB}
	if q.UserLimitFactor > 0 {
		l.UserMiB = int64(q.Absolute / 100 * q.UserLimitFactor * float64(clusterMiB))
	}
	if q.AMMaxResources.MiB > 0 { // the FairScheduler, which has too many applications wait
		l.MasterMiB, l.MasterUsedMiB = q.AMMaxResources.MiB, q.AMUsedResources.MiB
	}
	return l, true, nil
}

// find looks for a leaf by its path, with or without the root, or its last part.
func (q queueJSON) find(name, above string) (queueJSON, bool) {
	full := q.QueuePath
	if full == "" {
		full = q.QueueName
		if above != "" && !strings.HasPrefix(full, above+".") {
			full = above + "." + full
		}
	}
	q.QueuePath = full
	children := append(q.Queues, q.ChildQueues...)
	if len(children) == 0 && (name == full || "root."+name == full || strings.HasSuffix(full, "."+name) && !strings.Contains(name, ".")) {
		return q, true
	}
	for _, c := range children {
		if found, ok := c.find(name, full); ok {
			return found, true
		}
	}
	return queueJSON{}, false
}
