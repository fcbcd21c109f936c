package checkpoint

import "time"

// News is what happened to a checkpoint between the local directory of a task and the one that its
// checkpoints are kept in.
type News struct {
	What       What
	Checkpoint string        // relative to the directory; empty: of no one
	Step       int64         // of it; Unknown
	Bytes      int64         // that were copied
	Took       time.Duration // to copy them
	// Problem is a sentence without its full stop. Of what was fetched or uploaded it says why that
	// cannot be judged.
	Problem string
}

// What is what happened.
type What string

// What happens to a checkpoint.
const (
	Fetched  What = "fetched"
	Uploaded What = "uploaded"
	Broken   What = "broken"  // it is not whole, and was not fetched or copied
	Failing  What = "failing" // the other filesystem cannot be read or written; it is tried again
	Recovers What = "works again"
	Lost     What = "lost" // it could not be copied in time, and is here alone
)
