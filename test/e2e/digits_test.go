//go:build e2e

package e2e

import (
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tfos/internal/status"
)

// strategies are the job files of examples/digits, one for each way that TensorFlow distributes.
var strategies = []string{"ps", "mirrored", "v1"}

// wantAccuracy is what every digits program must reach on the fifth of the images that it never
// saw.
const wantAccuracy = 0.95

var accuracyRE = regexp.MustCompile(`accuracy (\d\.\d+)`)

// accuracy is the last one that a program reported.
func accuracy(t testing.TB, output string) float64 {
	t.Helper()
	all := accuracyRE.FindAllStringSubmatch(output, -1)
	if len(all) == 0 {
		t.Fatalf("no accuracy in\n%s", output)
	}
	a, err := strconv.ParseFloat(all[len(all)-1][1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func digitsJob(strategy string) string {
	return filepath.Join(root, "examples", "digits", strategy+".yaml")
}

// verifyModel loads an exported model in a fresh process and measures it again.
func verifyModel(t testing.TB, dir string) {
	t.Helper()
	r := command(t.Context(), t, nil, python(t), filepath.Join(root, "examples", "digits", "verify_model.py"), dir).want(t, 0)
	if a := accuracy(t, r.stdout); a < wantAccuracy {
		t.Errorf("the exported model's accuracy is %.4f, want at least %.2f", a, wantAccuracy)
	}
}

func TestDigitsOnTheEmbeddedYARN(t *testing.T) {
	t.Parallel()
	for _, strategy := range strategies {
		t.Run(strategy, func(t *testing.T) {
			dir := t.TempDir()
			r := tfos(t, nil, "run", "--master", "local", "--env", "PYTHON="+python(t), "--checkpoint-dir", dir, digitsJob(strategy)).want(t, 0)
			if a := accuracy(t, r.stdout); a < wantAccuracy {
				t.Errorf("accuracy %.4f, want at least %.2f", a, wantAccuracy)
			}
			verifyModel(t, filepath.Join(dir, "model"))
			gone(t, r.application(t))
		})
	}
}

// TestDigitsOnHadoop trains on the real cluster in each way, with checkpoints and model on HDFS.
func TestDigitsOnHadoop(t *testing.T) {
	t.Parallel()
	c := hadoop(t)
	for _, strategy := range strategies {
		t.Run(strategy, func(t *testing.T) { c.trains(t, strategy) })
	}
}

// trains runs one digits job and then asks YARN's own tools what they saw.
func (c *cluster) trains(t *testing.T, strategy string) {
	dir := "hdfs:///models/" + strategy
	r := tfos(t, c.env, "run", "--env", "PYTHON="+python(t), "--checkpoint-dir", dir, digitsJob(strategy)).want(t, 0)
	if a := accuracy(t, r.stdout); a < wantAccuracy {
		t.Errorf("accuracy %.4f, want at least %.2f", a, wantAccuracy)
	}
	local := filepath.Join(t.TempDir(), "model")
	c.shell(t, "hdfs dfs -get "+dir+"/model "+local)
	verifyModel(t, local)
	if files := c.list(t, "/models/"+strategy); !slices.Contains(files, "checkpoint") {
		t.Errorf("no checkpoint on HDFS: %v", files)
	}

	id := r.application(t)
	v := jobStatus(t, c.env, id)
	if v.State != status.Succeeded || v.ExitCode == nil || *v.ExitCode != 0 || v.Progress != 1 {
		t.Errorf("status after the end: state %s, exit code %v, progress %v", v.State, v.ExitCode, v.Progress)
	}
	seen := c.shell(t, "yarn application -status "+id)
	for _, want := range []string{"State : FINISHED", "Final-State : SUCCEEDED", "Progress : 100%"} {
		if !strings.Contains(seen, want) {
			t.Errorf("yarn application -status does not say %q:\n%s", want, seen)
		}
	}
	c.logged(t, id, v)
	gone(t, id)
}

// logged looks for the output of every task in the aggregated logs, as YARN's tool shows them and
// as tfos does. wants holds lines that tasks printed.
func (c *cluster) logged(t *testing.T, id string, v status.View, wants ...string) {
	t.Helper()
	ours := tfos(t, c.env, "logs", id).want(t, 0).stdout
	aggregated := c.shell(t, "yarn logs -applicationId "+id)
	for _, task := range v.Tasks {
		if !strings.Contains(aggregated, task.Container) {
			t.Errorf("the aggregated logs hold nothing of %s/%d (%s)", task.Role, task.Index, task.Container)
		}
	}
	for _, line := range append(wants, accuracyRE.FindAllString(aggregated, -1)...) {
		if n, want := strings.Count(ours, line), strings.Count(aggregated, line); n != want || n == 0 {
			t.Errorf("tfos logs shows %q %d times, yarn logs %d times", line, n, want)
		}
	}
	for since, want := range map[string]string{"10h": ours, "1ms": ""} {
		if got := tfos(t, c.env, "logs", id, "--since", since).want(t, 0).stdout; got != want {
			t.Errorf("tfos logs --since %s shows %d bytes, want %d", since, len(got), len(want))
		}
	}
}
