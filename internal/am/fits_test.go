package am

import (
	"strings"
	"testing"

	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/yarn"
)

// TestMoreVCoresThanThereAre: only a master that registers is told whether the scheduler counts
// vcores, and then the client's figures count.
func TestMoreVCoresThanThereAre(t *testing.T) {
	const says = "role worker asks for 40 containers of 128 MiB, 1 vcore; the cluster holds only 16"
	o := &owner{m: &Master{o: Options{Job: job.Job{Roles: []job.Role{{Name: "worker", Instances: 40, Resources: job.Resources{MemoryMiB: 128, VCores: 1}}}},
		Manifest: launch.Manifest{VCores: says}}}}
	r := yarn.Registered{Max: yarn.Resource{MemoryMiB: 8192, VCores: 8}}
	if err := o.fits(r); err != nil {
		t.Errorf("a scheduler that counts memory alone: %v", err)
	}
	r.CountsVCores = true
	if err := o.fits(r); err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("a scheduler that counts vcores: %v", err)
	}
	o.m.o.Manifest.VCores = ""
	if err := o.fits(r); err != nil {
		t.Errorf("enough vcores: %v", err)
	}
}

func TestMemoryLimit(t *testing.T) {
	for _, c := range []struct {
		mib, want int64
		tasks     int
	}{{512, 48, 3}, {512, 63, 1000}, {512, 90, 1500}, {512, 496, 10_000}, {64, 48, 1000}, {16, 8, 3}} {
		if got := memoryLimit(c.mib, c.tasks) >> 20; got != c.want {
			t.Errorf("%d tasks in a container of %d MiB: %d MiB, want %d", c.tasks, c.mib, got, c.want)
		}
	}
}
