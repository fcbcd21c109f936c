// Package pyenv looks into Python environments, and makes archives of them that run in another
// place.
//
// It reads files and starts the user's own tools. What comes of what it finds is decided elsewhere.
package pyenv

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// Facts are what an archive with a Python environment says of where it runs.
type Facts struct {
	Python     string // its path in the archive; empty: there is none
	Link       string // absolute path that Python is a link to: every node must have it
	Machine    string // "x86_64", "aarch64"; empty: not known
	GLibC      string // the newest that Python needs, as in "2.34"; empty: none
	Static     bool   // Python loads no libraries
	TensorFlow string // its version; empty: it is not in the archive
}

var (
	isPython     = regexp.MustCompile(`(^|/)bin/python3?(\.[0-9]+)?$`)
	isLibPython  = regexp.MustCompile(`(^|/)lib/libpython3[^/]*\.so[^/]*$`)
	isTensorFlow = regexp.MustCompile(`site-packages/(?:tensorflow|tensorflow_cpu|tensorflow_gpu|tensorflow_intel|tf_nightly)-([0-9][^/]*)\.(?:dist-info|egg-info)(/|$)`)
)

// maxProgram bounds what of an archive is taken into memory, in bytes.
const maxProgram = 256 << 20

// Inspect looks into an archive by the name that says of which kind it is.
func Inspect(ctx context.Context, name string) (Facts, error) {
	var f Facts
	err := eachEntry(ctx, name, func(entry, link string, open func() (io.ReadCloser, error)) error {
		entry = strings.TrimPrefix(path.Clean(entry), "/")
		if m := isTensorFlow.FindStringSubmatch(entry); m != nil {
			f.TensorFlow = m[1]
		}
		python := isPython.MatchString(entry)
		switch {
		case !python && !isLibPython.MatchString(entry):
			return nil
		case link != "":
			if python && f.Python == "" {
				f.Python = entry
			}
			if python && path.IsAbs(link) {
				f.Python, f.Link = entry, link
			}
			return nil
		}
		in, err := open()
		if err != nil {
			return err
		}
		defer in.Close()
		data, err := io.ReadAll(io.LimitReader(in, maxProgram))
		if err != nil {
			return err
		}
		f.read(entry, data, python)
		return nil
	})
	if err != nil {
		return f, fmt.Errorf("look into %s: %w", name, err)
	}
	return f, nil
}

// read takes what a program or a library says of itself. One that is none says nothing.
func (f *Facts) read(entry string, data []byte, python bool) {
	if python {
		f.Python = entry
	}
	e, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return
	}
	defer e.Close()
	switch e.Machine {
	case elf.EM_X86_64:
		f.Machine = "x86_64"
	case elf.EM_AARCH64:
		f.Machine = "aarch64"
	default:
		f.Machine = strings.ToLower(strings.TrimPrefix(e.Machine.String(), "EM_"))
	}
	if python {
		f.Static = true
		for _, p := range e.Progs {
			f.Static = f.Static && p.Type != elf.PT_INTERP
		}
	}
	needs, err := e.DynamicVersionNeeds()
	if err != nil {
		return
	}
	for _, n := range needs {
		for _, dep := range n.Needs {
			if v, ok := strings.CutPrefix(dep.Dep, "GLIBC_"); ok && Older(f.GLibC, v) {
				f.GLibC = v
			}
		}
	}
}

// Older compares two versions such as 2.9 and 2.34. One that is empty is older than any other.
func Older(a, b string) bool {
	if a == "" || b == "" {
		return a == "" && b != ""
	}
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		x, errX := strconv.Atoi(as[i])
		y, errY := strconv.Atoi(bs[i])
		if errX != nil || errY != nil {
			return false // GLIBC_PRIVATE
		}
		if x != y {
			return x < y
		}
	}
	return len(as) < len(bs)
}

// eachEntry calls do with each entry of an archive: its name, what it links to if it is a link, and
// its content.
func eachEntry(ctx context.Context, name string, do func(entry, link string, open func() (io.ReadCloser, error)) error) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	lower := strings.ToLower(name)
	if strings.HasSuffix(lower, ".zip") || strings.HasSuffix(lower, ".jar") {
		info, err := in.Stat()
		if err != nil {
			return err
		}
		z, err := zip.NewReader(in, info.Size())
		if err != nil {
			return err
		}
		for _, f := range z.File {
			link := ""
			if f.Mode()&os.ModeSymlink != 0 {
				if link, err = zipLink(f); err != nil {
					return err
				}
			}
			if err := errors.Join(ctx.Err(), do(f.Name, link, f.Open)); err != nil {
				return err
			}
		}
		return nil
	}
	var from io.Reader = in
	if strings.HasSuffix(lower, "gz") {
		gz, err := gzip.NewReader(in)
		if err != nil {
			return err
		}
		from = gz
	}
	for tr := tar.NewReader(from); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		link := ""
		if h.Typeflag == tar.TypeSymlink || h.Typeflag == tar.TypeLink {
			link = h.Linkname
		}
		if err := errors.Join(ctx.Err(), do(h.Name, link, func() (io.ReadCloser, error) { return io.NopCloser(tr), nil })); err != nil {
			return err
		}
	}
}

func zipLink(f *zip.File) (string, error) {
	in, err := f.Open()
	if err != nil {
		return "", err
	}
	defer in.Close()
	target, err := io.ReadAll(io.LimitReader(in, 4096))
	return string(target), err
}
