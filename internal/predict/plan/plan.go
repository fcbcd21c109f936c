// Package plan is what a run of tfos predict is to do: which model over which files, cut into which
// shards, and what each shard's output is called.
//
// The client makes a plan and keeps it beside the output, the workers read it there, and a run that
// is begun again is held against it. The package holds values and decides; it opens no file.
package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"tfos/internal/savedmodel"
)

// Names below the directory of the output.
const (
	Dir      = "_tfos" // everything that is no output; Hadoop's tools pass over it
	File     = Dir + "/plan.json"
	Leases   = Dir + "/shards"   // a line of LeaseBytes for each shard, which workers lease
	Attempts = Dir + "/attempts" // output that is being written; goes when the run is complete
	Done     = "_SUCCESS"        // there when every shard's output is
)

// LeaseBytes is the length of a line of Leases. Every line has the same, so that the lease of the
// bytes from n*LeaseBytes on is that of shard n.
const LeaseBytes = 16

// Variables of a worker's environment.
const (
	EnvOutput   = "PREDICT_OUTPUT"   // the output's directory, as the plan's Output has it
	EnvParallel = "PREDICT_PARALLEL" // how many batches are under way at once
)

// ModelName is what a model on the client's disk is called in the containers.
const ModelName = "tfos-model"

// Format is what the input's files hold.
type Format string

// The formats.
const (
	TFRecord Format = "tfrecord" // records that are tf.train.Examples
	CSV      Format = "csv"      // with a header
	Parquet  Format = "parquet"
	Images   Format = "images" // any files, whose bytes the model takes
)

// Formats are all of them.
var Formats = []Format{TFRecord, CSV, Parquet, Images}

// Encoding is what the output's files hold.
type Encoding string

// The encodings.
const (
	JSONL        Encoding = "jsonl"    // a JSON object for each row
	CSVRows      Encoding = "csv"      // with a header
	TFRecordRows Encoding = "tfrecord" // tf.train.Examples
)

// Encodings are all of them.
var Encodings = []Encoding{JSONL, CSVRows, TFRecordRows}

// Whole is the column that is a whole record, or the bytes of an image.
const Whole = "*"

// PathColumn is the column of an image's name in the output.
const PathColumn = "path"

// Input is an input file.
type Input struct {
	Path string `json:"path"` // as a URI; a plain path is the local disk's
	Size int64  `json:"size"` // bytes
}

// Shard is a part of the input, whose rows become one file of the output.
type Shard struct {
	File  int   `json:"file"`            // index of the (first) input file
	Files int   `json:"files,omitempty"` // of Images: how many files
	From  int64 `json:"from,omitempty"`  // of others: the rows that begin in [From, To) of the file
	To    int64 `json:"to,omitempty"`
}

// Plan is what a run does.
type Plan struct {
	Settings
	Inputs []Input `json:"inputs"`
	Shards []Shard `json:"shards"`
}

// Settings are what two runs have to have in common to go on with each other's output.
type Settings struct {
	Model     string               `json:"model"`  // directory: a URI, or ModelName in the container
	Digest    string               `json:"digest"` // of the model's program and the index of its variables
	Signature savedmodel.Signature `json:"signature"`
	Output    string               `json:"output"` // directory: a URI; a plain path is the local disk's
	Format    Format               `json:"format"`
	Encoding  Encoding             `json:"encoding"`
	Batch     int                  `json:"batch"`           // rows that the model gets at once, at most
	Bytes     int                  `json:"bytes,omitempty"` // of the input, after which a batch is full too; 0: however many
	Columns   []string             `json:"columns"`         // for each input of the signature, where its values come from
	Keep      []string             `json:"keep,omitempty"`  // columns that go to the output beside the model's
	Split     int64                `json:"split,omitempty"` // bytes of a shard; 0: files are whole
	Group     int                  `json:"group,omitempty"` // of Images: files of a shard
}

// Check reports what cannot be done with the signature and the columns, whatever the files hold.
func (s Settings) Check() error {
	if len(s.Signature.Inputs) == 0 || len(s.Signature.Outputs) == 0 {
		return fmt.Errorf("the signature %s has no inputs or no outputs", s.Signature.Name)
	}
	for _, t := range append(slices.Clone(s.Signature.Inputs), s.Signature.Outputs...) {
		switch {
		case t.Graph == "":
			return fmt.Errorf("%s of the signature %s is sparse or ragged, which tfos does not know", t.Name, s.Signature.Name)
		case !t.Type.Known():
			return fmt.Errorf("%s of the signature %s has %s, which tfos does not know", t.Name, s.Signature.Name, t.Type)
		case !t.Shape.Unknown && len(t.Shape.Dims) == 0:
			return fmt.Errorf("%s of the signature %s is one value, with no dimension for rows: the model must take and give batches", t.Name, s.Signature.Name)
		}
	}
	if s.Format == Images && (len(s.Signature.Inputs) != 1 || s.Signature.Inputs[0].Type != savedmodel.String) {
		return fmt.Errorf("the signature %s does not take the bytes of images alone: its inputs are %s, and it wants one of strings", s.Signature.Name, list(s.Signature.Inputs))
	}
	taken := make(map[string]bool)
	for _, name := range s.Names() {
		if taken[name] {
			return fmt.Errorf("two columns of the output would be called %s", name)
		}
		taken[name] = true
	}
	_, err := s.Rows()
	return err
}

// Rows is how many rows the model gets at once: those of Batch, or those that the signature fixes.
func (s Settings) Rows() (int, error) {
	rows := int64(0)
	for _, t := range s.Signature.Inputs {
		if t.Shape.Unknown || t.Shape.Dims[0] < 0 {
			continue
		}
		if d := t.Shape.Dims[0]; d == 0 || rows > 0 && rows != d {
			return 0, fmt.Errorf("the signature %s wants inputs of different numbers of rows: %s", s.Signature.Name, list(s.Signature.Inputs))
		}
		rows = t.Shape.Dims[0]
	}
	if rows > 0 {
		return int(rows), nil
	}
	return s.Batch, nil
}

// Fixed reports whether the model takes batches of one size only, so that short ones are padded.
func (s Settings) Fixed() bool {
	return slices.ContainsFunc(s.Signature.Inputs, func(t savedmodel.Tensor) bool { return !t.Shape.Unknown && t.Shape.Dims[0] > 0 })
}

// Names are the columns of the output, in order.
func (s Settings) Names() []string {
	names := slices.Clone(s.Keep)
	for _, t := range s.Signature.Outputs {
		names = append(names, t.Name)
	}
	return names
}

func list(tensors []savedmodel.Tensor) string {
	names := make([]string, len(tensors))
	for i, t := range tensors {
		names[i] = t.String()
	}
	return strings.Join(names, ", ")
}

// Map finds for each input of a signature the column that its values come from: by its name, unless
// pairs of INPUT=COLUMN say otherwise.
func Map(s savedmodel.Signature, f Format, pairs []string) ([]string, error) {
	columns := make([]string, len(s.Inputs))
	for i, t := range s.Inputs {
		columns[i] = t.Name
		if f == Images {
			columns[i] = Whole
		}
	}
	for _, pair := range pairs {
		input, from, ok := strings.Cut(pair, "=")
		i := slices.IndexFunc(s.Inputs, func(t savedmodel.Tensor) bool { return t.Name == input })
		switch {
		case !ok || input == "" || from == "":
			return nil, fmt.Errorf("%q: want INPUT=COLUMN", pair)
		case i < 0:
			return nil, fmt.Errorf("%q: the signature %s has no input %s: it has %s", pair, s.Name, input, list(s.Inputs))
		case f == Images:
			return nil, errors.New("images have no columns")
		case from == Whole && f != TFRecord:
			return nil, fmt.Errorf("%q: only a TFRecord is given to a model as a whole", pair)
		}
		columns[i] = from
	}
	return columns, nil
}

// MaxShards bounds the shards of a run.
const MaxShards = 4 << 20

// Cut makes the shards of the input. Files without a byte hold no rows.
func (s Settings) Cut(inputs []Input) ([]Shard, error) {
	var shards []Shard
	for i := 0; i < len(inputs); i++ {
		f := inputs[i]
		switch {
		case s.Format == Images:
			n := min(s.Group, len(inputs)-i)
			shards = append(shards, Shard{File: i, Files: n})
			i += n - 1
		case f.Size == 0:
		case s.Split <= 0:
			shards = append(shards, Shard{File: i, To: f.Size})
		default:
			for from := int64(0); from < f.Size; from += s.Split {
				shards = append(shards, Shard{File: i, From: from, To: min(from+s.Split, f.Size)})
				if len(shards) > MaxShards {
					break
				}
			}
		}
		if len(shards) > MaxShards {
			return nil, fmt.Errorf("the input makes more than %d shards: give a larger --split", MaxShards)
		}
	}
	return shards, nil
}

// Part is the name of a shard's output in the output's directory.
func (p Plan) Part(shard int) string { return fmt.Sprintf("part-%05d.%s", shard, p.Encoding) }

// In is a name in the output's directory.
func (s Settings) In(name string) string { return strings.TrimRight(s.Output, "/") + "/" + name }

// LeaseList is the content of Leases.
func (p Plan) LeaseList() []byte {
	b := make([]byte, 0, len(p.Shards)*LeaseBytes)
	for i := range p.Shards {
		b = fmt.Appendf(b, "%0*d\n", LeaseBytes-1, i)
	}
	return b
}

// Pattern is the glob that matches a file of this name alone (path.Match).
func Pattern(name string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
}

// Encode is the plan's file content.
func (p Plan) Encode() ([]byte, error) { return json.MarshalIndent(p, "", " ") }

// Parse reads what Encode wrote.
func Parse(b []byte) (Plan, error) {
	var p Plan
	if err := json.Unmarshal(b, &p); err != nil {
		return Plan{}, fmt.Errorf("%s: %w", File, err)
	}
	for i, s := range p.Shards {
		if s.File < 0 || s.Files < 0 || s.File+max(s.Files, 1) > len(p.Inputs) || s.From < 0 || s.To < s.From {
			return Plan{}, fmt.Errorf("%s: shard %d is not in the input", File, i)
		}
	}
	if len(p.Columns) != len(p.Signature.Inputs) {
		return Plan{}, fmt.Errorf("%s: %d columns for %d inputs", File, len(p.Columns), len(p.Signature.Inputs))
	}
	return p, p.Check()
}

// Differs says what keeps a run from going on with the output that an earlier one began; empty:
// nothing does.
func (p Plan) Differs(earlier Plan) string {
	type row struct {
		what      string
		now, then any
	}
	for _, r := range []row{
		{"the model", p.Model, earlier.Model},
		{"the model's content", p.Digest, earlier.Digest},
		{"the signature", p.Signature.Name, earlier.Signature.Name},
		{"the format of the input", p.Format, earlier.Format},
		{"the format of the output", p.Encoding, earlier.Encoding},
		{"the batch", p.Batch, earlier.Batch},
		{"the bytes of a batch", p.Bytes, earlier.Bytes},
		{"the columns of the inputs", strings.Join(p.Columns, ", "), strings.Join(earlier.Columns, ", ")},
		{"the kept columns", strings.Join(p.Keep, ", "), strings.Join(earlier.Keep, ", ")},
		{"the split", p.Split, earlier.Split},
		{"the group", p.Group, earlier.Group},
		{"the number of input files", len(p.Inputs), len(earlier.Inputs)},
	} {
		if r.now != r.then {
			return fmt.Sprintf("%s was %v, and is %v now", r.what, r.then, r.now)
		}
	}
	for i, f := range p.Inputs {
		if f != earlier.Inputs[i] {
			return fmt.Sprintf("an input file was %s of %d bytes, and is %s of %d bytes now", earlier.Inputs[i].Path, earlier.Inputs[i].Size, f.Path, f.Size)
		}
	}
	return ""
}

// FormatOf guesses the format of a file by its name; empty: it says nothing.
func FormatOf(name string) Format {
	base := strings.ToLower(path.Base(name))
	for _, end := range []string{".gz", ".gzip"} {
		base = strings.TrimSuffix(base, end)
	}
	switch path.Ext(base) {
	case ".tfrecord", ".tfrecords":
		return TFRecord
	case ".csv":
		return CSV
	case ".parquet":
		return Parquet
	case ".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp":
		return Images
	}
	return ""
}
