package checkpoint

import (
	"bytes"
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

// The state file of a directory that was moved names the checkpoints by where they were: they are
// found there no more, and Recover has it name them where they are. One that names what is not here
// at all stays as it is.
func TestStateOfAMovedDirectory(t *testing.T) {
	at := func(prefix string) []byte {
		s := State{Latest: prefix + "ckpt-3", All: []string{prefix + "ckpt-2", prefix + "ckpt-3"}}
		return s.Marshal()
	}
	files := []File{{Name: "ckpt-2.index"}, {Name: "ckpt-2.data-00000-of-00001"}, {Name: "ckpt-3.index"}, {Name: "ckpt-3.data-00000-of-00001"}, {Name: StateFile, Size: 1000}}
	for _, c := range []struct {
		prefix, dir string
		moved       bool
		want        string // prefix that the state file is written with; "-": it stays as it is
	}{
		{"/home/someone/run/", "hdfs://nn:8020/models/run", true, ""},
		{"/models/run/", "hdfs://nn:8020/models/run", true, ""}, // to TensorFlow it is on the local disk
		{"hdfs://nn:8020/models/old/", "hdfs://nn:8020/models/run", true, ""},
		{"hdfs://old:8020/models/run/", "hdfs://nn:8020/models/run", true, ""},
		{"hdfs://nn:8020/models/run/", "hdfs://nn:8020/models/run", false, "-"},
		{"hdfs:///models/run/", "hdfs://nn:8020/models/run", false, "-"},
		{"hdfs://nn:8020//models/./run/", "hdfs://nn:8020/models/run", false, "-"},
		{"/models/100% #2/", "file:///models/100% #2", false, "-"},
		{"/models/old/", "file:///models/run", true, ""},
		{"", "file:///models/run", false, "-"},
	} {
		content := at(c.prefix)
		l, err := List(files, func(string) (Content, error) { return memory{bytes.NewReader(content)}, nil })
		if err != nil {
			t.Fatal(err)
		}
		l.Dir = c.dir
		if moved := len(l.Elsewhere()) > 0; moved != c.moved {
			t.Errorf("%s in %s: moved %v, want %v", c.prefix, c.dir, moved, c.moved)
		}
		var got, want []Action
		if c.want != "-" {
			want = []Action{{Op: Write, Name: StateFile, Content: at(c.want)}}
		}
		got = Recover(l, &l.Checkpoints[1], nil, func(string) bool { return false })
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s in %s (-want +got):\n%s", c.prefix, c.dir, d)
		}
	}
	elsewhere := State{Latest: "/warm/ckpt-9", All: []string{"/warm/ckpt-9"}}.Marshal()
	l, err := List([]File{{Name: StateFile, Size: 100}}, func(string) (Content, error) { return memory{bytes.NewReader(elsewhere)}, nil })
	l.Dir = "hdfs://nn/models/run"
	if did := Recover(l, nil, nil, func(string) bool { return false }); err != nil || len(did) > 0 {
		t.Errorf("one that leads elsewhere: %v, %v", did, err)
	}
}

type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }
