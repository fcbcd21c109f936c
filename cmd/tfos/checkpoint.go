package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tfos/internal/checkpoint"
	"tfos/internal/checkpoint/store"
	"tfos/internal/client"
	"tfos/internal/client/exit"
	"tfos/internal/client/stage"
	"tfos/internal/client/term"
	"tfos/internal/dfs"
)

func (c *command) checkpoint() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "checkpoint ls|verify|prune DIR",
		Short: "List, verify and prune checkpoints",
		Long: `List, verify and prune the checkpoints in a directory and those below it: what tf.train.Saver, tf.train.Checkpoint and Keras
write, and SavedModels. DIR is hdfs://, file://, or a path: in the default filesystem of the Hadoop configuration if there is
one, else here. What begins with ./ or ../ is here. Another relative path is here if there is one, else in the home directory of the
default filesystem; if both have one, say which.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return exit.Errorf(exit.Usage, "tfos checkpoint: want ls, verify or prune").Try("tfos checkpoint --help")
		},
	}
	cmd.AddCommand(c.checkpointLs(), c.checkpointVerify(), c.checkpointPrune())
	for _, sub := range append(cmd.Commands(), cmd) {
		codes := map[exit.Code]string{
			exit.Usage:          "wrong usage, a missing directory included",
			exit.Refused:        "the filesystem refused it: a permission, a token",
			exit.Infrastructure: "the filesystem cannot be reached, or a file cannot be read",
			exit.Interrupted:    "interrupted",
		}
		switch sub.Name() {
		case "verify":
			codes[exit.JobFailed] = "a checkpoint is broken, or the state file names one that is not there"
		case "checkpoint":
			codes[exit.JobFailed] = "verify found something broken"
		}
		sub.Long += "\n\n" + exit.TableOf(codes)
	}
	return cmd
}

// shown is a checkpoint as the command shows it. Its JSON keys are stable.
type shown struct {
	Name    string    `json:"name"` // relative to the directory
	Format  string    `json:"format"`
	Step    *int64    `json:"step"` // null: unknown
	Bytes   int64     `json:"bytes"`
	Time    time.Time `json:"time"`
	Verdict string    `json:"verdict"` // whole, not verified, cannot be judged: …, or what is wrong
	Files   []string  `json:"files"`
}

func show(c checkpoint.Checkpoint, verdict string) shown {
	s := shown{Name: c.Name, Format: string(c.Format), Bytes: c.Size, Time: c.Time, Verdict: verdict, Files: []string{}}
	if c.Step != checkpoint.Unknown {
		s.Step = &c.Step
	}
	for _, f := range c.Files {
		s.Files = append(s.Files, f.Name)
	}
	return s
}

func (s shown) step() string {
	if s.Step == nil {
		return "-"
	}
	return strconv.FormatInt(*s.Step, 10)
}

func (c *command) checkpointLs() *cobra.Command {
	var quick, asJSON bool
	cmd := &cobra.Command{
		Use:   "ls DIR [--quick] [--json]",
		Short: "List checkpoints: step, time, size, and whether each is whole",
		Long: `List checkpoints, the oldest first: step, time, size, and whether each is whole, which reads all of it. The step is what
the variables say; if they say nothing, the number in the name.`,
		Args: oneDirectory,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.onDirectory(cmd.Context(), args[0], func(d *store.Directory) error {
				l, err := d.List(cmd.Context())
				if err != nil {
					return err
				}
				list := []shown{}
				for _, ck := range l.Checkpoints {
					verdict := "not verified"
					if ck.Unfinished != "" {
						verdict = ck.Unfinished
					} else if !quick {
						v, err := d.Verify(cmd.Context(), ck, nil)
						if err != nil {
							return err
						}
						verdict = v.String()
					}
					list = append(list, show(ck, verdict))
				}
				for _, problem := range l.Problems {
					fmt.Fprintln(c.stderr, "tfos:", problem)
				}
				if asJSON {
					return writeJSON(c.stdout, list)
				}
				return c.writeCheckpoints(list)
			})
		},
	}
	cmd.Flags().BoolVar(&quick, "quick", false, "do not read them: a verdict only where the listing shows that files are missing")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, whose keys are stable")
	return cmd
}

func (c *command) writeCheckpoints(list []shown) error {
	t := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tSTEP\tTIME\tSIZE\tFORMAT\tVERDICT")
	for _, s := range list {
		fmt.Fprintln(t, strings.Join([]string{term.Cell(s.Name), s.step(), s.Time.Local().Format(time.DateTime), term.Bytes(s.Bytes), s.Format, s.Verdict}, "\t"))
	}
	return t.Flush()
}

func (c *command) checkpointVerify() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify DIR [NAME...] [--json]",
		Short: "Verify checkpoints: every checksum, every size",
		Long: `Verify all checkpoints in a directory, or those of the names that ls shows: every index, the size of every file, and the checksum
of every tensor. HDF5 files (.h5) have no checksums: there it is the structure and the length. It ends with 1 if one is broken or the
state file "checkpoint" names one that is not there; what cannot be judged is said, and is no error. How fast it is goes to stderr.`,
		Args: func(cmd *cobra.Command, args []string) error { return oneDirectory(cmd, args[:min(1, len(args))]) },
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.onDirectory(cmd.Context(), args[0], func(d *store.Directory) error {
				l, err := d.List(cmd.Context())
				if err != nil {
					return err
				}
				wanted, err := pick(l, args[1:])
				if err != nil {
					return err
				}
				list, broken := []shown{}, 0
				for _, ck := range wanted {
					v, err := c.verify(cmd.Context(), d, ck)
					if err != nil {
						return err
					}
					if v.Broken() {
						broken++
					}
					list = append(list, show(ck, v.String()))
					if !asJSON {
						fmt.Fprintf(c.stdout, "%s: %s\n", ck.Name, v)
					}
				}
				if asJSON {
					if err := writeJSON(c.stdout, list); err != nil {
						return err
					}
				}
				if len(args) == 1 && len(l.Problems) > 0 {
					return exit.Errorf(exit.JobFailed, "%s; %d of %d checkpoints are broken", strings.Join(l.Problems, "; "), broken, len(wanted))
				}
				if broken > 0 {
					return exit.Errorf(exit.JobFailed, "%d of %d checkpoints are broken", broken, len(wanted))
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, whose keys are stable")
	return cmd
}

// pick finds the checkpoints of these names; no names: all.
func pick(l checkpoint.Listing, names []string) ([]checkpoint.Checkpoint, error) {
	if len(names) == 0 {
		return l.Checkpoints, nil
	}
	byName := map[string]checkpoint.Checkpoint{}
	for _, c := range l.Checkpoints {
		byName[c.Name] = c
	}
	var picked []checkpoint.Checkpoint
	for _, name := range names {
		c, ok := byName[path.Clean(name)]
		if !ok {
			return nil, exit.Errorf(exit.Usage, "there is no checkpoint %s", name).Try("tfos checkpoint ls shows the names")
		}
		picked = append(picked, c)
	}
	return picked, nil
}

// verify verifies one checkpoint and tells stderr how it goes.
func (c *command) verify(ctx context.Context, d *store.Directory, ck checkpoint.Checkpoint) (checkpoint.Verdict, error) {
	var done atomic.Int64
	var progress func(int64)
	screen, draws := drawable(c.stderr)
	if draws {
		progress = func(n int64) {
			fmt.Fprintf(screen, "\r%s  %s of %s ", term.Printable(ck.Name), term.Bytes(done.Add(n)), term.Bytes(ck.Size))
		}
	}
	begin := time.Now()
	v, err := d.Verify(ctx, ck, progress)
	if draws {
		fmt.Fprint(screen, "\r\x1b[K")
	}
	if err == nil {
		took := time.Since(begin)
		fmt.Fprintf(c.stderr, "%s: %s in %.2f s, %.2f GB/s\n", ck.Name, term.Bytes(ck.Size), took.Seconds(), float64(ck.Size)/1e9/took.Seconds())
	}
	return v, err
}

func (c *command) checkpointPrune() *cobra.Command {
	var p checkpoint.Policy
	var dry, asJSON bool
	cmd := &cobra.Command{
		Use:   "prune DIR --keep N [--keep-every TIME] [--dry-run] [--json]",
		Short: "Delete old checkpoints",
		Long: `Delete old checkpoints, and print what is deleted. Names that differ in their number only are one series, and each series keeps
its newest N and, of the older ones, one every TIME. What is never deleted: the newest whole one of a series, which is verified
first; what is newer than that; what the state file "checkpoint" names; what cannot be judged; SavedModels, and what has no number.`,
		Example: `  tfos checkpoint prune hdfs:///models/digits --keep 5 --keep-every 12h --dry-run`,
		Args:    oneDirectory,
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.Keep < 1 || p.KeepEvery < 0 {
				return exit.Errorf(exit.Usage, "tfos checkpoint prune: want --keep of at least 1, and no negative --keep-every")
			}
			return c.onDirectory(cmd.Context(), args[0], func(d *store.Directory) error {
				pruning, err := d.PlanPrune(cmd.Context(), p, nil)
				if err != nil {
					return err
				}
				if !dry {
					if err := d.Do(cmd.Context(), pruning.Actions); err != nil {
						return err
					}
				}
				list := []shown{}
				for _, ck := range pruning.Gone {
					list = append(list, show(ck, "not verified"))
				}
				if asJSON {
					return writeJSON(c.stdout, list)
				}
				verb := "deleted"
				if dry {
					verb = "would delete"
				}
				for _, s := range list {
					fmt.Fprintf(c.stdout, "%s %s, step %s, %s in %d files\n", verb, s.Name, s.step(), term.Bytes(s.Bytes), len(s.Files))
				}
				return nil
			})
		},
	}
	cmd.Flags().IntVar(&p.Keep, "keep", 0, "how `MANY` of the newest to keep")
	cmd.Flags().DurationVar(&p.KeepEvery, "keep-every", 0, "of the older ones, keep one every `TIME`: 12h")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "delete nothing, only print")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, whose keys are stable")
	return cmd
}

func oneDirectory(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return exit.Errorf(exit.Usage, "%s: want one directory", cmd.CommandPath())
	}
	return nil
}

// onDirectory does something with a directory, which must exist.
func (c *command) onDirectory(ctx context.Context, name string, do func(*store.Directory) error) error {
	files, err := client.Files(c.conf, os.Getenv, c.logger())
	if err != nil {
		return err
	}
	defer files.Close()
	f, dir, err := c.directory(ctx, files, name)
	if err == nil {
		err = do(store.New(f, dir, store.Options{}))
	}
	switch cause := context.Cause(ctx); {
	case err == nil || errors.As(err, new(*exit.Error)):
		return err
	case cause != nil:
		return cause
	}
	return stage.Explain(f, "look at", dir, err)
}

// resolver finds the filesystem of a URI. A path without a scheme lies in the default one.
type resolver interface {
	Resolve(ctx context.Context, uri string) (dfs.FS, string, error)
}

// askWait bounds how long the default filesystem may take to say whether it has what is here as
// well.
const askWait = 10 * time.Second

// directory finds the directory that a person names. A relative name is one here, or else one in
// the home directory of the default filesystem; where it is both, nobody knows which is meant.
func (c *command) directory(ctx context.Context, files resolver, name string) (dfs.FS, string, error) {
	def, _, err := files.Resolve(ctx, "/")
	if err != nil || strings.HasPrefix(def.URI("/"), "file:") {
		def = nil // there is this machine's filesystem only
	}
	if strings.Contains(name, "://") || path.IsAbs(name) {
		return absoluteDirectory(ctx, files, def != nil, name)
	}
	return c.relativeDirectory(ctx, def, name)
}

// absoluteDirectory finds a URI, or an absolute path, which is one in the default filesystem. Where
// that is a remote one, a person may have meant this machine.
func absoluteDirectory(ctx context.Context, files resolver, remote bool, name string) (dfs.FS, string, error) {
	f, dir, err := files.Resolve(ctx, name)
	if err != nil {
		return nil, "", exit.Errorf(exit.Usage, "%w", err).Try("give DIR as hdfs://NAMENODE/path, or as a path that begins with / or ./")
	}
	err = isDirectory(ctx, f, dir)
	var e *exit.Error
	if remote && path.IsAbs(name) && errors.As(err, &e) && e.Advice == "" && isDirectory(ctx, dfs.NewLocal("/"), name) == nil {
		e.Try("there is one on this machine: %s", dfs.NewLocal("/").URI(name))
	}
	return f, dir, err
}

// relativeDirectory finds a relative path, here or in the home directory of a remote default
// filesystem; nil: there is none.
func (c *command) relativeDirectory(ctx context.Context, f dfs.FS, name string) (dfs.FS, string, error) {
	absolute, err := filepath.Abs(name)
	if err != nil {
		return nil, "", exit.Errorf(exit.Usage, "%s: %w", name, err)
	}
	here := dfs.NewLocal("/")
	hereErr := isDirectory(ctx, here, absolute)
	if first, _, _ := strings.Cut(name, "/"); f == nil || first == "." || first == ".." {
		return here, absolute, hereErr
	}
	dir := path.Join(f.Home(), name)
	asked, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	if hereErr != nil {
		asked = ctx
	}
	_, err = f.Stat(asked, dir)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case hereErr == nil && err == nil:
		return nil, "", exit.Errorf(exit.Usage, "%s is on this machine, and in the home directory of %s", name, f.URI("/")).Try("say ./%s, or %s", name, f.URI(dir))
	case hereErr == nil:
		if !missing {
			fmt.Fprintf(c.stderr, "tfos: %s cannot be asked whether it has %s: takes the one on this machine (%v)\n", f.URI("/"), name, err)
		}
		return here, absolute, nil
	case missing:
		return nil, "", exit.Errorf(exit.Usage, "%s does not exist, and neither does %s", absolute, f.URI(dir))
	case err != nil:
		return f, dir, err
	}
	return f, dir, isDirectory(ctx, f, dir)
}

// isDirectory is what is wrong with a name that is to be a directory's; nil: nothing.
func isDirectory(ctx context.Context, f dfs.FS, dir string) error {
	info, err := f.Stat(ctx, dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return exit.Errorf(exit.Usage, "%s does not exist", f.URI(dir))
	case err != nil:
		return err
	case !info.IsDir():
		return exit.Errorf(exit.Usage, "%s is a file", f.URI(dir)).Try("give the directory that it is in")
	}
	return nil
}
