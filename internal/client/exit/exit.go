// Package exit names how tfos ends: its exit codes, and the error that carries one to main.
//
// The codes are a promise to scripts: they are added to, never changed.
package exit

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Code is the exit code of the tfos command.
type Code int

// The exit codes.
const (
	OK             Code = 0
	JobFailed      Code = 1
	Usage          Code = 2
	Refused        Code = 3
	Infrastructure Code = 4
	Killed         Code = 5
	TimedOut       Code = 6
	Interrupted    Code = 130
)

// Heading begins the part of every command's help that explains its exit code.
const Heading = "Exit codes:\n"

// TableOf is that part for a command whose codes, besides OK, mean this.
func TableOf(codes map[Code]string) string {
	lines := []string{"  0    succeeded"}
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		lines = append(lines, fmt.Sprintf("  %-3d  %s", code, codes[code]))
	}
	return Heading + strings.Join(lines, "\n")
}

// Table is that part for commands on jobs.
const Table = Heading + `  0    succeeded
  1    the job failed: the program ended with an error
  2    wrong usage or job file, a missing local file included
  3    the cluster refused the job, or can never fit it
  4    infrastructure failed, after all retries
  5    the job was killed
  6    the job took longer than its timeout and was stopped
  130  interrupted while following; the job goes on unless --kill-on-exit`

// Error is a failure that tfos ends with: what happened and to what, and what to do about it.
type Error struct {
	Code   Code
	What   string // a sentence without its full stop
	Advice string // what to try; empty: nothing beyond What
	Err    error  // the cause, if there is one
}

// Errorf makes an Error whose text is the formatted one, and whose cause is what %w wraps.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, What: err.Error(), Err: errors.Unwrap(err)}
}

// Try adds what to do about it.
func (e *Error) Try(format string, args ...any) *Error {
	e.Advice = fmt.Sprintf(format, args...)
	return e
}

// Error is What, and Advice on lines of its own.
func (e *Error) Error() string {
	if e.Advice == "" {
		return e.What
	}
	return e.What + "\n  " + strings.ReplaceAll(e.Advice, "\n", "\n  ")
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Of is the code that err ends tfos with: OK for nil, Infrastructure for an error that says none.
func Of(err error) Code {
	if err == nil {
		return OK
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Infrastructure
}
