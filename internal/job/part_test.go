package job

import (
	"strings"
	"testing"
)

// TestParts: what roles do, who leads, and whose end is the job's, by the names of the roles and
// what the file says of them.
func TestParts(t *testing.T) {
	for _, c := range []struct{ file, parts, leader, decide string }{
		{"roles: {worker: {instances: 2}}", "trains", "worker/0", "worker"},
		{"roles: {worker: {instances: 2}, chief: {}, ps: {}, evaluator: {}}", "trains trains serves evaluates", "chief/0", "chief"},
		{"roles: {worker: {}, master: {}, ps: {}}", "trains trains serves", "master/0", "master"},
		{"roles: {ps: {}, trainer: {instances: 2}}", "serves trains", "trainer/0", "trainer"},

		// Workers that only serve their coordinator are declared as services, and are workers.
		{"roles: {chief: {}, worker: {service: true}, ps: {}}", "trains trains serves", "chief/0", "chief"},
		{"roles: {chief: {}, worker: {service: true}, ps: {service: false}}\nstrategy: v1", "trains trains serves", "chief/0", "chief"},
		{"roles: {worker: {}, ps: {}, dispatcher: {service: true}}", "trains serves aids", "worker/0", "worker"},
		{"roles: {worker: {}, shard: {service: true}}\nstrategy: v1", "trains serves", "worker/0", "worker"},
		{"roles: {trainer: {instances: 2}, worker: {service: true}}", "trains aids", "trainer/0", "trainer"},

		{"roles: {worker: {}, evaluator: {}}", "trains evaluates", "worker/0", "worker"},
		{"roles: {worker: {}, evaluator: {}}\nsuccess: evaluator", "trains evaluates", "worker/0", "evaluator"},
		{"roles: {evaluator: {}}", "evaluates", "evaluator/0", "evaluator"},
		{"roles: {db: {service: true}, evaluator: {}}", "aids evaluates", "evaluator/0", "evaluator"},
		{"roles: {chief: {}, worker: {}}\nsuccess: worker", "trains trains", "chief/0", "worker"},
		{"roles: {chief: {}, worker: {}, evaluator: {}}\nsuccess: all", "trains trains evaluates", "chief/0", "chief worker"},
		{"roles: {master: {}, worker: {}}\nsuccess: chief", "trains trains", "master/0", "master"},
	} {
		j, err := Parse("job.yaml", []byte("command: x\n"+c.file), nil)
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		var parts, decide []string
		for _, r := range j.Roles {
			parts = append(parts, string(j.Part(r.Name)))
			if j.Decides(r.Name) {
				decide = append(decide, r.Name)
			}
		}
		if got := strings.Join(parts, " "); got != c.parts {
			t.Errorf("%s: parts %s, want %s", c.file, got, c.parts)
		}
		if got := j.Leader().String(); got != c.leader {
			t.Errorf("%s: %s leads, want %s", c.file, got, c.leader)
		}
		if got := strings.Join(decide, " "); got != c.decide {
			t.Errorf("%s: success waits for %q, want %q", c.file, got, c.decide)
		}
	}
}
