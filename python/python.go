// Package python holds the Python modules that tfos gives every task: what a client packs and
// ships, an agent puts on PYTHONPATH.
//
// The modules want nothing but Python's standard library, 3.8 or newer. docs/python.md says what
// programs may use of them. Beside them lie, for each kind of machine, TensorFlow's filesystem
// plugin, made by internal/fileserver/build, and the checksum of TFRecord files, made by
// native/build. The modules do without the latter, slowly.
package python

import (
	"archive/zip"
	"bytes"
	"embed"
	"fmt"
	"io/fs"
)

// Patterns, for a directory would leave out what starts with an underscore.
//
//go:embed sitecustomize.py tfos/*.py tfos/compat/*.py tfos/native/*.so
var modules embed.FS

// Archive is the modules as a .zip, to be unpacked into a directory that goes on PYTHONPATH. One
// version of tfos makes the same bytes everywhere: their hash names them in a cluster's cache.
func Archive() ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	err := fs.WalkDir(modules, ".", func(name string, e fs.DirEntry, err error) error { // in lexical order
		if err != nil || e.IsDir() {
			return err
		}
		data, err := modules.ReadFile(name)
		if err != nil {
			return err
		}
		h := &zip.FileHeader{Name: name, Method: zip.Deflate} // without a time
		h.SetMode(0o644)
		f, err := w.CreateHeader(h)
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("pack the Python modules: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack the Python modules: %w", err)
	}
	return b.Bytes(), nil
}
