package yarn

import "strings"

// MayNotSubmit reports whether the ResourceManager refused an application because its user may not
// submit to the queue: it has no class of its own for that, and for an application that it took
// first, no class at all.
func MayNotSubmit(said string) bool {
	return strings.Contains(said, "does not have permission to submit")
}

// NoLeaf reports whether the ResourceManager refused an application because its queue is a parent:
// CapacityScheduler and FairScheduler say so in their own words.
func NoLeaf(said string) bool {
	return strings.Contains(said, "to non-leaf queue") || strings.Contains(said, "is not a leaf queue")
}

// WithoutFrames is what YARN says without the frames of Java's stacks, and without blank lines.
func WithoutFrames(diagnostics string) string {
	var lines []string
	for line := range strings.Lines(diagnostics) {
		line = strings.TrimRight(line, " \t\r\n")
		text := strings.TrimSpace(line)
		if text == "" || strings.HasPrefix(text, "at ") && strings.HasSuffix(text, ")") || strings.HasPrefix(text, "... ") && strings.HasSuffix(text, " more") {
			continue
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Brief is the line of a container's diagnostics that a person wants: without the times that
// NodeManagers put before it and without Java's stack traces. Of an exception that says nothing it
// is the message of its innermost cause.
func Brief(diagnostics string) string {
	first, cause := "", ""
	for _, line := range strings.Split(diagnostics, "\n") {
		if strings.HasPrefix(line, "[") {
			_, line, _ = strings.Cut(line, "]")
		}
		line = strings.TrimSpace(line)
		if inner, ok := strings.CutPrefix(line, "Caused by: "); ok {
			if exception, message, ok := strings.Cut(inner, ": "); ok && !strings.Contains(exception, " ") {
				cause = message
			}
			continue
		}
		if first == "" {
			first = line
		}
	}
	if silent := strings.HasSuffix(first, "Exception") && !strings.Contains(first, " "); silent && cause != "" {
		return cause
	}
	return first
}
