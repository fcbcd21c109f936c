package job

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			file := "job.yaml"
			td.MaybeScanArgs(t, "file", &file)
			yaml, flags := input(t, td.Input)
			j, err := Parse(file, []byte(yaml), flags)
			if err != nil {
				return err.Error()
			}
			text := Marshal(j)
			checkIdentity(t, j, text)
			return string(text)
		})
	})
}

// input splits a test's input into the job file and the flags after it.
func input(t *testing.T, s string) (string, Overlay) {
	var yaml strings.Builder
	var flags Overlay
	for line := range strings.Lines(s) {
		arg, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			yaml.WriteString(line)
			continue
		}
		flag, setting, _ := strings.Cut(strings.TrimSpace(arg), " ")
		var err error
		switch flag {
		case "-D":
			err = flags.Define(setting)
		case "--env":
			err = flags.SetEnv(setting)
		default:
			key, value, _ := strings.Cut(setting, "=")
			flags.Set(flag, key, value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return yaml.String(), flags
}

type tb interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkIdentity is the law between Marshal and Parse: what is written reads back equal, and is
// written the same again.
func checkIdentity(t tb, j Job, text []byte) {
	t.Helper()
	back, err := Parse("job.yaml", text, nil)
	if err != nil {
		t.Fatalf("what Marshal wrote does not parse: %v\n%s", err, text)
	}
	if diff := cmp.Diff(j, back); diff != "" {
		t.Fatalf("reads back different (-written +read):\n%s\n%s", diff, text)
	}
	if again := Marshal(back); string(again) != string(text) {
		t.Fatalf("written again different:\n%s\nfirst:\n%s", again, text)
	}
}

func TestMarshalParseIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := anyJob(t)
		checkIdentity(t, j, Marshal(j))
	})
}

func TestErrorsCanBeTakenApart(t *testing.T) {
	_, err := Parse("job.yaml", []byte("command: x\nroles: {worker: {memory: 2XB}}\n"), nil)
	var one *Error
	if !errors.As(err, &one) {
		t.Fatalf("error is %T, which holds no *Error", err)
	}
	if one.File != "job.yaml" || one.Line != 2 || one.Key != "roles.worker.memory" {
		t.Errorf("got %+v", one)
	}
}

func TestSettingsWithoutValueAreRefused(t *testing.T) {
	var o Overlay
	for _, arg := range []string{"", "recovery.window", "=3"} {
		if o.Define(arg) == nil {
			t.Errorf("-D %q was accepted", arg)
		}
		if o.SetEnv(arg) == nil {
			t.Errorf("--env %q was accepted", arg)
		}
	}
	if len(o) != 0 {
		t.Errorf("refused settings were kept: %v", o)
	}
}

func TestCommandLine(t *testing.T) {
	for _, tt := range []struct {
		want string
		args []string
	}{
		{"python train.py --epochs 30", []string{"python", "train.py", "--epochs", "30"}},
		{"python train.py | tee log", []string{"python train.py | tee log"}},
		{`sh -c 'echo "$HOME"' '' 'it'\''s'`, []string{"sh", "-c", `echo "$HOME"`, "", "it's"}},
	} {
		if got := CommandLine(tt.args); got != tt.want {
			t.Errorf("CommandLine(%q) = %s, want %s", tt.args, got, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("name: a\ncommand: x\nroles: {worker: {instances: 2, memory: 2GiB}, ps: }\n", "roles.worker.memory", "2g")
	f.Add("command: x\nroles: &r {worker: *r}\n", "env.A", "1")
	f.Add("a: &a [*a, *a]\n<<: [{roles: {w: {}}}, {command: \"\\x01\"}]\n", "files", "a#b,c")
	f.Add("command: x\nroles: {w: {resources: {a.b/c: 1}, env: {A: \"\\u2028\"}}}\n", "roles.w.resources.x.y", "3")
	f.Add("roles: {w: {}}\ncommand: |\n  a\n\n   b\n", "tags", "a, b")
	f.Fuzz(func(t *testing.T, yaml, key, value string) {
		j, err := Parse("job.yaml", []byte(yaml), Overlay{{"-D " + key, key, value}})
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without words")
			}
			return
		}
		checkIdentity(t, j, Marshal(j))
	})
}

// TestWhatNoProgramCanBeGiven: execve would refuse it on every node, after everything was uploaded.
func TestWhatNoProgramCanBeGiven(t *testing.T) {
	long := strings.Repeat("x", 128<<10)
	for _, c := range []struct {
		name, file string
		flags      []string // --env
		command    string   // after --
		says       string   // empty: it is good
	}{
		{name: "the longest variable", flags: []string{"A=" + long[:len(long)-3]}},
		{name: "a longer one", flags: []string{"A=" + long[:len(long)-2]}, says: "--env A: is 131072 bytes long"},
		{name: "one in the file", file: "env: {A: " + long + "}\n", says: "job.yaml:2: env.A: is 131074 bytes long"},
		{name: "one of a role", file: "roles: {worker: {env: {A: " + long + "}}}\n", says: "roles.worker.env.A: is 131074 bytes long"},
		{name: "the longest command", command: long[:len(long)-1]},
		{name: "a longer command", command: long, says: "--: is 131072 bytes long"},
		{name: "zero byte", flags: []string{"A=hunter\x002"}, says: "--env A: holds a zero byte"},
		{name: "no UTF-8", flags: []string{"A=hunter\xff2"}, says: "--env A: is not UTF-8"},
		{name: "command that is no UTF-8", command: "train \xff", says: "--: is not UTF-8"},
		{name: "name with a dot", flags: []string{"A.B=hunter2"}, says: `--env A.B: "A.B" is not the name of an environment variable`},
		{name: "name with a zero byte", flags: []string{"A\x00B=hunter2"}, says: "is not the name of an environment variable"},
		{name: "name with an equals sign", file: "env: {\"A=B\": hunter2}\n", says: `"A=B" is not the name of an environment variable`},
		{name: "all together", says: "roles.worker: its command and environment are 1", flags: func() []string {
			var all []string
			for i := range 13 {
				all = append(all, fmt.Sprintf("V%d=%s", i, long[:len(long)-10]))
			}
			return all
		}()},
	} {
		var o Overlay
		var err error
		for _, f := range c.flags {
			err = errors.Join(err, o.SetEnv(f))
		}
		file := "command: x\n" + c.file
		if !strings.Contains(c.file, "roles") {
			file += "roles: {worker: {}}\n"
		}
		if c.command != "" {
			o.Set("--", "command", c.command)
		}
		if err == nil {
			_, err = Parse("job.yaml", []byte(file), o)
		}
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %.200v", c.name, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter") || len(err.Error()) > 1000):
			t.Errorf("%s: %.300v", c.name, err)
		}
	}
}

func TestTagged(t *testing.T) {
	j := Job{Tags: []string{"nightly"}}
	got, err := j.Tagged("oozie-1a, nightly,,team")
	if want := []string{"nightly", "oozie-1a", "team"}; err != nil || !slices.Equal(got.Tags, want) {
		t.Errorf("tags %q (%v), want %q", got.Tags, err, want)
	}
	if len(j.Tags) != 1 {
		t.Errorf("the job itself has now %q", j.Tags)
	}
	for _, bad := range []string{"é", strings.Repeat("x", maxTagLen+1), "a,b,c,d,e,f,g,h,i,j"} {
		if _, err := j.Tagged(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
