package fault

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tfos/internal/job"
)

func TestParse(t *testing.T) {
	p, err := Parse(`
# Two at once, then a third.
step 120 kill process worker/1   # at once
+0s      kill agent leader
+1m30s   hold manager for 8s
`)
	if err != nil {
		t.Fatal(err)
	}
	want := Plan{
		{Line: 3, Step: 120, Kind: KillProcess, Task: job.Task{Role: "worker", Index: 1}},
		{Line: 4, Kind: KillAgent, Task: Leader},
		{Line: 5, After: 90 * time.Second, Kind: HoldManager, For: 8 * time.Second},
	}
	if !slices.Equal(p, want) {
		t.Errorf("got %+v\nwant %+v", p, want)
	}
}

func TestParseNamesTheLine(t *testing.T) {
	for _, c := range []struct {
		text, says string
		line       int
	}{
		{"", "holds no fault", 0},
		{"# nothing\n\n", "holds no fault", 0},
		{"step 1 kill master\nsoon kill master", `"soon" says not when`, 2},
		{"step", `"step" says not when`, 1},
		{"step 0 kill master", `"0" is not a step`, 1},
		{"step many kill master", `"many" is not a step`, 1},
		{"+1s kill master", "follows no other fault", 1},
		{"step 1 kill master\n+later kill master", `"+later" is no time`, 2},
		{"step 1 kill master\n+-1s kill master", `"+-1s" is no time`, 2},
		{"step 1", "is no fault", 1},
		{"step 1 kill everything", `"kill everything" is no fault: there are cut agent, cut node`, 1},
		{"step 1 kill agent", "kill agent: of which task?", 1},
		{"step 1 kill agent worker", `"worker" is not a task`, 1},
		{"step 1 kill agent worker/1 for 3s", `"for 3s" is too much for kill agent`, 1},
		{"step 1 kill master worker/1", `"worker/1" is too much`, 1},
		{"step 1 stop node worker/1", "stop node: for how long?", 1},
		{"step 1 stop node worker/1 for 3 apples", `"3" is not how long`, 1},
		{"step 1 hold manager for -3s", `"-3s" is not how long`, 1},
	} {
		_, err := Parse(c.text)
		var e *Error
		if !errors.As(err, &e) || e.Line != c.line || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v, want line %d and %q", c.text, err, c.line, c.says)
		}
	}
}

func FuzzParse(f *testing.F) {
	all, err := All()
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range all {
		f.Add(n.Plan.String())
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Errorf("%q: %v is no *Error", text, err)
			}
			return
		}
		again, err := Parse(p.String())
		if err != nil {
			t.Fatalf("%q was written as %q: %v", text, p, err)
		}
		for i := range p {
			p[i].Line, again[i].Line = 0, 0
		}
		if !slices.Equal(p, again) {
			t.Errorf("%q was written as %q", text, p)
		}
	})
}

// TestPlansOfOurOwn: each can be read, begins with a reason, and no kind is without one.
func TestPlansOfOurOwn(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[Kind]bool)
	for _, n := range all {
		text, err := files.ReadFile("plans/" + n.Name + ".plan")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(text), "# ") {
			t.Errorf("%s does not begin with its reason", n.Name)
		}
		for _, f := range n.Plan {
			seen[f.Kind] = true
		}
	}
	for k := range kinds {
		if !seen[k] {
			t.Errorf("no plan shows: %s", k)
		}
	}
}

func TestOnly(t *testing.T) {
	p, err := Parse("step 1 kill master\n+1s fail over\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Only("the simulation", KillMaster, FailOver); err != nil {
		t.Error(err)
	}
	if err := p.Only("the simulation", KillMaster); err == nil || err.Error() != "fault plan, line 2: the simulation cannot fail over" {
		t.Errorf("got %v", err)
	}
}

func parseJob(t *testing.T, text string) job.Job {
	t.Helper()
	j, err := job.Parse("job.yaml", []byte("command: x\n"+text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestForAJob(t *testing.T) {
	p, err := Parse("step 1 kill agent leader\n+0s kill agent ps/0\n")
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.For(parseJob(t, "roles: {worker: {instances: 2}, ps: {}}\n"))
	if err != nil || got[0].Task != (job.Task{Role: "worker"}) || p[0].Task != Leader {
		t.Errorf("got %v, %v, of %v", got, err, p)
	}
	if _, err := p.For(parseJob(t, "roles: {worker: {instances: 2}}\n")); err == nil || err.Error() != "fault plan, line 2: the job has no ps/0" {
		t.Errorf("got %v", err)
	}
}

func TestExpect(t *testing.T) {
	const servers, peers = "roles: {chief: {}, worker: {instances: 2}, ps: {}, evaluator: {}}\n", "roles: {worker: {instances: 2}}\n"
	for _, c := range []struct {
		job, plan       string
		direct          bool
		moves, restarts string
	}{
		{job: servers, plan: "kill process worker/1", restarts: "worker/1"},
		{job: servers, plan: "kill process ps/0", restarts: "chief/0 ps/0"},
		{job: servers + "strategy: v1\n", plan: "kill process ps/0", restarts: "ps/0"},
		{job: servers, plan: "kill agent worker/1", moves: "worker/1", restarts: "worker/1"},
		{job: servers, plan: "kill agent worker/1", direct: true, moves: "worker/1", restarts: "chief/0 ps/0 worker/0 worker/1"},
		{job: servers, plan: "kill agent evaluator/0", direct: true, moves: "evaluator/0", restarts: "evaluator/0"},
		{job: servers, plan: "kill node worker/0", moves: "ps/0 worker/0", restarts: "chief/0 ps/0 worker/0"},
		{job: servers, plan: "stop agent worker/1 for 15s"},
		{job: servers, plan: "stop agent worker/1 for 40s", moves: "worker/1", restarts: "worker/1"},
		{job: servers, plan: "mute agent worker/1 for 15s", moves: "worker/1", restarts: "worker/1"},
		{job: servers, plan: "cut agent worker/1 for 20s", moves: "worker/1", restarts: "worker/1"},
		{job: servers, plan: "cut node worker/0 for 3s"},
		{job: servers, plan: "cut node worker/0 for 1m", moves: "ps/0 worker/0", restarts: "chief/0 ps/0 worker/0"},
		{job: servers, plan: "kill master"},
		{job: servers, plan: "stop master for 40s"},
		{job: servers, plan: "stop process worker/1 for 20s"},
		{job: servers, plan: "kill manager for 3m"},
		{job: servers, plan: "kill node manager worker/1 for 5s"},
		{job: servers, plan: "kill data node worker/1 for 20s"},
		{job: servers, plan: "restart node manager worker/1"},
		{job: peers, plan: "kill process worker/1", restarts: "worker/0 worker/1"},
		{job: peers, plan: "kill agent leader", moves: "worker/0", restarts: "worker/0 worker/1"},
	} {
		j := parseJob(t, c.job)
		p, err := Parse("step 1 " + c.plan)
		if err == nil {
			p, err = p.For(j)
		}
		if err != nil {
			t.Fatal(err)
		}
		e := p.Expect(j, !c.direct, func(on job.Task) []job.Task {
			return []job.Task{on, {Role: "ps"}} // it shares its node with the server
		})
		if moves, restarts := names(e.Moves), names(e.Restarts); moves != c.moves || restarts != c.restarts {
			t.Errorf("%s (direct %v):\nmoves %q, want %q\nrestarts %q, want %q", c.plan, c.direct, moves, c.moves, restarts, c.restarts)
		}
	}
}

func names(set map[job.Task]bool) string {
	var out []string
	for t := range set {
		out = append(out, t.String())
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// TestDraw: a seed gives the same plan again, which can be written and read, and holds every kind
// after a while.
func TestDraw(t *testing.T) {
	j := parseJob(t, "roles: {chief: {}, worker: {instances: 2}, ps: {}}\n")
	all := slices.Sorted(maps.Keys(kinds))
	p := Draw(7, 500, 50, 10*time.Second, j, all)
	if !slices.Equal(p, Draw(7, 500, 50, 10*time.Second, j, all)) || slices.Equal(p, Draw(8, 500, 50, 10*time.Second, j, all)) {
		t.Error("a plan does not hang on its seed alone")
	}
	read, err := Parse(p.String())
	if err != nil || !slices.Equal(read, p) {
		t.Errorf("%v; read again:\n%s", err, read)
	}
	for _, k := range all {
		if !slices.ContainsFunc(p, func(f Fault) bool { return f.Kind == k }) {
			t.Errorf("never drawn: %s", k)
		}
	}
}
