package job

// Exit codes of a job: what `tfos run` ends with once it has ended. The client has more, for what
// never became a job.
const (
	ExitSucceeded      = 0
	ExitFailed         = 1 // the program's own failure
	ExitRefused        = 3 // the cluster refused it, or can never fit it
	ExitInfrastructure = 4 // after all retries
	ExitKilled         = 5 // from outside
	ExitTimedOut       = 6 // it took longer than its timeout
)
