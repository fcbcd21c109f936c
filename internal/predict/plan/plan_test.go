package plan

import (
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tfos/internal/savedmodel"
)

func tensor(name string, t savedmodel.DType, dims ...int64) savedmodel.Tensor {
	return savedmodel.Tensor{Name: name, Graph: name + ":0", Type: t, Shape: savedmodel.Shape{Dims: dims}}
}

func settings() Settings {
	return Settings{
		Model: ModelName, Digest: "d", Output: "/out", Format: CSV, Encoding: JSONL, Batch: 4, Columns: []string{"a"}, Keep: []string{"id"},
		Signature: savedmodel.Signature{Name: "s", Inputs: []savedmodel.Tensor{tensor("x", savedmodel.Float, -1)}, Outputs: []savedmodel.Tensor{tensor("y", savedmodel.Float, -1)}},
	}
}

// TestShardsCoverTheInput: every byte of every file, or every image, is in one shard, and the next
// shard begins where it ends.
func TestShardsCoverTheInput(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := settings()
		s.Format = rapid.SampledFrom(Formats).Draw(t, "format")
		s.Split, s.Group = rapid.Int64Range(0, 50).Draw(t, "split"), rapid.IntRange(1, 5).Draw(t, "group")
		var inputs []Input
		for i, size := range rapid.SliceOfN(rapid.Int64Range(0, 200), 0, 20).Draw(t, "sizes") {
			inputs = append(inputs, Input{fmt.Sprint("/in/", i), size})
		}
		shards, err := s.Cut(inputs)
		if err != nil {
			t.Fatal(err)
		}
		at := make([]int64, len(inputs))
		images := 0
		for _, h := range shards {
			if s.Format == Images {
				if h.File != images || h.Files < 1 || h.Files > s.Group {
					t.Fatalf("shard %+v follows %d images", h, images)
				}
				images += h.Files
				continue
			}
			if h.From != at[h.File] || h.To <= h.From || s.Split > 0 && h.To-h.From > s.Split {
				t.Fatalf("shard %+v begins behind %d", h, at[h.File])
			}
			at[h.File] = h.To
		}
		for i, in := range inputs {
			if s.Format != Images && at[i] != in.Size {
				t.Fatalf("the shards of %+v end at %d", in, at[i])
			}
		}
		if s.Format == Images && images != len(inputs) {
			t.Fatalf("%d of %d images", images, len(inputs))
		}
		p := Plan{s, inputs, shards}
		if s.Format == Images {
			return // the signature takes numbers
		}
		b, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(b)
		if err != nil || p.Differs(back) != "" || !cmp.Equal(p, back) {
			t.Fatalf("reads back as %+v, %v", back, err)
		}
	})
}

func TestParseRefuses(t *testing.T) {
	p := Plan{settings(), []Input{{"/in", 3}}, []Shard{{File: 0, To: 3}}}
	for name, spoil := range map[string]func(*Plan){
		"a shard of no file":     func(p *Plan) { p.Shards[0].File = 1 },
		"too many files":         func(p *Plan) { p.Shards[0].Files = 2 },
		"a shard without an end": func(p *Plan) { p.Shards[0].From = 4 },
		"too few columns":        func(p *Plan) { p.Columns = nil },
		"no signature":           func(p *Plan) { p.Signature.Inputs, p.Columns = nil, nil },
	} {
		q := p
		q.Shards = []Shard{p.Shards[0]}
		spoil(&q)
		b, err := q.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(b); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// FuzzParse: whatever a plan's file holds, its shards are in the input.
func FuzzParse(f *testing.F) {
	b, err := Plan{settings(), []Input{{"/in", 3}}, []Shard{{File: 0, To: 3}}}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		for _, s := range p.Shards {
			_ = p.Inputs[s.File : s.File+max(s.Files, 1)]
		}
	})
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*Settings)
		says  string
	}{
		"fine":            {func(*Settings) {}, ""},
		"no rows":         {func(s *Settings) { s.Signature.Inputs[0].Shape.Dims = nil }, "no dimension for rows"},
		"no rows out":     {func(s *Settings) { s.Signature.Outputs[0].Shape.Dims = nil }, "no dimension for rows"},
		"sparse":          {func(s *Settings) { s.Signature.Inputs[0].Graph = "" }, "sparse or ragged"},
		"complex":         {func(s *Settings) { s.Signature.Outputs[0].Type = 8 }, "type 8"},
		"images":          {func(s *Settings) { s.Format = Images }, "does not take the bytes of images"},
		"the same column": {func(s *Settings) { s.Keep = []string{"y"} }, "two columns of the output would be called y"},
		"different rows": {func(s *Settings) {
			s.Signature.Inputs = []savedmodel.Tensor{tensor("a", savedmodel.Float, 2), tensor("b", savedmodel.Float, 3)}
		}, "different numbers of rows"},
	} {
		s := settings()
		c.spoil(&s)
		err := s.Check()
		if (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := settings()
	if n, err := s.Rows(); n != 4 || err != nil || s.Fixed() {
		t.Errorf("batches of %d rows, %v, fixed %v", n, err, s.Fixed())
	}
	s.Signature.Inputs[0].Shape.Dims[0] = 7
	if n, err := s.Rows(); n != 7 || err != nil || !s.Fixed() {
		t.Errorf("a model of 7 rows gets %d, %v, fixed %v", n, err, s.Fixed())
	}
}

func TestMap(t *testing.T) {
	s := savedmodel.Signature{Name: "s", Inputs: []savedmodel.Tensor{tensor("a", savedmodel.Float, -1), tensor("b", savedmodel.String, -1)}}
	for _, c := range []struct {
		format Format
		pairs  []string
		want   []string
		says   string
	}{
		{CSV, nil, []string{"a", "b"}, ""},
		{CSV, []string{"b=c"}, []string{"a", "c"}, ""},
		{TFRecord, []string{"b=*"}, []string{"a", "*"}, ""},
		{Images, nil, []string{"*", "*"}, ""},
		{CSV, []string{"b=*"}, nil, "only a TFRecord"},
		{CSV, []string{"c=d"}, nil, "has no input c: it has a float32[?], b string[?]"},
		{CSV, []string{"c"}, nil, "want INPUT=COLUMN"},
		{Images, []string{"b=c"}, nil, "images have no columns"},
	} {
		got, err := Map(s, c.format, c.pairs)
		if diff := cmp.Diff(c.want, got); diff != "" || (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %v: %v, %v", c.format, c.pairs, got, err)
		}
	}
}

// TestWhatMakesAnotherRun: whatever would change a row of the output does.
func TestWhatMakesAnotherRun(t *testing.T) {
	p := Plan{settings(), []Input{{"/in", 3}}, []Shard{{File: 0, To: 3}}}
	for what, change := range map[string]func(*Plan){
		"the model's content":             func(p *Plan) { p.Digest = "e" },
		"the signature":                   func(p *Plan) { p.Signature.Name = "t" },
		"the batch was 4, and is 5":       func(p *Plan) { p.Batch = 5 },
		"the columns":                     func(p *Plan) { p.Columns = []string{"b"} },
		"the kept columns":                func(p *Plan) { p.Keep = nil },
		"the number of input files":       func(p *Plan) { p.Inputs = append(p.Inputs, Input{"/z", 1}) },
		"/in of 3 bytes, and is /in of 4": func(p *Plan) { p.Inputs = []Input{{"/in", 4}} },
		"the format of the output":        func(p *Plan) { p.Encoding = CSVRows },
		"the split":                       func(p *Plan) { p.Split = 9 },
	} {
		q := p
		change(&q)
		if said := q.Differs(p); !strings.Contains(said, what) {
			t.Errorf("%q does not say %q", said, what)
		}
	}
	if said := p.Differs(p); said != "" {
		t.Errorf("the same: %s", said)
	}
}

func TestNames(t *testing.T) {
	p := Plan{settings(), []Input{{"/in", 3}}, []Shard{{}, {}}}
	if p.Part(1) != "part-00001.jsonl" || p.In("x") != "/out/x" || string(p.LeaseList()) != "000000000000000\n000000000000001\n" {
		t.Errorf("%s %s %q", p.Part(1), p.In("x"), p.LeaseList())
	}
	for _, name := range []string{`a`, `a[b]*?`, `a\b`} {
		if ok, err := path.Match(Pattern(name), name); !ok || err != nil {
			t.Errorf("the pattern %s of %s: %v, %v", Pattern(name), name, ok, err)
		}
	}
	for name, want := range map[string]Format{"/a.tfrecord": TFRecord, "hdfs://a/b.CSV.gz": CSV, "x.parquet": Parquet, "a.jpeg": Images, "part-00000": "", "a.gz": ""} {
		if got := FormatOf(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
