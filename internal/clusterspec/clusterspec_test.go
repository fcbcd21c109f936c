package clusterspec

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"tfos/internal/job"
)

func TestEnv(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			j, err := job.Parse("digits.yaml", []byte(td.Input), nil)
			if err != nil {
				return err.Error()
			}
			spec := specOf(j)
			var out strings.Builder
			for _, arg := range td.CmdArgs {
				name, err := job.ParseTask(arg.Key)
				if err != nil {
					td.Fatalf(t, "%v", err)
				}
				fmt.Fprintf(&out, "# %s\n", name)
				env := ClusterOf(j).Documents(spec, name)
				maps.Copy(env, Env(j, name))
				for _, k := range slices.Sorted(maps.Keys(env)) {
					fmt.Fprintf(&out, "%s=%s\n", k, env[k])
				}
			}
			return out.String()
		})
	})
}

// specOf puts each role on a host of its own.
func specOf(j job.Job) Spec {
	spec := Spec{Generation: 4}
	for i, t := range j.Tasks() {
		spec.Members = append(spec.Members, Member{Task: t, Incarnation: 1, Address: fmt.Sprintf("%s.example:%d", t.Role, 4000+i)})
	}
	return spec
}

func TestTFConfigIsTheSameEveryTime(t *testing.T) {
	j, err := job.Parse("digits.yaml", []byte("command: x\nroles: {a: {}, b: {}, c: {}, d: {}, worker: {instances: 9}, ps: {}}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	first := ClusterOf(j).TFConfig(specOf(j), job.Task{Role: "worker", Index: 3})
	for range 50 {
		if again := ClusterOf(j).TFConfig(specOf(j), job.Task{Role: "worker", Index: 3}); again != first {
			t.Fatalf("not the same:\n%s\n%s", first, again)
		}
	}
	if !json.Valid([]byte(first)) {
		t.Errorf("not JSON: %s", first)
	}
}
