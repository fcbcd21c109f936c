package migrate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"tfos/internal/hadoop/conf"
	"tfos/internal/job"
)

// TestConvert reads what users of the other launchers have. A line of an input that begins with
// "file NAME:" begins another file, which the first one refers to.
func TestConvert(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			parts := regexp.MustCompile(`(?m)^file (\S+):\n`).Split(d.Input, -1)
			names := regexp.MustCompile(`(?m)^file (\S+):\n`).FindAllStringSubmatch(d.Input, -1)
			s := Source{Name: d.Cmd, Data: []byte(parts[0]), Env: conf.Environment{
				Env:    func(name string) (string, bool) { return "/home/ann", name == "HOME" },
				System: map[string]string{"user.name": "ann"},
			}}
			for _, arg := range d.CmdArgs {
				switch arg.Key {
				case "here":
					s.Here = arg.Vals[0]
				case "beside":
					s.Beside = arg.Vals[0]
				}
			}
			s.Open = func(name string) ([]byte, error) {
				for i, m := range names {
					if m[1] == name {
						return []byte(parts[i+1]), nil
					}
				}
				return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
			}
			r, err := Convert(s)
			if err != nil {
				return fmt.Sprintf("error: %v\n", err)
			}
			out := string(r.File(d.Cmd))
			if _, err := job.Parse("job.yaml", []byte(out), nil); err != nil {
				out += fmt.Sprintf("to be mended: %v\n", err)
			}
			return out
		})
	})
}

// TestEveryKeyOfTonYIsTried: a rule that no test data names is one that nobody has seen at work.
func TestEveryKeyOfTonYIsTried(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "tony.txt"))
	if err != nil {
		t.Fatal(err)
	}
	tried := map[string]bool{}
	for _, m := range regexp.MustCompile(`tony\.[A-Za-z0-9_.-]+`).FindAllString(string(data), -1) {
		if r, _, ok := find(strings.TrimRight(m, ".")); ok {
			tried[r.key] = true
		}
	}
	for _, r := range tonyRules {
		if !tried[r.key] {
			t.Errorf("%s is in no test", r.key)
		}
	}
}

// TestRulesAreFound: a rule behind a pattern that takes its keys would never be used.
func TestRulesAreFound(t *testing.T) {
	for _, rule := range tonyRules {
		key := strings.ReplaceAll(rule.key, "*", "worker")
		if got, _, ok := find(key); !ok || got.key != rule.key {
			t.Errorf("%s is taken by the rule for %q", key, got.key)
		}
	}
}

// TestFileThatCannotBeRead: only a file that is not there is passed over.
func TestFileThatCannotBeRead(t *testing.T) {
	broken := errors.New("disk is broken")
	for _, script := range []string{"ClusterSubmitter --executes x.py --conf_file a.xml", "ClusterSubmitter --executes x.py"} {
		_, err := Convert(Source{Name: "run.sh", Data: []byte(script), Open: func(string) ([]byte, error) { return nil, broken }})
		if !errors.Is(err, broken) {
			t.Errorf("%s: %v, want that the file cannot be read", script, err)
		}
	}
}

func FuzzConvert(f *testing.F) {
	for _, file := range []string{"tony.txt", "skein.txt", "tfjob.txt"} {
		data, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			f.Fatal(err)
		}
		for part := range strings.SplitSeq(string(data), "\n\n") {
			f.Add("a.yaml", part)
			f.Add("a.sh", part)
		}
	}
	f.Fuzz(func(t *testing.T, name, data string) {
		r, err := Convert(Source{Name: name, Data: []byte(data)})
		if err == nil {
			r.File(name)
		}
	})
}
