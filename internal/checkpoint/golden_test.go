package checkpoint_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tfos/internal/checkpoint"
)

// directory is files in memory, by relative name.
type directory map[string][]byte

// content is an open file of a directory.
type content struct{ *bytes.Reader }

func (c content) Size() int64  { return c.Reader.Size() }
func (c content) Close() error { return nil }

func (d directory) open(name string) (checkpoint.Content, error) {
	b, ok := d[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return content{bytes.NewReader(b)}, nil
}

// files lists the directory. Each file is as new as its name says: ckpt-3 is newer than ckpt-2.
func (d directory) files() []checkpoint.File {
	var files []checkpoint.File
	for i, name := range slices.Sorted(maps.Keys(d)) {
		files = append(files, checkpoint.File{Name: name, Size: int64(len(d[name])), Time: time.Unix(int64(i), 0)})
	}
	return files
}

func (d directory) list(t testing.TB) checkpoint.Listing {
	t.Helper()
	l, err := checkpoint.List(d.files(), d.open)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// with is a copy in which a file is changed, or missing if content is nil.
func (d directory) with(name string, content []byte) directory {
	c := maps.Clone(d)
	c[name] = content
	if content == nil {
		delete(c, name)
	}
	return c
}

// golden reads what TensorFlow wrote: a directory of testdata.
func golden(t testing.TB, dir string) directory {
	t.Helper()
	d := directory{}
	root := filepath.Join("testdata", dir)
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		d[name], err = os.ReadFile(filepath.Join(root, name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// verify reads a checkpoint piece by piece, the last piece first.
func (d directory) verify(t testing.TB, c checkpoint.Checkpoint, pieceSize int64) checkpoint.Verdict {
	t.Helper()
	v, err := checkpoint.Judge(d.check(c, pieceSize))
	if err != nil {
		t.Fatalf("verify %s: %v", c.Name, err)
	}
	return v
}

func (d directory) check(c checkpoint.Checkpoint, pieceSize int64) error {
	plan, err := checkpoint.NewPlan(c, d.open, pieceSize)
	if err != nil {
		return err
	}
	sums := make([]checkpoint.Sum, len(plan.Pieces))
	for i := len(plan.Pieces) - 1; i >= 0; i-- {
		f, err := d.open(plan.Pieces[i].File)
		if err != nil {
			return err
		}
		if sums[i], err = plan.Pieces[i].Read(f, make([]byte, 100)); err != nil {
			return err
		}
	}
	return plan.Judge(sums)
}

// find is the checkpoint of a name, the zero one if there is none.
func find(l checkpoint.Listing, name string) checkpoint.Checkpoint {
	for _, c := range l.Checkpoints {
		if c.Name == name {
			return c
		}
	}
	return checkpoint.Checkpoint{}
}

// known is what lies in testdata, the oldest first.
var known = map[string][]string{
	"v2":             {"ckpt-2 bundle step 200", "ckpt-3 bundle step 300", "ckpt-4 bundle step 400"},
	"shards":         {"ckpt-1 bundle step 5"},
	"v1":             {"model.ckpt-20 bundle step 20", "model.ckpt-30 bundle step 30"},
	"v1-sharded":     {"model.ckpt-20 bundle step 20", "model.ckpt-30 bundle step 30"},
	"legacy":         {"model.ckpt-20 legacy step 20", "model.ckpt-30 legacy step 30"},
	"legacy-sharded": {"model.ckpt-20 legacy step 20", "model.ckpt-30 legacy step 30"},
	"keras":          {"model-02.weights.h5 hdf5 step 8", "model.keras keras step -1", "whole.h5 hdf5 step 8"},
	"backup":         {"latest.weights.h5 hdf5 step 12", "latest.weights.h5.bkp hdf5 step 8"},
	"keras-shards":   {"model-02.weights.json keras-shards step 8"},
	"saved-model":    {"1 saved-model step 1"},
}

func TestWhatTensorFlowWroteIsWhole(t *testing.T) {
	for dir, want := range known {
		t.Run(dir, func(t *testing.T) {
			d := golden(t, dir)
			l := d.list(t)
			if len(l.Problems) > 0 {
				t.Errorf("problems: %q", l.Problems)
			}
			var got []string
			claimed := 0
			for _, c := range l.Checkpoints {
				step, err := checkpoint.Step(c, d.open)
				if err != nil {
					t.Error(err)
				}
				got = append(got, fmt.Sprintf("%s %s step %d", c.Name, c.Format, step))
				claimed += len(c.Files)
				for _, pieceSize := range []int64{1, 100, checkpoint.DefaultPieceSize} {
					if v := d.verify(t, c, pieceSize); !v.Whole {
						t.Errorf("%s in pieces of %d: %v", c.Name, pieceSize, v)
					}
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("listed %q, want %q", got, want)
			}
			delete(d, checkpoint.StateFile)
			if claimed != len(d) {
				t.Errorf("%d of %d files belong to a checkpoint", claimed, len(d))
			}
		})
	}
}

// Every single byte that is changed is found, and so are lengths that a file is cut to, in the
// formats that have checksums.
func TestEveryDamageIsFound(t *testing.T) {
	for _, dir := range []string{"v2", "shards", "v1", "v1-sharded", "legacy", "legacy-sharded"} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			d := golden(t, dir)
			list := d.list(t).Checkpoints
			newest := list[len(list)-1]
			for _, f := range newest.Files {
				good := d[f.Name]
				if strings.HasSuffix(f.Name, ".meta") {
					continue // has none
				}
				for i := range good {
					bad := bytes.Clone(good)
					bad[i] ^= 1 << (i % 8)
					broken(t, d.with(f.Name, bad), newest.Name, f.Name, fmt.Sprintf("a flipped bit in byte %d of %s", i, f.Name))
					if i%11 == 0 || i == len(good)-1 {
						broken(t, d.with(f.Name, good[:i]), newest.Name, f.Name, fmt.Sprintf("%s cut to %d bytes", f.Name, i))
					}
				}
				broken(t, d.with(f.Name, append(bytes.Clone(good), 0)), newest.Name, f.Name, f.Name+" with a byte more")
			}
		})
	}
}

// broken checks that a checkpoint is found to be broken, and that the sentence names the file.
func broken(t *testing.T, d directory, name, file, how string) {
	t.Helper()
	v := d.verify(t, find(d.list(t), name), checkpoint.DefaultPieceSize)
	if v.Whole {
		t.Errorf("%s: not found", how)
	} else if !strings.Contains(v.Problem, file) {
		t.Errorf("%s: %q does not name the file", how, v.Problem)
	}
}

func TestEveryCutIsFound(t *testing.T) {
	for dir, file := range map[string]string{
		"keras": "model.keras", "keras-shards": "model-02.weights.json", "backup": "latest.weights.h5", "saved-model": "1/saved_model.pb", "v1": "model.ckpt-30.meta", "legacy": "model.ckpt-30.meta",
	} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			d := golden(t, dir)
			list := d.list(t).Checkpoints
			name := list[slices.IndexFunc(list, func(c checkpoint.Checkpoint) bool {
				return slices.ContainsFunc(c.Files, func(f checkpoint.File) bool { return f.Name == file })
			})].Name
			for i := 0; i < len(d[file]); i += 1 + len(d[file])/397 {
				broken(t, d.with(file, d[file][:i]), name, file, fmt.Sprintf("%s cut to %d bytes", file, i))
			}
			broken(t, d.with(file, d[file][:len(d[file])-1]), name, file, file+" cut by one byte")
		})
	}
}

// A changed byte of a weight in a .keras archive is found; in a .weights.h5 nothing could tell.
// Neither is a reason to panic.
func TestDamagedKeras(t *testing.T) {
	d := golden(t, "keras")
	list := d.list(t)
	found := map[string]int{}
	for _, name := range []string{"model.keras", "whole.h5", "model-02.weights.h5"} {
		for i := 0; i < len(d[name]); i += 9 {
			bad := bytes.Clone(d[name])
			bad[i] ^= 0x55
			if v := d.with(name, bad).verify(t, find(list, name), checkpoint.DefaultPieceSize); !v.Whole {
				found[name]++
			}
		}
		t.Logf("%s: %d of %d changed bytes found", name, found[name], len(d[name])/9)
	}
	if len(d["model.keras"])/9-found["model.keras"] > 25 { // times and flags in the archive's directories
		t.Errorf("only %d of %d changed bytes of the archive were found", found["model.keras"], len(d["model.keras"])/9)
	}
}

// What a killed writer leaves, and other things that the listing shows already.
func TestMissingFiles(t *testing.T) {
	for _, c := range []struct{ dir, remove, name, says string }{
		{"v2", "ckpt-4.index", "ckpt-4", "ckpt-4.index is missing"}, // killed between data and index
		{"v2", "ckpt-4.data-00000-of-00001", "ckpt-4", "ckpt-4.data-00000-of-00001 is missing"},
		{"shards", "ckpt-1.data-00001-of-00002", "ckpt-1", "ckpt-1.data-00001-of-00002 is missing"},
		{"shards", "ckpt-1.data-00000-of-00002", "ckpt-1", "ckpt-1.data-00000-of-00002 is missing"},
		{"legacy-sharded", "model.ckpt-30-00001-of-00003", "model.ckpt-30", "model.ckpt-30-00001-of-00003 is missing"},
		{"saved-model", "1/variables/variables.index", "1", "1/variables/variables.index is missing"},
		{"saved-model", "1/variables/variables.data-00000-of-00001", "1", "variables.data-00000-of-00001 is missing"},
		{"backup", "training_metadata.json", "latest.weights.h5", "training_metadata.json is missing"},
	} {
		d := golden(t, c.dir).with(c.remove, nil)
		v := d.verify(t, find(d.list(t), c.name), checkpoint.DefaultPieceSize)
		if v.Whole || !strings.Contains(v.Problem, c.says) {
			t.Errorf("%s without %s: %v", c.dir, c.remove, v)
		}
	}
}

// A state file that names what is not there is told, as is one that was cut.
func TestStateFile(t *testing.T) {
	d := golden(t, "v2")
	for content, says := range map[string]string{
		`model_checkpoint_path: "ckpt-9"`: "names ckpt-9, which is not there",
		`model_checkpoint_path: "ck`:      "checkpoint is damaged",
		``:                                "names no checkpoint",
	} {
		l := d.with(checkpoint.StateFile, []byte(content)).list(t)
		if len(l.Problems) != 1 || !strings.Contains(l.Problems[0], says) {
			t.Errorf("%q: %q", content, l.Problems)
		}
		if len(l.Checkpoints) != 3 {
			t.Errorf("%q hides checkpoints: %v", content, l.Checkpoints)
		}
	}
}

// The step of a damaged checkpoint is no reason for a listing to fail.
func TestStepOfADamagedOne(t *testing.T) {
	d := golden(t, "v2")
	c := find(d.list(t), "ckpt-4")
	for _, name := range []string{"ckpt-4.data-00000-of-00001", "ckpt-4.index"} {
		for n := range d[name] {
			step, err := checkpoint.Step(c, d.with(name, d[name][:n]).open)
			if _, err := checkpoint.Judge(err); err != nil {
				t.Errorf("%s cut to %d bytes: step %d, %v", name, n, step, err)
			}
		}
	}
}

// An unreadable file is no verdict.
func TestUnreadableIsNotBroken(t *testing.T) {
	d := golden(t, "v2")
	c := find(d.list(t), "ckpt-4")
	refuse := errors.New("the disk does not answer")
	_, err := checkpoint.NewPlan(c, func(string) (checkpoint.Content, error) { return nil, refuse }, 100)
	if v, err := checkpoint.Judge(err); !errors.Is(err, refuse) {
		t.Errorf("verdict %v, %v", v, err)
	}
}

// An exported model's directory is named by the time, as Estimator does, or by a version: the step
// is what its variables say.
func TestStepOfAnExport(t *testing.T) {
	model, trained := golden(t, "saved-model"), golden(t, "v1")
	for _, c := range []struct {
		dir    string
		counts bool // its variables have a step
		want   int64
	}{
		{"1796000000", false, checkpoint.Unknown},
		{"1796000000123", false, checkpoint.Unknown},
		{"export/120", false, 120},
		{"1796000000", true, 30},
		{"7", true, 30},
	} {
		d := directory{c.dir + "/saved_model.pb": model["1/saved_model.pb"]}
		for _, suffix := range []string{".index", ".data-00000-of-00001"} {
			d[c.dir+"/variables/variables"+suffix] = model["1/variables/variables"+suffix]
			if c.counts {
				d[c.dir+"/variables/variables"+suffix] = trained["model.ckpt-30"+suffix]
			}
		}
		got, err := checkpoint.Step(find(d.list(t), c.dir), d.open)
		if err != nil || got != c.want {
			t.Errorf("%s, %v: step %d, %v, want %d", c.dir, c.counts, got, err, c.want)
		}
	}
}

// TestEveryFormatHasAnExample of what TensorFlow or Keras wrote, and a line for people.
func TestEveryFormatHasAnExample(t *testing.T) {
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/checkpoints.md")
	if err != nil {
		t.Fatal(err)
	}
	formats := regexp.MustCompile(`(?m)^\t\w+ +Format = "(.+?)"`).FindAllStringSubmatch(string(source), -1)
	if len(formats) < 6 {
		t.Errorf("%d formats are found", len(formats))
	}
	for _, f := range formats {
		example := func(checkpoints []string) bool {
			return slices.ContainsFunc(checkpoints, func(c string) bool { return strings.Contains(c, " "+f[1]+" ") })
		}
		if !slices.ContainsFunc(slices.Collect(maps.Values(known)), example) {
			t.Errorf("testdata has no checkpoint of the format %s", f[1])
		}
		if !strings.Contains(string(doc), "`"+f[1]+"`") {
			t.Errorf("docs/checkpoints.md does not have the format %s", f[1])
		}
	}
}
