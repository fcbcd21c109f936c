package tensorflow

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"tfos/internal/hadoop/wire"
)

// Task is a place in a TensorFlow cluster, as TF_CONFIG has it.
type Task struct {
	Cluster map[string][]string `json:"cluster"` // addresses, host:port, of each role by index
	Task    struct {
		Type  string `json:"type"`
		Index int    `json:"index"`
	} `json:"task"`
}

// ParseTask reads TF_CONFIG.
func ParseTask(config string) (Task, error) {
	var t Task
	if err := json.Unmarshal([]byte(config), &t); err != nil {
		return Task{}, fmt.Errorf("TF_CONFIG: %w", err)
	}
	if peers := t.Cluster[t.Task.Type]; t.Task.Index < 0 || t.Task.Index >= len(peers) {
		return Task{}, fmt.Errorf("TF_CONFIG: its task %s/%d is not in its cluster", t.Task.Type, t.Task.Index)
	}
	return t, nil
}

// Address is where the task listens.
func (t Task) Address() string { return t.Cluster[t.Task.Type][t.Task.Index] }

// String is the task's name: "ps/0".
func (t Task) String() string { return fmt.Sprintf("%s/%d", t.Task.Type, t.Task.Index) }

// ServerDef is the message of that name (tensorflow_server.proto) for the task, the same one for
// the same task.
func (t Task) ServerDef() []byte {
	var cluster []byte
	for _, role := range slices.Sorted(maps.Keys(t.Cluster)) {
		job := wire.AppendBytesField(nil, 1, []byte(role)) // JobDef.name
		for i, address := range t.Cluster[role] {          // JobDef.tasks, a map
			entry := appendVarint(nil, 1, uint64(i))
			job = wire.AppendBytesField(job, 2, wire.AppendBytesField(entry, 2, []byte(address)))
		}
		cluster = wire.AppendBytesField(cluster, 1, job) // ClusterDef.job
	}
	def := wire.AppendBytesField(nil, 1, cluster)
	def = wire.AppendBytesField(def, 2, []byte(t.Task.Type)) // job_name
	if t.Task.Index > 0 {
		def = appendVarint(def, 3, uint64(t.Task.Index)) // task_index
	}
	return wire.AppendBytesField(def, 5, []byte("grpc")) // protocol
}

func appendVarint(b []byte, number, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, number<<3), v)
}
