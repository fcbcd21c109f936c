package page

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"tfos/internal/status"
)

// hostile wants to be markup wherever it comes to stand.
const hostile = `</script><script>alert(1)</script><img src=x onerror=alert(1)> " ' & {{script}} <!--`

func TestASavedPageKeepsHostileTextInItsData(t *testing.T) {
	d := Document{Job: status.View{ID: "application_1_7", Name: hostile, Tasks: []status.Task{{Role: "worker", Why: hostile, Step: 7}}}}
	b, err := Saved(d)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if strings.Contains(text, "<img") || strings.Count(text, "<script") != 2 || strings.Count(text, "</script>") != 2 {
		t.Errorf("hostile text became markup:\n%s", text)
	}
	m := regexp.MustCompile(`(?s)<script type="application/json" id="document">(.*?)</script>`).FindStringSubmatch(text)
	if m == nil {
		t.Fatal("the page has no data")
	}
	var u Update
	if err := json.Unmarshal([]byte(m[1]), &u); err != nil {
		t.Fatal(err)
	}
	if u.Job.Name != hostile || len(u.Tasks) != 1 || u.Tasks[0].Why != hostile || !u.Whole {
		t.Errorf("the data came back as %+v", u)
	}
}

// TestThePageNeedsNothingElse: no outside resource, no style or handler that the policy forbids,
// and nothing in the script that would end its element.
func TestThePageNeedsNothingElse(t *testing.T) {
	text := string(Live())
	for _, bad := range []string{`style="`, " onclick", "src=", "@import", "url(", "//cdn", "{{"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	for _, m := range regexp.MustCompile(`https?://[^\s'"\\]+`).FindAllString(text, -1) {
		if m != "http://www.w3.org/2000/svg" {
			t.Errorf("the page names %s", m)
		}
	}
	if strings.Contains(script, "</") && strings.Contains(strings.ToLower(script), "</script") || strings.Contains(script, "innerHTML") || strings.Contains(script, "eval(") {
		t.Error("the script has what it must not")
	}
	if p := Policy(); strings.Contains(p, "unsafe") || !strings.Contains(p, digest(script)) || !strings.Contains(p, digest(style)) || !strings.HasPrefix(p, "default-src 'none'") {
		t.Errorf("policy %s", p)
	}
	if saved := policy("'none'"); !strings.Contains(saved, "connect-src 'none'") {
		t.Errorf("policy of a saved page: %s", saved)
	}
}

func jobOf(steps ...int64) Document {
	var d Document
	for i, s := range steps {
		d.Job.Tasks = append(d.Job.Tasks, status.Task{Role: "worker", Index: i, Step: s})
	}
	return d
}

func TestAFeedSendsWhatChanged(t *testing.T) {
	f, now := NewFeed(1<<32), time.Unix(1000, 0)
	look := func(d Document, epoch uint64, version int64) (Update, string) {
		t.Helper()
		if err := f.Look(d); err != nil {
			t.Fatal(err)
		}
		u := f.Since(d, epoch, version, now)
		var names []string
		for _, x := range u.Tasks {
			names = append(names, fmt.Sprint(x.ID(), "=", x.Step))
		}
		return u, strings.Join(names, " ")
	}
	first, got := look(jobOf(1, 1, 1), 0, 0)
	if !first.Whole || got != "worker/0=1 worker/1=1 worker/2=1" {
		t.Fatalf("to a new browser: whole %v, %s", first.Whole, got)
	}
	second, got := look(jobOf(1, 2, 1), first.Epoch, first.Version)
	if second.Whole || got != "worker/1=2" {
		t.Errorf("one changed: whole %v, %s", second.Whole, got)
	}
	third, got := look(jobOf(1, 2, 1), second.Epoch, second.Version)
	if third.Whole || got != "" {
		t.Errorf("none changed: whole %v, %s", third.Whole, got)
	}
	if u, got := look(jobOf(1, 2, 3), first.Epoch, first.Version); u.Whole || got != "worker/1=2 worker/2=3" {
		t.Errorf("to a browser that missed some: whole %v, %s", u.Whole, got)
	}
	if u, got := look(jobOf(1, 2), third.Epoch, third.Version); !u.Whole || got != "worker/0=1 worker/1=2" {
		t.Errorf("a task left: whole %v, %s", u.Whole, got)
	}
	if u, _ := look(jobOf(1, 2), 2<<32, 1); !u.Whole {
		t.Error("versions of another master were taken for this one's")
	}
}

func TestUpdatesHaveListsAndNoNull(t *testing.T) {
	b, err := json.Marshal(fullUpdate(Document{}))
	if err != nil {
		t.Fatal(err)
	}
	var u map[string]any
	if err := json.Unmarshal(b, &u); err != nil {
		t.Fatal(err)
	}
	if u["tasks"] == nil || u["history"].(map[string]any)["curve"] == nil || u["job"].(map[string]any)["restarts"] == nil {
		t.Errorf("a list is null: %s", b)
	}
}

func TestACurveIsBoundedAndSpansAll(t *testing.T) {
	var c Curve
	start := time.Unix(0, 0)
	const seconds = 100_000
	for i := range seconds {
		if now := start.Add(time.Duration(i) * time.Second); c.Due(now) {
			c.Add(Point{At: now, Step: int64(i)})
		}
	}
	p := c.Points()
	if len(p) < mostPoints/4 || len(p) >= mostPoints || p[0].Step != 0 || p[len(p)-1].Step < seconds*99/100 {
		t.Errorf("%d points from %d to %d", len(p), p[0].Step, p[len(p)-1].Step)
	}
	for i := range p[1:] {
		if !p[i+1].At.After(p[i].At) {
			t.Fatal("points are out of order")
		}
	}
}
