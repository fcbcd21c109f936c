//go:build e2e

package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// TestPlan: what is wrong with a job is told all at once, and of a good one everything is known;
// nothing is left of either.
func TestPlan(t *testing.T) {
	c := hadoop(t)
	c.shell(t, "hdfs dfs -mkdir -p /user/planner /planned && hdfs dfs -chown planner /user/planner && hdfs dfs -chmod 700 /planned && hdfs dfsadmin -setSpaceQuota 1m /user/planner")
	before := c.applications(t)
	plan := func(user string, code int, args ...string) (found []string) {
		t.Helper()
		r := tfos(t, append(slices.Clone(c.env), "HADOOP_USER_NAME="+user), append([]string{"plan", "--json"}, args...)...).want(t, code)
		var doc struct {
			Runs     bool
			Findings []struct{ Severity, Topic, What, Why, Do string }
		}
		if err := json.Unmarshal([]byte(r.stdout), &doc); err != nil || doc.Runs != (code == 0) {
			t.Fatalf("%v, runs: %v\n%s", err, doc.Runs, r.stdout)
		}
		for _, f := range doc.Findings {
			found = append(found, f.Severity+" "+f.Topic+": "+f.What+", "+f.Why)
			if f.Severity != "not known" && (f.Why == "" || f.Do == "") {
				t.Errorf("%+v does not say why, or what to do", f)
			}
		}
		return found
	}
	bad := jobFile(t, "name: bad\ncommand: \"true\"\nqueue: root\nroles: {worker: {memory: 900GiB}, ps: {gpus: 1}}\ncheckpoint: {dir: 'hdfs:///planned/x'}\n")
	found := plan("planner", 3, bad)
	for _, want := range []string{
		"will not run containers: role worker asks for 900 GiB of memory", "will not run containers: role ps: unknown resource type", `will not run queue: queue "root" is divided`,
		"will not run hdfs: the space quota is used up", "will not run hdfs: checkpoints are to be written to hdfs:///planned/x",
	} {
		if !slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, want) }) {
			t.Errorf("no finding %q in\n%s", want, strings.Join(found, "\n"))
		}
	}
	if found := plan("root", 0, "--queue", "default", jobFile(t, hello)); len(found) > 0 {
		t.Errorf("found of a good job:\n%s", strings.Join(found, "\n"))
	}
	// More than the queue ever has.
	large := jobFile(t, "name: large\ncommand: \"true\"\nqueue: other\nroles: {worker: {instances: 60, memory: 1GiB}}\n")
	t.Log(strings.Join(plan("root", 3, large), "\n"))
	if now := c.applications(t); now != before {
		t.Errorf("the ResourceManager has %d applications, %d before", now, before)
	}
	if left := c.list(t, "/user/planner"); len(left) > 0 {
		t.Errorf("left on HDFS: %v", left)
	}
}
