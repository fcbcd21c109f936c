//go:build e2e

package e2e

import (
	"archive/zip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPathsAreTakenLiterally: what stands in a path on HDFS stands for itself, as hdfs dfs -ls
// takes it, in files, archives, checkpoint.dir and the arguments of tfos checkpoint. A directory
// named run#2 is not the directory run.
func TestPathsAreTakenLiterally(t *testing.T) {
	c := hadoop(t)
	const odd = "hour=2024-01-01%2000%3A00+a b#2;é"
	local := t.TempDir()
	writeFile(t, filepath.Join(local, "part-0.csv"), "one,1\n")
	for step := range 3 {
		zipFile(t, filepath.Join(local, fmt.Sprintf("model-%d.keras", step+1)), map[string]string{
			"metadata.json": `{"keras_version": "3.0.0"}`, "config.json": "{}", "model.weights.h5": strings.Repeat("w", 100*(step+1)),
		})
	}
	zipFile(t, filepath.Join(local, "lib.zip"), map[string]string{"bin/a": "from the archive\n"})
	c.shell(t, fmt.Sprintf(`cd %s && hdfs dfs -rm -r -f /paths && hdfs dfs -mkdir -p '/paths/%s' /paths/run '/paths/run#2' &&
		hdfs dfs -put part-0.csv lib.zip '/paths/%s/' && hdfs dfs -put model-*.keras /paths/run/`, local, odd, odd))

	nn := c.nameNode(t)
	job := fmt.Sprintf(`name: paths
command: cat part-0.csv named lib/bin/a; echo "dir is $TFOS_CHECKPOINT_DIR, resume from $TFOS_RESUME_CHECKPOINT."
files: ["hdfs:///paths/%[1]s/part-0.csv", "%[2]s/paths/%[1]s/part-0.csv#named"]
archives: ["%[2]s//paths/%[1]s/lib.zip#lib"]
checkpoint: {dir: "hdfs:///paths/run#2", keep: 1}
roles: {worker: {instances: 1, memory: 256MiB}}
`, odd, strings.Replace(nn, "localhost", "LocalHost", 1))
	r := tfos(t, c.env, "run", jobFile(t, job)).want(t, 0)
	if strings.Count(r.stdout, "one,1") != 2 || // one file by two names
		!strings.Contains(r.stdout, "from the archive") || !strings.Contains(r.stdout, "dir is hdfs:///paths/run#2, resume from .") {
		t.Errorf("the worker says\n%s", r.stdout)
	}
	if list := tfos(t, c.env, "checkpoint", "ls", "hdfs:///paths/run").want(t, 0).stdout; strings.Count(list, ".keras") != 3 {
		t.Errorf("a job whose checkpoints are in run#2 left of those in run:\n%s", list)
	}
	if list := tfos(t, c.env, "checkpoint", "ls", "/paths/run#2").want(t, 0).stdout; strings.Contains(list, ".keras") {
		t.Errorf("run#2 holds\n%s", list)
	}

	// What YARN is told is where the files are, so only those who submit and train need a mount
	// table.
	view := filepath.Join(t.TempDir(), "conf")
	if err := os.CopyFS(view, os.DirFS(c.conf)); err != nil {
		t.Fatal(err)
	}
	site := filepath.Join(view, "core-site.xml")
	text, err := os.ReadFile(site)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	for _, p := range [][2]string{
		{"fs.defaultFS", "viewfs://vc"},
		{"fs.viewfs.mounttable.vc.link./user", nn + "/user"}, {"fs.viewfs.mounttable.vc.link./mnt", nn + "/paths"},
		{"fs.viewfs.mounttable.vc.link./app-logs", nn + "/app-logs"}, // where the output is of a job that ends before anybody could follow it
	} {
		fmt.Fprintf(&table, "<property><name>%s</name><value>%s</value></property>\n", p[0], p[1])
	}
	writeFile(t, site, strings.Replace(string(text), "</configuration>", table.String()+"</configuration>", 1))
	job = fmt.Sprintf(`name: mounted
command: cat part-0.csv
files: ["viewfs://vc/mnt/%s/part-0.csv"]
checkpoint: {dir: "viewfs://vc/mnt/run#2"}
roles: {worker: {instances: 1, memory: 256MiB}}
`, odd)
	r = tfos(t, append(c.env, "HADOOP_CONF_DIR="+view), "run", jobFile(t, job)).want(t, 0)
	if !strings.Contains(r.stdout, "one,1") {
		t.Errorf("with a mount table the worker says\n%s\n%s", r.stdout, r.stderr)
	}
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// zipFile writes an archive with these files.
func zipFile(t *testing.T, name string, files map[string]string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for member, text := range files {
		w, err := z.Create(member)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
