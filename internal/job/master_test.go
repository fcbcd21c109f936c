package job

import "testing"

func TestMasterMiB(t *testing.T) {
	for tasks, want := range map[int]int64{1: 25, 300: 39, 1000: 71, 10000: 493} {
		if got := MasterMiB(tasks); got != want {
			t.Errorf("the master of %d tasks needs %d MiB, want %d", tasks, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	if n := (Job{Roles: []Role{{Name: "chief", Instances: 1}, {Name: "worker", Instances: 7}}}).Size(); n != 8 {
		t.Errorf("the job has %d tasks", n)
	}
}
