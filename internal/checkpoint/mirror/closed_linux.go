package mirror

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// written reports whether somebody has a file open for writing. The kernel knows: it gives a read
// lease only on a file that nobody has (fcntl(2), F_SETLEASE). Where a filesystem has no leases the
// answer is no.
func written(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false // it went, which the next look tells
	}
	defer f.Close()
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		_, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK) // else Close gives it back
	}
	return errors.Is(err, unix.EAGAIN)
}

// background has the calling goroutine's thread, which it must have locked, give way to others.
func background() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, niceness) }

// niceness of a thread that copies.
const niceness = 10
