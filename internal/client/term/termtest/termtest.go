// Package termtest opens pseudo terminals for tests: it shows what a program wrote to one.
package termtest

import (
	"fmt"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Terminal is a pseudo terminal, and what is written to it.
type Terminal struct {
	Terminal *os.File // for the program

	t    testing.TB
	read chan string // everything, once the terminal is closed; capacity 1
}

// Open opens a pseudo terminal that changes nothing on the way. Close it.
func Open(t testing.TB) *Terminal {
	t.Helper()
	control, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(control.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(control.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	modes, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	modes.Oflag &^= unix.OPOST
	if err := unix.IoctlSetTermios(int(terminal.Fd()), unix.TCSETS, modes); err != nil {
		t.Fatal(err)
	}
	p := &Terminal{Terminal: terminal, t: t, read: make(chan string, 1)}
	go func() {
		defer control.Close()
		b, _ := io.ReadAll(control) // which ends with EIO once nobody has the terminal open
		p.read <- string(b)
	}()
	return p
}

// Close ends the terminal and returns everything that was written to it.
func (p *Terminal) Close() string {
	if err := p.Terminal.Close(); err != nil {
		p.t.Error(err)
	}
	return <-p.read
}
