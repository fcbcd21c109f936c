package am

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/launch"
)

// client is a connection of the job's owner to the master.
func (w *world) client(t *testing.T) *control.MasterClient {
	t.Helper()
	f, err := w.fs.Open(t.Context(), "/job/"+launch.MasterFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var m launch.Master
	if err := json.NewDecoder(f).Decode(&m); err != nil {
		t.Fatal(err)
	}
	id, err := w.authority.Issue(control.Subject{Party: control.PartyClient})
	if err != nil {
		t.Fatal(err)
	}
	c, err := control.DialMaster(m.Address, id, w.net.Host("laptop").Dial)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestScale grows and shrinks a job while it trains.
func TestScale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(10*time.Minute, 0)}.programs())
		scale := func(at time.Duration, wish control.ScaleWish, want string) {
			time.AfterFunc(at, func() {
				c := w.client(t)
				defer c.Close()
				a, err := c.Scale(t.Context(), wish)
				if err != nil || !strings.Contains(a.Refused, want) || (want == "") != (a.Refused == "") {
					t.Errorf("%v was answered with %+v, %v; want %q", wish, a, err, want)
				}
			})
		}
		scale(time.Minute, control.ScaleWish{Role: "worker", Count: 3}, "")
		scale(2*time.Minute, control.ScaleWish{Role: "worker", Count: 3}, "")
		scale(3*time.Minute, control.ScaleWish{Role: "ps", Count: 2}, "variables are divided among the 1 tasks of ps")
		scale(4*time.Minute, control.ScaleWish{Role: "nobody", Count: 2}, `no role "nobody"; its roles are chief, worker, ps`)
		scale(5*time.Minute, control.ScaleWish{Role: "worker", Count: 5, VCores: "6 vcores of 5"}, "6 vcores of 5")
		scale(5*time.Minute, control.ScaleWish{Role: "worker", Count: 1}, "")
		v := w.succeeded(t, digits)
		expect(t, "started again", w.again(), nil)
		if v.Generation != 3 || len(v.Tasks) != 3 || v.Roles[1].Instances != 1 {
			t.Errorf("at the end: %+v", v)
		}
		added := job.Task{Role: "worker", Index: 2}
		if n := len(w.places[added]); n != 1 {
			t.Fatalf("%s had %d containers, want 1", added, n)
		}
		if s := w.starts[added]; s.Env["TFOS_INDEX"] != "2" || s.Generation < 2 {
			t.Errorf("it was started with %+v", s)
		}
	})
}

// TestScaleOutlivesTheMaster: a size to which a master has said yes holds though it dies at once,
// and though the filesystem is slow.
func TestScaleOutlivesTheMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(10*time.Minute, 0)}.programs())
		w.fs = slowFS{FS: w.fs, delay: 2 * time.Second}
		w.after(2*time.Minute, func() {
			c := w.client(t)
			defer c.Close()
			if a, err := c.Scale(t.Context(), control.ScaleWish{Role: "worker", Count: 3}); err != nil || a.Refused != "" {
				t.Errorf("the wish was answered with %+v, %v", a, err)
			}
			w.kill()
		})
		v := w.succeeded(t, digits)
		expect(t, "started again", w.again(), nil)
		attempts(t, v, 2)
		if v.Roles[1].Instances != 3 {
			t.Errorf("%d workers are wanted at the end, want 3", v.Roles[1].Instances)
		}
	})
}

// TestScaleWithLocalCheckpoints: a job that was submitted with one worker keeps that one's
// directory, and each other gets what the size that the job has by now asks for, whichever attempt
// of the master starts it.
func TestScaleWithLocalCheckpoints(t *testing.T) {
	for strategy, want := range map[string][]control.Mirror{
		"none": {
			{URI: "hdfs:///m", Fetch: true, Upload: true, Others: "worker"}, {URI: "hdfs:///m/worker-1", Fetch: true, Upload: true},
		},
		"mirrored": {
			{URI: "hdfs:///m", Fetch: true, Upload: true, Shared: true}, {URI: "hdfs:///m", Fetch: true, Shared: true},
		},
	} {
		t.Run(strategy, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end := after(10*time.Minute, 0)
				w := newWorld(t, plan{"worker/0#1": end, "worker/0#2": end, "worker/1#1": end}.programs())
				w.after(time.Minute, func() {
					c := w.client(t)
					defer c.Close()
					if a, err := c.Scale(t.Context(), control.ScaleWish{Role: "worker", Count: 2}); err != nil || a.Refused != "" {
						t.Errorf("the wish was answered with %+v, %v", a, err)
					}
					w.kill()
				})
				w.succeeded(t, "name: one\ncommand: train\nroles: {worker: {}}\nstrategy: "+strategy+"\ncheckpoint: {dir: \"hdfs:///m\", local: true}\n")
				for i, m := range want {
					got := w.starts[job.Task{Role: "worker", Index: i}].Mirror
					if got == nil || *got != m {
						t.Errorf("worker/%d: %+v, want %+v", i, got, m)
					}
				}
			})
		})
	}
}
