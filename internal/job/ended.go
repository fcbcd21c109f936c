package job

// Ended is how a task's process ended, or why it could not be started.
type Ended struct {
	Code    int      `json:"code"`              // exit code; 128+signal when a signal ended it
	Signal  string   `json:"signal,omitempty"`  // "SIGKILL"; empty: it exited by itself
	OOM     bool     `json:"oom,omitempty"`     // the kernel killed for want of memory in its memory cgroup
	Reason  string   `json:"reason,omitempty"`  // why it could not be started; empty: it ran
	Stopped bool     `json:"stopped,omitempty"` // it was told to end before it did
	Lost    bool     `json:"lost,omitempty"`    // what watched over it was killed, and took it along: no fault of the program's
	Stderr  []string `json:"stderr,omitempty"`  // its last lines there; of a program that failed and wrote none, those of its stdout
}
