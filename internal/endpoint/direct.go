package endpoint

import (
	"tfos/internal/clusterspec"
	"tfos/internal/job"
)

// direct carries nothing: a process sees real addresses and connects by itself.
type direct struct{}

func (direct) add(job.Task) (int, string, error) { return 0, "", nil }
func (direct) retarget(int, target)              {}
func (direct) env(environ []string) []string     { return environ }
func (direct) count(int, *clusterspec.Counters)  {}
func (direct) close() error                      { return nil }
