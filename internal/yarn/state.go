package yarn

import "fmt"

var (
	applicationStates = [...]string{StateNew: "NEW", StateNewSaving: "NEW_SAVING", StateSubmitted: "SUBMITTED",
		StateAccepted: "ACCEPTED", StateRunning: "RUNNING", StateFinished: "FINISHED", StateFailed: "FAILED", StateKilled: "KILLED"}
	finalStatuses = [...]string{FinalUndefined: "UNDEFINED", FinalSucceeded: "SUCCEEDED", FinalFailed: "FAILED",
		FinalKilled: "KILLED", FinalEnded: "ENDED"}
	attemptStates = [...]string{AttemptNew: "NEW", AttemptSubmitted: "SUBMITTED", AttemptScheduled: "SCHEDULED",
		AttemptAllocatedSaving: "ALLOCATED_SAVING", AttemptAllocated: "ALLOCATED", AttemptLaunched: "LAUNCHED",
		AttemptFailed: "FAILED", AttemptRunning: "RUNNING", AttemptFinishing: "FINISHING", AttemptFinished: "FINISHED",
		AttemptKilled: "KILLED"}
	containerStates = [...]string{ContainerNew: "NEW", ContainerRunning: "RUNNING", ContainerComplete: "COMPLETE"}
	nodeStates      = [...]string{NodeNew: "NEW", NodeRunning: "RUNNING", NodeUnhealthy: "UNHEALTHY",
		NodeDecommissioned: "DECOMMISSIONED", NodeLost: "LOST", NodeRebooted: "REBOOTED",
		NodeDecommissioning: "DECOMMISSIONING", NodeShutdown: "SHUTDOWN"}
	visibilities = [...]string{Public: "PUBLIC", Private: "PRIVATE", Application: "APPLICATION"}
	signals      = [...]string{SignalThreadDump: "OUTPUT_THREAD_DUMP", SignalGraceful: "GRACEFUL_SHUTDOWN",
		SignalForceful: "FORCEFUL_SHUTDOWN"}
)

// name looks a value up; one that a newer YARN added prints as its number.
func name(names []string, i int) string {
	if i < 0 || i >= len(names) || names[i] == "" {
		return fmt.Sprintf("UNKNOWN(%d)", i)
	}
	return names[i]
}

// String is YARN's name of the state.
func (s ApplicationState) String() string { return name(applicationStates[:], int(s)) }

// String is YARN's name of the status.
func (s FinalStatus) String() string { return name(finalStatuses[:], int(s)) }

// String is YARN's name of the state.
func (s AttemptState) String() string { return name(attemptStates[:], int(s)) }

// String is YARN's name of the state.
func (s ContainerState) String() string { return name(containerStates[:], int(s)) }

// String is YARN's name of the state.
func (s NodeState) String() string { return name(nodeStates[:], int(s)) }

// Usable reports whether a node in this state takes new containers.
func (s NodeState) Usable() bool { return s == NodeRunning }

// String is YARN's name of the visibility.
func (v Visibility) String() string { return name(visibilities[:], int(v)) }

// String is YARN's name of the command.
func (s Signal) String() string { return name(signals[:], int(s)) }
