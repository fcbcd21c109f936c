package dfs

import (
	"context"
	"io"
	"io/fs"
)

// ReadFile reads a file, of a longer one the first most bytes.
func ReadFile(ctx context.Context, d FS, name string, most int64) ([]byte, error) {
	f, err := d.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// WriteFile makes a file of content, in place of one that is there; mode 0 is 0644. Where it fails
// nothing appears, and a file that was there stays.
func WriteFile(ctx context.Context, d FS, name string, content []byte, mode fs.FileMode) error {
	return writeWhole(ctx, d, name, content, CreateOptions{Overwrite: true, Mode: mode})
}

// CreateFile is WriteFile for a name that nothing may have yet: fs.ErrExist, and what is there
// stays. Of several who create one, one succeeds.
func CreateFile(ctx context.Context, d FS, name string, content []byte, mode fs.FileMode) error {
	return writeWhole(ctx, d, name, content, CreateOptions{Mode: mode})
}

func writeWhole(ctx context.Context, d FS, name string, content []byte, o CreateOptions) error {
	w, err := d.Create(ctx, name, o)
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		w.Abort()
		return err
	}
	return w.Close()
}
