package dfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// renameNoReplace moves old to new unless new exists, in one step.
func renameNoReplace(old, new string) error {
	err := unix.Renameat2(unix.AT_FDCWD, old, unix.AT_FDCWD, new, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return renameChecked(old, new) // a filesystem without it: NFS, some FUSE
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: old, New: new, Err: err}
	}
	return nil
}
