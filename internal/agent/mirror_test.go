package agent_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/agent"
	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/storage"
	"tfos/internal/supervise"
)

// mirrored is a world whose task has local checkpoints, which are kept in a directory of another
// disk.
func mirrored(t *testing.T) (w *world, here, there string) {
	t.Helper()
	base := t.TempDir()
	conf := filepath.Join(base, "conf.xml")
	if err := os.WriteFile(conf, []byte("<configuration/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	w = newWorld(t, func(o *agent.Options) { o.Storage = storage.Options{Conf: conf} })
	return w, filepath.Join(w.dir, launch.TaskCheckpoints), filepath.Join(base, "models")
}

func startMirrored(inc int, there string) control.Start {
	c := start(inc)
	c.Mirror = &control.Mirror{URI: "file://" + there, Fetch: true, Upload: true}
	c.Env["TFOS_CHECKPOINT_DIR"] = "file://" + there
	return c
}

// put writes a file. Its time is the disk's, not the bubble's.
func put(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// putCheckpoint writes one that TensorFlow saved: of step 300 or 400.
func putCheckpoint(t *testing.T, dir, name string) {
	t.Helper()
	for _, suffix := range []string{".data-00000-of-00001", ".index"} {
		b, err := os.ReadFile("../checkpoint/testdata/v2/" + name + suffix)
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, name+suffix), string(b))
	}
}

func variable(env []string, name string) string {
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

// TestLocalCheckpoints: what is kept is there before the program starts, what it writes last is
// kept before its end is told, and a start in place has what is here.
func TestLocalCheckpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, here, there := mirrored(t)
		putCheckpoint(t, there, "ckpt-3")
		s := w.master()
		c := startMirrored(1, there)
		c.Env["TFOS_RESUME_CHECKPOINT"], c.Env["TFOS_RESUME_STEP"] = "file://"+there+"/ckpt-3", "300"
		s.Start(c)
		w.expect("after start", "run train1", "joined inc=1", "mirror inc=1 fetched ckpt-3 step=300", "started inc=1 pid=100")
		env := w.runner.spec().Env
		for name, want := range map[string]string{"TFOS_CHECKPOINT_DIR": here, "TFOS_RESUME_CHECKPOINT": here + "/ckpt-3", "TFOS_RESUME_STEP": "300"} {
			if got := variable(env, name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		putCheckpoint(t, here, "ckpt-4")
		w.runner.newest().end(supervise.Exit{Ended: job.Ended{Code: 1}})
		w.expect("after the end", "mirror inc=1 uploaded ckpt-4 step=400", "exited inc=1 code=1 ")
		s.Start(startMirrored(2, there))
		w.expect("in place", "run train2", "started inc=2 pid=101")
		if got := variable(w.runner.spec().Env, "TFOS_RESUME_STEP"); got != "400" {
			t.Errorf("it goes on from step %q", got)
		}
		put(t, filepath.Join(here, "state.pkl"), "s")
		time.Sleep(5 * time.Second)
		w.expect("while it runs", "mirror inc=2 uploaded state.pkl step=-1")
		w.end()
		w.expect("told to end at once", "stop 101 200ms", "left closed")
	})
}

// TestStopFlushes: between the order to stop and the end of the grace period what was written last
// is kept.
func TestStopFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, here, there := mirrored(t)
		s := w.master()
		s.Start(startMirrored(1, there))
		w.expect("after start", "run train1", "joined inc=1", "started inc=1 pid=100")
		p := w.runner.newest()
		p.beDeaf()
		s.Stop(control.Stop{Incarnation: 1, Grace: 10 * time.Second})
		synctest.Wait()
		putCheckpoint(t, here, "ckpt-4") // a program that hears SIGTERM saves
		put(t, filepath.Join(here, "state.pkl"), "s")
		p.end(supervise.Exit{Ended: job.Ended{Code: 0, Stopped: true}})
		w.expect("after the end", "stop 100 10s", "mirror inc=1 uploaded ckpt-4 step=400", "mirror inc=1 uploaded state.pkl step=-1", "exited inc=1 code=0 ")
		if _, err := os.Stat(filepath.Join(there, "ckpt-4.index")); err != nil {
			t.Error(err)
		}
		w.end()
	})
}

// TestFlushHasADeadline: where the other filesystem does not answer the program's end is told in
// time, and which checkpoint is lost.
func TestFlushHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, here, there := mirrored(t)
		s := w.master()
		s.Start(startMirrored(1, there))
		w.expect("after start", "run train1", "joined inc=1", "started inc=1 pid=100")
		put(t, there, "a file where the directory was") // and nothing can be made below it
		putCheckpoint(t, here, "ckpt-4")
		began := time.Now()
		s.Stop(control.Stop{Incarnation: 1, Grace: 10 * time.Second})
		time.Sleep(time.Minute)
		synctest.Wait()
		w.mu.Lock()
		said := strings.Join(w.said, "\n")
		w.said = nil
		w.mu.Unlock()
		if !strings.Contains(said, "lost ckpt-4 step=400") || !strings.HasSuffix(said, "exited inc=1 code=143 SIGTERM") {
			t.Errorf("the master was told\n%s", said)
		}
		t.Logf("after %v:\n%s", time.Since(began), said)
		w.end()
	})
}

// TestALostCheckpointIsAFailure: a program that ended well, and whose newest checkpoint nobody can
// have, has not done what the job is for. What it says is in its last words.
func TestALostCheckpointIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, here, there := mirrored(t)
		s := w.master()
		s.Start(startMirrored(1, there))
		w.expect("after start", "run train1", "joined inc=1", "started inc=1 pid=100")
		put(t, there, "a file where the directory was")
		putCheckpoint(t, here, "ckpt-4")
		w.runner.newest().end(supervise.Exit{Ended: job.Ended{Code: 0, Stderr: []string{"done"}}})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		w.mu.Lock()
		said, words := strings.Join(w.said, "\n"), w.exit.Stderr
		w.said = nil
		w.mu.Unlock()
		if !strings.Contains(said, "lost ckpt-4 step=400") || !strings.HasSuffix(said, "exited inc=1 code=1 ") {
			t.Errorf("the master was told\n%s", said)
		}
		want := "tfos: the program ended with exit code 0, but ckpt-4 is lost: it could not be copied to file://" + there + " in time: "
		if len(words) != 2 || words[0] != "done" || !strings.HasPrefix(words[1], want) {
			t.Errorf("its last words were %q, want %q", words, want)
		}
		w.end()
	})
}

// TestAProgramWaitsForItsCheckpoints: a start that is withdrawn while they are fetched is over at
// once, and an agent that cannot get them ends: another node may.
func TestAProgramWaitsForItsCheckpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, there := mirrored(t)
		put(t, there, "no directory")
		s := w.master()
		s.Start(startMirrored(1, there))
		time.Sleep(time.Minute)
		s.Stop(control.Stop{Incarnation: 1, Grace: time.Second})
		synctest.Wait()
		w.mu.Lock()
		said := slices.Clone(w.said)
		w.said = nil
		w.mu.Unlock()
		if last := said[len(said)-1]; last != "exited inc=1 code=143 SIGTERM" {
			t.Errorf("the master was told %q", said)
		}
		s.Start(startMirrored(2, there))
		if err := <-w.ended; err == nil || !strings.Contains(err.Error(), "fetch checkpoints from") {
			t.Errorf("run: %v", err)
		}
	})
}
