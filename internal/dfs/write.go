package dfs

import (
	"context"
	"io/fs"
)

// WriteFile makes a file of content, in place of one that is there; mode 0 is 0644. Where it fails nothing appears, and a file that
// was there stays.
func WriteFile(ctx context.Context, d FS, name string, content []byte, mode fs.FileMode) error {
	w, err := d.Create(ctx, name, CreateOptions{Overwrite: true, Mode: mode})
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		w.Abort()
		return err
	}
	return w.Close()
}
