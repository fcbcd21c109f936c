package endpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// image is what one execve made of a process and of all that it forks, as the kernel told it in its
// auxiliary vector (getauxval(3)). preload/endpoint.h says what is random in it.
type image struct{ random, vdso, base, secure uint64 }

// The types of the auxiliary vector's values (linux/auxvec.h).
const (
	auxBase   = 7  // where the dynamic linker is: 0 in a statically linked program
	auxSecure = 23 // 1: it has more rights than its user, so that the linker preloads nothing for it
	auxRandom = 25
	auxVDSO   = 33
)

// imageOf is that of a process. The zero image: it has ended, is about to, or becomes another one.
func imageOf(pid int) (image, error) {
	b, err := os.ReadFile(proc(pid, "auxv"))
	if err != nil {
		return image{}, err
	}
	var i image
	for ; len(b) >= 16; b = b[16:] {
		value := binary.NativeEndian.Uint64(b[8:])
		switch binary.NativeEndian.Uint64(b) {
		case auxBase:
			i.base = value
		case auxSecure:
			i.secure = value
		case auxRandom:
			i.random = value
		case auxVDSO:
			i.vdso = value
		}
	}
	return i, nil
}

// hash is what the library makes of the same.
func (i image) hash() (hash uint64) {
	for _, value := range []uint64{i.random, i.vdso, i.base, i.secure} {
		hash = (hash ^ value) * mix
		hash ^= hash >> 32
	}
	return hash
}

func proc(pid int, name string) string { return filepath.Join("/proc", strconv.Itoa(pid), name) }

// Bare is a process that goes without the library, and so reaches none of its peers under Redirect.
// The zero Bare is none.
type Bare struct {
	PID  int
	Why  string // a clause
	Sure bool   // it is so for as long as the process is this program; otherwise it may not have come to loading the library yet

	image image
}

// Look looks whether a running process has the library. Only what is found in a process that lives
// makes a Bare: one that has ended, or is about to, says nothing. The other carriers need no
// library.
func (e *Endpoints) Look(pid int) Bare {
	r, ok := e.carrier.(*redirect)
	if !ok {
		return Bare{}
	}
	i, err := imageOf(pid)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return Bare{PID: pid, Why: "it is another user's", Sure: true}
	case err != nil || i == image{} || r.table.has(i):
		return Bare{}
	}
	b := Bare{PID: pid, Sure: true, image: i}
	environ, _ := os.ReadFile(proc(pid, "environ"))
	switch {
	case i.base == 0:
		b.Why = "it is statically linked"
	case i.secure != 0:
		b.Why = "it has more rights than its user"
	case !r.asked(bytes.Split(environ, []byte{0})):
		b.Why = envPreload + " or " + envTable + " was taken out of its environment"
		// The kernel lays the environment out last: until then there is none to be read.
		b.Sure = len(environ) > 0
	default:
		// The linker maps it first of all. Then it loads what the program needs, and runs our
		// constructor.
		if maps, err := os.ReadFile(proc(pid, "maps")); err != nil || bytes.Contains(maps, []byte(r.library)) {
			return Bare{}
		}
		b.Why, b.Sure = "it is of another kind than this machine's programs, or cannot see "+r.library, false
	}
	if still, err := imageOf(pid); err != nil || still != i {
		return Bare{} // what was read may be another one's
	}
	return b
}

// asked reports whether a process was started with what has it load the library and use it.
func (r *redirect) asked(environ [][]byte) bool {
	preload, table := false, false
	for _, e := range environ {
		switch name, value, _ := strings.Cut(string(e), "="); name {
		case envPreload:
			preload = slices.Contains(strings.FieldsFunc(value, func(c rune) bool { return c == ' ' || c == ':' }), r.library)
		case envTable:
			table = value == r.table.path
		}
	}
	return preload && table
}
