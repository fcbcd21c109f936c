package container

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// tailBytes is how much of a container's stderr its diagnostics quote
// (yarn.nodemanager.container.stderr.tail.bytes).
const tailBytes = 4096

// diagnostics is a container's diagnostics, worded as a NodeManager does.
type diagnostics struct{ b strings.Builder }

func stamp(t time.Time) string { return t.Format("2006-01-02 15:04:05.000") }

// add adds a line with the time.
func (d *diagnostics) add(format string, args ...any) {
	fmt.Fprintf(&d.b, "[%s]%s\n", stamp(time.Now()), strings.TrimRight(fmt.Sprintf(format, args...), "\n"))
}

func (d *diagnostics) String() string { return d.b.String() }

func (d *diagnostics) killed(code int) {
	d.add("Container killed on request. Exit code is %d", code)
	d.add("Container exited with a non-zero exit code %d. ", code)
}

// ended tells of a container that ended by itself; one that ended well needs no words.
func (d *diagnostics) ended(l Launch, at layout, code int) {
	switch code {
	case 0:
	case signalBase + 9, signalBase + 15:
		d.killed(code)
		d.add("Killed by external signal")
	default:
		d.add("Exception from container-launch.\nContainer id: %s\nExit code: %d", l.ID, code)
		d.b.WriteByte('\n')
		d.add("Container exited with a non-zero exit code %d. Error file: prelaunch.err.", code)
		d.quote(filepath.Join(at.log, "prelaunch.err"))
		for _, name := range stderrFiles(at.log) {
			d.quote(name)
		}
	}
}

// quote adds the end of a file.
func (d *diagnostics) quote(name string) {
	end, err := tail(name, tailBytes)
	if err != nil {
		return // the container wrote none, or took it away
	}
	fmt.Fprintf(&d.b, "Last %d bytes of %s :\n%s\n", tailBytes, filepath.Base(name), end)
}

// tail is the last n bytes of a file, or all of a shorter one.
func tail(name string, n int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if size := info.Size(); size > n {
		if _, err := f.Seek(size-n, io.SeekStart); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(io.LimitReader(f, n))
}
