package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"tfos/internal/client"
	"tfos/internal/client/exit"
	"tfos/internal/job"
	"tfos/internal/predict/plan"
)

func (c *command) predict() *cobra.Command {
	var p client.Prediction
	var j jobFlags
	var o client.RunOptions
	var split string
	cmd := &cobra.Command{
		Use:   "predict --model DIR --input GLOB --output DIR [flags]",
		Short: "Run a SavedModel over files",
		Long: `Run a SavedModel over files, by workers without Python: one row of output for each row of input, in the same order within each
file of the output. The model, the first row and the output's directory are looked at before anything is submitted.

A run that was interrupted, or failed, goes on when it is begun again with the same arguments: what is written stays, and only the
rest is done. An output of other arguments is refused. Paths are hdfs://, or of the local disk, which must be the same on every node then;
a model on the local disk is shipped.`,
		Example: `  tfos predict --model hdfs:///models/digits --input 'hdfs:///images/*.tfrecord' --output hdfs:///predictions --workers 8
  tfos predict --master local --model ./model --input 'data/*.csv' --output ./out --keep id --output-format csv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, needed := range []string{"model", "input", "output"} {
				if !cmd.Flags().Changed(needed) {
					return exit.Errorf(exit.Usage, "tfos predict: --%s is missing", needed).Try("tfos predict --help")
				}
			}
			var err error
			if p.Split, err = splitOf(split); err != nil {
				return err
			}
			if !cmd.Flags().Changed("batch") {
				p.Bytes = client.BatchBytes
			}
			local, err := c.local()
			if err != nil {
				return err
			}
			var dirs []string
			if !local {
				if dirs, err = client.FindConf(c.conf, os.Getenv); err != nil {
					return err
				}
			}
			files, err := client.Files(c.conf, os.Getenv, c.logger())
			if err != nil {
				return err
			}
			defer files.Close()
			planned, err := p.Plan(cmd.Context(), files)
			if err != nil {
				return err
			}
			if planned.Complete {
				fmt.Fprintf(c.stderr, "%s is complete: there is nothing to do\n", planned.Output)
				return nil
			}
			parsed, err := j.predicts(cmd, planned)
			if err != nil {
				return err
			}
			prepared, err := j.prepareJob(cmd, parsed)
			if err != nil {
				return err
			}
			begin := func(ui client.UI, follow func() error) error {
				if planned.Begun {
					ui.Note(planned.Output + " has a part of the output: the rest follows")
				}
				if err := planned.Write(cmd.Context()); err != nil {
					return err
				}
				if len(planned.Shards) == 0 {
					ui.Note("the input's files are empty: " + planned.Output + " is complete, without a row")
					return nil
				}
				return follow()
			}
			if local {
				return c.embedded(cmd, prepared, func(l *client.Local, ui client.UI) error {
					return begin(ui, func() error { return l.Run(cmd.Context(), prepared, ui, o) })
				})
			}
			return c.connected(cmd, dirs, prepared, true, func(cluster *client.Cluster, _ *client.Prepared, ui client.UI) error {
				return begin(ui, func() error { return cluster.Run(cmd.Context(), prepared, ui, o) })
			})
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&p.Model, "model", "", "`DIR` of the SavedModel")
	flags.StringArrayVar(&p.Inputs, "input", nil, "`GLOB` of the input's files, or a directory; may be repeated")
	flags.StringVar(&p.Output, "output", "", "`DIR` of the output")
	flags.StringVar(&p.Signature, "signature", "", "`NAME` of the model's signature (default serving_default, or the only one)")
	flags.StringVar(&p.Format, "format", "", "`FORMAT` of the input: tfrecord, csv, parquet or images (default by the files' names)")
	flags.StringVar(&p.Encoding, "output-format", string(plan.JSONL), "`FORMAT` of the output: jsonl, csv or tfrecord")
	flags.StringArrayVar(&p.Map, "map", nil, "take an input of the model from another column: `INPUT=COLUMN`; INPUT=* is the whole record; may be repeated")
	flags.StringSliceVar(&p.Keep, "keep", nil, "`COLUMNS` of the input that go to the output, before the model's: NAME,...")
	flags.IntVar(&p.Batch, "batch", client.DefaultBatch, "`NUMBER` of rows that the model gets at once; without it, rows of more than 4 KiB make smaller batches, of 4 MiB")
	flags.StringVar(&split, "split", "", "cut files into shards of `SIZE`, as in 64MiB; none: not at all (default 64MiB, and none for csv)")
	flags.IntVar(&p.Group, "group", 1024, "`NUMBER` of images in a file of the output")
	flags.Int("workers", 1, "`NUMBER` of workers")
	for _, s := range shapeFlags {
		flags.String(job.Worker+"-"+s.key, "", fmt.Sprintf(s.help, job.Worker))
	}
	j.names(cmd)
	j.contents(cmd)
	flags.StringArrayVarP(&j.define, "define", "D", nil, defineHelp)
	j.logs(cmd)
	j.follows(cmd, &o)
	return cmd
}

// splitOf reads --split: bytes, 0 for none, -1 for the default.
func splitOf(text string) (int64, error) {
	switch text {
	case "":
		return -1, nil
	case "none":
		return 0, nil
	}
	mib, err := job.ParseMiB(text)
	if err != nil {
		return 0, exit.Errorf(exit.Usage, "--split %w", err)
	}
	return mib << 20, nil
}

// predicts is the job that carries out a plan.
func (j *jobFlags) predicts(cmd *cobra.Command, p *client.Planned) (job.Job, error) {
	var o job.Overlay
	o.Set("tfos predict", "name", "predict")
	o.Set("tfos predict", "strategy", string(job.StrategyNone))
	o.Set("tfos predict", "roles.worker.builtin", string(job.BuiltinPredict))
	o.Set("--workers", "roles.worker.instances", "1")
	said, err := j.overlay(cmd, nil)
	if err != nil {
		return job.Job{}, err
	}
	parsed, err := parseJob("", nil, append(o, said...))
	if err != nil {
		return job.Job{}, err
	}
	i := slices.IndexFunc(parsed.Roles, func(r job.Role) bool { return r.Builtin == job.BuiltinPredict })
	if i < 0 {
		return job.Job{}, exit.Errorf(exit.Usage, "-D roles.worker.builtin: the workers of tfos predict have a program already")
	}
	worker := &parsed.Roles[i]
	worker.Env = maps.Clone(worker.Env)
	if worker.Env == nil {
		worker.Env = make(map[string]string)
	}
	worker.Env[plan.EnvOutput] = p.Output
	// One batch for each core, and one that is read or written meanwhile.
	worker.Env[plan.EnvParallel] = strconv.Itoa(int(worker.VCores) + 1)
	if p.Local != "" {
		parsed.Files = append(parsed.Files, job.File{Source: p.Local, Name: plan.ModelName})
	}
	return parsed, nil
}
