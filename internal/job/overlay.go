package job

import (
	"fmt"
	"slices"
	"strings"
)

// Overlay is what flags say about a job. Each setting wins over the file and over the settings
// before it.
//
// Where the file has a list, a setting gives one in its place, separated by commas: --files a,b is
// {"--files", "files", "a,b"}. A path in it is taken as it stands, not from the job file's
// directory.
type Overlay []Setting

// Setting is one key given by a flag.
type Setting struct {
	Flag  string // as the user typed it, for messages: "--worker-memory"
	Key   string // dotted, as in the job file: "roles.worker.memory"
	Value string
}

// Set adds a setting.
func (o *Overlay) Set(flag, key, value string) { *o = append(*o, Setting{flag, key, value}) }

// Define adds what follows -D: key=value, for any key of the job file.
func (o *Overlay) Define(arg string) error {
	key, value, ok := strings.Cut(arg, "=")
	if !ok || key == "" {
		return fmt.Errorf("-D %s: want key=value, as in -D recovery.window=30m", arg)
	}
	o.Set("-D "+key, key, value)
	return nil
}

// SetEnv adds what follows --env: NAME=value.
func (o *Overlay) SetEnv(arg string) error {
	name, value, ok := strings.Cut(arg, "=")
	if !ok || name == "" {
		return fmt.Errorf("--env %s: want NAME=value, as in --env OMP_NUM_THREADS=1", arg)
	}
	if strings.Contains(name, ".") { // which would be the path of another key
		return fmt.Errorf("--env %s: %s", name, notEnvName(name))
	}
	o.Set("--env "+name, "env."+name, value)
	return nil
}

// CommandLine joins a program and its arguments into the shell command line that runs just that. A
// single argument is taken for a command line already, so that both `-- python train.py` and `--
// "python train.py"` work.
func CommandLine(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = Quote(a)
	}
	return strings.Join(quoted, " ")
}

// Quote makes one word of a POSIX shell.
func Quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@%_+=:,./-", r)
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// path splits a dotted key. A resource type's own name has dots:
// roles.worker.resources.example.com/fpga.
func (s Setting) path() []string {
	parts := strings.Split(s.Key, ".")
	if len(parts) > 4 && parts[0] == "roles" && parts[2] == "resources" {
		parts = append(parts[:3], strings.Join(parts[3:], "."))
	}
	return parts
}

// makes reports whether a setting says how many tasks of a role there are to be, which makes the
// role.
func (o Overlay) makes(role string) bool {
	return slices.ContainsFunc(o, func(s Setting) bool { return s.Key == "roles."+role+".instances" })
}

// has reports whether the job file has a role.
func has(root *value, role string) bool {
	roles := root.field("roles")
	return roles != nil && indexField(roles.fields, role) >= 0
}

// makingFlag is the flag that makes a role.
func makingFlag(role string) string {
	switch role {
	case Worker:
		return "--workers NUMBER"
	case ParameterServer:
		return "--ps NUMBER"
	case Chief, Evaluator:
		return "--" + role
	}
	return "-D roles." + role + ".instances=1"
}

// lay puts the settings over a job file's tree.
func (o Overlay) lay(root *value) (errs Errors) {
	for _, s := range o {
		at := place{flag: s.Flag}
		path := s.path()
		if slices.Contains(path, "") {
			errs = append(errs, &Error{Flag: s.Flag, Key: s.Key, Problem: fmt.Sprintf("%q is not a key of the job file", s.Key)})
			continue
		}
		if role := path[min(1, len(path)-1)]; path[0] == "roles" && len(path) > 2 && !o.makes(role) && !has(root, role) {
			errs = append(errs, &Error{Flag: s.Flag, Key: s.Key, Problem: fmt.Sprintf("the job has no role %s, and this alone makes none: give %s as well", role, makingFlag(role))})
			continue
		}
		v := root
		for i, key := range path[:len(path)-1] {
			child := v.field(key)
			if child == nil || child.kind == null {
				child = &value{at: at, kind: mapping}
				v.set(field{key, at, child})
			}
			if child.kind != mapping {
				errs = append(errs, &Error{Flag: s.Flag, Key: s.Key,
					Problem: fmt.Sprintf("%s is %s (%s), which has no key %q", strings.Join(path[:i+1], "."), child.kind, child.at, path[i+1])})
				v = nil
				break
			}
			v = child
		}
		if v != nil {
			last := path[len(path)-1]
			v.set(field{last, at, &value{at: at, kind: scalar, text: s.Value}})
		}
	}
	return errs
}
