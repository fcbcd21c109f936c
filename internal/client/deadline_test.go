package client

import (
	"testing"
	"time"

	"tfos/internal/client/exit"
	"tfos/internal/job"
)

func TestDeadline(t *testing.T) {
	for _, c := range []struct{ deadline, zone, now, want string }{
		{"06:00", "UTC", "2026-11-30T22:00:00Z", "2026-12-01T06:00:00Z"},
		{"06:00", "UTC", "2026-12-01T05:59:59Z", "2026-12-01T06:00:00Z"},
		{"06:00", "UTC", "2026-12-01T06:00:00Z", "2026-12-02T06:00:00Z"}, // what is submitted then has a day
		{"06:00", "Europe/Berlin", "2026-12-01T04:00:00Z", "2026-12-01T05:00:00Z"},
		{"06:00", "America/New_York", "2026-12-01T04:00:00Z", "2026-12-01T11:00:00Z"},
		{"06:00", "Europe/Berlin", "2026-03-28T22:00:00Z", "2026-03-29T04:00:00Z"}, // a night of 23 hours
		{"02:30", "Europe/Berlin", "2026-03-28T22:00:00Z", "2026-03-29T01:30:00Z"}, // it does not exist: 03:30
		{"02:30", "Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T01:30:00Z"}, // there are two: the later
		{"06:00", "Nowhere/Land", "2026-12-01T04:00:00Z", ""},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		got, err := deadlineOf(job.Job{Deadline: job.Deadline{Clock: c.deadline, Zone: c.zone}}, now)
		if c.want == "" {
			if exit.Of(err) != exit.Usage {
				t.Errorf("%v: %v, %v", c, got, err)
			}
		} else if err != nil || got.Format(time.RFC3339) != c.want {
			t.Errorf("%v: %v, %v", c, got, err)
		}
	}
}
