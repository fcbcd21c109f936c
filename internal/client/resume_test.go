package client

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/client/exit"
	"tfos/internal/client/stage"
	"tfos/internal/dfs"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

const models = "/models/digits"

// save puts checkpoints of the steps 100, 200 and 300 into the job's directory, as TensorFlow wrote
// them.
func (w *world) save() {
	w.t.Helper()
	files, err := filepath.Glob("testdata/checkpoints/*")
	if err == nil {
		err = w.fs.Mkdir(w.t.Context(), models, 0o755)
	}
	for _, f := range files {
		b, readErr := os.ReadFile(f)
		err = errors.Join(err, readErr, dfs.WriteFile(w.t.Context(), w.fs, path.Join(models, filepath.Base(f)), b, 0o644))
	}
	if err != nil || len(files) == 0 {
		w.t.Fatal(files, err)
	}
}

// damage changes one byte of a file, from the end.
func (w *world) damage(name string) {
	w.t.Helper()
	b, err := stage.ReadSmall(w.t.Context(), w.fs, name)
	if err == nil {
		b[len(b)-1] ^= 1
		err = dfs.WriteFile(w.t.Context(), w.fs, name, b, 0o644)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// ran runs a job with a file and a packed directory to its end.
func (w *world) ran(state yarn.ApplicationState) {
	w.t.Helper()
	dir := w.t.TempDir()
	writeFile(w.t, path.Join(dir, "train.py"), "print()")
	if err := os.Mkdir(path.Join(dir, "lib"), 0o755); err != nil {
		w.t.Fatal(err)
	}
	writeFile(w.t, path.Join(dir, "lib", "x.py"), "x = 1")
	j := aJob()
	j.Checkpoint.Dir = "hdfs://" + models
	j.Files = []job.File{{Source: path.Join(dir, "train.py"), Name: "train.py"}, {Source: path.Join(dir, "lib"), Name: "lib"}}
	var s shown
	if _, err := w.cluster().Submit(w.t.Context(), prepare(w.t, j), s.ui()); err != nil {
		w.t.Fatal(err)
	}
	r := w.apps[anID]
	r.State = state
	w.apps[anID] = r
}

// again is what tfos resume APP does.
func (w *world) again(s *shown, overlay job.Overlay) (*Prepared, error) {
	c := w.cluster()
	e, err := c.Earlier(w.t.Context(), anID)
	if err != nil {
		return nil, err
	}
	j, err := job.Parse(launch.JobFile, e.File, overlay)
	if err != nil {
		return nil, err
	}
	if err := c.Reuse(w.t.Context(), e, &j, overlay); err != nil {
		return nil, err
	}
	p := prepare(w.t, j)
	if err := c.Resume(w.t.Context(), p, e, s.ui()); err != nil {
		return nil, err
	}
	_, err = c.Submit(w.t.Context(), p, s.ui())
	return p, err
}

// TestResume: the newest whole checkpoint, the same files without their being here, and what the
// flags say.
func TestResume(t *testing.T) {
	w := newWorld(t)
	w.save()
	w.ran(yarn.StateKilled)
	w.damage(models + "/ckpt-300.data-00000-of-00001")
	var s shown
	p, err := w.again(&s, job.Overlay{{Flag: "--name", Key: "name", Value: "again"}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Job.Name != "again" || p.Job.Command != aJob().Command {
		t.Errorf("the job is %+v", p.Job)
	}
	b, err := stage.ReadSmall(t.Context(), w.fs, path.Join(launch.JobDir("/user/ann", anID), launch.ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	m, err := launch.ParseManifest(b)
	want := launch.StartPoint{From: anID.String(), Checkpoint: "hdfs://" + models + "/ckpt-200", Step: 200}
	if err != nil || m.Resume == nil || *m.Resume != want {
		t.Errorf("the manifest has %+v, %v; want %+v", m.Resume, err, want)
	}
	archives := map[string]bool{}
	for _, f := range m.Files {
		if !strings.HasPrefix(f.URI, w.fs.URI(launch.CacheDir("/user/ann"))) {
			t.Errorf("%s comes from %s", f.Name, f.URI)
		}
		archives[f.Name] = f.Archive
	}
	if archive, ok := archives["train.py"]; !ok || archive || !archives["lib"] {
		t.Errorf("files, and whether they are archives: %v", archives)
	}
	for _, phrase := range []string{"set aside hdfs:///models/digits/ckpt-300, which is broken: ", "resumes application_1700000000000_0007 from hdfs:///models/digits/ckpt-200 at step 200"} {
		if !strings.Contains(s.err.String(), phrase) {
			t.Errorf("it does not say %q:\n%s", phrase, s.err.String())
		}
	}
	state, err := stage.ReadSmall(t.Context(), w.fs, models+"/checkpoint")
	if err != nil || !strings.HasPrefix(string(state), `model_checkpoint_path: "ckpt-200"`) {
		t.Errorf("the state file says %s, %v", state, err)
	}
	if left := strings.Join(w.left(models), " "); strings.Contains(left, models+"/ckpt-300.index") || !strings.Contains(left, "set-aside/ckpt-300/ckpt-300.index") {
		t.Errorf("left: %s", left)
	}
}

// TestResumeFromWhatCannotBeJudged: the newest checkpoint is of a kind that tfos does not know. The
// job goes on from it, and who resumes it is told.
func TestResumeFromWhatCannotBeJudged(t *testing.T) {
	w := newWorld(t)
	w.save()
	w.ran(yarn.StateKilled)
	b, err := os.ReadFile("../checkpoint/hdf5/testdata/latest.h5")
	if err == nil {
		err = dfs.WriteFile(t.Context(), w.fs, models+"/model-400.h5", b, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	var s shown
	if _, err := w.again(&s, nil); err != nil {
		t.Fatal(err)
	}
	for _, phrase := range []string{"hdfs:///models/digits/model-400.h5 cannot be judged: ", "from hdfs:///models/digits/model-400.h5 at step 400"} {
		if !strings.Contains(s.err.String(), phrase) {
			t.Errorf("it does not say %q:\n%s", phrase, &s.err)
		}
	}
}

// TestJobBesideAnother: who submits a job is told which others have its directory of checkpoints,
// by whatever name, and have not ended.
func TestJobBesideAnother(t *testing.T) {
	w := newWorld(t)
	for i, c := range []struct {
		dir  string
		tags []string
		want bool
	}{
		{"hdfs:///models/a", nil, false}, // the first
		{"hdfs:///models/a", nil, true},
		{"hdfs://nn:8020/models/a", nil, false}, // to this world it is another; a real one resolves it
		{"hdfs:///models/b", nil, false},
		{"/models/a", nil, false},                                              // on each node's disk
		{"hdfs:///models/a", strings.Split("a b c d e f g h i j", " "), false}, // YARN takes no more tags
	} {
		j := aJob()
		j.Checkpoint.Dir, j.Tags = c.dir, c.tags
		var s shown
		if _, err := w.cluster().Submit(t.Context(), prepare(t, j), s.ui()); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(s.err.String(), "has the same checkpoint.dir, "+c.dir); got != c.want {
			t.Errorf("%d: %s: said %v, want %v:\n%s", i, c.dir, got, c.want, &s.err)
		}
		sent := w.sent[len(w.sent)-1]
		r := w.apps[anID]
		r.Tags = sent.Tags
		other := yarn.ApplicationID{ClusterTimestamp: anID.ClusterTimestamp, Sequence: int32(100 + i)}
		r.ID = other
		w.apps[other] = r
		delete(w.apps, anID)
	}
	for id, r := range w.apps {
		r.State = yarn.StateFinished
		w.apps[id] = r
	}
	j := aJob()
	j.Checkpoint.Dir = "hdfs:///models/a"
	var s shown
	if _, err := w.cluster().Submit(t.Context(), prepare(t, j), s.ui()); err != nil || strings.Contains(s.err.String(), "the same checkpoint.dir") {
		t.Errorf("after all have ended: %v\n%s", err, &s.err)
	}
}

// TestOrphansAreTold: a master that was lost with its node leaves no result, by which agents that
// YARN does not reach know that the job is over. Who submits the job again leaves it.
func TestOrphansAreTold(t *testing.T) {
	w := newWorld(t)
	w.fresh = true
	j := aJob()
	j.Checkpoint.Dir = "hdfs:///models/a"
	var s shown
	submit := func() {
		t.Helper()
		if _, err := w.cluster().Submit(t.Context(), prepare(t, j), s.ui()); err != nil {
			t.Fatal(err)
		}
		id := w.sent[len(w.sent)-1].ID
		r := w.apps[id]
		r.Tags = w.sent[len(w.sent)-1].Tags
		w.apps[id] = r
	}
	submit()
	result := path.Join(launch.JobDir("/user/ann", w.sent[0].ID), launch.ResultFile)
	submit()
	if _, err := w.fs.Stat(t.Context(), result); err == nil {
		t.Error("a job that runs has a result")
	}
	r := w.apps[w.sent[0].ID]
	r.State, r.Final, r.Diagnostics = yarn.StateFailed, yarn.FinalFailed, "its master was lost"
	w.apps[w.sent[0].ID] = r
	submit()
	o := w.cluster().outcome(t.Context(), r, status.View{})
	if _, err := w.fs.Stat(t.Context(), result); err != nil || o.Code != exit.Infrastructure || o.View.Diagnostics != "its master was lost" {
		t.Errorf("%v; the outcome is %+v", err, o)
	}
	if _, err := w.fs.Stat(t.Context(), path.Join(launch.JobDir("/user/ann", w.sent[1].ID), launch.ResultFile)); err == nil {
		t.Error("a job that runs has a result")
	}
}

// TestResumeFinishesACopy: the agent of a job with local checkpoints was killed between two
// renames, when it had copied a checkpoint over the one of that name. It is finished and resumed
// from, not taken for a broken one.
func TestResumeFinishesACopy(t *testing.T) {
	w := newWorld(t)
	w.save()
	w.ran(yarn.StateKilled)
	ready := models + "/.tfos-mirror/ready-x"
	index, err := stage.ReadSmall(t.Context(), w.fs, models+"/ckpt-200.index")
	data, readErr := stage.ReadSmall(t.Context(), w.fs, models+"/ckpt-200.data-00000-of-00001")
	if err = errors.Join(err, readErr, w.fs.Mkdir(t.Context(), ready+"/files", 0o755)); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		models + "/ckpt-300.data-00000-of-00001": data, // it has replaced that of the one before; the index is to follow
		ready + "/files/ckpt-300.index":          index,
		ready + "/plan.json":                     []byte(`{"files":["ckpt-300.data-00000-of-00001","ckpt-300.index"]}`),
	} {
		if err := dfs.WriteFile(t.Context(), w.fs, name, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var s shown
	p, err := w.again(&s, job.Overlay{{Flag: "--checkpoint-local", Key: "checkpoint.local", Value: "true"}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Resume.Checkpoint != "hdfs://"+models+"/ckpt-300" || strings.Contains(s.err.String(), "set aside") {
		t.Errorf("it resumes from %+v\n%s", p.Resume, s.err.String())
	}
	if left := strings.Join(w.left(models), " "); strings.Contains(left, "ready-x") || strings.Contains(left, "set-aside") {
		t.Errorf("left: %s", left)
	}
}

// TestNothingToResume: an error that says why, and nothing changes anywhere.
func TestNothingToResume(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(w *world)
		code exit.Code
		says string
	}{
		{"no such application", func(w *world) { w.save() }, exit.Usage, "nothing is kept of it"},
		{"forgotten by YARN and by us", func(w *world) {
			w.ran(yarn.StateFinished)
			delete(w.apps, anID)
			if err := w.fs.Remove(w.t.Context(), launch.JobsDir("/user/ann"), true); err != nil {
				w.t.Fatal(err)
			}
		}, exit.Usage, "nothing is kept of it"},
		{"still running", func(w *world) { w.save(); w.ran(yarn.StateRunning) }, exit.Usage, "has not ended, it is running"},
		{"somebody else's", func(w *world) {
			w.ran(yarn.StateFinished)
			r := w.apps[anID]
			r.User = "bob"
			w.apps[anID] = r
		}, exit.Refused, "is bob's"},
		{"no file in the cache", func(w *world) {
			w.save()
			w.ran(yarn.StateFailed)
			if err := w.fs.Remove(w.t.Context(), launch.CacheDir("/user/ann"), true); err != nil {
				w.t.Fatal(err)
			}
		}, exit.Usage, "ran with a file train.py that is no longer at memory:///user/ann/.tfos/cache/"},
		{"no checkpoint", func(w *world) { w.ran(yarn.StateFailed) }, exit.Usage, "there is no checkpoint in hdfs:///models/digits"},
		{"no whole checkpoint", func(w *world) {
			w.save()
			w.ran(yarn.StateFailed)
			for _, n := range []string{"100", "200", "300"} {
				w.damage(models + "/ckpt-" + n + ".data-00000-of-00001")
			}
		}, exit.Usage, "no checkpoint in hdfs:///models/digits is whole, of 3"},
		{"the ResourceManager is down", func(w *world) { w.down = errors.New("refused") }, exit.Infrastructure, "no answer from the ResourceManager"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.make(w)
			sent, before := len(w.sent), strings.Join(w.left("/"), "\n")
			var s shown
			_, err := w.again(&s, nil)
			if err == nil || exit.Of(err) != c.code || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, code %d; want code %d and %q", err, exit.Of(err), c.code, c.says)
			}
			if after := strings.Join(w.left("/"), "\n"); after != before || len(w.sent) != sent {
				t.Errorf("it submitted %d, and left\n%s\nwhere was\n%s", len(w.sent)-sent, after, before)
			}
		})
	}
	w := newWorld(t)
	var s shown
	if err := w.cluster().Resume(t.Context(), prepare(t, aJob()), nil, s.ui()); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "no directory of checkpoints") {
		t.Errorf("a job without checkpoint.dir: %v", err)
	}
}

// TestResumeAtTheVeryEnd: tfos status has said how the job ended, and YARN says so a moment later.
func TestResumeAtTheVeryEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.save()
		w.ran(yarn.StateRunning)
		w.write(launch.ResultFile, status.View{})
		time.AfterFunc(3*time.Second, func() {
			defer w.lock()()
			r := w.apps[anID]
			r.State = yarn.StateFailed
			w.apps[anID] = r
		})
		var s shown
		if _, err := w.again(&s, nil); err != nil {
			t.Error(err)
		}
	})
}

// TestResumeWithFiles: what is given anew is used, the rest is of the job before.
func TestResumeWithFiles(t *testing.T) {
	w := newWorld(t)
	w.save()
	w.ran(yarn.StateFinished)
	file := path.Join(t.TempDir(), "train.py")
	writeFile(t, file, "print(2)")
	var s shown
	p, err := w.again(&s, job.Overlay{{Flag: "--files", Key: "files", Value: file}})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Job.Files) != 1 || p.Job.Files[0].Source != file || len(p.Job.Archives) != 0 {
		t.Errorf("files %v, archives %v", p.Job.Files, p.Job.Archives)
	}
}
