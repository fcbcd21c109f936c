package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"tfos/internal/client"
	"tfos/internal/client/exit"
	"tfos/internal/job"
	"tfos/internal/migrate"
)

// fromHelp is of the flag that reads another launcher's file in place of a job file.
const fromHelp = "take the job from another launcher's `FILE`: TonY's XML or command line, skein's YAML, a TFJob"

// migrated reads the job of --from, and says on stderr what of it is not carried over.
func (j *jobFlags) migrated(stderr io.Writer, file string) (name string, data []byte, err error) {
	if file != "" {
		return "", nil, exit.Errorf(exit.Usage, "%s and --from %s: want one of them", file, j.from).
			Try("tfos convert %s writes a job file", j.from)
	}
	r, err := client.Migrate(j.from, ".", os.Getenv)
	if err != nil {
		return "", nil, err
	}
	for _, n := range r.Notes {
		fmt.Fprintf(stderr, "%s: %s\n", j.from, n)
	}
	return filepath.Base(j.from) + ", converted", r.Draft.Bytes(""), nil
}

func (c *command) convert() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "convert FILE [flags]",
		Short: "Write a job file from another launcher's",
		Long: `Write the job file that another launcher's file comes to: TonY's tony.xml, a script or command line that starts TonY's client,
skein's specification, or a TFJob of Kubernetes. What of it the job file does not have is at its top, and on stderr:

  unknown           nothing is known of the key
  not carried over  the job may behave differently
  changed           it is in the job file as something that is not quite the same
  needless          tfos does it anyway, or has nothing that it could mean

tfos run --from FILE runs it without writing a job file. Nothing is run, and no cluster is asked.`,
		Example: `  tfos convert tony.xml -o job.yaml
  tfos run --from tony.xml --master local -- python train.py`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return exit.Errorf(exit.Usage, "%s: want one file", cmd.CommandPath())
			}
			dir := "."
			if out != "" {
				dir = filepath.Dir(out)
			}
			r, err := client.Migrate(args[0], dir, os.Getenv)
			if err != nil {
				return err
			}
			return c.write(r, args[0], out)
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "write the job file to `FILE`, which must not be there yet (default stdout)")
	return cmd
}

// write writes the job file, and says what is not in it. A job that lacks something is written all
// the same: what it lacks is told.
func (c *command) write(r migrate.Result, source, out string) error {
	data := r.File(filepath.Base(source))
	for _, n := range r.Notes {
		fmt.Fprintln(c.stderr, n)
	}
	name := "job.yaml"
	if out != "" {
		name = out
	}
	if _, err := job.Parse(filepath.ToSlash(name), data, nil); err != nil {
		fmt.Fprintf(c.stderr, "to be mended before it runs:\n%v\n", err)
	}
	if out == "" {
		_, err := c.stdout.Write(data)
		return err
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	switch {
	case errors.Is(err, fs.ErrExist):
		return exit.Errorf(exit.Usage, "%s is there already", out).Try("remove it, or write to another file")
	case err != nil:
		return exit.Errorf(exit.Usage, "%w", err)
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Close()); err != nil {
		return exit.Errorf(exit.Usage, "write %s: %w", out, err)
	}
	return nil
}
