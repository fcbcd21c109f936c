package supervise

import (
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tfos/internal/supervise/guard"
)

// The shell's exit codes for a command that it could not run (POSIX, 2.8.2).
const (
	codeNotExecutable = 126
	codeNotFound      = 127
)

// notStarted tells from the exit code and our shell's own message why a command could not be
// started. A program is free to exit with these codes itself: then there is no such message, and no
// reason.
func notStarted(code int, stderr []string) string {
	if code != codeNotFound && code != codeNotExecutable || len(stderr) == 0 {
		return ""
	}
	// "tfos: line 1: trian.py: command not found", "tfos: line 1: ./x: No such file or directory"
	rest, ok := strings.CutPrefix(stderr[len(stderr)-1], shellName+": ")
	if !ok {
		return ""
	}
	if line, after, ok := strings.Cut(rest, ": "); ok && strings.HasPrefix(line, "line ") {
		rest = after
	}
	rest = strings.TrimPrefix(rest, "exec: ")
	what, why, ok := cutLast(rest, ": ")
	switch {
	case !ok:
		return rest
	case code == codeNotFound:
		return "command not found: " + what
	default:
		return "cannot run " + what + ": " + strings.ToLower(why)
	}
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// oomKills reads how many processes the kernel has killed for want of memory in our memory cgroup,
// which the program shares. 0 where it is not known: no cgroup, or an old kernel.
func oomKills() int64 {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return 0
	}
	for _, name := range oomFiles(string(b)) {
		if text, err := os.ReadFile(name); err == nil {
			return counter(string(text), "oom_kill")
		}
	}
	return 0
}

// oomFiles lists where the counter may be, by /proc/self/cgroup (cgroups(7)): "0::/path" is version
// 2, "5:memory,cpu:/path" version 1. Within a cgroup namespace the path is the mount's root.
func oomFiles(cgroups string) []string {
	const mount = "/sys/fs/cgroup"
	var files []string
	for line := range strings.Lines(cgroups) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		switch {
		case f[0] == "0" && f[1] == "":
			files = append(files, path.Join(mount, f[2], "memory.events"))
		case strings.Contains(","+f[1]+",", ",memory,"):
			files = append(files, path.Join(mount, "memory", f[2], "memory.oom_control"))
		}
	}
	return files
}

// counter finds "name n" among lines.
func counter(text, name string) int64 {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			n, err := strconv.ParseInt(v, 10, 64)
			if err == nil {
				return n
			}
		}
	}
	return 0
}

// endAdopted kills what we inherited from a guard, and returns how many processes would not die.
func endAdopted() int {
	const attempts, pause = 200, 10 * time.Millisecond
	for range attempts {
		left := guard.Descendants(os.Getpid())
		if len(left) == 0 {
			return 0
		}
		for _, pid := range left {
			unix.Kill(pid, unix.SIGKILL)
			unix.Wait4(pid, nil, unix.WNOHANG, nil) // of those that are our children
		}
		time.Sleep(pause)
	}
	return len(guard.Descendants(os.Getpid()))
}
