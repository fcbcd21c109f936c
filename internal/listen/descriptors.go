package listen

import "syscall"

// Descriptors is how many files and connections this process may have open. Go's runtime has raised
// that as far as it may.
func Descriptors() int {
	const least, most = 256, 16384 // where it is not known, and where it is as good as unlimited
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return least
	}
	return int(min(l.Cur, most))
}
