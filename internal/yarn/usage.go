package yarn

import (
	"regexp"
	"strconv"
)

// usage is a line of a NodeManager's dump of a container's processes
// (ProcfsBasedProcessTree.getProcessTreeDump): their ids, then name, time in the program and in the
// kernel, address space in bytes, memory in pages, command line.
var usage = regexp.MustCompile(`(?m)^\s*\|- (?:\d+ )+\((.*?)\) \d+ \d+ \d+ (\d+) `)

// Heaviest is the name of the process that had more than half of the memory of a container that a
// NodeManager killed, by the diagnostics of its end; empty: none had, or they do not say.
func Heaviest(diagnostics string) string {
	var total, most int64
	var name string
	for _, m := range usage.FindAllStringSubmatch(diagnostics, -1) {
		pages, err := strconv.ParseInt(m[2], 10, 64)
		if err != nil {
			return ""
		}
		if total += pages; pages > most {
			most, name = pages, m[1]
		}
	}
	if 2*most <= total {
		return ""
	}
	return name
}

// masterExit is how a ResourceManager tells of the end of an attempt
// (RMAppAttemptImpl.getAMContainerCrashedDiagnostics).
var masterExit = regexp.MustCompile(`AM Container for appattempt_\S+ exited with\s+exitCode: (-?\d+)`)

// MasterExit finds the exit status of the last container of an application's master in the
// diagnostics of the application.
func MasterExit(diagnostics string) (ExitStatus, bool) {
	all := masterExit.FindAllStringSubmatch(diagnostics, -1)
	if len(all) == 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(all[len(all)-1][1], 10, 32)
	return ExitStatus(n), err == nil
}
