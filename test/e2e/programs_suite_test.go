//go:build e2e && programs

package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

const fine = `accuracy (0\.9|1\.0)`

// programs are those of `make programs`, by the version of TensorFlow that they are for.
var programs = map[string][]userProgram{
	"2.15": {estimator},
	"2.21": {
		{name: "monitored", kills: "worker/0", at: 100, says: []string{`RESULT chief/0 TensorFlow 2.21.0 steps \d+ ` + fine}, exports: []string{`model.ckpt-30\d.index`}},
		{name: "data_service", kills: "dataworker/0", at: 100, says: []string{`RESULT TensorFlow 2.21.0 steps 300 ` + fine}},
	},
}

// estimator keeps its evaluator until the last export is there.
var estimator = userProgram{
	name: "estimator", kills: "worker/0", at: 200,
	says:    []string{`RESULT chief/0 TensorFlow 2\.15\.\d ended`, `RESULT steps \d+ ` + fine},
	exports: []string{`export/best/\d+/saved_model.pb`, `export/latest/\d+/saved_model.pb`, `export/final/\d+/saved_model.pb`, `eval/events.*`},
}

func TestProgramsOfEachVersion(t *testing.T) {
	for version, list := range programs {
		for _, p := range list {
			t.Run(p.name+" "+version, func(t *testing.T) { hadoop(t).loses(t, p, venv(t, version)) })
		}
	}
}

// venv is the interpreter of a version's environment. `make programs` makes those beside the one
// that all tests use.
func venv(t testing.TB, version string) string {
	t.Helper()
	if version == "2.21" {
		return python(t)
	}
	p := filepath.Join(root, "build", "venv-"+version, "bin", "python")
	if _, err := os.Stat(p); err != nil {
		t.Fatalf("%v: run these tests by `make programs`", err)
	}
	return p
}
