package job

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxShown is how many problems one message lists; a file with more has one cause.
const maxShown = 10

// maxKnown is how many keys a message lists that could have been meant: those of a role, not those
// of the whole file.
const maxKnown = 15

// Error is one thing that is wrong with a job, and where it was written.
type Error struct {
	File    string // empty: not from a file
	Line    int    // from 1; 0: the whole file
	Flag    string // "--worker-memory", "-D recovery.window"; empty: not from a flag
	Key     string // dotted: "roles.worker.memory"; empty: no single key
	Problem string
}

// Error is "job.yaml:12: roles.worker.memory: …", or "--worker-memory: …".
func (e *Error) Error() string {
	var parts []string
	switch {
	case e.Flag != "":
		parts = append(parts, e.Flag) // which stands for the key
	case e.File != "" && e.Line > 0:
		parts = append(parts, fmt.Sprintf("%s:%d", e.File, e.Line))
	case e.File != "":
		parts = append(parts, e.File)
	}
	if e.Key != "" && e.Flag == "" {
		parts = append(parts, e.Key)
	}
	return strings.Join(append(parts, e.Problem), ": ")
}

// Errors is everything found wrong with a job, in the order of the file, then the flags'. It is
// never empty.
type Errors []*Error

// Error has one problem a line, the first ten of them.
func (es Errors) Error() string {
	lines := make([]string, 0, maxShown+1)
	for i, e := range es {
		if i == maxShown {
			lines = append(lines, fmt.Sprintf("and %d more", len(es)-maxShown))
			break
		}
		lines = append(lines, e.Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find a single Error.
func (es Errors) Unwrap() []error {
	out := make([]error, len(es))
	for i, e := range es {
		out[i] = e
	}
	return out
}

// sort puts problems where a reader looks for them: the file's from top to bottom, what the whole
// lacks, then those of flags as they were given.
func (es Errors) sort(flags Overlay) {
	rank := func(e *Error) int {
		switch {
		case e.Flag != "":
			return maxFile + 1 + slices.IndexFunc(flags, func(s Setting) bool { return s.Flag == e.Flag })
		case e.Line == 0:
			return maxFile // a file has fewer lines than bytes
		default:
			return e.Line
		}
	}
	slices.SortStableFunc(es, func(a, b *Error) int { return cmp.Compare(rank(a), rank(b)) })
}

// synonyms are what people write who come from other launchers; spelling mistakes are found by
// distance.
var synonyms = map[string]string{
	"cpu": "vcores", "cpus": "vcores", "cores": "vcores", "gpu": "gpus", "mem": "memory",
	"count": "instances", "replicas": "instances", "num": "instances",
	"args": "command", "cmd": "command", "entrypoint": "command",
	"environment":    "env",
	"checkpoint-dir": "checkpoint.dir", "max-failures": "recovery.user-failures", "grace": "stop.grace",
	"node_label": "node-label", "user_failures": "user-failures",
	"workers": "roles.worker", Worker: "roles.worker", Chief: "roles.chief", Master: "roles.master", ParameterServer: "roles.ps", Evaluator: "roles.evaluator",
}

// roleKeys are keys that people look for at the top.
var roleKeys = []string{"instances", "memory", "vcores", "gpus", "resources", "service", "wait"}

// suggest finds the known key that an unknown one was probably meant to be; empty: none is near.
func suggest(key string, known []string) string {
	key = strings.ToLower(key)
	meant := key
	if s, ok := synonyms[key]; ok {
		meant = s
	}
	if head, _, _ := strings.Cut(meant, "."); slices.Contains(known, head) {
		return meant
	}
	if slices.Contains(known, "roles") && slices.Contains(roleKeys, meant) {
		return "roles.NAME." + meant
	}
	best, bestDistance := "", 3
	for _, k := range known {
		if d := distance(key, k); d < bestDistance && 3*d <= len(k) {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, change or swap with their neighbour to make
// a into b.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
