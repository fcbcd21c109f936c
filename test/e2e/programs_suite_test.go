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

// venv is the interpreter of a version's environment. `make programs` makes it.
func venv(t testing.TB, version string) string {
	t.Helper()
	p := filepath.Join(root, "build", "venv-"+version, "bin", "python")
	if _, err := os.Stat(p); err != nil {
		t.Fatalf("%v: run these tests by `make programs`", err)
	}
	return p
}
