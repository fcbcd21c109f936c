package migrate

import (
	"path"
	"slices"
	"strings"

	"tfos/internal/job"
)

// tonyArgs is the command line of TonY's client: what it says by option, in the order of the line.
type tonyArgs map[string][]string

// last is an option's value; of several the last counts.
func (a tonyArgs) last(option string) string {
	if v := a[option]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// tonyOptions are the client's options, all of which take a value.
var tonyOptions = []string{"executes", "task_params", "src_dir", "python_venv", "python_binary_path", "shell_env", "container_env", "hdfs_classpath", "conf", "conf_file"}

// parseArgs reads the client's arguments as commons-cli's GnuParser does: -option and --option, the
// value in the next argument or behind a =. What is no option has a note.
func (r *Result) parseArgs(args []string) tonyArgs {
	a := tonyArgs{}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		name, value, inline := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		switch {
		case !strings.HasPrefix(arg, "-"):
			r.note(Unknown, arg, "it is no option of TonY's client")
		case name == "help":
		case !slices.Contains(tonyOptions, name):
			if !inline && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
				i++ // most likely its value
			}
			r.note(Unknown, "--"+name, "it is no option of TonY's client that tfos knows")
		case inline:
			a[name] = append(a[name], value)
		case i+1 < len(args):
			i++
			a[name] = append(a[name], args[i])
		default:
			r.note(Unknown, "--"+name, "it has no value")
		}
	}
	return a
}

// configure lays the configuration that the command line gives over the file's. Lists grow, as
// TonY's do; other keys get the last value.
func (t *tony) configure(a tonyArgs) error {
	for _, name := range a["conf_file"] {
		if err := t.configuration(name); err != nil {
			return err
		}
	}
	for _, pair := range a["conf"] {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			t.note(Unknown, "--conf "+pair, "want KEY=VALUE")
			continue
		}
		grows := strings.HasSuffix(key, ".resources") || strings.HasSuffix(key, ".envs")
		if old := t.c.String(key); grows && old != "" {
			value = old + "," + value
		}
		t.c.Set(key, value)
	}
	return nil
}

// arguments writes what the command line says of files and variables.
func (t *tony) arguments(a tonyArgs) {
	if dir := a.last("src_dir"); dir != "" {
		t.srcName = path.Base(path.Clean(dir))
		if t.srcName == "." || t.srcName == ".." || t.srcName == "/" {
			t.srcName = "src"
		}
		t.files.add("--src_dir", job.File{Source: from(t.s.Here, path.Clean(dir)), Name: t.srcName}, false)
	}
	if venv := a.last("python_venv"); venv != "" {
		t.files.add("--python_venv", job.File{Source: from(t.s.Here, venv), Name: venvDir}, true)
	}
	for _, option := range []string{"shell_env", "container_env"} {
		for _, pair := range a[option] {
			name, value, _ := strings.Cut(pair, "=")
			t.env("--"+option, name, value)
		}
	}
	for range a["hdfs_classpath"] {
		t.note(Dropped, "--hdfs_classpath", "there is no JVM beside a task: files brings files into containers")
	}
}

// venvDir is where TonY unpacks the Python environment.
const venvDir = "venv"

// commands writes the job's command: that of the configuration, or what --executes and the options
// beside it make.
func (t *tony) commands(a tonyArgs) {
	command := t.command
	executes, binary := a.last("executes"), a.last("python_binary_path")
	if binary == "" {
		binary = t.binary
	}
	if command == "" && executes != "" {
		command = executes
		switch {
		case binary != "" && !path.IsAbs(binary) && len(a["python_venv"]) > 0:
			command = path.Join(venvDir, binary) + " " + executes
		case binary != "":
			command = binary + " " + executes
		case strings.HasSuffix(executes, ".py") && !strings.ContainsAny(executes, " \t"):
			command = "python3 " + executes
			t.note(Changed, "--executes", "it runs with python3, as --python_binary_path says nothing else")
		}
		if params := a.last("task_params"); params != "" {
			command += " " + params
		}
	} else if command != "" && executes != "" {
		t.note(Dropped, "--executes", "tony.containers.command is what tasks run")
	}
	switch {
	case command != "":
		t.Draft.Text(t.line(command), "command")
	case !slices.ContainsFunc(t.c.Keys(), func(key string) bool { return strings.HasSuffix(key, ".command") && !t.c.IsDefault(key) }):
		t.note(Dropped, "--executes", "the configuration has no command, which TonY takes from its command line: give it after --, as in -- python train.py")
	}
}

// line is a command as tasks run it. TonY unpacks the source directory into the container's, where
// tfos links what is in it; a name that is there already stays what it is.
func (t *tony) line(command string) string {
	before := `export JOB_ID="$TFOS_APPLICATION"; `
	if t.srcName != "" {
		before += "ln -s " + job.Quote(t.srcName) + "/* . 2>/dev/null; "
	}
	return before + command
}
