package pyenv

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Environment is one that can be packed: a virtual environment, or a prefix of conda. What it is
// packed into is a prefix of its own, with its Python in it: a node needs none.
type Environment struct {
	Dir    string // of the environment, absolute
	python interpreter
	files  []item
}

// interpreter is what an environment's Python says of itself.
type interpreter struct {
	Version    string `json:"version"`     // "3.11"
	Prefix     string `json:"prefix"`      // of the environment
	BasePrefix string `json:"base_prefix"` // of the installation behind it
	Executable string `json:"executable"`  // of the installation, links followed
	StdLib     string `json:"stdlib"`      // directory of its own modules
}

// ask has Python tell it.
const ask = `import json, os, sys, sysconfig
print(json.dumps({"version": "%d.%d" % sys.version_info[:2], "prefix": sys.prefix, "base_prefix": sys.base_prefix,
  "executable": os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable), "stdlib": sysconfig.get_path("stdlib")}))`

// item is a file of the archive, and where it lies now.
type item struct {
	name string // in the archive
	from string
	info fs.FileInfo
	link string // target, within the archive; empty: it is no link
	made string // content that lies nowhere; empty: it is that of from
}

// ErrEditable says that a package lies outside the environment.
var ErrEditable = errors.New("a package is installed in place, outside of the environment")

// Open looks at an environment.
func Open(ctx context.Context, dir string) (*Environment, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	e := &Environment{Dir: dir}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "bin", "python"), "-I", "-c", ask)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s is no environment: its bin/python does not run: %w %s", dir, err, lastLine(complaint.String()))
	}
	if err := json.Unmarshal(out, &e.python); err != nil {
		return nil, fmt.Errorf("%s: its bin/python does not say what it is: %w", dir, err)
	}
	if err := e.collect(); err != nil {
		return nil, fmt.Errorf("look at the environment %s: %w", dir, err)
	}
	return e, nil
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// lib is the directory of modules in the archive.
func (e *Environment) lib() string { return "lib/python" + e.python.Version }

// collect lists what goes into the archive.
func (e *Environment) collect() error {
	virtual := e.python.Prefix != e.python.BasePrefix
	have := map[string]bool{}
	add := func(it item) {
		if !have[it.name] {
			have[it.name] = true
			e.files = append(e.files, it)
		}
	}
	python := "bin/python" + e.python.Version
	if virtual {
		info, err := os.Stat(e.python.Executable)
		if err != nil {
			return err
		}
		add(item{name: python, from: e.python.Executable, info: info})
		for _, name := range []string{"bin/python3", "bin/python"} {
			add(item{name: name, link: path.Base(python)})
		}
		// Debian's Python looks for packages here when it is in no virtual environment.
		add(item{name: e.lib() + "/dist-packages", link: "site-packages"})
		have["pyvenv.cfg"] = true // the archive is a prefix, not a virtual environment
		add(item{name: "bin/activate", made: activate})
		for _, shell := range []string{"bin/activate.csh", "bin/activate.fish", "bin/Activate.ps1", "bin/activate.nu", "bin/activate.bat", "bin/activate_this.py"} {
			have[shell] = true // they name the directory that it lies in now
		}
	}
	if err := e.tree(e.Dir, "", add, func(string) bool { return false }); err != nil {
		return err
	}
	if virtual {
		others := func(rel string) bool { // packages and tests of the installation
			return slices.Contains([]string{"site-packages", "dist-packages", "test", "idlelib", "ensurepip"}, rel) || strings.HasPrefix(rel, "config-")
		}
		if err := e.tree(e.python.StdLib, e.lib(), add, others); err != nil {
			return err
		}
		libs, err := filepath.Glob(filepath.Join(e.python.BasePrefix, "lib", "libpython*.so*"))
		if err != nil {
			return err
		}
		for _, lib := range libs {
			info, err := os.Stat(lib)
			if err != nil {
				return err
			}
			add(item{name: "lib/" + filepath.Base(lib), from: lib, info: info})
		}
	}
	slices.SortFunc(e.files, func(a, b item) int { return strings.Compare(a.name, b.name) })
	return nil
}

// tree adds what is below a directory, under a name in the archive. leave says what of its top is
// left out.
func (e *Environment) tree(dir, under string, add func(item), leave func(string) bool) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil || rel == "." {
			return err
		}
		switch {
		case leave(rel):
			return skip(d)
		case d.IsDir() && d.Name() == "__pycache__", rel == "lib64" && under == "":
			return skip(d)
		case d.IsDir() && rel == "pkgs" && under == "": // conda's downloads
			return skip(d)
		case d.IsDir():
			return nil
		}
		it := item{name: path.Join(under, filepath.ToSlash(rel)), from: name}
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			to := target
			if !filepath.IsAbs(to) {
				to = filepath.Join(filepath.Dir(name), to)
			}
			if inside, err := filepath.Rel(dir, to); err == nil && filepath.IsLocal(inside) {
				rel, err := filepath.Rel(filepath.Dir(name), to)
				if err != nil {
					return err
				}
				it.link = filepath.ToSlash(rel)
				add(it)
				return nil
			} // else what it leads to is packed in its place
		}
		if it.info, err = os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			return nil // a link that leads nowhere
		} else if err != nil {
			return err
		}
		if !it.info.Mode().IsRegular() {
			return fmt.Errorf("%s leads out of the environment, to what is no file", name)
		}
		if err := e.inPlace(name); err != nil {
			return err
		}
		add(it)
		return nil
	})
}

func skip(d fs.DirEntry) error {
	if d.IsDir() {
		return fs.SkipDir
	}
	return nil
}

// inPlace refuses a package whose modules lie elsewhere on this machine.
func (e *Environment) inPlace(name string) error {
	if filepath.Ext(name) != ".pth" || filepath.Base(filepath.Dir(name)) != "site-packages" {
		return nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if filepath.IsAbs(line) && !strings.HasPrefix(line, e.Dir+"/") {
			return fmt.Errorf("%s names %s: %w", name, line, ErrEditable)
		}
	}
	if strings.HasPrefix(filepath.Base(name), "__editable__") {
		return fmt.Errorf("%s: %w", name, ErrEditable)
	}
	return nil
}

// packing changes when Pack writes something else for the same environment.
const packing = "1"

// Sum names the environment by what its files are called, how large they are and when they were
// changed: the same sum is the same archive.
func (e *Environment) Sum() string {
	h := sha256.New()
	fmt.Fprintln(h, packing, e.Dir, e.python)
	for _, it := range e.files {
		fmt.Fprintf(h, "%q %q %q %q", it.name, it.from, it.link, it.made)
		if it.info != nil {
			fmt.Fprint(h, " ", it.info.Size(), it.info.ModTime().UnixNano(), it.info.Mode())
		}
		fmt.Fprintln(h)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Pack writes the environment as a .tar.gz that runs wherever it is unpacked. The same content
// gives the same bytes.
func (e *Environment) Pack(ctx context.Context, w io.Writer) error {
	gz, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(gz)
	for _, it := range e.files {
		if err := errors.Join(context.Cause(ctx), e.write(tw, it)); err != nil {
			return fmt.Errorf("pack %s: %w", e.Dir, err)
		}
	}
	return errors.Join(tw.Close(), gz.Close())
}

func (e *Environment) write(tw *tar.Writer, it item) error {
	h := &tar.Header{Name: it.name, ModTime: time.Unix(0, 0), Format: tar.FormatPAX, Typeflag: tar.TypeReg, Mode: 0o644}
	if it.link != "" {
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, it.link, 0o777
		return tw.WriteHeader(h)
	}
	if it.made != "" {
		h.Size = int64(len(it.made))
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.WriteString(tw, it.made)
		return err
	}
	f, err := os.Open(it.from)
	if err != nil {
		return err
	}
	defer f.Close()
	h.Size = it.info.Size()
	if it.info.Mode()&0o111 != 0 {
		h.Mode = 0o755
	}
	if strings.HasPrefix(it.name, "bin/") && h.Size < maxScript {
		script, err := io.ReadAll(f)
		if err != nil {
			return err
		}
		script = relocatable(script)
		h.Size = int64(len(script))
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		_, err = tw.Write(script)
		return err
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	if _, err := io.CopyN(tw, f, h.Size); err != nil {
		return fmt.Errorf("%s changed while it was read: %w", it.from, err)
	}
	return nil
}

// maxScript is more than any script is that pip makes, in bytes.
const maxScript = 1 << 20

// relocatable has a script of Python's find the Python beside itself, wherever it lies. To a shell
// the first lines start it; to Python they are a string. Other files stay as they are.
func relocatable(script []byte) []byte {
	first, rest, _ := bytes.Cut(script, []byte("\n"))
	program, isScript := bytes.CutPrefix(first, []byte("#!"))
	switch long := []byte("\n' '''\n"); {
	case !isScript:
		return script
	case bytes.HasPrefix(rest, []byte("'''exec'")) && bytes.Contains(rest, long): // pip's own form of a long path
		_, rest, _ = bytes.Cut(rest, long)
	case !bytes.HasPrefix([]byte(path.Base(string(program))), []byte("python")):
		return script
	}
	return append([]byte("#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/python \"$0\" \"$@\"\n' '''\n"), rest...)
}

// activate is bin/activate of an environment that may lie anywhere.
const activate = `# source it: the environment's programs come first, wherever it lies.
VIRTUAL_ENV="$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")/.." && pwd)"
export VIRTUAL_ENV
PATH="$VIRTUAL_ENV/bin:$PATH"
export PATH
`
