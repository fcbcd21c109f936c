package checkpoint

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// As TensorFlow 2.21 wrote it.
func TestParseState(t *testing.T) {
	got, err := ParseState([]byte(`model_checkpoint_path: "ckpt-4"
all_model_checkpoint_paths: "ckpt-3"
all_model_checkpoint_paths: "ckpt-4"
all_model_checkpoint_timestamps: 1795383095.1977844
all_model_checkpoint_timestamps: 1795383095.233026
last_preserved_timestamp: 1795383094.0896003
`))
	if err != nil {
		t.Fatal(err)
	}
	want := State{Latest: "ckpt-4", All: []string{"ckpt-3", "ckpt-4"}, Times: []float64{1795383095.1977844, 1795383095.233026}, LastPreserved: 1795383094.0896003}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"model_checkpoint_path", "model_checkpoint_path: ckpt-4", `model_checkpoint_path: "ckpt`, `all_model_checkpoint_timestamps: now`, `model_checkpoint_path: "\777"`} {
		if s, err := ParseState([]byte(bad)); err == nil {
			t.Errorf("%q was read as %+v", bad, s)
		}
	}
}

func TestStatesSurviveBeingWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := State{Latest: string(rapid.SliceOf(rapid.Byte()).Draw(t, "latest"))}
		for range rapid.IntRange(0, 3).Draw(t, "listed") {
			want.All = append(want.All, rapid.String().Draw(t, "path"))
			want.Times = append(want.Times, rapid.Float64Range(0, 1e10).Draw(t, "time"))
		}
		got, err := ParseState(want.Marshal())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}
