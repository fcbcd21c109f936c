//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMigration runs what users of other launchers have, as it is: each program looks for what its
// launcher gave it.
func TestMigration(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"src/models/train.sh": `set -e
test "$JOB_NAME" = worker && test "$TASK_NUM" = 2 && test "$SESSION_ID" = 0 && test "$DISTRIBUTED_MODE" = GANG
case "$JOB_ID" in application_*) ;; *) exit 5;; esac
case "$CLUSTER_SPEC$TF_CONFIG" in *worker*worker*) ;; *) exit 6;; esac
test "$GREETING" = "hello, you" && test "$1 $2" = "--name a b" && test "$(cat conf.txt)" = settings && test "$(cat lib/b.txt)" = b && test "$(cat a.csv)" = a
echo "TonY's variables are here"
`,
		"src/conf.txt": "settings",
		"a#1.csv":      "a",
		"conf/site.xml": `<configuration>
			<property><name>tony.worker.instances</name><value>2</value><final>true</final></property>
		</configuration>`,
		"conf/tony.xml": `<configuration xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="conf/site.xml"/>
			<property><name>tony.worker.instances</name><value>7</value></property>
			<property><name>tony.worker.memory</name><value>256m</value></property>
			<property><name>tony.am.memory</name><value>3g</value></property>
			<property><name>tony.containers.resources</name><value>a#1.csv::a.csv</value></property>
		</configuration>`,
		"run.sh": `#!/bin/sh
NAME='a b'
java -cp "$(hadoop classpath --glob):tony/*" com.linkedin.tony.cli.ClusterSubmitter -executes models/train.sh \
  -task_params "--name '$NAME'" -python_binary_path /bin/bash -src_dir src -conf_file conf/tony.xml \
  -shell_env GREETING="hello, you" -conf tony.containers.resources=lib.tar#archive
`,
		"skein/app.yaml": `name: digits
services:
  worker:
    instances: 2
    files: {data.txt: ../src/conf.txt}
    env: {A: b c}
    script: |
      set -e
      test "$A" = "b c"
      grep settings data.txt
`,
		"tfjob.yaml": `apiVersion: kubeflow.org/v1
kind: TFJob
metadata: {name: digits}
spec:
  tfReplicaSpecs:
    Chief: {template: {spec: {containers: [{name: tensorflow, command: [sh, -c], args: ["test $(A) = x && echo chief"], env: [{name: A, value: x}]}]}}}
    Worker: {replicas: 1, template: {spec: {containers: [{name: tensorflow, command: ["true"]}]}}}
`,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tar := "mkdir lib && printf b > lib/b.txt && tar -C lib -cf lib.tar b.txt && mv lib old"
	command(t.Context(), t, nil, "/bin/sh", "-c", "cd "+dir+" && "+tar).want(t, 0)
	for _, c := range []struct {
		file, prints string
		lists        []string
	}{
		{"run.sh", "TonY's variables are here", []string{"run.sh: needless: tony.am.memory"}},
		{"skein/app.yaml", "settings", []string{"app.yaml: changed: services.*.max_restarts"}},
		{"tfjob.yaml", "chief", nil},
	} {
		at := func(args ...string) run {
			r := command(t.Context(), t, nil, "/bin/sh", append([]string{"-c", `cd "$0" && exec "$@"`, dir, filepath.Join(root, "bin", "tfos")}, args...)...)
			return r.want(t, 0)
		}
		r := at("run", "--master", "local", "--from", c.file).says(t, c.lists...)
		if !strings.Contains(r.stdout, c.prints) {
			t.Errorf("%s: printed %q, want %q", c.file, r.stdout, c.prints)
		}
		out := filepath.Join(dir, "made", filepath.Base(c.file)+".job.yaml")
		if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
			t.Fatal(err)
		}
		at("convert", c.file, "-o", out) // relative paths start from another directory
		if r := at("run", "--master", "local", out); !strings.Contains(r.stdout, c.prints) {
			t.Errorf("%s, converted: printed %q, want %q", c.file, r.stdout, c.prints)
		}
	}
}
