package client

import (
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
		err := c.keptLog(t.Context(), yarn.Report{State: yarn.StateFinished, Finished: began.Add(time.Hour)}, status.Task{Container: "container_1_0001_01_000002"}, control.Stdout,
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
				o, err := ParseLogs("", "", c.grep, true)
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
	o, err := ParseLogs("", "", "(?i)LOSS", false)
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
	if _, err := ParseLogs("", "", "(", false); exit.Of(err) != exit.Usage {
		t.Errorf("a pattern that is none: %v", err)
	}
}

// TestAFollowedLogSaysThatItsTaskWasReplaced, in place and on another node.
func TestAFollowedLogSaysThatItsTaskWasReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.cluster()
		var s shown
		submitted, err := c.SubmitOnly(t.Context(), prepare(t, aJob()), s.ui(), RunOptions{})
		if err != nil {
			t.Fatal(err)
		}
		w.running()
		w.publish(view(status.Running))
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
		o, err := ParseLogs("chief/0", control.Stdout, "", true)
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
