package am

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"tfos/internal/am/web"
	"tfos/internal/control"
	"tfos/internal/dfs"
	"tfos/internal/job"
	"tfos/internal/launch"
)

// TestThePageOutlivesTheJob: it is staged, and the browser is sent where such pages are served.
func TestThePageOutlivesTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(time.Minute, 0)}.programs())
		w.pages = "https://gateway:18188/jobs/"
		w.succeeded(t, "name: watched\ncommand: x\nroles: {chief: {}}\n")
		b, err := dfs.ReadFile(t.Context(), w.fs, "/job/"+launch.PageFile, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"name":"watched"`, `"state":"succeeded"`, `"generations":[{"generation":1,`} {
			if !strings.Contains(string(b), want) {
				t.Errorf("the page that was left does not say %s", want)
			}
		}
		if want := "https://gateway:18188/jobs/application_1_0007/"; w.url != want {
			t.Errorf("in the end browsers are sent to %q, want %q", w.url, want)
		}
	})
}

// TestTheBoardOfTheLeadingTask: its agent says which port it has, its program which path it is seen
// below, and people where it is.
func TestTheBoardOfTheLeadingTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(time.Minute, 0)}.programs())
		w.proxies = web.Proxies{Base: "/proxy/application_1_0007", Scheme: "http", Addresses: []string{"rm:8088"}}
		w.succeeded(t, digits+"tensorboard: program\n")
		for task, want := range map[job.Task]string{{Role: "chief"}: "/proxy/application_1_0007/tensorboard", {Role: "worker"}: ""} {
			if start := w.starts[task]; start.TensorBoard != (want != "") || start.Env[launch.EnvTensorBoardPath] != want {
				t.Errorf("%s: a board %v at %q, want %q", task, start.TensorBoard, start.Env[launch.EnvTensorBoardPath], want)
			}
		}
	})
	direct := New(Options{Log: zap.NewNop()})
	(*handler)(direct).heardBoard(control.Started{TensorBoard: "n1:4711"})
	if got, want := direct.boardURL(), "http://n1:4711/"; got != want {
		t.Errorf("without a proxy at %s, want %s", got, want)
	}
	m := New(Options{Proxies: web.Proxies{Base: "/proxy/application_1_0007", Scheme: "http", Addresses: []string{"rm:8088"}}, Web: noListener{}, Log: zap.NewNop()})
	if got := m.boardURL(); got != "" {
		t.Errorf("before there is one: %q", got)
	}
	(*handler)(m).heardBoard(control.Started{TensorBoard: "n1:4711"})
	if got, want := m.boardURL(), "http://rm:8088/proxy/application_1_0007/tensorboard/?tensorboardColab=true"; got != want || m.boardAddress() != "n1:4711" {
		t.Errorf("at %s for people, want %s; at %s itself", got, want, m.boardAddress())
	}
}

type noListener struct{ net.Listener }
