package job

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Task names one member of a job: a role and an index within it. It is the identity that outlives
// containers and processes.
type Task struct {
	Role  string
	Index int
}

// String is the form used in logs, flags and files: "worker/3".
func (t Task) String() string { return t.Role + "/" + strconv.Itoa(t.Index) }

// ParseTask reads what String wrote.
func ParseTask(s string) (Task, error) {
	role, index, ok := strings.Cut(s, "/")
	n, err := strconv.Atoi(index)
	if !ok || role == "" || err != nil || n < 0 || strconv.Itoa(n) != index {
		return Task{}, fmt.Errorf("%q is not a task: want role/index, as in worker/0", s)
	}
	return Task{role, n}, nil
}

// MarshalText makes a Task a JSON string and map key.
func (t Task) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (t *Task) UnmarshalText(b []byte) (err error) {
	*t, err = ParseTask(string(b))
	return err
}

// Compare orders tasks by role, then index.
func (t Task) Compare(u Task) int {
	return cmp.Or(cmp.Compare(t.Role, u.Role), cmp.Compare(t.Index, u.Index))
}

// Incarnation counts the lives of a task, from 1: each start of its process is a new one, in the
// same container or another.
type Incarnation int

// Generation counts the cluster_specs that a job has published, from 1.
type Generation int
