package stage

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tfos/internal/launch"
)

// pack writes the directory dir to w as a .tar.gz. The same content gives the same bytes, whoever
// owns it and whenever it was written: the archive's hash is its name in the cache.
//
// plain says that all names in it mean the same in every locale.
func pack(dir string, w io.Writer) (plain bool, _ error) {
	plain = true
	gz, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return false, err
	}
	tw := tar.NewWriter(gz)
	// WalkDir goes in lexical order.
	err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil || rel == "." {
			return err
		}
		plain = plain && launch.Plain(rel)
		return packEntry(tw, dir, name, filepath.ToSlash(rel), e)
	})
	if err != nil {
		return false, fmt.Errorf("pack %s: %w", dir, err)
	}
	return plain, errors.Join(tw.Close(), gz.Close())
}

// epoch is every entry's modification time. Zero would be left out by tar and filled in with the
// present by some readers.
var epoch = time.Unix(0, 0)

func packEntry(tw *tar.Writer, dir, name, rel string, e fs.DirEntry) error {
	info, err := e.Info()
	if err != nil {
		return err
	}
	h := &tar.Header{Name: rel, ModTime: epoch, Format: tar.FormatPAX}
	switch {
	case e.IsDir():
		h.Typeflag, h.Name, h.Mode = tar.TypeDir, rel+"/", 0o755
		return tw.WriteHeader(h)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(name)
		if err != nil {
			return err
		}
		if !staysWithin(rel, target) {
			return fmt.Errorf("%s points outside of the directory, to %s", name, target)
		}
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, filepath.ToSlash(target), 0o777
		return tw.WriteHeader(h)
	case info.Mode().IsRegular():
		return packFile(tw, h, name, info)
	}
	return fmt.Errorf("%s is neither a file, a directory nor a link", name)
}

// staysWithin reports whether a link at rel that points to target ends up inside of the packed
// directory.
func staysWithin(rel, target string) bool {
	if filepath.IsAbs(target) {
		return false
	}
	return filepath.IsLocal(filepath.Join(filepath.Dir(filepath.FromSlash(rel)), target))
}

func packFile(tw *tar.Writer, h *tar.Header, name string, info fs.FileInfo) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	h.Typeflag, h.Size, h.Mode = tar.TypeReg, info.Size(), 0o644
	if info.Mode()&0o111 != 0 {
		h.Mode = 0o755
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	if _, err := io.CopyN(tw, f, h.Size); err != nil {
		return fmt.Errorf("%s changed while it was read: %w", name, err)
	}
	return nil
}

// unpacked lists the suffixes by which a NodeManager knows an archive
// (org.apache.hadoop.yarn.util.FSDownload).
var unpacked = []string{".tar.gz", ".tgz", ".tar", ".zip", ".jar"}

// archiveSuffix is the suffix of name that makes a NodeManager unpack it, or "".
func archiveSuffix(name string) string {
	for _, s := range unpacked {
		if strings.HasSuffix(strings.ToLower(name), s) {
			return s
		}
	}
	return ""
}
