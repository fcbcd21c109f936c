// Command tfos trains TensorFlow on a Hadoop cluster: it submits jobs, follows them and shows how
// they fare.
//
// This package is flags, signals and exit codes around package client.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"tfos/internal/client"
	"tfos/internal/client/exit"
)

func main() {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		await(signals, func() { cancel(client.ErrInterrupted) })
		os.Exit(int(exit.Interrupted))
	}()
	os.Exit(int(run(ctx, os.Args[1:], output(os.Stdout), output(os.Stderr))))
}

// await calls interrupted at the first signal, and returns when the same one has come twice:
// somebody is impatient. Different ones are of one cause: systemd sends SIGHUP after SIGTERM, and
// tfos.jar hands on as SIGTERM what the terminal has sent to both.
func await(signals <-chan os.Signal, interrupted func()) {
	seen := make(map[os.Signal]bool)
	for s := range signals {
		if seen[s] {
			return
		}
		seen[s] = true
		interrupted()
	}
}

// run is the command with its arguments. The answer is its exit code; errors are on stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) exit.Code {
	cmd := &command{stdout: stdout, stderr: stderr}
	root := cmd.root()
	root.SetArgs(spelled(args))
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exit.OK
	}
	code := exit.Of(err)
	switch {
	case !cmd.began: // cobra did not understand the arguments
		code = exit.Usage
		err = fmt.Errorf("%w\n  tfos --help, or tfos COMMAND --help, shows what there is", err)
	case errors.Is(err, client.ErrInterrupted):
		code = exit.Interrupted
	}
	if err != client.ErrInterrupted { // that alone says nothing to who pressed Ctrl-C
		fmt.Fprintln(stderr, "tfos:", err)
	}
	return code
}

// spelled accepts -as-story for --as-story, as who writes Go tests is used to.
func spelled(args []string) []string {
	args = slices.Clone(args)
	for i, a := range args {
		if a == "--" {
			break
		}
		if a == "-as-story" {
			args[i] = "--as-story"
		}
	}
	return args
}
