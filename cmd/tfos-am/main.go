// tfos-am is the application master of one job. YARN starts it in a container that holds what the
// client staged; a person never does.
//
// It exits with 0 once it has told YARN how the job ended, whatever the end was, and with 1 if it
// could not.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/pprof"
	"syscall"

	"go.uber.org/zap"

	"tfos/internal/am"
	"tfos/internal/version"
)

// garbage is how much of the heap may be garbage, in percent of what lives: a master mostly waits,
// so it can pay with time.
const garbage = 50

func main() {
	if len(os.Args) > 1 {
		fmt.Println("tfos-am", version.String())
		return
	}
	debug.SetGCPercent(garbage)
	log, err := zap.NewProductionConfig().Build()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tfos-am:", err)
		os.Exit(1)
	}
	// What YARN sends for a thread dump; a process of Go would end by it.
	quit := make(chan os.Signal, 1)
	signal.Notify(quit, syscall.SIGQUIT)
	go func() {
		for range quit {
			fmt.Fprintln(os.Stderr, "thread dump of the master:")
			pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
		}
	}()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := am.RunInContainer(ctx, os.Getenv, log); err != nil {
		// The NodeManager copies the last lines of stderr into the application's diagnostics.
		log.Error("application master ends", zap.Error(err))
		fmt.Fprintln(os.Stderr, "tfos-am:", err)
		os.Exit(1)
	}
}
