package client

import (
	"encoding/json"
	"net/http/httptest"
	"path"
	"strings"
	"testing"
	"time"

	"tfos/internal/dfs"
	"tfos/internal/launch"
	"tfos/internal/page"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// left puts there what a job's master leaves.
func (w *world) leftPage(t *testing.T, id yarn.ApplicationID, v status.View) {
	t.Helper()
	dir := launch.JobDir("/user/ann", id)
	if err := w.fs.Mkdir(t.Context(), dir, 0o700); err != nil {
		t.Fatal(err)
	}
	result, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	saved, err := page.Saved(page.Document{Job: v})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{launch.ResultFile: result, launch.PageFile: saved} {
		if err := dfs.WriteFile(t.Context(), w.fs, path.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHistory(t *testing.T) {
	w := newWorld(t)
	at, code := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), 1
	end := at.Add(90 * time.Second)
	const hostile = `<img src=x onerror=alert(1)>`
	older, newer := yarn.ApplicationID{ClusterTimestamp: 1, Sequence: 9}, yarn.ApplicationID{ClusterTimestamp: 1, Sequence: 10}
	w.leftPage(t, older, status.View{ID: older.String(), Name: "older", State: status.Succeeded, Started: at})
	w.leftPage(t, newer, status.View{ID: newer.String(), Name: hostile, State: status.Failed, Started: at, Finished: &end, ExitCode: &code, Diagnostics: hostile})
	runs := launch.JobDir("/user/ann", yarn.ApplicationID{ClusterTimestamp: 1, Sequence: 11})
	if err := w.fs.Mkdir(t.Context(), runs, 0o700); err != nil {
		t.Fatal(err)
	}
	h := w.cluster().history()
	get := func(path string) (int, string) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		return rec.Code, rec.Body.String()
	}
	code200, index := get("/")
	first, second := strings.Index(index, newer.String()), strings.Index(index, older.String())
	if code200 != 200 || first < 0 || second < first || strings.Contains(index, "_0011") || strings.Contains(index, "<img") || !strings.Contains(index, "1m30s") {
		t.Errorf("index: %d\n%s", code200, index)
	}
	for path, want := range map[string]int{
		"/" + newer.String(): 200, "/" + older.String() + "/": 200, "/application_1_0011/": 404, "/application_1_0099": 404,
		"/..%2f..%2fetc": 404, "/application_1_0010/result.json": 404, "/x": 404,
	} {
		code, body := get(path)
		if code != want || want == 200 && !strings.Contains(body, `id="document"`) {
			t.Errorf("GET %s: %d, want %d: %.200s", path, code, want, body)
		}
	}
}
