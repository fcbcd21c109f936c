package client

import (
	"time"
	_ "time/tzdata" // a gateway need not have the zones

	"tfos/internal/client/exit"
	"tfos/internal/job"
)

// deadlineOf is when a job that is submitted now should have ended; zero: it has no deadline. A job
// that is submitted again keeps the deadline of its first submission.
func deadlineOf(j job.Job, now time.Time) (time.Time, error) {
	if j.Deadline == (job.Deadline{}) {
		return time.Time{}, nil
	}
	zone := time.Local
	if j.Deadline.Zone != "" {
		var err error
		if zone, err = time.LoadLocation(j.Deadline.Zone); err != nil {
			return time.Time{}, exit.Errorf(exit.Usage, "deadline: %q is no time zone", j.Deadline.Zone).Try("want one as Europe/Berlin or UTC")
		}
	}
	return j.Deadline.Next(now.In(zone)).UTC(), nil
}
