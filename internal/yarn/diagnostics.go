package yarn

import "strings"

// Brief is the line of a container's diagnostics that a person wants: without the times that NodeManagers put before it and
// without Java's stack traces. Of an exception that says nothing it is the message of its innermost cause.
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
