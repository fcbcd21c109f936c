//go:build e2e && schedulers

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tfos/internal/status"
)

// schedulers is a file below deploy/schedulers.
func schedulers(name string) string { return filepath.Join(root, "deploy", "schedulers", name) }

// shipped is the text of one.
func shipped(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(schedulers(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// oozie is a real server.
type oozie struct {
	url, lib string
}

func startOozie(t *testing.T, c *cluster, port int) *oozie {
	t.Helper()
	o := &oozie{url: fmt.Sprintf("http://localhost:%d/oozie", port), lib: filepath.Join(filepath.Dir(filepath.Dir(filepath.Dir(c.conf))), "lib", "3.4.3")}
	libs := filepath.Join(root, "build/oozie/web/webapp/WEB-INF/lib")
	c.shell(t, fmt.Sprintf("hdfs dfs -mkdir -p /oozie/share/lib/lib_20260101000000/oozie && hdfs dfs -put %s/oozie-sharelib-oozie-5.2.1.jar %s/oozie-core-5.2.1.jar %s/oozie-client-5.2.1.jar %s/json-simple-1.1.1.jar /oozie/share/lib/lib_20260101000000/oozie",
		libs, libs, libs, libs))
	server := startCall(t, c.env, filepath.Join(root, "test/schedulers/oozie"), "serve", filepath.Join(root, "build/oozie"), t.TempDir(), c.conf, o.lib, fmt.Sprint(port))
	t.Cleanup(func() {
		if t.Failed() {
			server.mu.Lock()
			defer server.mu.Unlock()
			t.Logf("oozie:\n%s", server.out.String()[max(0, server.out.Len()-4000):])
		}
	})
	eventually(t, "Oozie", func() bool {
		r, err := http.Get(o.url + "/v1/admin/status")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		return strings.Contains(string(b), "NORMAL")
	})
	return o
}

// property is what a cluster's configuration says.
func (c *cluster) property(t *testing.T, file, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.conf, file))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`<name>` + regexp.QuoteMeta(name) + `</name>\s*<value>([^<]*)</value>`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s says nothing of %s", file, name)
	}
	return string(m[1])
}

// cli runs Oozie's command.
func (o *oozie) cli(t *testing.T, c *cluster, args ...string) run {
	t.Helper()
	return command(t.Context(), t, c.env, filepath.Join(root, "test/schedulers/oozie"), append([]string{"cli", filepath.Join(root, "build/oozie"), o.lib}, args...)...)
}

// workflow is what Oozie tells of one.
type workflow struct {
	Status  string
	Actions []struct{ Name, Status, ErrorCode, ExternalID string }
}

func (o *oozie) look(t *testing.T, id string) workflow {
	t.Helper()
	r, err := http.Get(o.url + "/v1/job/" + id + "?show=info")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var w workflow
	if err := json.NewDecoder(r.Body).Decode(&w); err != nil {
		t.Fatal(err)
	}
	return w
}

// train is the action that runs tfos.
func (w workflow) train() (state, code string) {
	for _, a := range w.Actions {
		if a.Name == "train" {
			return a.Status, a.ErrorCode
		}
	}
	return "", ""
}

// TestSchedulersOozie runs the workflow by a real Oozie: the action has the exit code of tfos run,
// and the end of the workflow is the end of the job.
func TestSchedulersOozie(t *testing.T) {
	c, err := startCluster("e2e-oozie", portBase+1000, "--nms", "2", "--set", "hadoop.proxyuser.root.hosts=*", "--set", "hadoop.proxyuser.root.groups=*",
		"--set", "yarn.am.liveness-monitor.expiry-interval-ms=600000") // Hadoop's default: Oozie's launcher says that it lives once in a minute
	if err != nil {
		t.Fatal(err)
	}
	o := startOozie(t, c, portBase+1400)
	for _, file := range []string{"workflow.xml", "coordinator.xml"} {
		o.cli(t, c, "validate", "-oozie", o.url, schedulers("oozie/"+file)).want(t, 0)
	}
	start := func(t *testing.T, command, key string) (name, workflow string) {
		t.Helper()
		name, job := nightlyJob(t, command, key)
		application := "/apps/" + name
		c.shell(t, fmt.Sprintf("hdfs dfs -mkdir -p %[1]s/lib && hdfs dfs -put %[2]s %[3]s %[1]s && hdfs dfs -put %[4]s %[1]s/lib", application,
			schedulers("oozie/workflow.xml"), job, filepath.Join(root, "build/tfos.jar")))
		properties := shipped(t, "oozie/job.properties")
		for from, to := range map[string]string{
			"nameNode=hdfs://namenode:8020":        "nameNode=" + c.property(t, "core-site.xml", "fs.defaultFS"),
			"resourceManager=resourcemanager:8032": "resourceManager=" + c.property(t, "yarn-site.xml", "yarn.resourcemanager.address"),
			"application=${nameNode}/apps/train":   "application=${nameNode}" + application,
			"oozie.coord.application.path":         "#oozie.coord.application.path",
			"#oozie.wf.application.path":           "oozie.wf.application.path",
			"#night=":                              "night=",
		} {
			if !strings.Contains(properties, from) {
				t.Fatalf("job.properties has no %s", from)
			}
			properties = strings.Replace(properties, from, to, 1)
		}
		file := filepath.Join(t.TempDir(), "job.properties")
		if err := os.WriteFile(file, []byte(properties), 0o644); err != nil {
			t.Fatal(err)
		}
		r := o.cli(t, c, "job", "-oozie", o.url, "-config", file, "-run").want(t, 0)
		_, id, found := strings.Cut(r.stdout, "job: ")
		if !found {
			t.Fatalf("no workflow in %s", r.stdout)
		}
		return name, strings.TrimSpace(id)
	}
	for _, night := range []struct{ name, command, key, status, code string }{
		{"well", "echo the work", "", "OK", ""},
		{"failed", "exit 7", "", "ERROR", "1"},
		{"too long", "sleep 1000", "timeout: 5s", "ERROR", "6"},
	} {
		t.Run(night.name, func(t *testing.T) {
			name, id := start(t, night.command, night.key)
			eventually(t, "the end of "+id, func() bool { s := o.look(t, id).Status; return s != "RUNNING" && s != "PREP" })
			state, code := o.look(t, id).train()
			if state != night.status || code != night.code {
				t.Errorf("the action is %s with %q, want %s with %q\n%+v", state, code, night.status, night.code, o.look(t, id))
			}
			if n := applications(t, c, name); n == 0 {
				t.Error("no application")
			}
		})
	}
	t.Run("kill", func(t *testing.T) {
		name, id := start(t, "echo the work; sleep 1000", "")
		application := ""
		eventually(t, "the job of "+id, func() bool {
			for line := range strings.Lines(tfos(t, c.env, "list").want(t, 0).stdout) {
				if f := strings.Fields(line); len(f) > 1 && f[1] == name {
					application = f[0]
				}
			}
			return application != "" && jobStatus(t, c.env, application).State == status.Running
		})
		o.cli(t, c, "job", "-oozie", o.url, "-kill", id).want(t, 0)
		killed := time.Now()
		eventually(t, "the end of the workflow to end "+application, func() bool { return jobStatus(t, c.env, application).ExitCode != nil })
		t.Logf("%s ended %v after its workflow: %s", application, time.Since(killed).Round(time.Second), jobStatus(t, c.env, application).Diagnostics)
	})
}
