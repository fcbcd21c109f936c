package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/client/exit"
	"tfos/internal/client/stage"
	"tfos/internal/client/term"
	"tfos/internal/control"
	"tfos/internal/dfs"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

// view is the job with its two tasks in one state.
func view(s status.State, code ...int) status.View {
	v := status.View{ID: anID.String(), Name: "digits", State: s, User: "ann", Queue: "ml", Generation: 1, Started: time.Now(),
		Tasks: []status.Task{
			{Role: "chief", Incarnation: 1, State: s, Node: "nm1", Container: "c1", PID: 11, Agent: "nm1:1"},
			{Role: "worker", Incarnation: 1, State: s, Node: "nm2", Container: "c2", PID: 12, Agent: "nm2:1"},
		}}
	if len(code) > 0 {
		now := time.Now()
		v.ExitCode, v.Finished = &code[0], &now
	}
	return v
}

// shown is what Run wrote.
type shown struct{ out, err bytes.Buffer }

func (s *shown) ui() UI {
	return term.NewPlain(&s.out, &s.err, func() time.Time { return time.Now().UTC() })
}

var uploadedRE = regexp.MustCompile(`uploaded \S+ \S+ of \S+ \S+ `)

func TestRunFollowsAJobToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.logs["nm1:1 stdout"] = &growing{changed: make(chan struct{}), breaks: []int64{10}}
		w.script(
			w.running,
			func() { w.publish(view(status.Starting)) },
			func() { w.publish(view(status.Running)) },
			func() { w.print("nm1:1", control.Stdout, "epoch 1\nepo") },
			func() { w.print("nm1:1", control.Stdout, "ch 2\n") },
			func() { w.print("nm1:1", control.Stderr, "a warning\n") },
			func() {
				w.print("nm1:1", control.Stdout, "accuracy 0.97") // without an end
				w.leave("nm1:1")
				w.finish(view(status.Succeeded, 0), yarn.StateFinished, yarn.FinalSucceeded)
			})
		var s shown
		if err := w.cluster().Run(t.Context(), prepare(t, aJob()), s.ui(), RunOptions{}); err != nil {
			t.Fatal(err)
		}
		if got, want := s.out.String(), "epoch 1\nepoch 2\na warning\naccuracy 0.97\n"; got != want {
			t.Errorf("stdout %q, want %q", got, want)
		}
		want := `
00:00:00 uploaded SIZE of SIZE to memory:///user/ann/.tfos/cache in 0.0 s
00:00:00 application_1700000000000_0007 submitted: digits
00:00:00 accepted in queue ml, waiting for the master's container
00:00:01 master running on nm1
00:00:02 chief/0 starting on nm1
00:00:02 worker/0 starting on nm2
00:00:02 cluster_spec 1 published: 1 chief, 1 worker
00:00:03 chief/0 running on nm1, pid 11
00:00:03 worker/0 running on nm2, pid 12
00:00:07 chief/0 succeeded
00:00:07 worker/0 succeeded
00:00:07 digits (application_1700000000000_0007) succeeded in 7.0 s
`
		got := "\n" + uploadedRE.ReplaceAllString(s.err.String(), "uploaded SIZE of SIZE ") // the Python modules count too
		if got != want {
			t.Errorf("stderr %s\nwant %s", got, want)
		}
	})
}

// TestClusterThatForgets: where the ResourceManager would die of an application that keeps its
// containers, none are kept, and the person hears what that costs.
func TestClusterThatForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.cluster()
		c.Forgets = true
		w.script(func() { w.finish(view(status.Succeeded, 0), yarn.StateFinished, yarn.FinalSucceeded) })
		var s shown
		if err := c.Run(t.Context(), prepare(t, aJob()), s.ui(), RunOptions{}); err != nil {
			t.Fatal(err)
		}
		var unfollowed shown
		if _, err := c.SubmitOnly(t.Context(), prepare(t, aJob()), unfollowed.ui(), RunOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, said := range []string{s.err.String(), unfollowed.err.String()} {
			if w.sent[0].KeepContainers || !strings.Contains(said, "every task starts anew from the newest checkpoint") {
				t.Errorf("containers are kept: %v\n%s", w.sent[0].KeepContainers, said)
			}
		}
	})
}

// TestSubmissionCountsAddressSpace: where YARN checks virtual memory, a container must hold what a
// process of Go maps.
func TestSubmissionCountsAddressSpace(t *testing.T) {
	w := newWorld(t)
	j := aJob()
	j.Roles[1].MemoryMiB, j.Roles[1].Command = 512, "./train.sh"
	c := w.cluster()
	c.VirtualRatio = 2.1
	var s shown
	submitted, err := c.Submit(t.Context(), prepare(t, j), s.ui())
	if err != nil {
		t.Fatal(err)
	}
	if master, worker := w.sent[0].Resource.MemoryMiB, submitted.Job.Roles[1].MemoryMiB; master != 704 || worker != 1216 {
		t.Errorf("master %d, worker %d MiB", master, worker)
	}
	for _, want := range []string{"role worker gets 1216 MiB of memory instead of 512", "role chief gets 2048 MiB of memory instead of 1024"} {
		if !strings.Contains(s.err.String(), want) {
			t.Errorf("stderr %s\nwant %q", s.err.String(), want)
		}
	}

	w = newWorld(t)
	w.since32 = true
	c = w.cluster()
	c.VirtualRatio, c.OldVirtual = 2.1, true
	if submitted, err = c.Submit(t.Context(), prepare(t, j), s.ui()); err != nil {
		t.Fatal(err)
	}
	if master, worker := w.sent[0].Resource.MemoryMiB, submitted.Job.Roles[1].MemoryMiB; master != 512 || worker != 512 {
		t.Errorf("on a cluster that does not check: master %d, worker %d MiB", master, worker)
	}
}

func TestSubmissionIsWhatTheMasterNeeds(t *testing.T) {
	w := newWorld(t)
	j := aJob()
	dir := t.TempDir()
	writeFile(t, path.Join(dir, "train.py"), "print()")
	j.Files = []job.File{{Source: path.Join(dir, "train.py"), Name: "train.py"}}
	p := prepare(t, j)
	var s shown
	if _, err := w.cluster().Submit(t.Context(), p, s.ui()); err != nil {
		t.Fatal(err)
	}
	sub := w.sent[0]
	if got := strings.Join(sub.Launch.Command, " "); got != "./tfos-am 1><LOG_DIR>/stdout 2><LOG_DIR>/stderr" {
		t.Errorf("command %q", got)
	}
	if sub.Type != "TFOS" || !sub.KeepContainers || sub.MaxAttempts != launch.MasterAttempts || sub.AttemptWindow != launch.MasterWindow || sub.Queue != "ml" || sub.Resource.MemoryMiB != 512 {
		t.Errorf("submission %+v", sub)
	}
	staging := launch.JobDir("/user/ann", anID)
	if got := sub.Launch.Env[launch.EnvStaging]; got != w.fs.URI(staging) || sub.Launch.Env[launch.EnvApplication] != anID.String() {
		t.Errorf("environment %v", sub.Launch.Env)
	}
	for _, name := range []string{launch.MasterBinary, launch.JobFile, launch.ManifestFile, launch.ConfFile} {
		f, ok := sub.Launch.Files[name]
		if !ok {
			t.Errorf("the master is not given %s", name)
			continue
		}
		info, err := w.fs.Stat(t.Context(), strings.TrimPrefix(f.URI, "memory://"))
		if err != nil || info.Size != f.Size || !info.ModTime.Equal(f.ModTime) {
			t.Errorf("%s: told %d bytes of %v, is %+v, %v", name, f.Size, f.ModTime, info, err)
		}
	}
	if _, ok := sub.Launch.Files[launch.ClientKeyFile]; ok {
		t.Error("the client's key went to the cluster's disks")
	}
	for name, mode := range map[string]string{staging: "drwx------", path.Join(staging, launch.ClientKeyFile): "-rw-------"} {
		if info, err := w.fs.Stat(t.Context(), name); err != nil || info.Mode.String() != mode {
			t.Errorf("%s has mode %v, want %s (%v)", name, info.Mode, mode, err)
		}
	}
	b, err := w.cluster().readFile(t.Context(), path.Join(staging, launch.ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	m, err := launch.ParseManifest(b)
	if err != nil || m.User != "ann" || m.Staging != staging || m.Agent.Name != launch.TaskAgent {
		t.Errorf("manifest %+v, %v", m, err)
	}
	var names []string
	for _, f := range m.Files {
		names = append(names, f.Name)
	}
	if want := []string{launch.TaskPython, "train.py", launch.TaskConf}; !slices.Equal(names, want) {
		t.Errorf("the tasks are given %q, want %q", names, want)
	}
	if b, err = w.cluster().readFile(t.Context(), path.Join(staging, launch.JobFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := job.Parse(launch.JobFile, b, nil); err != nil {
		t.Errorf("the master could not read the job: %v", err)
	}
}

// TestWhyTheMasterWaits: YARN knows the reason, and people see it, with its numbers, when it is
// there and when it is another one.
func TestWhyTheMasterWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		says := func(text string) {
			defer w.lock()()
			for id, r := range w.apps {
				r.Diagnostics = text
				w.apps[id] = r
			}
		}
		const full = "[Mon Nov 30 01:20:00 +0000 2026] Application is added to the scheduler and is not yet activated. Queue's AM resource limit exceeded.  Details : AM Resource Request = <memory:2048, vCores:1>; Queue AM Resource Usage = "
		nothing := func() {}
		c := w.cluster()
		w.script(
			func() { says(full + "<memory:0, vCores:0>; \n") }, nothing, nothing, nothing, nothing, nothing, nothing,
			func() { says(full + "<memory:512, vCores:1>; \n") }, nothing, nothing,
			func() {
				v, err := c.Status(t.Context(), anID)
				if want := "Queue's AM resource limit exceeded. Details : AM Resource Request = <memory:2048, vCores:1>; Queue AM Resource Usage = <memory:512, vCores:1>;"; err != nil || !strings.Contains(v.Diagnostics, want) {
					t.Errorf("status says %q, %v", v.Diagnostics, err)
				}
			},
			func() { says("[x] AM container is launched, waiting for AM container to Register with RM") }, nothing, nothing, nothing,
			w.running,
			func() { w.finish(view(status.Succeeded, 0), yarn.StateFinished, yarn.FinalSucceeded) })
		var s shown
		if err := c.Run(t.Context(), prepare(t, aJob()), s.ui(), RunOptions{}); err != nil {
			t.Fatal(err)
		}
		var said []string
		for line := range strings.Lines(s.err.String()) {
			if _, what, ok := strings.Cut(line, "YARN says: "); ok {
				said = append(said, strings.TrimSpace(what))
			}
		}
		if len(said) != 2 || !strings.Contains(said[0], "limit exceeded. Details : AM Resource Request = <memory:2048, vCores:1>") || !strings.HasPrefix(said[1], "AM container is launched") {
			t.Errorf("it was told %q", said)
		}
	})
}

// TestAQueueThatIsNotListed: placement rules put a job where its user's queue is, or make one. The
// ResourceManager decides, and where it put the job, or an administrator moved it, is the job's
// queue.
func TestAQueueThatIsNotListed(t *testing.T) {
	w := newWorld(t)
	w.verdict = func(r *yarn.Report) { r.Queue = "root.users.ann" }
	w.queues = append(w.queues, "nobody's")
	w.limits = map[string]int64{"nobody's": 1} // that is not where it goes
	j := aJob()
	j.Queue = "nobody's"
	var seen shown
	s, err := w.cluster().Submit(t.Context(), prepare(t, j), seen.ui())
	if err != nil {
		t.Fatal(err)
	}
	w.running()
	told := view(status.Running)
	told.Queue = "nobody's" // as the job file has it
	w.publish(told)
	v, err := w.cluster().Status(t.Context(), s.ID)
	if err != nil || v.Queue != "root.users.ann" {
		t.Errorf("status says queue %q, %v", v.Queue, err)
	}
}

// rejects sets up a ResourceManager that takes a submission, and then says why it does not.
func rejects(why string) func(*world) {
	return func(w *world) {
		w.verdict = func(r *yarn.Report) {
			r.State, r.Attempt, r.Diagnostics = yarn.StateFailed, yarn.AttemptID{}, why
		}
	}
}

// TestRefusals are jobs that end before they begin: the code, the words, and nothing left.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		job    func(*job.Job)
		world  func(*world)
		refuse func(op, name string) error
		code   exit.Code
		says   string
	}{
		{name: "unknown queue, and no rule that places it", job: func(j *job.Job) { j.Queue = "nope" }, world: rejects("submitted by user ann to unknown queue: nope"), code: exit.Refused, says: "the cluster refused digits in queue \"nope\": submitted by user ann to unknown queue: nope\n  the cluster has root.dept.a, root.dept.b, root.auto, root.default, root.ml; choose with --queue"},
		{name: "a parent queue", job: func(j *job.Job) { j.Queue = "dept" }, world: rejects("submitted by user : ann to non-leaf queue : dept"), code: exit.Refused, says: "\n  queue root.dept is divided into others: use one of root.dept.a, root.dept.b"},
		{name: "a parent queue, without a right to it", job: func(j *job.Job) { j.Queue = "root.dept" }, world: rejects("User ann does not have permission to submit application_1_7 to queue root.dept"), code: exit.Refused, says: "use one of root.dept.a, root.dept.b"},
		{name: "a parent queue without queues", job: func(j *job.Job) { j.Queue = "root.auto" }, world: rejects("root.auto is not a leaf queue"), code: exit.Refused, says: "\n  queue root.auto is there for queues below it, and has none yet: name one as in root.auto.ann"},
		{name: "a stopped queue", job: func(j *job.Job) { j.Queue = "b" }, world: rejects("Queue root.dept.b is STOPPED. Cannot accept submission of application: x"), code: exit.Refused, says: "\n  queue root.dept.b is stopped: use another one, or ask an administrator to start it"},
		{name: "no queue named, and no rule", job: func(j *job.Job) { j.Queue = "" }, world: rejects("rejected by queue placement policy"), code: exit.Refused, says: "the cluster refused digits: rejected by queue placement policy\n  the cluster has root.dept.a"},
		{name: "more than the queue where YARN put it may have", job: func(j *job.Job) { j.Queue = "" }, world: func(w *world) {
			w.limits = map[string]int64{"ml": 1024}
			w.verdict = func(r *yarn.Report) { r.Queue = "ml" }
		}, code: exit.Refused, says: `queue "root.ml" may never have more than 6 % of the cluster, 1 GiB of memory`},
		{name: "more memory than any node has", job: func(j *job.Job) { j.Roles[1].MemoryMiB = 9 << 10 },
			world: func(w *world) { w.max.MemoryMiB = 1 << 20 }, code: exit.Refused, says: "role worker asks for 9 GiB of memory, more than any node has: the largest of 2 running nodes has 8 GiB"},
		{name: "more memory than is granted", job: func(j *job.Job) { j.Roles[1].MemoryMiB = 9 << 10 }, code: exit.Refused, says: "more than any container may have here: 8 GiB"},
		{name: "unknown GPU", job: func(j *job.Job) { j.Roles[1].GPUs = 1 }, code: exit.Refused, says: "does not count \"yarn.io/gpu\"; it knows memory-mb, vcores\n  YARN would quietly grant containers without it: leave it out (roles.worker.gpus in the job file, or --worker-gpus)"},
		{name: "more than the cluster has", job: func(j *job.Job) { j.Roles[1].Instances = 40 }, code: exit.Refused, says: "holds only 16"},
		{name: "unknown label", job: func(j *job.Job) { j.Roles[1].NodeLabel = "gpu" }, code: exit.Refused, says: `no running node has the label "gpu"`},
		{name: "ResourceManager gone", world: func(w *world) { w.down = errors.New("connection refused") }, code: exit.Infrastructure, says: "no answer from the ResourceManager at rm:8032: connection refused\n  is it running"},
		{name: "not ours to use", world: func(w *world) { w.down = fmt.Errorf("x: %w", yarn.ErrUnauthorized) }, code: exit.Refused, says: "the ResourceManager at rm:8032 does not let ann"},
		{name: "rejected after all", world: rejects("queue is full of applications\n\tat java…"), code: exit.Refused, says: "the cluster refused digits in queue \"ml\": queue is full of applications\n  "},
		{name: "no right to submit", world: rejects("User ann does not have permission to submit application_1_7 to queue ml\n\tat java…"), code: exit.Refused, says: "to queue ml\n  ann wants the right to submit to the queue: ask who administers it (acl_submit_applications"},
		{name: "no permission", refuse: func(op, name string) error { return deny(op == "mkdir", fs.ErrPermission) }, code: exit.Refused, says: "no permission"},
		{name: "safe mode", refuse: func(op, _ string) error { return deny(op == "create", dfs.ErrSafeMode) }, code: exit.Refused, says: "safe mode"},
		{name: "full", refuse: func(op, _ string) error { return deny(op == "close", dfs.ErrNoSpace) }, code: exit.Refused, says: "full"},
		{name: "full for the job's own files", refuse: func(op, name string) error {
			return deny(op == "close" && strings.HasSuffix(name, launch.ManifestFile), dfs.ErrNoSpace)
		}, code: exit.Refused, says: "cannot write memory:///user/ann/.tfos/jobs/application_1700000000000_0007/manifest.json: the filesystem is full"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.refuse != nil {
				w.fs = dfs.NewMemory(dfs.MemoryOptions{User: "ann", Refuse: func(op, name string) error {
					if !strings.Contains(name, launch.Root) {
						return nil
					}
					return c.refuse(op, name)
				}})
				if err := w.fs.Mkdir(t.Context(), "/user/ann", 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if c.world != nil {
				c.world(w)
			}
			j := aJob()
			if c.job != nil {
				c.job(&j)
			}
			var s shown
			err := w.cluster().Run(t.Context(), prepare(t, j), s.ui(), RunOptions{})
			if err == nil || exit.Of(err) != c.code || !strings.Contains(err.Error(), c.says) {
				t.Errorf("code %d: %v\nwant code %d and %q", exit.Of(err), err, c.code, c.says)
			}
			if left := w.leftOfJob(); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			if c.refuse == nil && w.verdict == nil && len(w.left("/user/ann")) > 0 {
				t.Errorf("uploaded before the cluster was asked: %q", w.left("/user/ann"))
			}
			if strings.Contains(s.out.String(), "application_") {
				t.Errorf("stdout %q", s.out.String())
			}
		})
	}
}

func deny(when bool, err error) error {
	if when {
		return err
	}
	return nil
}

func TestRunEndsWithTheJobsResult(t *testing.T) {
	failed := func(code int, why string) status.View {
		v := view(status.Failed, code)
		v.Diagnostics = why
		return v
	}
	for _, c := range []struct {
		name string
		end  func(w *world)
		code exit.Code
		says string
	}{
		{"the program failed", func(w *world) {
			w.finish(failed(1, "worker/0 exited with code 3"), yarn.StateFinished, yarn.FinalFailed)
		}, exit.JobFailed, "digits (application_1700000000000_0007) failed after 2.0 s: worker/0 exited with code 3\n  tfos logs application_1700000000000_0007 shows every task's output"},
		{"infrastructure failed", func(w *world) {
			w.finish(failed(4, "no containers"), yarn.StateFinished, yarn.FinalFailed)
		}, exit.Infrastructure, "no containers"},
		{"the master was too large", func(w *world) {
			w.end(anID, yarn.StateFailed, yarn.FinalFailed, "Application x failed 2 times due to AM Container for appattempt_1700000000000_0007_000002 exited with  exitCode: -103\nFailing this attempt.")
		}, exit.Infrastructure, "the master's container was killed beyond virtual memory limits (exit status -103), for its address space: give it more (master.memory)"},
		{"the master died", func(w *world) {
			defer w.lock()()
			w.end(anID, yarn.StateFailed, yarn.FinalFailed, "AM Container exited with exitCode: 137")
		}, exit.Infrastructure, "AM Container exited with exitCode: 137"},
		{"killed by an administrator", func(w *world) {
			defer w.lock()()
			w.end(anID, yarn.StateKilled, yarn.FinalKilled, "killed by root")
		}, exit.Killed, "was killed after 1.0 s: killed by root"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.script(func() { w.running(); w.publish(view(status.Running)); w.leave("nm1:1") }, func() { c.end(w) })
				var s shown
				err := w.cluster().Run(t.Context(), prepare(t, aJob()), s.ui(), RunOptions{})
				if err == nil || exit.Of(err) != c.code || !strings.Contains(err.Error(), c.says) {
					t.Errorf("code %d: %v\nwant code %d and %q", exit.Of(err), err, c.code, c.says)
				}
			})
		})
	}
}

func TestInterruptLeavesTheJobOrStopsIt(t *testing.T) {
	for _, stop := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			w.script(func() { w.running(); w.publish(view(status.Running)) }, func() { cancel(ErrInterrupted) })
			var s shown
			err := w.cluster().Run(ctx, prepare(t, aJob()), s.ui(), RunOptions{KillOnExit: stop})
			if exit.Of(err) != exit.Interrupted || !errors.Is(err, ErrInterrupted) {
				t.Errorf("kill-on-exit %v: code %d, %v", stop, exit.Of(err), err)
			}
			r, _ := w.Report(ctx, anID)
			if r.State.Terminal() != stop || len(w.stopped) > 0 != stop || len(w.killed) > 0 {
				t.Errorf("kill-on-exit %v: state %v, stopped %q, killed %q", stop, r.State, w.stopped, w.killed)
			}
			if !stop && !strings.Contains(err.Error(), "tfos kill "+anID.String()) {
				t.Errorf("no word on how to end the job: %v", err)
			}
			w.mu.Lock()
			w.over = true
			w.wake()
			w.mu.Unlock()
		})
	}
}

func TestInterruptBeforeSubmissionLeavesNothing(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ErrInterrupted)
	var s shown
	err := w.cluster().Run(ctx, prepare(t, aJob()), s.ui(), RunOptions{})
	if exit.Of(err) != exit.Interrupted || len(w.sent) > 0 || len(w.leftOfJob()) > 0 {
		t.Errorf("code %d, %v; submitted %d, left %q", exit.Of(err), err, len(w.sent), w.leftOfJob())
	}
}

func TestALostResourceManagerIsWaitedForAWhile(t *testing.T) {
	for _, c := range []struct {
		away time.Duration
		code exit.Code
	}{{time.Minute, exit.OK}, {6 * time.Minute, exit.Infrastructure}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.script(w.running, func() {
				w.mu.Lock()
				w.down = errors.New("connection refused")
				w.mu.Unlock()
				time.Sleep(c.away)
				w.mu.Lock()
				w.down = nil
				w.mu.Unlock()
			}, func() { w.finish(view(status.Succeeded, 0), yarn.StateFinished, yarn.FinalSucceeded) })
			var s shown
			err := w.cluster().Run(t.Context(), prepare(t, aJob()), s.ui(), RunOptions{})
			if exit.Of(err) != c.code {
				t.Errorf("away for %v: code %d, %v", c.away, exit.Of(err), err)
			}
			time.Sleep(c.away) // the script ends
		})
	}
}

func TestLogOfAJobThatWasOverAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.script(func() { w.finish(view(status.Succeeded, 0), yarn.StateFinished, yarn.FinalSucceeded) }, func() {
			defer w.lock()() // logs are collected a while later
			w.kept["c1/stdout"], w.kept["c1/stderr"] = "hello\n", ""
		})
		var s shown
		if err := w.cluster().Run(t.Context(), prepare(t, aJob()), s.ui(), RunOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := s.out.String(); got != "hello\n" {
			t.Errorf("stdout %q", got)
		}
	})
}

// TestOutputThatCannotBeHadIsNotSilence: nobody takes an empty output for what a task wrote.
func TestOutputThatCannotBeHadIsNotSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.script(func() { w.finish(view(status.Succeeded, 0), yarn.StateFinished, yarn.FinalSucceeded) })
		var s shown
		began := time.Now()
		if err := w.cluster().Run(t.Context(), prepare(t, aJob()), s.ui(), RunOptions{}); err != nil {
			t.Fatal(err)
		}
		if said := s.err.String(); !strings.Contains(said, "the end of chief/0's output cannot be shown") {
			t.Errorf("it says\n%s", said)
		}
		if waited := time.Since(began); waited > 2*logPatience {
			t.Errorf("the output was waited for %s", waited)
		}
	})
}

func TestKill(t *testing.T) {
	for _, c := range []struct {
		name    string
		set     func(w *world)
		says    []string
		stopped int
		killed  int
	}{
		{"in order", func(w *world) {}, []string{"the master stops its tasks", "ended: stopped"}, 1, 0},
		{"stubborn", func(w *world) { w.stubborn = true }, []string{"the master stops its tasks", "did not end within 45s", "killed"}, 1, 1},
		{"unreachable", func(w *world) { w.lonely = control.ErrUnreachable }, []string{"killed"}, 0, 1},
		{"embedded, and ends with its job", func(w *world) { w.vanishes = true }, []string{"the master stops its tasks", "ended: stopped"}, 1, 0},
		{"over", func(w *world) { w.finish(view(status.Succeeded, 0), yarn.StateFinished, yarn.FinalSucceeded) }, []string{"has ended already: succeeded"}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var s shown
				if _, err := w.cluster().Submit(t.Context(), prepare(t, aJob()), s.ui()); err != nil {
					t.Fatal(err)
				}
				w.running()
				c.set(w)
				var said []string
				err := w.cluster().Kill(t.Context(), anID, "enough", func(line string) { said = append(said, line) })
				if err != nil || len(w.stopped) != c.stopped || len(w.killed) != c.killed || len(said) != len(c.says) {
					t.Fatalf("%v; stopped %q, killed %q, said %q", err, w.stopped, w.killed, said)
				}
				for i, want := range c.says {
					if !strings.Contains(said[i], want) {
						t.Errorf("said %q, want %q", said[i], want)
					}
				}
			})
		})
	}
}

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.cluster()
		if _, err := c.Status(t.Context(), anID); exit.Of(err) != exit.Usage {
			t.Errorf("of nothing: %v", err)
		}
		var s shown
		if _, err := c.Submit(t.Context(), prepare(t, aJob()), s.ui()); err != nil {
			t.Fatal(err)
		}
		look := func(want status.State, tasks int) {
			t.Helper()
			v, err := c.Status(t.Context(), anID)
			if err != nil || v.State != want || len(v.Tasks) != tasks || v.ID != anID.String() {
				t.Errorf("%+v, %v; want %s, %d tasks", v, err, want, tasks)
			}
		}
		look(status.Pending, 0)
		w.running()
		look(status.Running, 0) // the master shows nothing yet
		w.publish(view(status.Running))
		look(status.Running, 2)
		w.finish(view(status.Succeeded, 0), yarn.StateFinished, yarn.FinalSucceeded)
		look(status.Succeeded, 2)

		jobs, err := c.List(t.Context(), false)
		if err != nil || len(jobs) != 1 || jobs[0].State != status.Succeeded || jobs[0].Finished == nil {
			t.Errorf("list %+v, %v", jobs, err)
		}
		var seen []status.State
		if err := c.Watch(t.Context(), anID, func(v status.View) error { seen = append(seen, v.State); return nil }); err != nil || !slices.Equal(seen, []status.State{status.Succeeded}) {
			t.Errorf("watched %v, %v", seen, err)
		}
	})
}

func TestStatusOfAJobThatEndsMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.cluster()
		var s shown
		if _, err := c.Submit(t.Context(), prepare(t, aJob()), s.ui()); err != nil {
			t.Fatal(err)
		}
		w.running()
		w.lonely = control.ErrUnreachable // the master has ended, and YARN does not know yet
		w.script(func() { w.finish(view(status.Succeeded, 0), yarn.StateFinished, yarn.FinalSucceeded) })
		if v, err := c.Status(t.Context(), anID); err != nil || v.State != status.Succeeded || len(v.Tasks) != 2 {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

func TestLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.cluster()
		var s shown
		if _, err := c.Submit(t.Context(), prepare(t, aJob()), s.ui()); err != nil {
			t.Fatal(err)
		}
		said := ""
		logs := func(which, stream string, follow bool) (string, error) {
			t.Helper()
			o, err := ParseLogs(which, stream, "", 0, follow)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			o.Note = func(text string) { said = text }
			err = c.CopyLogs(t.Context(), anID, o, &out)
			return out.String(), err
		}
		if _, err := logs("", "", false); exit.Of(err) != exit.Usage {
			t.Errorf("before it started: %v", err)
		}
		w.script(w.running, func() { w.publish(view(status.Running)) })
		w.print("nm1:1", control.Stdout, "one\n")
		early, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		var first bytes.Buffer
		if err := c.CopyLogs(early, anID, LogsOptions{Task: job.Task{Role: "chief"}, Streams: []string{control.Stdout}, Follow: true}, &first); !errors.Is(err, context.DeadlineExceeded) || first.String() != "one\n" {
			t.Errorf("followed from before the start: %q, %v", first.String(), err)
		}
		w.print("nm2:1", control.Stdout, "two\n")
		w.print("nm2:1", control.Stderr, "oops\n")
		if got, err := logs("", "", false); err != nil || got != "==> chief/0 stdout <==\none\n==> worker/0 stdout <==\ntwo\n==> worker/0 stderr <==\noops\n" {
			t.Errorf("all while it runs: %q, %v", got, err)
		}
		if got, err := logs("worker/0", control.Stderr, false); err != nil || got != "oops\n" {
			t.Errorf("one while it runs: %q, %v", got, err)
		}
		if _, err := logs("worker/7", "", false); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "no task worker/7") {
			t.Errorf("of nobody: %v", err)
		}
		w.script(func() { w.print("nm1:1", control.Stdout, "more\n") }, func() {
			w.leave("nm1:1")
			w.leave("nm2:1")
			w.finish(view(status.Succeeded, 0), yarn.StateFinished, yarn.FinalSucceeded)
		})
		got, err := logs("", control.Stdout, true)
		lines := strings.Split(got, "\n")
		slices.Sort(lines)
		if err != nil || !slices.Equal(lines, []string{"", "chief/0 | more", "chief/0 | one", "worker/0 | two"}) {
			t.Errorf("followed: %q, %v", got, err)
		}
		w.kept["c1/stdout"] = "one\nmore\n"
		if got, err := logs("chief/0", control.Stdout, false); err != nil || got != "one\nmore\n" {
			t.Errorf("afterwards: %q, %v", got, err)
		}
		if got, err := logs("", "", false); err != nil || got != "==> chief/0 stdout <==\none\nmore\n" || !strings.Contains(said, "no log of worker/0") {
			t.Errorf("without those of a node: %q, %v; it says %q", got, err, said)
		}
		w.kept["container_1700000000000_0007_01_000001/stderr"] = "am\n"
		if got, err := logs("master", control.Stderr, false); err != nil || !strings.HasSuffix(got, "am\n") {
			t.Errorf("the master's: %q, %v", got, err)
		}
	})
}

// TestARestartedResourceManagerIsNoNews: for seconds it calls a job accepted whose master runs and
// answers. The master's word counts.
func TestARestartedResourceManagerIsNoNews(t *testing.T) {
	restarted := func(w *world, attempt int32) {
		defer w.lock()()
		r := w.apps[anID]
		r.State, r.Host, r.Port, r.Attempt.Attempt = yarn.StateAccepted, "N/A", -1, attempt
		w.apps[anID] = r
	}
	begin := func(t *testing.T) (*world, *Cluster) {
		w := newWorld(t)
		var s shown
		if _, err := w.cluster().Submit(t.Context(), prepare(t, aJob()), s.ui()); err != nil {
			t.Fatal(err)
		}
		w.running()
		w.publish(view(status.Running))
		w.print("nm1:1", control.Stdout, "one\n")
		restarted(w, 1)
		return w, w.cluster()
	}
	synctest.Test(t, func(t *testing.T) {
		w, c := begin(t)
		if v, err := c.Status(t.Context(), anID); err != nil || v.State != status.Running || len(v.Tasks) != 2 {
			t.Errorf("status %+v, %v", v, err)
		}
		if jobs, err := c.List(t.Context(), false); err != nil || len(jobs) != 1 || jobs[0].State != status.Running {
			t.Errorf("list %+v, %v", jobs, err)
		}
		var out bytes.Buffer
		if err := c.CopyLogs(t.Context(), anID, LogsOptions{Task: job.Task{Role: "chief"}, Streams: []string{control.Stdout}}, &out); err != nil || out.String() != "one\n" {
			t.Errorf("logs %q, %v", out.String(), err)
		}
		if err := c.Watch(t.Context(), anID, func(v status.View) error { return fmt.Errorf("%d tasks", len(v.Tasks)) }); err == nil || err.Error() != "2 tasks" {
			t.Errorf("watched %v", err)
		}
		if err := c.Scale(t.Context(), anID, control.ScaleWish{Role: "chief", Count: 1}, func(string) {}); err == nil || !strings.Contains(err.Error(), "has no role chief") { // the master's word
			t.Errorf("scale: %v", err)
		}
		w.down = errors.New("connection refused")
		if v, err := c.Status(t.Context(), anID); err != nil || len(v.Tasks) != 2 {
			t.Errorf("status without a ResourceManager: %+v, %v", v, err)
		}
		w.lonely = control.ErrUnreachable
		if _, err := c.Status(t.Context(), anID); exit.Of(err) != exit.Infrastructure {
			t.Errorf("status without anyone: %v", err)
		}
		w.down = nil
		if v, err := c.Status(t.Context(), anID); err != nil || v.State != status.Running || !strings.Contains(v.Diagnostics, "the ResourceManager has just restarted") {
			t.Errorf("status without the master: %+v, %v", v, err)
		}
		restarted(w, 2) // no restart: the first master died, and the second waits for its container
		if v, err := c.Status(t.Context(), anID); err != nil || v.State != status.Pending || v.Diagnostics != "" {
			t.Errorf("status of a job without a master: %+v, %v", v, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w, c := begin(t)
		if err := c.Kill(t.Context(), anID, "enough", func(string) {}); err != nil || len(w.stopped) != 1 || len(w.killed) != 0 {
			t.Errorf("kill: %v; stopped %q, killed %q", err, w.stopped, w.killed)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.script(w.running, func() { restarted(w, 1) }, w.running, func() { restarted(w, 2) }, func() {
			w.finish(view(status.Succeeded, 0), yarn.StateFinished, yarn.FinalSucceeded)
		})
		var s shown
		if err := w.cluster().Run(t.Context(), prepare(t, aJob()), s.ui(), RunOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"00:00:01 master running on nm1\n00:00:02 the ResourceManager has restarted; the job goes on\n00:00:03 the ResourceManager knows the job's master again\n",
			"00:00:04 the master has ended; attempt 2 waits for its container\n",
		} {
			if !strings.Contains(s.err.String(), want) {
				t.Errorf("no %q in\n%s", want, s.err.String())
			}
		}
	})
}

// TestLogOfATaskThatEndedBeforeTheOthers: the cluster collects it when the job ends. Nobody waits
// for that without a word.
func TestLogOfATaskThatEndedBeforeTheOthers(t *testing.T) {
	for name, ends := range map[string]bool{"the job goes on": false, "the job ends as well": true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			c := w.cluster()
			var s shown
			if _, err := c.Submit(t.Context(), prepare(t, aJob()), s.ui()); err != nil {
				t.Fatal(err)
			}
			w.running()
			v := view(status.Running)
			v.Tasks[1].State, v.Tasks[1].Agent = status.Succeeded, "gone:1"
			w.publish(v)
			w.gone = "gone:1"
			if ends {
				w.script(func() {
					w.kept[v.Tasks[1].Container+"/stdout"] = "two\n"
					w.finish(view(status.Succeeded, 0), yarn.StateFinished, yarn.FinalSucceeded)
				})
			}
			began := time.Now()
			var out bytes.Buffer
			err := c.CopyLogs(t.Context(), anID, LogsOptions{Task: job.Task{Role: "worker"}, Streams: []string{control.Stdout}}, &out)
			switch {
			case ends && (err != nil || out.String() != "two\n"):
				t.Errorf("%s: %q, %v", name, out.String(), err)
			case !ends && (exit.Of(err) != exit.Refused || !strings.Contains(err.Error(), "the container of worker/0 has ended") || time.Since(began) > 5*time.Second):
				t.Errorf("%s: after %v: %v", name, time.Since(began), err)
			}
		})
	}
}

// TestABuiltinProgramIsShipped: the containers of a job that has one get it, those of other jobs do
// not.
func TestABuiltinProgramIsShipped(t *testing.T) {
	for _, c := range []struct {
		roles string
		want  bool
	}{
		{"{worker: {command: x}, ps: {builtin: ps}}", true},
		{"{worker: {command: x}, ps: {command: y}}", false},
	} {
		j, err := job.Parse("job.yaml", []byte("roles: "+c.roles), nil)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for _, name := range []string{launch.MasterBinary, launch.AgentBinary} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		b, err := FindBinaries(dir)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Prepare(j, b, "1.2.3", "info")
		if c.want {
			if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), launch.BuiltinBinary) {
				t.Errorf("without the binary: %v", err)
			}
			if err := os.WriteFile(b.Builtin, []byte("x"), 0o755); err != nil {
				t.Fatal(err)
			}
			p, err = Prepare(j, b, "1.2.3", "info")
		}
		if err != nil {
			t.Fatal(err)
		}
		taken := p.set.Add(stage.Item{Source: "another", Name: launch.TaskBuiltin, Content: []byte("x")})
		if shipped := taken != nil; shipped != c.want {
			t.Errorf("roles %s: shipped %v, want %v", c.roles, shipped, c.want)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestAJobThatWaitsTooLongIsTakenBack: its master never ran, so nobody else looks after its
// timeout.
func TestAJobThatWaitsTooLongIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		j := aJob()
		j.Timeout, j.Retries = 10*time.Minute, 3
		var s, other shown
		c := w.cluster()
		p := prepare(t, j)
		ended := make(chan error)
		go func() {
			time.Sleep(time.Minute)
			ended <- c.Attach(t.Context(), anID, other.ui(), RunOptions{})
		}()
		began := time.Now()
		errs := []error{c.Run(t.Context(), p, s.ui(), RunOptions{}), <-ended}
		for _, err := range errs {
			if exit.Of(err) != exit.TimedOut || !strings.Contains(err.Error(), "waited for its master's container longer than 10m0s and was taken back (timeout)") {
				t.Errorf("ended with %v", err)
			}
		}
		if took := time.Since(began); took < j.Timeout || took > j.Timeout+time.Minute || len(w.killed) != 1 || len(w.sent) != 1 {
			t.Errorf("after %v; killed %q, submitted %d times", took, w.killed, len(w.sent))
		}
	})
}
