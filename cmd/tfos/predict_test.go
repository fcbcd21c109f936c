package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tfos/internal/client/exit"
)

// TestPredictLooksFirst is everything that can be wrong with a prediction: it is said before
// anything is started, and nothing is written.
func TestPredictLooksFirst(t *testing.T) {
	isolate(t)
	dir := t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return full
	}
	program, err := os.ReadFile("../../internal/savedmodel/testdata/tiny.pb")
	if err != nil {
		t.Fatal(err)
	}
	model := filepath.Dir(write("model/saved_model.pb", string(program)))
	head := "x,id,n\n"
	good := write("good.csv", head+"\"[1,2,3]\",a,\"[1,2,3,4]\"\n")
	none := filepath.Join(dir, "none")
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no model":         {[]string{"--input", good, "--output", none}, "--model is missing"},
		"no such model":    {[]string{"--model", none, "--input", good, "--output", none}, "holds no SavedModel: there is no saved_model.pb"},
		"a damaged model":  {[]string{"--model", filepath.Dir(write("bad/saved_model.pb", "x")), "--input", good, "--output", none}, "saved_model.pb is damaged"},
		"no signature":     {[]string{"--model", model, "--input", good, "--output", none, "--signature", "s"}, "has no signature s: it has serving_default"},
		"no file":          {[]string{"--model", model, "--input", none + "/*.csv", "--output", none}, "no file matches"},
		"no format":        {[]string{"--model", model, "--input", write("data", head), "--output", none}, "does not say by its name what it holds"},
		"unknown format":   {[]string{"--model", model, "--input", good, "--output", none, "--format", "orc"}, "--format orc: want one of tfrecord, csv, parquet, images"},
		"unknown output":   {[]string{"--model", model, "--input", good, "--output", none, "--output-format", "xml"}, "--output-format xml: want one of jsonl, csv, tfrecord"},
		"no column":        {[]string{"--model", model, "--input", write("few.csv", "id,n\na,1\n"), "--output", none}, "few.csv: it has no column x: it has id, n"},
		"no kept column":   {[]string{"--model", model, "--input", good, "--output", none, "--keep", "y"}, "it has no column y"},
		"too few values":   {[]string{"--model", model, "--input", write("short.csv", head+"\"[1,2]\",a,\"[1,2,3,4]\"\n"), "--output", none}, "row 1: x has 2 values, and the model's input is x float32[?,3]"},
		"no number":        {[]string{"--model", model, "--input", write("text.csv", head+"hello,a,\"[1,2,3,4]\"\n"), "--output", none}, `row 1: x is "hello": want a number`},
		"unknown input":    {[]string{"--model", model, "--input", good, "--output", none, "--map", "z=x"}, "has no input z"},
		"images":           {[]string{"--model", model, "--input", write("a.png", "x"), "--output", none}, "does not take the bytes of images"},
		"output is full":   {[]string{"--model", model, "--input", good, "--output", dir}, "is not empty, and holds no output of tfos predict"},
		"output is a file": {[]string{"--model", model, "--input", good, "--output", good}, "is a file: want a directory"},
		"split":            {[]string{"--model", model, "--input", good, "--output", none, "--split", "7"}, "--split \"7\" has no unit"},
		"batch":            {[]string{"--model", model, "--input", good, "--output", none, "--batch", "0"}, "want at least 1"},
		"an argument":      {[]string{"x"}, "unknown command"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := tfos(t, append([]string{"predict", "--master", "local"}, c.args...)...)
			if code != exit.Usage || stdout != "" || !strings.Contains(stderr, c.says) {
				t.Errorf("exit code %d, stdout %q, stderr %q does not say %q", code, stdout, stderr, c.says)
			}
			if _, err := os.Stat(none); err == nil {
				t.Errorf("%s was made", none)
			}
		})
	}
	// With all in order, what is missing is the program.
	code, _, stderr := tfos(t, "predict", "--master", "local", "--model", model, "--input", good, "--output", none)
	if code != exit.Usage || !strings.Contains(stderr, "tfos-builtin") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}
