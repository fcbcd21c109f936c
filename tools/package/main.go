// Command package makes the packages of tfos from its binaries: a tarball, a .deb, an .rpm and a
// list of what is in them (SBOM), for each kind of machine.
//
// It runs as "go -C tools run ./package" (make package), after the binaries are in build/binaries,
// and writes to build/packages. The same binaries make the same bytes: every time in a package is
// SOURCE_DATE_EPOCH.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"time"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

const description = "Distributed TensorFlow on Hadoop YARN"

// machines are the kinds of machines, as Go, Debian and others call them.
var machines = []struct{ goarch, deb, uname string }{
	{"amd64", "amd64", "x86_64"},
	{"arm64", "arm64", "aarch64"},
}

// binaries lie together in one directory: the first finds the others beside itself.
var binaries = []string{"tfos", "tfos-am", "tfos-agent", "tfos-builtin"}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "package:", err)
		os.Exit(1)
	}
}

func run() error {
	root, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	b := build{root: root, when: time.Unix(seconds, 0).UTC(), out: filepath.Join(root, "build/packages"), stage: filepath.Join(root, "build/package-files")}
	if b.version, err = number(root); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(b.out), os.RemoveAll(b.stage), os.MkdirAll(b.out, 0o755)); err != nil {
		return err
	}
	shared, err := b.shared()
	if err != nil {
		return err
	}
	for _, m := range machines {
		if err := b.machine(m.goarch, m.deb, m.uname, shared); err != nil {
			return fmt.Errorf("for %s: %w", m.uname, err)
		}
	}
	return os.RemoveAll(b.stage)
}

// number is the version of tfos, which is written down once for Go.
func number(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, "internal/version/version.go"))
	if err != nil {
		return "", err
	}
	m := regexp.MustCompile(`const Number = "(.+)"`).FindSubmatch(text)
	if m == nil {
		return "", errors.New("internal/version has no Number")
	}
	return string(m[1]), nil
}

type build struct {
	root, out, stage, version string
	when                      time.Time
}

// file is one file of a package.
type file struct {
	name   string // below /usr
	source string
	mode   os.FileMode
}

// shared are the files that every kind of machine gets: what the command says of itself, and its
// documentation.
func (b build) shared() ([]file, error) {
	tfos := filepath.Join(b.root, "build/binaries", runtime.GOARCH, "tfos")
	var all []file
	for _, c := range []struct{ shell, name string }{
		{"bash", "share/bash-completion/completions/tfos"},
		{"zsh", "share/zsh/site-functions/_tfos"},
		{"zsh", "share/zsh/vendor-completions/_tfos"}, // where Debian's looks
		{"fish", "share/fish/vendor_completions.d/tfos.fish"},
	} {
		script, err := exec.Command(tfos, "completion", c.shell).Output()
		if err != nil {
			return nil, fmt.Errorf("%s completion %s: %w", tfos, c.shell, err)
		}
		f, err := b.write(c.name, script)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	pages := filepath.Join(b.stage, "man")
	if out, err := exec.Command(tfos, "man", pages).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s man: %w: %s", tfos, err, out)
	}
	more, err := b.directory(pages, "share/man/man1", compressed, ".gz")
	if err != nil {
		return nil, err
	}
	all = append(all, more...)
	documents, err := filepath.Glob(filepath.Join(b.root, "docs/*.md"))
	if err != nil {
		return nil, err
	}
	guide, err := filepath.Glob(filepath.Join(b.root, "docs/guide/*"))
	if err != nil {
		return nil, err
	}
	for _, name := range append(documents, guide...) {
		rel, err := filepath.Rel(b.root, name)
		if err != nil {
			return nil, err
		}
		all = append(all, file{path.Join("share/doc/tfos", filepath.ToSlash(rel)), name, 0o644})
	}
	return append(all, file{"share/doc/tfos/README.md", filepath.Join(b.root, "README.md"), 0o644}), nil
}

// directory is every file of a directory, changed.
func (b build) directory(dir, to string, change func([]byte) ([]byte, error), suffix string) ([]file, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []file
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if data, err = change(data); err != nil {
			return nil, err
		}
		f, err := b.write(path.Join(to, e.Name()+suffix), data)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// write keeps a file that was made here until it is packed.
func (b build) write(name string, data []byte) (file, error) {
	source := filepath.Join(b.stage, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(source), 0o755); err != nil {
		return file{}, err
	}
	return file{name, source, 0o644}, os.WriteFile(source, data, 0o644)
}

// compressed is data as gzip without a time.
func compressed(data []byte) ([]byte, error) {
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// machine makes the packages for one kind of machine.
func (b build) machine(goarch, deb, uname string, shared []file) error {
	dir := filepath.Join(b.root, "build/binaries", goarch)
	var all []file
	for _, name := range binaries {
		all = append(all, file{"lib/tfos/" + name, filepath.Join(dir, name), 0o755})
	}
	list, err := bill(dir, b.version, b.when)
	if err != nil {
		return err
	}
	listed, err := b.write("share/doc/tfos/sbom-"+goarch+".cdx.json", list)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.out, fmt.Sprintf("tfos-%s-linux-%s.cdx.json", b.version, uname)), list, 0o644); err != nil {
		return err
	}
	listed.name = "share/doc/tfos/sbom.cdx.json"
	all = append(append(all, listed), shared...)
	if err := b.tarball(fmt.Sprintf("tfos-%s-linux-%s", b.version, uname), all); err != nil {
		return err
	}
	if err := b.nfpm("deb", fmt.Sprintf("tfos_%s_%s.deb", b.version, deb), goarch, all); err != nil {
		return err
	}
	return b.nfpm("rpm", fmt.Sprintf("tfos-%s-1.%s.rpm", b.version, uname), goarch, all)
}

// tarball is unpacked anywhere: bin/tfos in it leads to the others.
func (b build) tarball(name string, all []file) (err error) {
	f, err := os.Create(filepath.Join(b.out, name+".tar.gz"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	zipped := gzip.NewWriter(f)
	w := tar.NewWriter(zipped)
	for _, one := range all {
		data, err := os.ReadFile(one.source)
		if err != nil {
			return err
		}
		h := &tar.Header{Name: path.Join(name, one.name), Mode: int64(one.mode), Size: int64(len(data)), ModTime: b.when, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	link := &tar.Header{Typeflag: tar.TypeSymlink, Name: path.Join(name, "bin/tfos"), Linkname: "../lib/tfos/tfos", Mode: 0o777, ModTime: b.when, Format: tar.FormatUSTAR}
	return errors.Join(w.WriteHeader(link), w.Close(), zipped.Close())
}

// nfpm makes a package of the kind that a format names.
func (b build) nfpm(format, name, goarch string, all []file) (err error) {
	info := &nfpm.Info{
		Name: "tfos", Arch: goarch, Platform: "linux", Version: b.version, Release: "1", MTime: b.when, DisableGlobbing: true,
		Section: "science", Priority: "optional", Maintainer: "The tfos authors <tfos@localhost>", Description: description,
	}
	info.RPM.BuildHost = "localhost"
	for _, one := range all {
		info.Contents = append(info.Contents, &files.Content{
			Source: one.source, Destination: "/usr/" + one.name,
			FileInfo: &files.ContentFileInfo{Mode: one.mode, MTime: b.when, Owner: "root", Group: "root"},
		})
	}
	info.Contents = append(info.Contents, &files.Content{
		Type: files.TypeSymlink, Source: "../lib/tfos/tfos", Destination: "/usr/bin/tfos",
		FileInfo: &files.ContentFileInfo{MTime: b.when, Owner: "root", Group: "root"},
	})
	info = nfpm.WithDefaults(info)
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		return err
	}
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	if err := packager.Package(info, io.Writer(&buf)); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.out, name), buf.Bytes(), 0o644)
}
