//go:build e2e

package endpoint_test

import (
	"bytes"
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// compareBuilds fails the test if a library that is committed differs from one that the same
// compiler made just now.
func compareBuilds(t *testing.T, committed, made string) {
	t.Helper()
	old, err := os.ReadFile(committed)
	if errors.Is(err, fs.ErrNotExist) {
		t.Logf("%s is not committed; it can be built here", committed)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	new, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	was, is := compiler(t, old), compiler(t, new)
	if was != is {
		t.Logf("%s was made by %q, here is %q", committed, was, is)
		return
	}
	if !bytes.Equal(old, new) {
		t.Errorf("%s is not what internal/endpoint/build makes of the sources", committed)
	}
}

// compiler is what a library says that made it.
func compiler(t *testing.T, image []byte) string {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	s := f.Section(".comment")
	if s == nil {
		t.Fatal("no compiler is named")
	}
	b, err := s.Data()
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.Trim(b, "\x00"))
}

// listenOne is the address of a listener that has no room for another connection: one that is begun
// stays under way.
func listenOne(t *testing.T) string {
	t.Helper()
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(l) })
	if err := errors.Join(unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(l, 0)); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(l)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(c) })
		if err := unix.Connect(c, at); err != nil && err != unix.EINPROGRESS {
			t.Fatal(err)
		}
	}
	return "127.0.0.1:" + strconv.Itoa(at.(*unix.SockaddrInet4).Port)
}
