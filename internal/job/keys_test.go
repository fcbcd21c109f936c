package job

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// keys are those of the rules in parse.go: of the job file, as "checkpoint.dir", and of a role, as
// "roles.memory".
func keys(t *testing.T) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "parse.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	var collect func(n ast.Node, prefix string)
	collect = func(n ast.Node, prefix string) {
		ast.Inspect(n, func(n ast.Node) bool {
			if d, ok := n.(*ast.FuncDecl); ok && d.Name.Name == "role" {
				collect(d.Body, "roles.")
				return false
			}
			c, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			if id, ok := c.Type.(*ast.Ident); !ok || id.Name != "rule" || len(c.Elts) != 2 {
				return true
			}
			name, ok := c.Elts[0].(*ast.BasicLit)
			if !ok {
				return true
			}
			key, err := strconv.Unquote(name.Value)
			if err != nil {
				t.Fatal(err)
			}
			before := len(all)
			collect(c.Elts[1], prefix+key+".")
			if len(all) == before { // it is no section
				all = append(all, prefix+key)
			}
			return false
		})
	}
	collect(f, "")
	return all
}

// documented are the keys in the two tables of docs/job-file.md, and their rows.
func documented(t *testing.T) map[string]string {
	t.Helper()
	doc, err := os.ReadFile("../../docs/job-file.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for i, table := range strings.SplitN(string(doc), "\n| key | default | meaning |\n", 3)[1:] {
		for line := range strings.Lines(table) {
			if !strings.HasPrefix(line, "| ") {
				if len(all) > 0 && strings.TrimSpace(line) == "" {
					break
				}
				continue
			}
			for _, m := range regexp.MustCompile("`([a-z.-]+)`").FindAllStringSubmatch(strings.SplitN(line, "|", 3)[1], -1) {
				all[[]string{"", "roles."}[i]+m[1]] = line
			}
		}
	}
	return all
}

// TestTheReferenceHasEveryKey holds docs/job-file.md and the parser against each other.
func TestTheReferenceHasEveryKey(t *testing.T) {
	inCode, inDoc := keys(t), documented(t)
	if len(inCode) < 30 || !slices.Contains(inCode, "recovery.window") || !slices.Contains(inCode, "roles.memory") {
		t.Fatalf("the keys of parse.go were not found: %q", inCode)
	}
	for _, k := range inCode {
		section, name, _ := strings.Cut(k, ".") // a section may have one row for all its keys
		if inDoc[k] == "" && !regexp.MustCompile("[{ ]"+name+": ").MatchString(inDoc[section]) {
			t.Errorf("%s is in no table of docs/job-file.md", k)
		}
	}
	for k := range inDoc {
		if !slices.Contains(inCode, k) && !slices.ContainsFunc(inCode, func(c string) bool { return strings.HasPrefix(c, k+".") }) {
			t.Errorf("docs/job-file.md has the key %s, which parse.go does not know", k)
		}
	}
}
