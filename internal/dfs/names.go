package dfs

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// temporaryPrefix starts the name of every file that is being created, and of no other.
const temporaryPrefix = ".tfos-writing-"

// temporaryName is where a file is written before it is whole: beside its place, so that a rename
// moves it there.
func temporaryName(name string) string {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return path.Join(path.Dir(name), temporaryPrefix+hex.EncodeToString(random[:]))
}

// isTemporary reports whether a file of this base name is still being created, or was left behind
// by a writer that died.
func isTemporary(base string) bool { return strings.HasPrefix(base, temporaryPrefix) }

// cleanName checks a name at the door of every operation: it is absolute, and no NUL ends it early.
func cleanName(op, name string) (string, error) {
	if !strings.HasPrefix(name, "/") || strings.Contains(name, "\x00") {
		return "", &fs.PathError{Op: op, Path: name, Err: fmt.Errorf("%w: a name starts with / and has no NUL", fs.ErrInvalid)}
	}
	return path.Clean(name), nil
}

// cleanRemovable is cleanName for what is to be removed: never everything there is.
func cleanRemovable(name string) (string, error) {
	name, err := cleanName("remove", name)
	if err == nil && name == "/" {
		err = &fs.PathError{Op: "remove", Path: name, Err: fs.ErrInvalid}
	}
	return name, err
}

// checkRename refuses what no filesystem can do. Both names are clean.
func checkRename(old, new string) error {
	if old == new {
		return &fs.PathError{Op: "rename", Path: old, Err: fs.ErrExist}
	}
	if old == "/" || strings.HasPrefix(new, old+"/") {
		return &fs.PathError{Op: "rename", Path: old, Err: fmt.Errorf("%w: a directory cannot move into itself", fs.ErrInvalid)}
	}
	return nil
}

// The bits that a filesystem keeps, and the sticky bit as HDFS and POSIX write it.
const (
	permissionBits = fs.ModePerm | fs.ModeSticky
	stickyBit      = 0o1000
)

// posixBits is a mode as a number: permissions and the sticky bit.
func posixBits(mode fs.FileMode) uint32 {
	bits := uint32(mode.Perm())
	if mode&fs.ModeSticky != 0 {
		bits |= stickyBit
	}
	return bits
}

// modeOf is the inverse of posixBits; other bits are dropped.
func modeOf(bits uint32, dir bool) fs.FileMode {
	mode := fs.FileMode(bits).Perm()
	if bits&stickyBit != 0 {
		mode |= fs.ModeSticky
	}
	if dir {
		mode |= fs.ModeDir
	}
	return mode
}

// fileMode is the mode of a new file.
func fileMode(o CreateOptions) fs.FileMode {
	if o.Mode == 0 {
		return 0o644
	}
	return o.Mode & permissionBits
}
