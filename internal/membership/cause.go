package membership

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/yarn"
)

// Cause is why a task ended.
type Cause string

// The causes.
const (
	CauseNone         Cause = ""
	CauseProgram      Cause = "program"        // exited with an error, was ended by a signal, or could not be started
	CauseOutOfMemory  Cause = "out of memory"  // its own: it used more than its container has
	CauseVirtual      Cause = "virtual memory" // its processes mapped more address space than this cluster allows a container
	CausePreempted    Cause = "preempted"      // YARN took the container for another application
	CauseDraining     Cause = "draining"       // an administrator takes the node away
	CauseNodeLost     Cause = "node lost"
	CauseMaster       Cause = "master" // the application master's attempt ended, and YARN kept no containers
	CauseDisk         Cause = "disk"   // the node's
	CauseLocalization Cause = "localization"
	CauseLaunch       Cause = "launch" // the NodeManager did not start the agent, or the agent did not come up
	CauseAgent        Cause = "agent"  // the agent ended, and its process with it
	CauseSilent       Cause = "silent" // nothing was heard from the agent
	CauseAftershock   Cause = "aftershock"
	CauseStalled      Cause = "stalled" // started again by us, because it took no steps any more
	CauseScaled       Cause = "scaled"  // started again by us, because the job has another size
	CauseStopped      Cause = "stopped" // by us, because the job ended, or has a smaller size
)

// Infrastructure reports whether the program is not to blame.
func (c Cause) Infrastructure() bool {
	return c != CauseProgram && c != CauseOutOfMemory && c != CauseVirtual && c != CauseStalled
}

// nodeFault reports whether a cause lies with the node: what another one would have done better.
func (c Cause) nodeFault() bool {
	switch c {
	case CauseNodeLost, CauseDisk, CauseLocalization, CauseLaunch, CauseSilent:
		return true
	}
	return false
}

// exitCode is what the job ends with if this ended it. One that cannot be localized the cluster can
// never run.
func (c Cause) exitCode(hopeless bool) int {
	if c == CauseLocalization && hopeless {
		return job.ExitRefused
	}
	if c.Infrastructure() {
		return job.ExitInfrastructure
	}
	return job.ExitFailed
}

// causeOfExit tells why a process ended, and says it.
func causeOfExit(ev Exited, role string) (Cause, string) {
	switch {
	case ev.Reason != "":
		return CauseProgram, "its command could not be started: " + ev.Reason
	case ev.Lost:
		return CauseAgent, "the agent's helper process was killed, and its process with it"
	case ev.OOM:
		return CauseOutOfMemory, "killed by the kernel for want of memory: give the role more (roles." + role + ".memory)"
	case ev.Signal != "":
		return CauseProgram, "killed by " + ev.Signal
	case ev.Code == 126:
		return CauseProgram, "exit code 126 (command cannot be executed)"
	case ev.Code == 127:
		return CauseProgram, "exit code 127 (command not found)"
	}
	return CauseProgram, yarn.ExitStatus(ev.Code).String()
}

// causeOfCompletion tells why a container ended without having been told to, and says it.
func causeOfCompletion(ev Completed, t *task, before run) (Cause, string) {
	on := " on " + t.Node.Host
	summary, _, _ := strings.Cut(ev.Diagnostics, "Dump of the process-tree")
	switch ev.Exit {
	case yarn.ExitAborted:
		return CauseNodeLost, "its node " + t.Node.Host + " was lost"
	case yarn.ExitDisksFailed:
		return CauseDisk, "the disks of its node " + t.Node.Host + " failed"
	case yarn.ExitPreempted:
		return CausePreempted, "its container" + on + " was preempted: YARN needed the room for another application"
	case yarn.ExitVMemExceeded:
		return CauseVirtual, explain("its container"+on+" was killed beyond virtual memory limits (exit status -103), for the address space of its processes, "+
			"give the role more memory (roles."+t.Task.Role+".memory), or have yarn.nodemanager.vmem-check-enabled turned off", summary)
	case yarn.ExitPMemExceeded:
		if yarn.Heaviest(ev.Diagnostics) == launch.AgentBinary {
			return CauseAgent, explain("its container"+on+" used more memory than it was granted, and most of it was the agent's", summary)
		}
		return CauseOutOfMemory, explain("its container"+on+" used more memory than it was granted, give the role more (roles."+t.Task.Role+".memory)", summary)
	case yarn.ExitKilledExcessLogs:
		return CauseProgram, explain("it wrote more logs than YARN allows", ev.Diagnostics)
	case yarn.ExitKilledByRM, yarn.ExitKilledByNM, yarn.ExitKilledByAM, yarn.ExitKilledAfterApp:
		return CausePreempted, explain("its container"+on+" was "+ev.Exit.String(), ev.Diagnostics)
	case yarn.ExitInvalid, yarn.ExitLaunchFailed:
		if before != launched {
			return CauseAgent, explain("its container"+on+" ended with its exit status unknown", ev.Diagnostics)
		}
		if ev.Exit == yarn.ExitLaunchFailed {
			return CauseLaunch, explain("its container could not be started"+on, ev.Diagnostics)
		}
		return CauseLocalization, explain("its files could not be brought into its container"+on, ev.Diagnostics)
	}
	how := ev.Exit.String()
	if ev.Exit == yarn.ExitSuccess {
		how = "exit code 0"
	}
	if before == launched {
		return CauseLaunch, explain("its agent"+on+" ended before it registered, "+how, ev.Diagnostics)
	}
	return CauseAgent, explain("its agent"+on+" ended while its process was needed, "+how, ev.Diagnostics)
}

// Bounds of what a sentence quotes. YARN keeps 64 KiB of an application's diagnostics, a person
// reads less.
const (
	maxLines      = 10
	maxLineBytes  = 1000
	maxDiagnostic = 1000
)

// quoted is the line above what a NodeManager quotes of a file
// (ContainerLaunch.handleContainerExitWithFailure).
var quoted = regexp.MustCompile(`(?m)^Last \d+ bytes of \S+ :[ \t]*\n`)

// lastWords are what the newest file that a NodeManager quotes says, if one says anything: the rest
// tells no more than the exit code.
func lastWords(diagnostics string) string {
	at := quoted.FindAllStringIndex(diagnostics, -1)
	for i := len(at) - 1; i >= 0; i-- {
		text := diagnostics[at[i][1]:]
		if i+1 < len(at) {
			text = diagnostics[at[i][1]:at[i+1][0]]
		}
		text, _, _ = strings.Cut(text, "\n[") // the next of its own sentences, with their times
		if text = strings.TrimSpace(text); text != "" && text[0] != '[' {
			return text
		}
	}
	return diagnostics
}

// explain adds what YARN said, in one line: without the frames of Java's stacks, and what they say
// once more.
func explain(what, diagnostics string) string {
	var said string
	for line := range strings.Lines(lastWords(diagnostics)) {
		line = strings.Join(strings.Fields(line), " ")
		if _, message, ok := strings.Cut(line, "Exception: "); strings.HasPrefix(line, "at ") || line == "" || ok && strings.Contains(said, message) {
			continue
		}
		said += " " + line
	}
	if said == "" {
		return what
	}
	return what + ":" + cut(said, maxDiagnostic)
}

// sentenceOfFailure is what a person is told: the task, the cause, and its last words.
func sentenceOfFailure(t job.Task, what string, stderr []string) string {
	s := fmt.Sprintf("%s failed: %s", t, strings.TrimRight(what, ". "))
	lines := lastLines(stderr)
	switch len(lines) {
	case 0:
		return s + "."
	case 1:
		return s + ". Its last line: " + lines[0]
	}
	return s + ". Its last lines:\n  " + strings.Join(lines, "\n  ")
}

func sentenceOfStop(reason string) string {
	if reason == "" {
		return "killed"
	}
	return "killed: " + reason
}

// lastLines are the last lines that say something.
func lastLines(stderr []string) []string {
	var lines []string
	for _, line := range stderr {
		if line = strings.TrimRight(line, " \t\r\n"); line != "" {
			lines = append(lines, cut(line, maxLineBytes))
		}
	}
	return lines[max(0, len(lines)-maxLines):]
}

// cut shortens a text to at most n bytes, between characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
