//go:build e2e && pages

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tfos/internal/hadoop/conf"
)

// prometheus is a server that watches the jobs which tfos history serve names.
type prometheus struct {
	t       *testing.T
	address string
}

// watch starts a Prometheus with the configuration and the rules of deploy/monitoring, only faster.
func watch(t *testing.T, history string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	monitoring := filepath.Join(root, "deploy", "monitoring")
	if err := os.CopyFS(dir, os.DirFS(monitoring)); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "prometheus.yml")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("15s", "1s", "30s", "1s", "http://localhost:18188", history).Replace(string(b))
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", "config", config}, {"check", "rules", dir + "/rules.yml"}, {"test", "rules", dir + "/rules_test.yml"}} {
		if out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput(); err != nil {
			t.Fatalf("promtool %v: %v\n%s", args, err, out)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port that nobody has
	if err != nil {
		t.Fatal(err)
	}
	p := &prometheus{t, l.Addr().String()}
	l.Close()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	server := exec.CommandContext(t.Context(), "prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+p.address)
	server.Stdout, server.Stderr = log, log
	server.Cancel = func() error { return server.Process.Signal(unix.SIGTERM) }
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Wait() // by the signal
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("prometheus:\n%s", b)
		}
	})
	return p
}

// sample is one series and its newest value.
type sample struct {
	labels map[string]string
	value  float64
}

// query evaluates an expression. It is nil while the server does not answer.
func (p *prometheus) query(expr string) []sample {
	p.t.Helper()
	r, err := http.Get("http://" + p.address + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return nil
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if r.StatusCode == http.StatusServiceUnavailable {
		return nil
	}
	if err != nil || json.Unmarshal(b, &answer) != nil || answer.Status != "success" {
		p.t.Fatalf("query %s: %v %s", expr, err, b)
	}
	var found []sample
	for _, one := range answer.Data.Result {
		text, _ := one.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		found = append(found, sample{one.Metric, v})
	}
	return found
}

// sees waits until an expression brings something.
func (p *prometheus) sees(what, expr string) []sample {
	p.t.Helper()
	var found []sample
	eventually(p.t, "Prometheus to see "+what, func() bool {
		found = p.query(expr)
		return len(found) > 0
	})
	return found
}

// TestPagesPrometheus watches a job with a real Prometheus through YARN's proxy: while it trains,
// when a worker and the master are replaced, and when it has ended.
func TestPagesPrometheus(t *testing.T) {
	c := hadoop(t).withHistory(t)
	k, err := conf.Load([]string{c.conf}, os.ReadFile, conf.Environment{Env: os.LookupEnv})
	if err != nil {
		t.Fatal(err)
	}
	p := watch(t, strings.TrimSuffix(k.String("tfos.history.url"), "/"))
	fail := filepath.Join(t.TempDir(), "fail")
	id := strings.TrimSpace(tfos(t, c.env, "submit", jobFile(t, fmt.Sprintf(watched, fail, hostile))).want(t, 0).stdout)
	of := `{instance="` + id + `"}`
	p.sees("the steps", "tfos_job_step"+of+" > 0")
	target := p.sees("who the job is", "tfos_job_info"+of)[0]
	for label, want := range map[string]string{"application": id, "name": "watched <b>job</b>", "user": "root"} {
		if got := target.labels[label]; got != want {
			t.Errorf("label %s is %q, want %q", label, got, want)
		}
	}
	p.sees("three tasks running", `sum(tfos_tasks{instance="`+id+`",state="running"}) == 3`)
	p.sees("the memory of each", `count(tfos_task_memory_bytes`+of+` > 0) == 3`)
	p.sees("calls to the ResourceManager", `tfos_rm_call_duration_seconds_count{instance="`+id+`",method="allocate",result="ok"} > 3`)
	p.sees("agents that speak", `tfos_agents_connected`+of+` == 3 and tfos_agent_messages_total`+of+` > 3 and tfos_agent_silence_seconds`+of+` < 5`)

	v := jobStatus(t, c.env, id)
	if err := unix.Kill(v.Tasks[1].PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.sees("the restart with its cause", `tfos_restarts_total{instance="`+id+`",cause="program"} == 1`)

	if err := unix.Kill(masterPID(t, id), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.sees("the next master at the same address", `tfos_master_attempt`+of+` == 2 and up`+of+` == 1`)
	p.sees("the restarts of before", `tfos_restarts_total{instance="`+id+`",cause="program"} == 1 and on (instance) tfos_master_attempt == 2`)
	p.sees("that it trains on", `sum(tfos_tasks{instance="`+id+`",state="running"}) == 3 and on () changes(tfos_job_step`+of+`[3s]) > 0`)
	master := p.sees("the master's memory", `process_resident_memory_bytes`+of)[0].value / (1 << 20)
	t.Logf("the master, which is scraped each second: %.1f MiB, at its peak %.1f MiB", master, hwm(fmt.Sprintf("/proc/%d", masterPID(t, id))))
	if master > 30 {
		t.Errorf("the master takes %.1f MiB, want at most 30", master)
	}

	p.allRun(t)

	if err := os.WriteFile(fail, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	gone(t, id)
	eventually(t, "Prometheus to drop the job", func() bool { return len(p.query("up"+of)) == 0 })
	if list := tfos(t, c.env, "list", "--prometheus").want(t, 0).stdout; strings.Contains(list, id) {
		t.Errorf("a job that has ended is a target:\n%s", list)
	}
}

// allRun evaluates what rules and dashboard ask.
func (p *prometheus) allRun(t *testing.T) {
	t.Helper()
	for _, sick := range p.query(`ALERTS{alertname="TfosMasterNotSeen"}`) {
		t.Errorf("alert %v", sick.labels)
	}
	b, err := os.ReadFile(filepath.Join(root, "deploy", "monitoring", "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(b, &board); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$application", ".+", "$__rate_interval", "1m")
	empty := regexp.MustCompile(`^(Age of the newest|Loss|Bytes between)`) // this job has none
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			if found := p.query(variables.Replace(target.Expr)); len(found) == 0 && !empty.MatchString(panel.Title) {
				t.Errorf("the dashboard's panel %q is empty: %s", panel.Title, target.Expr)
			}
		}
	}
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		r, err := http.Get("http://" + p.address + "/api/v1/rules")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), `"health":"ok"`); n == 9 {
			return
		} else if time.Since(began) > patience {
			t.Fatalf("%d of 9 rules were evaluated: %s", n, text)
		}
	}
}
