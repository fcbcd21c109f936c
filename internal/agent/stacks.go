package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"go.uber.org/zap"

	"tfos/internal/agent/stacks"
	"tfos/internal/control"
)

// stacksDir is where the program's processes leave their stacks.
func (a *Agent) stacksDir() string { return filepath.Join(a.ours(), stacks.Dir) }

// showStacks tells a client where the program's processes are.
func (a *Agent) showStacks(ctx context.Context, w io.Writer) error {
	answer := make(chan []int, 1)
	if !a.post(func(o *owner) { answer <- o.group() }) {
		return errors.New("the agent is ending")
	}
	_, err := io.WriteString(w, stacks.Take(ctx, a.stacksDir(), <-answer))
	return err
}

// logStacks writes into the task's log where the program's processes are: that takes its time, and
// the owner does not wait.
func (o *owner) logStacks(reason string) {
	pids := o.group()
	if len(pids) == 0 {
		return
	}
	of, log := fmt.Sprintf("%s#%d", o.a.task, o.incarnation), o.a.logs.timed[control.Stderr]
	o.a.log.Info("stacks of the program are taken", zap.String("reason", reason))
	o.call(func(ctx context.Context) {
		fmt.Fprintf(log, "tfos: %s. Where the processes of %s are:\n%stfos: end of the stacks of %s\n", reason, of, stacks.Take(ctx, o.a.stacksDir(), pids), of)
	})
}

// group are the program's processes.
func (o *owner) group() []int {
	if o.program == nil {
		return nil
	}
	pids, err := o.program.Group()
	if err != nil {
		o.a.log.Error("the program's processes cannot be listed", zap.Error(err))
	}
	return pids
}
