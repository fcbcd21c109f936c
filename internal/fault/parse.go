package fault

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tfos/internal/job"
)

// Parse reads a plan. What is wrong with it is an *Error.
func Parse(text string) (Plan, error) {
	var p Plan
	n := 0
	for line := range strings.Lines(text) {
		n++
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		f, err := parseFault(words)
		if err == nil && len(p) == 0 && f.Step == 0 {
			err = fmt.Errorf("%s follows no other fault: begin with a step", words[0])
		}
		if err != nil {
			return nil, &Error{n, err.Error()}
		}
		f.Line = n
		p = append(p, f)
	}
	if len(p) == 0 {
		return nil, &Error{0, "it holds no fault"}
	}
	return p, nil
}

// parseFault reads WHEN KIND [TASK] [for DURATION].
func parseFault(words []string) (Fault, error) {
	var f Fault
	words, err := f.when(words)
	if err != nil {
		return f, err
	}
	if words, err = f.what(words); err != nil {
		return f, err
	}
	need := kinds[f.Kind]
	if need.task {
		if len(words) == 0 {
			return f, fmt.Errorf("%s: of which task?", f.Kind)
		}
		if f.Task, err = parseTask(words[0]); err != nil {
			return f, err
		}
		words = words[1:]
	}
	if need.span {
		if len(words) < 2 || words[0] != "for" {
			return f, fmt.Errorf("%s: for how long?", f.Kind)
		}
		if f.For, err = time.ParseDuration(words[1]); err != nil || f.For <= 0 {
			return f, fmt.Errorf("%q is not how long something lasts: want 30s", words[1])
		}
		words = words[2:]
	}
	if len(words) > 0 {
		return f, fmt.Errorf("%q is too much for %s", strings.Join(words, " "), f.Kind)
	}
	return f, nil
}

// when reads "step N" or "+DURATION" and returns the rest.
func (f *Fault) when(words []string) ([]string, error) {
	var err error
	if after, ok := strings.CutPrefix(words[0], "+"); ok {
		if f.After, err = time.ParseDuration(after); err != nil || f.After < 0 {
			return nil, fmt.Errorf("%q is no time to wait: want +1s", words[0])
		}
		return words[1:], nil
	}
	if words[0] != "step" || len(words) < 2 {
		return nil, fmt.Errorf("%q says not when: want step N or +DURATION", words[0])
	}
	if f.Step, err = strconv.ParseInt(words[1], 10, 64); err != nil || f.Step < 1 {
		return nil, fmt.Errorf("%q is not a step: want a number from 1", words[1])
	}
	return words[2:], nil
}

// what reads the kind, of several words, and returns the rest.
func (f *Fault) what(words []string) ([]string, error) {
	for n := len(words); n > 0; n-- {
		k := Kind(strings.Join(words[:n], " "))
		if _, ok := kinds[k]; ok {
			f.Kind = k
			return words[n:], nil
		}
	}
	all := slices.Sorted(maps.Keys(kinds))
	known := make([]string, len(all))
	for i, k := range all {
		known[i] = string(k)
	}
	return nil, fmt.Errorf("%q is no fault: there are %s", strings.Join(words, " "), strings.Join(known, ", "))
}

func parseTask(s string) (job.Task, error) {
	if s == Leader.Role {
		return Leader, nil
	}
	return job.ParseTask(s)
}
