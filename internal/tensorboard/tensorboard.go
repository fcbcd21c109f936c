// Package tensorboard runs TensorBoard on what programs write for it, growing while they train, on
// any filesystem: it copies what is new to the local disk, so that TensorBoard need not reach HDFS,
// nor have TensorFlow beside it.
package tensorboard

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"
)

// Every is how often new events are looked for; TensorBoard reads them as often.
const Every = 5 * time.Second

// Server is a TensorBoard.
type Server struct {
	Command        []string    // that is TensorBoard, without options
	Dir            string      // of the events
	Copy           *Mirror     // that fills Dir, and is kept up meanwhile; nil: Dir needs none
	Failed         func(error) // is told the first of a row of errors in that
	Host           string      // to listen at; empty: wherever the machine can be reached
	Port           int
	Prefix         string // of every path
	Stdout, Stderr io.Writer
}

// Run runs it until it ends or ctx does.
func (s Server) Run(ctx context.Context) error {
	if s.Copy != nil {
		var following sync.WaitGroup
		defer following.Wait()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		following.Go(func() { s.Copy.Follow(ctx, s.Failed) })
	}
	args := append(s.Command[1:len(s.Command):len(s.Command)],
		"--logdir", s.Dir, "--port", strconv.Itoa(s.Port), "--reload_interval", strconv.Itoa(int(Every.Seconds())))
	if s.Host != "" {
		args = append(args, "--host", s.Host)
	} else {
		args = append(args, "--bind_all")
	}
	if s.Prefix != "" {
		args = append(args, "--path_prefix", s.Prefix)
	}
	t := exec.CommandContext(ctx, s.Command[0], args...)
	t.Stdout, t.Stderr = s.Stdout, s.Stderr
	t.Cancel = func() error { return t.Process.Signal(os.Interrupt) }
	t.WaitDelay = 5 * time.Second
	err := t.Run()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		err = fmt.Errorf("TensorBoard ended: %w", err)
	}
	return err
}
