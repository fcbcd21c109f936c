package arch

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPurePackagesKeepMapOrderOut: Go ranges over a map in another order each time, so what a
// package that decides makes of a map must not depend on that order. A loop over a map may do what
// comes out the same in every order (see anyOrder), or is over slices.Sorted(maps.Keys(m)). A loop
// of which that cannot be shown so simply says why it holds, in a comment that begins with "any
// order:" on its line or the one above.
func TestPurePackagesKeepMapOrderOut(t *testing.T) {
	fset := token.NewFileSet()
	imports := exported(t, fset)
	for _, p := range packages(t) {
		if !isPure(p.path()) || len(p.GoFiles) == 0 {
			continue
		}
		var files []*ast.File
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		for _, what := range unordered(t, fset, imports, p.ImportPath, files) {
			t.Error(what)
		}
	}
}

// exported reads what compiled packages export.
func exported(t *testing.T, fset *token.FileSet) types.Importer {
	t.Helper()
	out, err := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		files[path] = file
	}
	return importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(files[path]) })
}

// unordered lists the places of a package where the order of a map may get out.
func unordered(t *testing.T, fset *token.FileSet, imports types.Importer, path string, files []*ast.File) []string {
	t.Helper()
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{},
		Selections: map[*ast.SelectorExpr]*types.Selection{}}
	if _, err := (&types.Config{Importer: imports}).Check(path, fset, files, info); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var found []string
	for _, f := range files {
		reasons := map[int]bool{} // lines that say why any order will do
		for _, g := range f.Comments {
			for _, c := range g.List {
				if strings.HasPrefix(c.Text, "// any order:") {
					reasons[fset.Position(c.Pos()).Line] = true
					reasons[fset.Position(g.End()).Line+1] = true
				}
			}
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			l := &mapLoops{info: info, function: fn.Body}
			ast.Inspect(fn, l.visit)
			for _, at := range l.found {
				if !reasons[fset.Position(at).Line] {
					found = append(found, fset.Position(at).String()+": the order of a map may get out here")
				}
			}
		}
	}
	return found
}

// mapLoops finds, in one function, uses of a map that may depend on its order.
type mapLoops struct {
	info     *types.Info
	function *ast.BlockStmt
	found    []token.Pos
}

func (l *mapLoops) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.RangeStmt:
		if call, ok := n.X.(*ast.CallExpr); (l.isMap(n.X) || ok && l.ofMap(call)) && n.Key != nil && !l.anyOrder(n) {
			l.found = append(l.found, n.Pos())
		}
		if l.isMap(n.X) {
			return true
		}
		if call, ok := n.X.(*ast.CallExpr); ok && l.ofMap(call) { // judged as a loop over the map
			ast.Inspect(n.Body, l.visit)
			return false
		}
	case *ast.CallExpr:
		if name := l.callee(n); takesAnyOrder[name] {
			return false
		}
		if l.ofMap(n) {
			l.found = append(l.found, n.Pos())
		}
	}
	return true
}

// takesAnyOrder are functions whose answer is the same in whatever order a sequence comes.
var takesAnyOrder = map[string]bool{"slices.Sorted": true, "slices.SortedFunc": true, "maps.Collect": true, "maps.Insert": true}

func (l *mapLoops) isMap(e ast.Expr) bool {
	t := l.info.Types[e].Type
	if t == nil {
		return false
	}
	_, is := t.Underlying().(*types.Map)
	return is
}

// ofMap reports whether a call gives the elements of a map in its order.
func (l *mapLoops) ofMap(c *ast.CallExpr) bool {
	return slices.Contains([]string{"maps.Keys", "maps.Values", "maps.All"}, l.callee(c))
}

// callee is the function that is called, with its package: "maps.Keys".
func (l *mapLoops) callee(c *ast.CallExpr) string {
	fun := c.Fun
	if i, ok := fun.(*ast.IndexExpr); ok {
		fun = i.X
	}
	id, ok := fun.(*ast.Ident)
	if s, is := fun.(*ast.SelectorExpr); is {
		id, ok = s.Sel, true
	}
	if !ok {
		return ""
	}
	switch o := l.info.Uses[id].(type) {
	case *types.Func:
		if o.Pkg() != nil && o.Signature().Recv() == nil {
			return o.Pkg().Name() + "." + o.Name()
		}
	case *types.Builtin:
		return o.Name()
	}
	return ""
}

// anyOrder reports whether a loop over a map comes out the same in every order, because each
// statement of it
//   - counts (n++, n += an integer) or keeps the least or greatest (n = min(n, …), n = max(n, …)),
//   - sets a place that only this round has: an element of a map at this round's key, or what this
//     round's value points to,
//   - deletes from a map, panics, or calls a method of this round's value,
//   - collects into a slice that the function sorts later,
//   - sets a variable to a constant, or returns constants; always the same in one loop,
//   - or is one of these under a condition, in a block, or in an inner loop.
//
// A call inside an expression is taken to change nothing.
func (l *mapLoops) anyOrder(r *ast.RangeStmt) bool {
	j := &judge{mapLoops: l, loop: r, constants: map[string]string{}}
	if k, ok := r.Key.(*ast.Ident); ok {
		j.key = l.object(k)
	}
	return j.all(r.Body.List)
}

func (l *mapLoops) object(id *ast.Ident) types.Object {
	if o := l.info.Defs[id]; o != nil {
		return o
	}
	return l.info.Uses[id]
}

// judge looks at the statements of one loop.
type judge struct {
	*mapLoops
	loop      *ast.RangeStmt
	key       types.Object
	constants map[string]string // what a variable is set to, or "return"; with which value
}

func (j *judge) all(list []ast.Stmt) bool {
	return !slices.ContainsFunc(list, func(s ast.Stmt) bool { return !j.statement(s) })
}

func (j *judge) statement(s ast.Stmt) bool {
	switch s := s.(type) {
	case nil:
		return true
	case *ast.IncDecStmt:
		return j.integer(s.X)
	case *ast.BlockStmt:
		return j.all(s.List)
	case *ast.IfStmt:
		return j.statement(s.Init) && j.statement(s.Body) && j.statement(s.Else)
	case *ast.SwitchStmt:
		return j.statement(s.Init) && j.statement(s.Body)
	case *ast.CaseClause:
		return j.all(s.Body)
	case *ast.RangeStmt:
		return j.statement(s.Body)
	case *ast.BranchStmt:
		return s.Tok == token.CONTINUE || s.Tok == token.BREAK && j.inner(s)
	case *ast.DeclStmt:
		return true
	case *ast.ReturnStmt:
		var values []string
		for _, v := range s.Results {
			if !j.constant(v) {
				return false
			}
			values = append(values, types.ExprString(v))
		}
		return j.sameEach("return", strings.Join(values, ","))
	case *ast.ExprStmt:
		c, ok := s.X.(*ast.CallExpr)
		if !ok {
			return false
		}
		method, ok := c.Fun.(*ast.SelectorExpr)
		return ok && j.info.Selections[method] != nil && j.own(method.X) || slices.Contains([]string{"delete", "panic"}, j.callee(c))
	case *ast.AssignStmt:
		return j.assignment(s)
	}
	return false
}

// inner reports whether a break leaves a loop or switch inside the judged loop, and has no label.
func (j *judge) inner(b *ast.BranchStmt) bool {
	inner := false
	ast.Inspect(j.loop.Body, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.RangeStmt, *ast.ForStmt, *ast.SwitchStmt:
			inner = inner || n.Pos() < b.Pos() && b.End() <= n.End()
		}
		return true
	})
	return inner && b.Label == nil
}

func (j *judge) assignment(s *ast.AssignStmt) bool {
	if s.Tok == token.DEFINE {
		return true // of a variable of this round
	}
	if s.Tok != token.ASSIGN {
		commutes := slices.Contains([]token.Token{token.ADD_ASSIGN, token.SUB_ASSIGN, token.OR_ASSIGN, token.AND_ASSIGN, token.XOR_ASSIGN}, s.Tok)
		return j.own(s.Lhs[0]) || commutes && j.integer(s.Lhs[0])
	}
	for i, to := range s.Lhs {
		if j.own(to) {
			continue
		}
		if len(s.Rhs) != len(s.Lhs) {
			return false
		}
		value, text := s.Rhs[i], types.ExprString(to)
		if c, ok := value.(*ast.CallExpr); ok {
			name := j.callee(c)
			itself := len(c.Args) > 0 && types.ExprString(c.Args[0]) == text
			if itself && (name == "min" || name == "max" || name == "append" && j.sortedLater(text)) {
				continue
			}
		}
		if b, ok := value.(*ast.BinaryExpr); ok && (b.Op == token.LOR || b.Op == token.LAND) && types.ExprString(b.X) == text {
			continue
		}
		if !j.constant(value) || !j.sameEach(text, types.ExprString(value)) {
			return false
		}
	}
	return true
}

// own reports whether only this round sets a place: a variable that is declared inside the loop,
// what such a variable points to or holds, or an element of a map at this round's key.
func (j *judge) own(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		o := j.object(e)
		return e.Name == "_" || o != nil && o.Pos() >= j.loop.Pos() && o.Pos() < j.loop.End()
	case *ast.IndexExpr:
		k, ok := e.Index.(*ast.Ident)
		return j.own(e.X) || ok && j.isMap(e.X) && j.key != nil && j.object(k) == j.key
	case *ast.SelectorExpr:
		return j.own(e.X)
	case *ast.StarExpr:
		return j.own(e.X)
	case *ast.ParenExpr:
		return j.own(e.X)
	}
	return false
}

func (j *judge) integer(e ast.Expr) bool {
	if j.own(e) {
		return true
	}
	t := j.info.Types[e].Type
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&types.IsInteger != 0
}

func (j *judge) constant(e ast.Expr) bool {
	tv := j.info.Types[e]
	if tv.Value != nil || tv.IsNil() {
		return true
	}
	c, ok := e.(*ast.CompositeLit)
	return ok && len(c.Elts) == 0
}

// sameEach reports whether a loop gives a place this one value only.
func (j *judge) sameEach(place, value string) bool {
	before, ok := j.constants[place]
	j.constants[place] = value
	return !ok || before == value
}

// sortedLater reports whether the function sorts a slice after the loop.
func (j *judge) sortedLater(slice string) bool {
	sorted := false
	ast.Inspect(j.function, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok && c.Pos() > j.loop.End() && len(c.Args) > 0 {
			sorted = sorted || strings.HasPrefix(j.callee(c), "slices.Sort") && types.ExprString(c.Args[0]) == slice
		}
		return true
	})
	return sorted
}

// TestMapOrderIsSeen holds the rule against loops whose answer depends on the order, and such whose
// answer does not.
func TestMapOrderIsSeen(t *testing.T) {
	const head = "package p\nimport (\"maps\"; \"slices\"; \"fmt\")\nvar _, _, _ = maps.Keys[map[string]int], slices.Sort[[]int], fmt.Sprint\n" +
		"type v struct{ n int }\nfunc (*v) set() {}\nfunc f(m map[string]int, vs map[string]*v) (out []string, n int, err error) {\n"
	fset := token.NewFileSet()
	imports := exported(t, fset)
	for body, gets := range map[string]bool{
		"for k := range m { out = append(out, k) }":                                                true,
		"for k := range m { out = append(out, k) }; slices.Sort(out)":                              false,
		"slices.Sort(out); for k := range m { out = append(out, k) }":                              true,
		"out = slices.Collect(maps.Keys(m))":                                                       true,
		"out = slices.Sorted(maps.Keys(m))":                                                        false,
		"for k := range maps.Keys(m) { out = append(out, k) }":                                     true,
		"for k := range maps.Keys(m) { delete(m, k) }":                                             false,
		"for k, x := range m { if x < 0 { return nil, 0, fmt.Errorf(k) } }":                        true,
		"for _, x := range m { if x < 0 { return nil, 1, nil } }":                                  false,
		"for _, x := range m { if x < 0 { return nil, 1, nil }; if x > 9 { return nil, 2, nil } }": true,
		"for _, x := range m { n += x }":                                                           false,
		"for _, x := range m { n = x }":                                                            true,
		"for _, x := range m { n = max(n, x) }":                                                    false,
		"for k, x := range m { if x > n { n = x; out = []string{k} } }":                            true,
		"for k, x := range m { fmt.Println(k, x) }":                                                true,
		"for _, x := range vs { x.set(); x.n = 1 }":                                                false,
		"for k, x := range vs { m[k] = x.n }":                                                      false,
		"for k, x := range vs { m[k[:1]] = x.n }":                                                  true,
		"for k := range m { if k == \"\" { break }; n++ }":                                         true,
		"for range m { n++ }":                                                                      false,
		"for _, x := range m { // any order: all are one\n n = x }":                                false,
		"// any order: all are one\n for _, x := range m { n = x }":                                false,
		"// all are one\n for _, x := range m { n = x }":                                           true,
	} {
		f, err := parser.ParseFile(fset, "p.go", head+body+"\nreturn }", parser.ParseComments)
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if found := unordered(t, fset, imports, "p", []*ast.File{f}); (len(found) > 0) != gets {
			t.Errorf("%s\nfound %v, want %v", body, found, gets)
		}
	}
}
