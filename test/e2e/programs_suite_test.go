//go:build e2e && programs

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

const (
	fine    = `accuracy (0\.9|1\.0)`
	version = `TensorFlow 2\.\d+\.\d+ `
)

// suite is what `make programs` runs on one version of TensorFlow.
type suite struct {
	version  string
	programs []userProgram
}

// suites are all of `make programs`. tf.estimator, and Keras 2 in TensorFlow, ended with 2.15.
var suites = []suite{
	{"2.12", append(slices.Clone(keras2), estimator, monitored, dataService,
		userProgram{name: "jax_distributed", kills: "worker/1", at: 100, says: []string{`restored hdfs://`, `RESULT worker/0 JAX \S+ steps 200 ` + fine}})},
	{"2.15", append(slices.Clone(keras2), estimator)},
	{"2.21", []userProgram{
		monitored, dataService,
		{name: "supervisor", kills: "worker/0", at: 100, says: []string{`RESULT chief/0 ` + version + `steps \d+ ` + fine}, exports: []string{`model.ckpt-40\d.index`}},
		{name: "dtensor", kills: "worker/1", at: 100, says: []string{`restored hdfs://`, `RESULT worker/0 ` + version + `steps 200 ` + fine}},
		{name: "mirrored_evaluator", kills: "worker/0", at: 100,
			says: []string{`the evaluator has 1 replica`, `restored hdfs://`, `RESULT chief/0 ` + version + `steps 200`, `RESULT evaluator: step 200 ` + fine}},
		{name: "profiler", kills: "worker/1", at: 100, says: []string{`restored hdfs://`, `RESULT a profile of port 6009`, `RESULT a profile of port 6010`, `RESULT worker/1 ` + version + `steps 500 ` + fine}},
	}},
}

var monitored = userProgram{name: "monitored", kills: "worker/0", at: 100, says: []string{`RESULT chief/0 ` + version + `steps \d+ ` + fine}, exports: []string{`model.ckpt-30\d.index`}}

var dataService = userProgram{name: "data_service", kills: "dataworker/0", at: 100, says: []string{`RESULT ` + version + `steps 300 ` + fine}}

// estimator keeps its evaluator until the last export is there.
var estimator = userProgram{
	name: "estimator", kills: "worker/0", at: 200,
	says:    []string{`RESULT chief/0 ` + version + `ended`, `RESULT steps \d+ ` + fine},
	exports: []string{`export/best/\d+/saved_model.pb`, `export/latest/\d+/saved_model.pb`, `export/final/\d+/saved_model.pb`, `eval/events.*`},
}

// keras2 are programs for the Keras that came with TensorFlow until 2.15.
var keras2 = []userProgram{
	{name: "keras2_ps", kills: "worker/1", at: 5, says: []string{`RESULT ` + version + `epochs 30 ` + fine}},
	{name: "keras2_mirrored", kills: "worker/1", at: 5,
		says:    []string{`begins with epoch ([2-9]|\d\d)`, `RESULT ` + version + `epochs 30 ` + fine},
		exports: []string{"model/saved_model.pb"}},
	{name: "sidecar", kills: "chief/0", at: 8,
		says:    []string{`restored hdfs://`, `RESULT evaluated: ` + fine, `RESULT the evaluator has seen the last checkpoint`},
		exports: []string{"logs/validation/events.*"}},
}

func TestProgramsOfEachVersion(t *testing.T) {
	for _, s := range suites {
		for _, p := range s.programs {
			t.Run(p.name+" "+s.version, func(t *testing.T) { hadoop(t).loses(t, p, venv(t, s.version)) })
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
