package am

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/dfs"
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
