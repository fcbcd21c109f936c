package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/client/exit"
	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// TestALogThatNeverComesIsNotWaitedForByAnothersClock: the end of the job is by the
// ResourceManager's clock, which is an hour ahead.
func TestALogThatNeverComesIsNotWaitedForByAnothersClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Cluster{Logs: noLogs{}, Collects: true}
		began := time.Now()
		err := c.keptLog(t.Context(), yarn.Report{State: yarn.StateFinished, Finished: began.Add(time.Hour)}, status.Task{Container: "container_1_0001_01_000002"}, control.Stdout, time.Time{},
			func([]byte) error { return nil })
		if waited := time.Since(began); !errors.Is(err, fs.ErrNotExist) || waited > time.Minute {
			t.Errorf("%v after %s", err, waited)
		}
	})
}

// TestFollowedLogs: of all tasks at once, each line behind its task's name, of a task that is added
// meanwhile too; only the lines that are wanted, and in colours where the writer takes them.
func TestFollowedLogs(t *testing.T) {
	for _, c := range []struct {
		name, grep string
		out        interface {
			io.Writer
			String() string
		}
		want []string
	}{
		{"all", "", &strings.Builder{}, []string{"chief/0 | loss 1", "chief/0 | noise", "worker/0 | loss 2", "worker/1 | loss 3"}},
		{"some", "^loss", &strings.Builder{}, []string{"chief/0 | loss 1", "worker/0 | loss 2", "worker/1 | loss 3"}},
		{"painted", "loss [13]", &painted{}, []string{"<1>chief/0 | loss 1", "<3>worker/1 | loss 3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				cluster := w.cluster()
				var s shown
				submitted, err := cluster.SubmitOnly(t.Context(), prepare(t, aJob()), s.ui(), RunOptions{})
				if err != nil {
					t.Fatal(err)
				}
				w.running()
				w.publish(view(status.Running))
				grown := func(v status.View) status.View {
					v.Tasks = append(v.Tasks, status.Task{Role: "worker", Index: 1, Incarnation: 1, State: status.Running, Node: "nm3", Container: "c3", Agent: "nm3:1"})
					return v
				}
				w.script(
					func() {
						w.print("nm1:1", control.Stdout, "loss 1\nnoise\n")
						w.print("nm2:1", control.Stdout, "loss 2\n")
					},
					func() { w.publish(grown(view(status.Running))) },
					func() { w.print("nm3:1", control.Stdout, "loss 3\n") },
					func() {
						w.leave("nm1:1")
						w.leave("nm2:1")
						w.leave("nm3:1")
						w.finish(grown(view(status.Succeeded, 0)), yarn.StateFinished, yarn.FinalSucceeded)
					})
				o, err := ParseLogs("", "", c.grep, 0, true)
				if err != nil {
					t.Fatal(err)
				}
				o.Colour = true
				if err := cluster.CopyLogs(t.Context(), submitted.ID, o, c.out); err != nil {
					t.Fatal(err)
				}
				got := strings.Split(strings.TrimSpace(c.out.String()), "\n")
				slices.Sort(got)
				if !slices.Equal(got, c.want) {
					t.Errorf("got %q, want %q", got, c.want)
				}
			})
		})
	}
}

// painted shows in which colour a text was written.
type painted struct{ strings.Builder }

func (p *painted) Paint(n int, text string) { fmt.Fprintf(p, "<%d>%s", n, text) }

// TestWantedLinesOfAnEndedJob: a line may come in pieces, and a heading is of a log that has such
// lines.
func TestWantedLinesOfAnEndedJob(t *testing.T) {
	o, err := ParseLogs("", "", "(?i)LOSS", 0, false)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	v := status.View{Tasks: []status.Task{{Role: "worker"}, {Role: "worker", Index: 1}}}
	err = new(Cluster).eachLog(v, o, &out, func(task status.Task, stream string, write func([]byte) error) error {
		for _, piece := range []string{"lo", "ss 1\nno", "ise\n", "loss 2"} {
			if task.Index == 0 && stream == control.Stdout {
				if err := write([]byte(piece)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if want := "==> worker/0 stdout <==\nloss 1\nloss 2"; err != nil || strings.TrimSpace(out.String()) != want {
		t.Errorf("%v: %q, want %q", err, out.String(), want)
	}
	if _, err := ParseLogs("", "", "(", 0, false); exit.Of(err) != exit.Usage {
		t.Errorf("a pattern that is none: %v", err)
	}
}

// TestAFollowedLogSaysThatItsTaskWasReplaced, in place and on another node.
func TestAFollowedLogSaysThatItsTaskWasReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, submitted := training(t)
		at := func(state status.State, inc job.Incarnation, node, container string, code ...int) status.View {
			v := view(state, code...)
			chief := &v.Tasks[0]
			chief.Incarnation, chief.Node, chief.Container, chief.Agent = inc, node, container, node+":1"
			return v
		}
		w.script(
			func() { w.print("nm1:1", control.Stdout, "first\n") },
			func() { w.publish(at(status.Running, 2, "nm1", "c1")) },
			func() { w.print("nm1:1", control.Stdout, "second\n") },
			func() { w.leave("nm1:1"); w.publish(at(status.Running, 3, "nm9", "c9")) },
			func() { w.print("nm9:1", control.Stdout, "third\n") },
			func() {
				w.leave("nm9:1")
				w.finish(at(status.Succeeded, 3, "nm9", "c9", 0), yarn.StateFinished, yarn.FinalSucceeded)
			})
		o, err := ParseLogs("chief/0", control.Stdout, "", 0, true)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := c.CopyLogs(t.Context(), submitted.ID, o, &out); err != nil {
			t.Fatal(err)
		}
		want := "first\n==> chief/0 incarnation 2 on nm1 <==\nsecond\n==> chief/0 incarnation 3 on nm9 <==\nthird\n"
		if out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
	})
}

// TestLogsSinceATime: what a task printed before is left out, while its job runs, of followed
// lines, and of what is kept of a log out of whose middle something is missing.
func TestLogsSinceATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, submitted := training(t)
		const old, new = "old\n", "new 1\nnew 2\n"
		w.print("nm1:1", control.Times, string(control.Mark(control.Stdout, time.Now(), 0))+string(control.Mark(control.Stdout, time.Now().Add(time.Hour), int64(len(old)))))
		w.print("nm1:1", control.Stdout, old+new)
		time.Sleep(time.Hour + time.Minute)
		for _, follow := range []bool{false, true} {
			o, err := ParseLogs("chief/0", control.Stdout, "", 5*time.Minute, follow)
			if err != nil {
				t.Fatal(err)
			}
			want := new
			if follow {
				want += "newest\n"
				w.script(func() { w.print("nm1:1", control.Stdout, "newest\n") }, func() {
					w.leave("nm1:1")
					w.finish(view(status.Succeeded, 0), yarn.StateFinished, yarn.FinalSucceeded)
				})
			}
			var out strings.Builder
			if err := c.CopyLogs(t.Context(), submitted.ID, o, &out); err != nil || out.String() != want {
				t.Errorf("followed %v: %v, %q, want %q", follow, err, out.String(), want)
			}
		}
	})

	const note = "\ntfos: 1000 bytes of this log are left out here, it is limited to 9 bytes (logs.limit)\n"
	now := time.Now()
	marks := string(control.Mark(control.Stdout, now.Add(-time.Hour), 0)) + string(control.Mark(control.Stdout, now.Add(-time.Minute), 1010))
	for _, k := range []struct {
		name string
		logs keptLogs
		want string
	}{
		{"cut", keptLogs{control.Stdout: "first\n" + note + "old\nnew", control.Times: marks}, "new\n"},
		{"all old", keptLogs{control.Stdout: "old\n", control.Times: string(control.Mark(control.Stdout, now.Add(-time.Hour), 0))}, ""},
		{"without times", keptLogs{control.Stdout: "whole\n"}, "whole\n"},
	} {
		var out strings.Builder
		c := &Cluster{Logs: k.logs}
		err := c.keptLog(t.Context(), yarn.Report{}, status.Task{Container: "c"}, control.Stdout, now.Add(-5*time.Minute), func(b []byte) error { out.Write(b); return nil })
		if err != nil || out.String() != k.want {
			t.Errorf("%s: %v, %q, want %q", k.name, err, out.String(), k.want)
		}
	}
	for _, bad := range []struct{ which, stream string }{{"master", ""}, {"", control.AgentLog}} {
		if _, err := ParseLogs(bad.which, bad.stream, "", time.Minute, false); exit.Of(err) != exit.Usage {
			t.Errorf("since a time of %v: %v", bad, err)
		}
	}
}

// keptLogs are those of one container, by stream.
type keptLogs map[string]string

func (k keptLogs) Read(_ context.Context, f LogFile, offset int64, chunk func([]byte) error) error {
	text, ok := k[f.Stream]
	if !ok {
		return fs.ErrNotExist
	}
	return chunk([]byte(text[offset:]))
}
