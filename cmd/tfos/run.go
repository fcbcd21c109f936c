package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"

	"tfos/internal/client"
	"tfos/internal/client/exit"
	"tfos/internal/client/term"
	"tfos/internal/job"
	"tfos/internal/version"
)

// jobFlags are flags that stand for keys of the job file.
type jobFlags struct {
	name, queue, checkpointDir string
	checkpointLocal            bool
	endpoints                  string
	files, archives            []string
	venv, conda, requirements  string
	env, define                []string
	level                      string
	once, date                 string
	timeout                    string
	retries                    int
	stdin                      io.Reader // holds a job file of the name -; nil: all of stdin does
	from                       string
}

// roleFlags says how flags name the roles that TensorFlow knows.
var roleFlags = []struct{ role, instances, help string }{
	{job.Chief, "chief", "have a chief"},
	{job.Worker, "workers", "`NUMBER` of workers"},
	{job.ParameterServer, "ps", "`NUMBER` of parameter servers"},
	{job.Evaluator, "evaluator", "have an evaluator"},
}

// shapeFlags are the resources of one role's containers.
var shapeFlags = []struct{ key, help string }{
	{"memory", "`MEMORY` of each %s's container, as in 4GiB"},
	{"vcores", "`NUMBER` of virtual cores of each %s's container"},
	{"gpus", "`NUMBER` of GPUs of each %s's container"},
}

func (j *jobFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	j.names(cmd)
	for _, r := range roleFlags {
		if job.Alone(r.role) {
			flags.Bool(r.instances, false, r.help)
		} else {
			flags.Int(r.instances, 0, r.help)
		}
	}
	for _, r := range roleFlags {
		for _, s := range shapeFlags {
			flags.String(r.role+"-"+s.key, "", fmt.Sprintf(s.help, r.role))
		}
	}
	j.contents(cmd)
	flags.StringVar(&j.checkpointDir, "checkpoint-dir", "", "`DIR` where checkpoints live, as in hdfs:///models/digits")
	flags.BoolVar(&j.checkpointLocal, "checkpoint-local", false, "have tasks write checkpoints to local directories that are kept in --checkpoint-dir")
	flags.StringVar(&j.endpoints, "endpoints", "", "`WAY` in which tasks reach each other: redirect, forward or direct")
	flags.StringArrayVarP(&j.define, "define", "D", nil, defineHelp)
	flags.StringVar(&j.once, "once", "", "`KEY` of the work, as in nightly-{date}: it is done once, by one application at a time")
	flags.StringVar(&j.date, "date", "", "`DATE` that {date} and {hour} of the key stand for, as in 2026-11-30 or 2026-11-30T05:00 (default now, in this machine's time zone)")
	flags.StringVar(&j.timeout, "timeout", "", "stop the job in order when it takes longer than `TIME` from its submission on, as in 6h (exit code 6)")
	j.logs(cmd)
}

const defineHelp = "any key of the job file: `KEY=VALUE`, as in recovery.window=30m; may be repeated"

// names adds the flags of how the job is called, and where it is to be.
func (j *jobFlags) names(cmd *cobra.Command) {
	cmd.Flags().StringVar(&j.name, "name", "", "`NAME` of the job")
	cmd.Flags().StringVar(&j.queue, "queue", "", "`QUEUE` to submit to")
}

// contents adds those of what every container has.
func (j *jobFlags) contents(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&j.files, "files", nil, "files and directories that every task gets: `PATH[#NAME],...`")
	flags.StringSliceVar(&j.archives, "archives", nil, "archives that every task gets unpacked: `PATH[#NAME],...`")
	flags.StringVar(&j.venv, "venv", "", "virtual environment that every task gets, packed with its Python: `DIR`")
	flags.StringVar(&j.conda, "conda", "", "conda environment that every task gets, packed: `PREFIX`")
	flags.StringVar(&j.requirements, "requirements", "", "list of packages, or pyproject.toml, of which every task gets an environment: `FILE`")
	flags.StringArrayVar(&j.env, "env", nil, "environment variable of every task: `NAME=VALUE`; may be repeated")
}

// source adds the flag of a job that comes from another launcher's file.
func (j *jobFlags) source(cmd *cobra.Command) {
	cmd.Flags().StringVar(&j.from, "from", "", fromHelp)
}

func (j *jobFlags) logs(cmd *cobra.Command) {
	cmd.Flags().StringVar(&j.level, "log-level", "info", "`LEVEL` of the master's and the agents' logs: debug, info, warn or error")
}

// overlay is what the flags say, in the order in which they are declared.
func (j *jobFlags) overlay(cmd *cobra.Command, commandLine []string) (job.Overlay, error) {
	var o job.Overlay
	flags := cmd.Flags()
	text := func(flag, key, value string) {
		if flags.Changed(flag) {
			o.Set("--"+flag, key, value)
		}
	}
	text("name", "name", j.name)
	text("queue", "queue", j.queue)
	for _, r := range roleFlags {
		f := flags.Lookup(r.instances)
		if f == nil { // the command has no such role
			continue
		}
		if f.Changed {
			value := f.Value.String()
			if on, err := strconv.ParseBool(value); f.Value.Type() == "bool" && err == nil {
				if !on {
					continue
				}
				value = "1"
			}
			o.Set("--"+r.instances, "roles."+r.role+".instances", value)
		}
		for _, s := range shapeFlags {
			name := r.role + "-" + s.key
			text(name, "roles."+r.role+"."+s.key, flags.Lookup(name).Value.String())
		}
	}
	text("files", "files", strings.Join(j.files, ","))
	text("archives", "archives", strings.Join(j.archives, ","))
	text("venv", "venv", j.venv)
	text("conda", "conda", j.conda)
	text("requirements", "requirements", j.requirements)
	text("checkpoint-dir", "checkpoint.dir", j.checkpointDir)
	text("checkpoint-local", "checkpoint.local", strconv.FormatBool(j.checkpointLocal))
	text("endpoints", "endpoints", j.endpoints)
	text("once", "once", j.once)
	text("timeout", "timeout", j.timeout)
	if flags.Lookup("retries") != nil { // only some commands follow a job
		text("retries", "retries", strconv.Itoa(j.retries))
	}
	for _, e := range j.env {
		if err := o.SetEnv(e); err != nil {
			return nil, exit.Errorf(exit.Usage, "%w", err)
		}
	}
	for _, d := range j.define {
		if err := o.Define(d); err != nil {
			return nil, exit.Errorf(exit.Usage, "%w", err)
		}
	}
	if len(commandLine) > 0 {
		o.Set("--", "command", job.CommandLine(commandLine))
	}
	return o, nil
}

// split takes a command line apart: what comes before "--", at most one argument, and the command
// after it.
func split(cmd *cobra.Command, args []string) (first string, commandLine []string, err error) {
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		args, commandLine = args[:dash], args[dash:]
		if len(commandLine) == 0 {
			return "", nil, exit.Errorf(exit.Usage, "no command after --").Try("as in tfos run --workers 2 -- python train.py")
		}
	}
	switch len(args) {
	case 0:
		return "", commandLine, nil
	case 1:
		return args[0], commandLine, nil
	}
	return "", nil, exit.Errorf(exit.Usage, "%q: want one job file", args).Try("a command goes after --, as in tfos run job.yaml -- python train.py")
}

// parse reads the job of a command line: JOB.yaml, flags, and what follows "--".
func (j *jobFlags) parse(cmd *cobra.Command, args []string) (job.Job, error) {
	file, commandLine, err := split(cmd, args)
	if err != nil {
		return job.Job{}, err
	}
	var data []byte
	switch {
	case j.from != "":
		if file, data, err = j.migrated(cmd.ErrOrStderr(), file); err != nil {
			return job.Job{}, err
		}
	case file == "":
	case file == "-": // relative paths in it start in the current directory
		file = "stdin"
		if data, err = io.ReadAll(cmp.Or(j.stdin, cmd.InOrStdin())); err != nil {
			return job.Job{}, exit.Errorf(exit.Usage, "read the job file from stdin: %w", err)
		}
	default:
		if data, err = os.ReadFile(file); errors.Is(err, fs.ErrNotExist) {
			return job.Job{}, exit.Errorf(exit.Usage, "the job file %s does not exist", file)
		} else if err != nil {
			return job.Job{}, exit.Errorf(exit.Usage, "read the job file: %w", err)
		}
	}
	overlay, err := j.overlay(cmd, commandLine)
	if err != nil {
		return job.Job{}, err
	}
	return parseJob(file, data, overlay)
}

// dated spells out the key of a job.
func (j *jobFlags) dated(parsed job.Job) (job.Job, error) {
	date := job.DateOf(time.Now())
	if j.date != "" {
		var err error
		if date, err = job.ParseDate(j.date); err != nil {
			return parsed, exit.Errorf(exit.Usage, "--date %w", err)
		}
	}
	parsed, err := parsed.Dated(date)
	if err != nil {
		return parsed, exit.Errorf(exit.Usage, "%w", err)
	}
	return parsed, nil
}

func parseJob(file string, data []byte, overlay job.Overlay) (job.Job, error) {
	parsed, err := job.Parse(filepath.ToSlash(file), data, overlay)
	if err != nil {
		return job.Job{}, exit.Errorf(exit.Usage, "%w", err)
	}
	return parsed, nil
}

// prepare does everything that needs no cluster.
func (j *jobFlags) prepare(cmd *cobra.Command, args []string) (*client.Prepared, error) {
	parsed, err := j.parse(cmd, args)
	if err != nil {
		return nil, err
	}
	return j.prepareJob(cmd, parsed)
}

func (j *jobFlags) prepareJob(cmd *cobra.Command, parsed job.Job) (*client.Prepared, error) {
	parsed, err := j.dated(parsed)
	if err != nil {
		return nil, err
	}
	if parsed, err = parsed.Tagged(os.Getenv("TFOS_TAGS")); err != nil {
		return nil, exit.Errorf(exit.Usage, "TFOS_TAGS: %w", err)
	}
	if _, err := zapcore.ParseLevel(j.level); err != nil {
		return nil, exit.Errorf(exit.Usage, "--log-level %s: want debug, info, warn or error", j.level)
	}
	binaries, err := client.FindBinaries(binaryDirs()...)
	if err != nil {
		return nil, err
	}
	parsed, err = client.PackEnvironments(cmd.Context(), parsed, func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) })
	if err != nil {
		return nil, err
	}
	return client.Prepare(parsed, binaries, version.String(), j.level)
}

// binaryDirs are where tfos-am and tfos-agent may be.
func binaryDirs() []string {
	if home := os.Getenv("TFOS_HOME"); home != "" {
		return []string{home, filepath.Join(home, "bin")}
	}
	self, err := os.Executable()
	if err != nil {
		return []string{"."}
	}
	if real, err := filepath.EvalSymlinks(self); err == nil {
		self = real
	}
	return []string{filepath.Dir(self)}
}

// ui shows a job live where that can be seen, in lines elsewhere.
func (c *command) ui(live bool) client.UI {
	screen, draws := drawable(c.stderr)
	_, both := drawable(c.stdout)
	switch {
	case !live || !draws:
		return term.NewPlain(c.stdout, c.stderr, time.Now)
	case both:
		return term.NewLive(screen, nil)
	}
	return term.NewLive(screen, c.stdout)
}

func (c *command) run() *cobra.Command {
	var j jobFlags
	var o client.RunOptions
	var resume bool
	cmd := &cobra.Command{
		Use:   "run [JOB.yaml] [flags] [-- COMMAND...]",
		Short: "Submit a job, follow it, and exit with its result",
		Long: `Submit a job, follow its progress and the log of its chief (else its first worker), and exit with the job's own result.
The log goes to stdout, everything else to stderr. Every flag has a key in the job file; the flag wins. A job file of the
name - is read from stdin.

Ctrl-C once leaves the job to itself, or stops it with --kill-on-exit and with --master local. Twice always returns at once.

With --once KEY any number of calls, also at once and from several hosts, start one application: the others follow it, and all
end with its exit code. A call that comes after it has succeeded reports that, and exits with 0. One that comes after it has
failed or was killed runs it again. So a scheduler may repeat its task whenever it likes, and take it up where it lost it.`,
		Example: `  tfos run job.yaml
  tfos run --master local --workers 2 --files train.py -- python train.py --epochs 3
  tfos run job.yaml --once 'nightly-{date}' --date 2026-11-30 --retries 2 --resume`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Resume = resumes(resume)
			local, err := c.local()
			if err != nil {
				return err
			}
			if local {
				p, err := j.prepare(cmd, args)
				if err != nil {
					return err
				}
				return c.embedded(cmd, p, func(l *client.Local, ui client.UI) error { return l.Run(cmd.Context(), p, ui, o) })
			}
			return c.onCluster(cmd, &j, args, true, func(cluster *client.Cluster, p *client.Prepared, ui client.UI) error {
				return cluster.Run(cmd.Context(), p, ui, o)
			})
		},
	}
	j.add(cmd)
	j.source(cmd)
	j.follows(cmd, &o)
	addResume(cmd, &resume)
	return cmd
}

func addResume(cmd *cobra.Command, resume *bool) {
	cmd.Flags().BoolVar(resume, "resume", false, "begin at the newest whole checkpoint, or from the beginning if there is none")
}

// resumes is what --resume says of where a job begins.
func resumes(resume bool) client.Resume {
	if resume {
		return client.ResumeIfAny
	}
	return client.Fresh
}

// follows adds the flags of a command that submits a job and follows it.
func (j *jobFlags) follows(cmd *cobra.Command, o *client.RunOptions) {
	cmd.Flags().IntVar(&j.retries, "retries", 0, "run the job again up to `NUMBER` times after it failed (exit codes 1 and 4)")
	cmd.Flags().BoolVar(&o.KillOnExit, "kill-on-exit", false, "stop the job when interrupted")
}

// onCluster does something with a job that was looked at, on the configured cluster. What is wrong
// with the job is told before the cluster is talked to. live: the terminal may be drawn on.
func (c *command) onCluster(cmd *cobra.Command, j *jobFlags, args []string, live bool, do func(*client.Cluster, *client.Prepared, client.UI) error) error {
	dirs, err := client.FindConf(c.conf, os.Getenv)
	if err != nil {
		return err
	}
	p, err := j.prepare(cmd, args)
	if err != nil {
		return err
	}
	return c.connected(cmd, dirs, p, live, do)
}

// connected does something with a job that was looked at, on the cluster of a configuration.
func (c *command) connected(cmd *cobra.Command, dirs []string, p *client.Prepared, live bool, do func(*client.Cluster, *client.Prepared, client.UI) error) error {
	defer p.Close()
	cluster, err := client.Connect(cmd.Context(), client.ConnectOptions{Conf: dirs, Getenv: os.Getenv, Log: c.logger()})
	if err != nil {
		return err
	}
	defer cluster.Close()
	ui := c.ui(live)
	defer ui.Close()
	return do(cluster, p, ui)
}

// embedded does something with a job on an embedded cluster that lives as long.
func (c *command) embedded(cmd *cobra.Command, p *client.Prepared, do func(*client.Local, client.UI) error) error {
	defer p.Close()
	local, err := client.StartLocal(cmd.Context(), localDir(), c.logger())
	if err != nil {
		return err
	}
	ui := c.ui(true)
	err = do(local, ui)
	ui.Close()
	keepLogs := err != nil && !errors.Is(err, client.ErrInterrupted)
	return errors.Join(err, local.Close(keepLogs))
}

func (c *command) submit() *cobra.Command {
	var j jobFlags
	var resume bool
	cmd := &cobra.Command{
		Use:   "submit [JOB.yaml] [flags] [-- COMMAND...]",
		Short: "Submit a job and print its application id",
		Long: `Submit a job, print its application id, and return once the cluster has accepted it.
Every flag has a key in the job file; the flag wins. With --once KEY it prints the application that does the key's work, or has
done it, and submits one only if there is none: see tfos run --help.`,
		Example: `  tfos submit job.yaml
  tfos submit --workers 2 --files train.py -- python train.py --epochs 3`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if local, err := c.local(); err != nil {
				return err
			} else if local {
				return exit.Errorf(exit.Usage, "submit --master local: the embedded cluster lives only while tfos run does").Try("use tfos run --master local")
			}
			return c.onCluster(cmd, &j, args, false, func(cluster *client.Cluster, p *client.Prepared, ui client.UI) error {
				s, err := cluster.SubmitOnly(cmd.Context(), p, ui, client.RunOptions{Resume: resumes(resume)})
				if err != nil {
					return err
				}
				fmt.Fprintln(c.stdout, s.ID)
				return nil
			})
		},
	}
	j.add(cmd)
	j.source(cmd)
	addResume(cmd, &resume)
	return cmd
}
