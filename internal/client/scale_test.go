package client

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"tfos/internal/client/exit"
	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// TestAtSize: the job as it was submitted is not changed by a wish.
func TestAtSize(t *testing.T) {
	submitted := job.Job{Roles: []job.Role{{Name: "chief", Instances: 1}, {Name: "worker", Instances: 2}, {Name: "reader", Instances: 3}}}
	now := status.View{Roles: []status.Role{{Name: "chief", Instances: 1}, {Name: "worker", Instances: 4}, {Name: "reader", Instances: 5}}}
	for _, c := range []struct {
		count int
		grows bool
	}{{3, false}, {4, false}, {6, true}} {
		j, grows := atSize(submitted, now, control.ScaleWish{Role: "worker", Count: c.count})
		if got := []int{j.Roles[0].Instances, j.Roles[1].Instances, j.Roles[2].Instances}; !slices.Equal(got, []int{1, c.count, 5}) || grows != c.grows {
			t.Errorf("worker=%d: sizes %v, grows: %v", c.count, got, grows)
		}
		if submitted.Roles[1].Instances != 2 {
			t.Fatal("the job that was submitted has changed")
		}
	}
}

func TestScale(t *testing.T) {
	for _, c := range []struct {
		name  string
		set   func(w *world)
		role  string
		count int
		code  exit.Code
		says  string
		asked int // the master
	}{
		{"grows", func(*world) {}, "worker", 4, exit.OK, "goes from 2 to 4 of worker; once the new ones are there all start again in place", 1},
		{"shrinks", func(*world) {}, "worker", 1, exit.OK, "the others start again in place", 1},
		{"is so already", func(*world) {}, "worker", 2, exit.OK, "has 2 of worker already", 1},
		{"can never fit", func(*world) {}, "worker", 40, exit.Refused, "40", 0},
		{"has too many vcores", func(w *world) { w.nodes[0].Capability.VCores, w.nodes[1].Capability.VCores = 3, 3 }, "worker", 6, exit.OK, "goes from 2 to 6", 1},
		{"unknown role", func(*world) {}, "nobody", 2, exit.Usage, "the job has no role nobody", 1},
		{"ending", func(w *world) { w.stubborn = true }, "worker", 3, exit.Refused, "the job is ending", 1},
		{"over", func(w *world) { w.finish(view(status.Succeeded, 0), yarn.StateFinished, yarn.FinalSucceeded) }, "worker", 3, exit.Refused, "has ended: only a running job", 0},
		{"master silent", func(w *world) { w.lonely = control.ErrUnreachable }, "worker", 3, exit.Infrastructure, "its master cannot be asked", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var s shown
				if _, err := w.cluster().Submit(t.Context(), prepare(t, aJob()), s.ui()); err != nil {
					t.Fatal(err)
				}
				w.running()
				now := view(status.Running)
				now.Roles = []status.Role{{Name: "chief", Instances: 1}, {Name: "worker", Instances: 2}}
				w.publish(now)
				c.set(w)
				said := ""
				err := w.cluster().Scale(t.Context(), anID, control.ScaleWish{Role: c.role, Count: c.count}, func(line string) { said = line })
				if err != nil {
					said = err.Error()
				}
				if counted := len(w.scaled) == 1 && strings.Contains(w.scaled[0].VCores, "and its scheduler counts vcores"); counted != (c.name == "has too many vcores") {
					t.Errorf("the master was told %+v", w.scaled)
				}
				if exit.Of(err) != c.code || !strings.Contains(said, c.says) || len(w.scaled) != c.asked {
					t.Errorf("exit code %d, asked %v: %s; want %d, %d times, and %q", exit.Of(err), w.scaled, said, c.code, c.asked, c.says)
				}
			})
		})
	}
}
