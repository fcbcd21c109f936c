// Command tfos-agent runs one task of a job in a YARN container. tfos-am starts it; people have no
// use for it. With the argument hold it holds a slot for tasks in an executor of Spark.
//
// It exits with 0 after the master has retired it, with 1 when it could not join or lost its master
// for good, and with 143 when a signal ended it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"tfos/internal/agent"
	"tfos/internal/launch"
	"tfos/internal/version"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

const (
	exitFailed     = 1
	exitUsage      = 2
	exitTerminated = 128 + int(syscall.SIGTERM)
)

func run(args []string) int {
	if len(args) > 0 {
		if args[0] == "--version" {
			fmt.Println("tfos-agent", version.String())
			return 0
		}
		if len(args) == 1 && args[0] == "hold" {
			return finish(holdSlot)
		}
		fmt.Fprintln(os.Stderr, "tfos-agent: started by tfos-am, in a container; the one flag is --version")
		return exitUsage
	}
	return finish(serve)
}

// finish runs the agent, or a slot, and says by the exit code how it ended.
func finish(serve func(context.Context) error) int {
	debug.SetGCPercent(50) // memory counts as the task's; garbage is little
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err := serve(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		return exitTerminated
	default:
		fmt.Fprintln(os.Stderr, "tfos-agent:", err)
		return exitFailed
	}
}

func serve(ctx context.Context) error {
	o, err := agent.FromEnvironment(os.Getenv)
	if err != nil {
		return err
	}
	if o.Logger, o.AgentLog, err = agent.NewLogger(o.LogDir, os.Getenv(launch.EnvLogLevel)); err != nil {
		return err
	}
	a, err := agent.New(o)
	if err != nil {
		return err
	}
	// What YARN sends for a thread dump; a process of Go would end by it.
	quit := make(chan os.Signal, 1)
	signal.Notify(quit, syscall.SIGQUIT)
	go func() {
		for range quit {
			a.Dump()
		}
	}()
	return a.Run(ctx)
}
