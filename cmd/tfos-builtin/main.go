// Command tfos-builtin has the programs that a role of a job names by "builtin" instead of a
// command. Agents start it; people have no use for it.
//
// It loads TensorFlow's library into its own process, which is why it is none of the agent's: a
// crash of TensorFlow is that of a program, from which a job recovers.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"tfos/internal/job"
	"tfos/internal/predict/source"
	"tfos/internal/tensorflow"
	"tfos/internal/version"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

const (
	exitFailed = 1
	exitUsage  = 2
)

func run(args []string) int {
	var err error
	switch strings.Join(args, " ") {
	case "--version":
		fmt.Println("tfos-builtin", version.String())
	case string(job.BuiltinPS):
		err = ps()
	case string(job.BuiltinPredict):
		err = runPredict()
	case string(job.BuiltinTensorBoard):
		err = board()
	default:
		fmt.Fprintln(os.Stderr, "tfos-builtin: the programs of roles that have builtin: ps, of tensorboard: true and of tfos predict; started by tfos-agent")
		return exitUsage
	}
	var damaged *source.Damaged
	switch {
	case errors.As(err, &damaged):
		fmt.Fprintf(os.Stderr, "tfos-builtin: %v; mend the file or leave it out, and begin a run with another --output\n", err)
		return job.CodeDamaged
	case err != nil:
		fmt.Fprintln(os.Stderr, "tfos-builtin:", err)
		return exitFailed
	}
	return 0
}

// load finds TensorFlow and loads it.
func load() (*tensorflow.Library, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	files, err := tensorflow.Find(os.Getenv, dir)
	if err != nil {
		return nil, err
	}
	l, err := tensorflow.Load(files)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "tfos-builtin: TensorFlow %s, %s\n", l.Version, files.Core)
	return l, nil
}

// ps serves as the task that TF_CONFIG describes, until it is stopped.
func ps() error {
	task, err := tensorflow.ParseTask(os.Getenv("TF_CONFIG"))
	if err != nil {
		return err
	}
	l, err := load()
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "tfos-builtin: serves as %s at %s\n", task, task.Address())
	return l.Serve(task.ServerDef())
}
