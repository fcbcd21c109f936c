package am

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/checkpoint"
	"tfos/internal/control"
	"tfos/internal/dfs"
	"tfos/internal/job"
)

// oneFS resolves every URI to one filesystem.
type oneFS struct{ fs dfs.FS }

func (o oneFS) Resolve(_ context.Context, uri string) (dfs.FS, string, error) {
	return o.fs, strings.TrimPrefix(uri, "hdfs://"), nil
}

// save writes a checkpoint into /m as TensorFlow did; damaged in a tensor if damage is not 0.
func (w *world) save(step int, damage byte) {
	files, err := filepath.Glob(fmt.Sprintf("../client/testdata/checkpoints/ckpt-%d.*", step))
	for _, f := range files { // the data, then the index
		b, readErr := os.ReadFile(f)
		if strings.Contains(f, ".data") {
			b[len(b)-1] ^= damage
		}
		out, createErr := w.fs.Create(w.ctx, path.Join("/m", filepath.Base(f)), dfs.CreateOptions{Overwrite: true})
		if err = errors.Join(err, readErr, createErr); err != nil {
			break
		}
		_, err = out.Write(b)
		err = errors.Join(err, out.Close())
	}
	if err != nil || len(files) != 2 {
		w.t.Error(files, err)
	}
}

// says has a task report a step.
func (w *world) says(t job.Task, inc job.Incarnation, step int64) {
	w.tells(t, control.Progress{Incarnation: inc, Step: step, Steps: 400, Counted: step})
}

// tells has a task's agent tell how far its program is.
func (w *world) tells(t job.Task, p control.Progress) {
	w.mu.Lock()
	all := w.places[t]
	link := all[len(all)-1].link
	w.mu.Unlock()
	link.Progress(p)
}

const saving = digits + "checkpoint: {dir: \"hdfs:///m\"}\n"

// TestBrokenCheckpointIsNotRestored: the chief fails after its newest checkpoint was damaged. The
// one before it is found, what that cost is said, and the broken one is kept aside.
func TestBrokenCheckpointIsNotRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plan{}
		w := newWorld(t, p.programs())
		if err := w.fs.Mkdir(t.Context(), "/m", 0o755); err != nil {
			t.Fatal(err)
		}
		p["chief/0#1"] = func(task job.Task, inc job.Incarnation, _ <-chan struct{}) control.Exited {
			time.Sleep(time.Minute)
			w.save(100, 0)
			time.Sleep(time.Minute)
			w.save(200, 1)
			time.Sleep(10 * time.Second)
			w.says(task, inc, 240)
			return control.Exited{Incarnation: inc, Ended: job.Ended{Code: 1}}
		}
		p["chief/0#2"] = after(3*time.Minute, 0)
		v := w.succeeded(t, saving)
		chief := job.Task{Role: "chief"}
		env := w.starts[chief].Env
		if env["TFOS_RESUME_CHECKPOINT"] != "hdfs:///m/ckpt-100" || env["TFOS_RESUME_STEP"] != "100" {
			t.Errorf("the chief was started with %q, step %q", env["TFOS_RESUME_CHECKPOINT"], env["TFOS_RESUME_STEP"])
		}
		r := v.Restarts[0]
		if r.Task != "chief/0" || r.Step != 240 || r.ResumedStep == nil || *r.ResumedStep != 100 || r.LostSteps != 140 {
			t.Errorf("the restart is %+v", r)
		}
		if len(v.Checkpoints) != 1 || v.Checkpoints[0].Path != "hdfs:///m/ckpt-100" || v.Checkpoints[0].Verdict != "whole" || v.Checkpoints[0].By != "chief/0" {
			t.Errorf("checkpoints %+v", v.Checkpoints)
		}
		if _, err := w.fs.Stat(t.Context(), "/m/set-aside/ckpt-200/ckpt-200.index"); err != nil {
			t.Error(err)
		}
	})
}

// TestStuckJobEnds: a program that fails at the same step again and again ends the job, although
// its budget is large.
func TestStuckJobEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plan{}
		w := newWorld(t, p.programs())
		for inc := range 9 {
			p[fmt.Sprintf("chief/0#%d", inc+1)] = func(task job.Task, inc job.Incarnation, _ <-chan struct{}) control.Exited {
				time.Sleep(time.Minute)
				w.says(task, inc, 240)
				return control.Exited{Incarnation: inc, Ended: job.Ended{Code: 1, Stderr: []string{"ValueError: bad shard"}}}
			}
		}
		if err := w.train(saving + "recovery: {user-failures: 100}\n"); err != nil {
			t.Fatal(err)
		}
		v := w.result()
		if *v.ExitCode != 1 || len(v.Restarts) != 2 || !strings.Contains(v.Diagnostics, "Two restarts in a row brought no new step: the training has not come beyond step 240") {
			t.Errorf("exit code %d after %d restarts: %s", *v.ExitCode, len(v.Restarts), v.Diagnostics)
		}
		if got := v.Restarts[1]; got.ResumedStep == nil || *got.ResumedStep != 0 || got.LostSteps != 240 {
			t.Errorf("it started over: %+v", got)
		}
	})
}

// TestGuessedStepsEndNothing: what a program prints of its phases looks like steps. It may fail as
// often as the budget says, and go on.
func TestGuessedStepsEndNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plan{}
		w := newWorld(t, p.programs())
		for inc := range 4 {
			p[fmt.Sprintf("chief/0#%d", inc+1)] = func(task job.Task, inc job.Incarnation, _ <-chan struct{}) control.Exited {
				time.Sleep(time.Minute)
				w.tells(task, control.Progress{Incarnation: inc, Step: 3, Steps: 3}) // "Step 3/3: train"
				return control.Exited{Incarnation: inc, Ended: job.Ended{Code: 7, Stderr: []string{"ValueError: bad shard"}}}
			}
		}
		p["chief/0#5"] = after(time.Minute, 0)
		v := w.succeeded(t, saving+"recovery: {user-failures: 10}\n")
		if len(v.Restarts) != 4 || v.Restarts[3].Step != 3 || v.Restarts[3].Why != "exit code 7: ValueError: bad shard" {
			t.Errorf("want four restarts at what looks like step 3, and why: %+v", v.Restarts)
		}
	})
}

// TestLocalCheckpoints: the leader's agent is told where to keep its checkpoints, and what it says
// of them is in the status.
func TestLocalCheckpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plan{}
		w := newWorld(t, p.programs())
		chief := job.Task{Role: "chief"}
		p["chief/0#1"] = func(_ job.Task, inc job.Incarnation, _ <-chan struct{}) control.Exited {
			link := w.places[chief][0].link
			link.Mirror(control.MirrorNews{Incarnation: inc, News: checkpoint.News{What: "fetched", Checkpoint: "ckpt-1", Step: 100, Bytes: 7, Took: time.Second}})
			link.Mirror(control.MirrorNews{Incarnation: inc, News: checkpoint.News{What: "failing", Step: -1, Problem: "no NameNode answers"}})
			link.Mirror(control.MirrorNews{Incarnation: inc, News: checkpoint.News{What: "works again", Step: -1}})
			link.Mirror(control.MirrorNews{Incarnation: inc, News: checkpoint.News{What: "uploaded", Checkpoint: "ckpt-2", Step: 200, Bytes: 8, Took: time.Second}})
			link.Mirror(control.MirrorNews{Incarnation: inc, News: checkpoint.News{What: "lost", Checkpoint: "ckpt-3", Step: 300, Problem: "no time was left"}})
			return control.Exited{Incarnation: inc}
		}
		v := w.succeeded(t, digits+"checkpoint: {dir: \"hdfs:///m\", local: true}\n")
		if m := w.starts[chief].Mirror; m == nil || m.URI != "hdfs:///m" || !m.Fetch || !m.Upload {
			t.Errorf("the chief was told to keep them as %+v", m)
		}
		for _, task := range v.Tasks {
			if task.Role != "chief" {
				continue
			}
			m := task.Mirror
			if m == nil || m.Fetched == nil || m.Fetched.Checkpoint != "ckpt-1" || m.Uploaded == nil || m.Uploaded.Step != 200 || m.Uploads != 1 || m.Problem != "ckpt-3 is lost: no time was left" {
				t.Errorf("its status is %+v", m)
			}
		}
	})
}
