package membership

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// found lists what an expression's group matches in the files of this package that are no tests: a
// few at least.
func found(t *testing.T, expression string) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(expression).FindAllStringSubmatch(string(source), -1) {
			all = append(all, m[1])
		}
	}
	if len(all) < 10 {
		t.Errorf("%s matches %d times only", expression, len(all))
	}
	return all
}

// TestEveryEventAndActionHasAName: without one it cannot be written to the event log.
func TestEveryEventAndActionHasAName(t *testing.T) {
	named := map[string]bool{}
	for _, zero := range eventKinds {
		named["event "+reflect.TypeOf(zero).Name()] = true
	}
	for _, zero := range actionKinds {
		named["action "+reflect.TypeOf(zero).Name()] = true
	}
	for _, method := range []string{"event", "action"} {
		for _, name := range found(t, `(?m)^func \((\w+)\) +`+method+`\(\)`) {
			if !named[method+" "+name] {
				t.Errorf("the %s %s is not in the table of codec.go", method, name)
			}
		}
	}
}

// TestEveryCauseIsExplained: people look a cause up that status tells them.
func TestEveryCauseIsExplained(t *testing.T) {
	for _, name := range []string{"docs/status-json.md", "docs/guide/operations.md"} {
		doc, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range found(t, `(?m)^\tCause\w+ +Cause = "(.+?)"`) {
			if !regexp.MustCompile("(?m)^\\| (`[^`]+`, )*`" + c + "`").Match(doc) {
				t.Errorf("the cause %q has no row in %s", c, name)
			}
		}
	}
}
