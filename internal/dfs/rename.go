package dfs

import (
	"io/fs"
	"os"
)

// renameChecked looks before it moves: another process can still come in between, which nothing can
// prevent here.
func renameChecked(old, new string) error {
	if _, err := os.Lstat(new); err == nil {
		return &fs.PathError{Op: "rename", Path: new, Err: fs.ErrExist}
	}
	return os.Rename(old, new)
}
