package arch

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// module is the prefix of our own import paths.
const module = "tfos/"

// layers lists our packages from the bottom up: one imports its own layer and those below, never
// above. A package stands for those under it too, unless they are listed themselves.
var layers = []struct {
	name     string
	packages []string
}{
	{"pure", []string{
		"internal/lease", "internal/enum", "internal/feed", "internal/migrate", "internal/writeahead", "internal/stall", "internal/notify", "internal/slots",
		"internal/job", "internal/hadoop/wire", "internal/hadoop/uri", "internal/hadoop/principal", "internal/hadoop/token", "internal/hadoop/sasl", "internal/hadoop/conf", "internal/hadoop/tfile",
		"internal/yarn", "internal/yarn/ledger", "internal/launch", "internal/status", "internal/membership", "internal/clusterspec",
		"internal/miniyarn/sched", "internal/fault", "internal/sim", "internal/checkpoint", "internal/savedmodel", "internal/page", "python",
		"internal/example", "internal/tfrecord", "internal/predict/column", "internal/predict/plan", "internal/predict/sink",
	}},
	{"transport", []string{
		"internal/hadoop/pb", "internal/hadoop/rpc", "internal/yarn/yarnrpc", "internal/yarn/yarntest", "internal/dfs", "internal/control", "internal/memnet", "internal/listen", "internal/pause",
	}},
	{"services", []string{"internal/tensorflow", "internal/tensorboard", "internal/predict", "internal/unpack", "internal/pyenv", "internal/supervise", "internal/endpoint", "internal/storage", "internal/fileserver", "internal/feed/serve", "internal/feed/desk", "internal/slots/offer", "internal/slots/hold", "internal/miniyarn", "internal/checkpoint/store", "internal/checkpoint/mirror"}},
	{"products", []string{"internal/am", "internal/agent", "internal/client"}},
	{"commands", []string{"cmd", "test", "tools", "internal/arch", "internal/version"}},
}

// generated lists who may import generated protobuf types: they end at the wire.
var generated = map[string][]string{
	"internal/hadoop/pb":         {"internal/hadoop/rpc", "internal/yarn/yarnrpc", "internal/miniyarn", "internal/dfs"},
	"internal/control/controlpb": {"internal/control"},
}

// confined lists who may import a package that others get values from, not decisions, with the
// reason.
var confined = map[string]struct {
	users []string
	why   string
}{
	"internal/membership": {
		[]string{"internal/am", "internal/sim", "internal/fault", "cmd/tfos"},
		"it is the master's brain, and those who read event logs know it: what agents need of it is a value of clusterspec",
	},
}

// impure is what a package that decides may not import: its answers would depend on more than its
// arguments.
var impure = []string{"net", "net/http", "os", "os/exec", "sync", "sync/atomic", "context", "google.golang.org/protobuf", "google.golang.org/grpc", "go.uber.org/zap"}

// exempt lets a pure package import one thing, with the reason.
var exempt = map[string]map[string]string{
	"internal/job":         {"net/url": "Parse, which only looks at text"},
	"internal/launch":      {"net/url": "PathUnescape, which only looks at text"},
	"internal/clusterspec": {"net": "SplitHostPort and JoinHostPort, which only look at text"},
}

// seeded are the parts of math/rand/v2 whose numbers depend on their seed alone.
var seeded = []string{"New", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "PCG", "Source"}

// witnesses are libraries that only tests may link, with the reason.
var witnesses = map[string]string{
	"github.com/chromedp/":       "it drives the browser that looks at the pages",
	"github.com/colinmarc/hdfs/": "it is the second opinion on package dfs: what it reads and writes must be other code than ours",
	"github.com/jcmturner/":      "it comes with colinmarc/hdfs, and no product speaks Kerberos yet",
}

// forbiddenNames say nothing of what a package is for.
var forbiddenNames = []string{"util", "utils", "common", "helpers", "helper", "types", "misc", "base", "lib"}

type pkg struct {
	ImportPath, Dir, Name string
	GoFiles, Imports      []string
}

func (p pkg) path() string { return strings.TrimPrefix(p.ImportPath, module) }

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,GoFiles,Imports", module+"...")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var ps []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); err == io.EOF {
			return ps
		} else if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
}

// layerOf finds the layer of the longest listed path that holds p.
func layerOf(p string) (int, bool) {
	best, at := -1, 0
	for i, l := range layers {
		for _, q := range l.packages {
			if within(p, q) && len(q) > best {
				best, at = len(q), i
			}
		}
	}
	return at, best >= 0
}

func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

func isPure(p string) bool {
	l, ok := layerOf(p)
	return ok && layers[l].name == "pure"
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		from, ok := layerOf(p.path())
		if !ok {
			t.Errorf("%s is in no layer: add it to layers, as low as it can be", p.path())
			continue
		}
		for _, imp := range p.Imports {
			if !strings.HasPrefix(imp, module) {
				continue
			}
			to, ok := layerOf(strings.TrimPrefix(imp, module))
			if ok && to > from {
				t.Errorf("%s (%s) imports %s (%s): imports point down", p.path(), layers[from].name, imp, layers[to].name)
			}
		}
	}
}

func TestProductsKeepApart(t *testing.T) {
	products := layers[3].packages
	for _, p := range packages(t) {
		var used []string
		for _, imp := range p.Imports {
			for _, q := range products {
				if within(strings.TrimPrefix(imp, module), q) && !slices.Contains(used, q) {
					used = append(used, q)
				}
			}
		}
		for _, q := range products {
			if within(p.path(), q) {
				used = slices.DeleteFunc(used, func(u string) bool { return u == q })
				if len(used) > 0 {
					t.Errorf("%s imports %v: products meet only on the wire", p.path(), used)
				}
			}
		}
		if within(p.path(), "cmd") && len(used) > 1 {
			t.Errorf("%s imports %v: a command is flags and signals around one product", p.path(), used)
		}
	}
}

func TestGeneratedTypesEndAtTheWire(t *testing.T) {
	for _, p := range packages(t) {
		for _, imp := range p.Imports {
			for gen, users := range generated {
				if !within(strings.TrimPrefix(imp, module), gen) || within(p.path(), gen) {
					continue
				}
				if !slices.ContainsFunc(users, func(u string) bool { return within(p.path(), u) }) && !within(p.path(), "tools") {
					t.Errorf("%s imports %s: only %v may", p.path(), imp, users)
				}
			}
		}
	}
}

func TestConfinedPackagesStayConfined(t *testing.T) {
	for _, p := range packages(t) {
		for _, imp := range p.Imports {
			imp = strings.TrimPrefix(imp, module)
			rule, ok := confined[imp]
			if ok && !slices.ContainsFunc(append(rule.users, imp), func(u string) bool { return within(p.path(), u) }) {
				t.Errorf("%s imports %s: %s", p.path(), imp, rule.why)
			}
		}
	}
}

// TestProductsLinkNoWitness: whoever checks a product is no part of it.
func TestProductsLinkNoWitness(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", module+"cmd/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, linked := range strings.Fields(string(out)) {
		for prefix, why := range witnesses {
			if strings.HasPrefix(linked, prefix) {
				t.Errorf("a command links %s: %s", linked, why)
			}
		}
	}
}

// TestOnlyTfosBuiltinLoadsTensorFlow: the other binaries are static, run on any node, and share no
// process with a library that may crash.
func TestOnlyTfosBuiltinLoadsTensorFlow(t *testing.T) {
	for _, command := range []string{"tfos", "tfos-am", "tfos-agent", "tfos-builtin"} {
		out, err := exec.Command("go", "list", "-deps", module+"cmd/"+command).Output()
		if err != nil {
			t.Fatal(err)
		}
		linked := strings.Fields(string(out))
		for _, p := range []string{module + "internal/tensorflow", "github.com/ebitengine/purego"} {
			if got, want := slices.Contains(linked, p), command == "tfos-builtin"; got != want {
				t.Errorf("%s links %s: %v, want %v", command, p, got, want)
			}
		}
	}
}

func TestPackageNamesSayWhatTheyAreFor(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains(forbiddenNames, filepath.Base(p.path())) {
			t.Errorf("%s: name it after its one idea", p.path())
		}
	}
}

// TestPurePackagesDecide keeps from deciding packages what would make their answers depend on more
// than their arguments.
func TestPurePackagesDecide(t *testing.T) {
	for _, p := range packages(t) {
		if !isPure(p.path()) {
			continue
		}
		for _, imp := range p.Imports {
			for _, bad := range impure {
				if within(imp, bad) && exempt[p.path()][imp] == "" {
					t.Errorf("%s imports %s: it decides, and must not look outside its arguments", p.path(), imp)
				}
			}
		}
		eachFile(t, p, func(fset *token.FileSet, f *ast.File) {
			ast.Inspect(f, func(n ast.Node) bool {
				what := ""
				switch n := n.(type) {
				case *ast.GoStmt:
					what = "a go statement"
				case *ast.SelectStmt:
					what = "a select"
				case *ast.ChanType:
					what = "a channel"
				case *ast.SelectorExpr:
					if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "NewTimer", "Tick", "NewTicker", "AfterFunc"}, n.Sel.Name) {
						what = "time." + n.Sel.Name
					} else if ok && x.Name == "rand" && !slices.Contains(seeded, n.Sel.Name) {
						what = "rand." + n.Sel.Name + ", which has no seed of its own,"
					}
				}
				if what != "" {
					t.Errorf("%s: %s in a pure package", fset.Position(n.Pos()), what)
				}
				return true
			})
		})
	}
}

// TestLibrariesDoNotExit: only a command's main decides that the process ends.
func TestLibrariesDoNotExit(t *testing.T) {
	for _, p := range packages(t) {
		if p.Name == "main" {
			continue
		}
		eachFile(t, p, func(fset *token.FileSet, f *ast.File) {
			ast.Inspect(f, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				x, ok := s.X.(*ast.Ident)
				if ok && (x.Name == "os" && s.Sel.Name == "Exit" || x.Name == "log" && strings.HasPrefix(s.Sel.Name, "Fatal")) {
					t.Errorf("%s: %s.%s in a library", fset.Position(n.Pos()), x.Name, s.Sel.Name)
				}
				return true
			})
		})
	}
}

// TestEveryPackageStatesItsContract wants a package comment everywhere.
func TestEveryPackageStatesItsContract(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		documented, gen := false, true
		eachFile(t, p, func(_ *token.FileSet, f *ast.File) {
			documented = documented || f.Doc != nil
			gen = gen && ast.IsGenerated(f)
		})
		if !documented && !gen {
			t.Errorf("%s has no package comment", p.path())
		}
	}
}

// TestCommentsAreNarrow: prose is read in lines of a hundred columns; a tab is four. What is
// indented is a table or code.
func TestCommentsAreNarrow(t *testing.T) {
	const columns, root = 100, "../.."
	err := filepath.WalkDir(root, func(name string, entry os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != root && (entry.Name() == "build" || strings.HasPrefix(entry.Name(), ".")):
			return filepath.SkipDir
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, ".pb.go"):
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(text), "\n") {
			comment := strings.TrimLeft(line, "\t")
			n := utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    "))
			if n > columns && strings.HasPrefix(comment, "// ") && !strings.HasPrefix(comment, "//   ") {
				t.Errorf("%s:%d: a comment of %d columns", name, i+1, n)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRulesBite runs the import rules on made-up packages: a rule that never fails is no rule.
func TestRulesBite(t *testing.T) {
	for _, c := range []struct {
		from, to string
		up       bool
	}{
		{"internal/membership", "internal/control", true},
		{"internal/miniyarn", "internal/am", true},
		{"internal/am", "internal/membership", false},
		{"internal/miniyarn/sched", "internal/miniyarn", true},
	} {
		from, ok1 := layerOf(c.from)
		to, ok2 := layerOf(c.to)
		if got := to > from; !ok1 || !ok2 || got != c.up {
			t.Errorf("%s imports %s: points up = %v, want %v", c.from, c.to, got, c.up)
		}
	}
}

func eachFile(t *testing.T, p pkg, visit func(*token.FileSet, *ast.File)) {
	t.Helper()
	fset := token.NewFileSet()
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(fmt.Errorf("parse %s: %w", strconv.Quote(name), err))
		}
		visit(fset, f)
	}
}
