package migrate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// tonyCommand is how a command line of TonY's client is known.
var tonyCommand = regexp.MustCompile(`com\.linkedin\.tony\b|\b(Cluster|Local|Notebook)Submitter\b`)

// tonyScript reads a shell script, or a command line alone, that starts TonY's client. Nothing of
// it is run.
func tonyScript(s Source) (Result, error) {
	t := newTony(s)
	args, err := t.call()
	if err != nil {
		return t.Result, err
	}
	a := t.parseArgs(args)
	if len(a["conf_file"]) == 0 {
		switch err := t.configuration("tony.xml"); {
		case errors.Is(err, fs.ErrNotExist):
			t.note(Dropped, "tony.xml", "the script names no --conf_file, and there is no tony.xml here: TonY takes one from its class path")
		case err != nil:
			return t.Result, err
		}
	}
	if err := t.configure(a); err != nil {
		return t.Result, err
	}
	t.convert(a)
	return t.Result, nil
}

// call finds the one command that starts TonY's client, and expands its arguments.
func (t *tony) call() ([]string, error) {
	file, err := syntax.NewParser().Parse(bytes.NewReader(t.s.Data), t.s.Name)
	if err != nil {
		return nil, fmt.Errorf("%s is not a shell script: %w", t.s.Name, err)
	}
	vars := &variables{of: t, set: map[string]string{}}
	var calls [][]string
	var failed error
	syntax.Walk(file, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if declaration, isDeclaration := n.(*syntax.DeclClause); isDeclaration {
			vars.assign(declaration.Args)
			return true
		}
		if !ok || failed != nil {
			return failed == nil
		}
		at := slices.IndexFunc(call.Args, func(w *syntax.Word) bool {
			return tonyCommand.MatchString(t.text(w)) && !strings.Contains(t.text(w), ".jar")
		})
		if at < 0 {
			if len(call.Args) == 0 {
				vars.assign(call.Assigns)
			}
			return true
		}
		for _, w := range call.Args[at+1:] {
			if sequence.MatchString(t.text(w)) {
				failed = fmt.Errorf("%s:%d: %s: tfos does not count for you: write it out", t.s.Name, w.Pos().Line(), t.text(w))
				return false
			}
		}
		args, err := expand.Fields(vars.config(), call.Args[at+1:]...)
		if err != nil {
			failed = fmt.Errorf("%s:%d: %w", t.s.Name, call.Pos().Line(), err)
		}
		calls = append(calls, args)
		return true
	})
	switch {
	case failed != nil:
		return nil, failed
	case len(calls) == 0:
		return nil, fmt.Errorf("%s starts no client of TonY's (com.linkedin.tony…)", t.s.Name)
	case len(calls) > 1:
		return nil, fmt.Errorf("%s starts TonY's client %d times: give tfos one of the commands, in a file of its own", t.s.Name, len(calls))
	}
	return calls[0], nil
}

// sequence is a {1..9} of bash's, which can be long.
var sequence = regexp.MustCompile(`\{[^{}]*\.\.[^{}]*\}`)

// text is a part of the script as it stands there.
func (t *tony) text(n syntax.Node) string {
	return string(t.s.Data[n.Pos().Offset():n.End().Offset()])
}

// variables are those of the script that are given texts, and the environment's.
type variables struct {
	of  *tony
	set map[string]string
}

func (v *variables) assign(list []*syntax.Assign) {
	for _, a := range list {
		if a.Name == nil || a.Value == nil || a.Array != nil {
			continue
		}
		if text, err := expand.Literal(v.config(), a.Value); err == nil {
			if a.Append {
				text = v.set[a.Name.Value] + text
			}
			v.set[a.Name.Value] = text
		}
	}
}

// config expands as bash does, except that commands are left to the tasks: $(date) stays $(date).
func (v *variables) config() *expand.Config {
	return &expand.Config{Env: v, CmdSubst: func(w io.Writer, c *syntax.CmdSubst) error {
		text := v.of.text(c)
		v.of.note(Changed, text, "tfos does not run it: if it is in the command, each task does")
		_, err := io.WriteString(w, text)
		return err
	}}
}

// Get is a variable's value.
func (v *variables) Get(name string) expand.Variable {
	if text, ok := v.set[name]; ok {
		return expand.Variable{Set: true, Kind: expand.String, Str: text}
	}
	if v.of.s.Env.Env != nil {
		if text, ok := v.of.s.Env.Env(name); ok {
			return expand.Variable{Set: true, Kind: expand.String, Str: text}
		}
	}
	if !slices.Contains([]string{"IFS", "PWD", "OPTIND"}, name) && !strings.ContainsAny(name, "@*#?-$!0123456789") {
		v.of.note(Changed, "$"+name, "it is not set here, and empty")
	}
	return expand.Variable{}
}

// Each is there for the interface: nothing that is expanded lists variables.
func (v *variables) Each(func(string, expand.Variable) bool) {}
