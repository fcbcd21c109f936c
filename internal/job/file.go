package job

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"

	"tfos/internal/hadoop/uri"
)

// schemes are those of the filesystems that a job may name.
var schemes = []string{"hdfs", "viewfs", "file"}

// reserved are names in a container's directory that YARN or tfos itself writes.
var reserved = []string{
	"container_tokens", "default_container_executor.sh", "default_container_executor_session.sh", "launch_container.sh",
	".tfos", "tmp",
}

// scheme is the "hdfs" of hdfs://…; empty: s is a path.
func scheme(s string) string {
	head, _, ok := strings.Cut(s, "://")
	if !ok {
		return ""
	}
	return strings.ToLower(head)
}

// checkScheme refuses filesystems that tfos does not speak to.
func checkScheme(s string) error {
	if sch := scheme(s); strings.Contains(s, "://") && !slices.Contains(schemes, sch) {
		return fmt.Errorf("%q: tfos does not know the filesystem %s://: want a path, file:// or hdfs://", s, sch)
	}
	if u := uri.Parse(s); u.Scheme == "file" && u.Authority != "" && u.Authority != "localhost" {
		return fmt.Errorf("%q names the host %s: a path of the local disk has three slashes, file:///%[2]s%s", s, u.Authority, u.Path)
	}
	return nil
}

// parseFile reads path[#name]: the last # begins the name if no / follows. A relative path is taken
// from dir.
func parseFile(s, dir string) (File, error) {
	source, name := s, ""
	if i := strings.LastIndexByte(s, '#'); i > strings.LastIndexByte(s, '/') {
		source, name = s[:i], s[i+1:]
		if name == "" {
			return File{}, fmt.Errorf("%q has no name after the #: want path or path#name", s)
		}
	}
	if strings.TrimSpace(source) == "" {
		return File{}, fmt.Errorf("%q is no path: want path or path#name", s)
	}
	if err := checkScheme(source); err != nil {
		return File{}, err
	}
	f := File{Source: source, Name: name}
	if scheme(source) == "" {
		f.Source = path.Clean(source)
		if !path.IsAbs(f.Source) {
			f.Source = path.Join(dir, f.Source)
		}
	}
	if f.Name == "" {
		f.Name = path.Base(f.Source)
	}
	if err := checkFileName(f.Name); err != nil {
		return File{}, fmt.Errorf("%q: %w", s, err)
	}
	return f, nil
}

func checkFileName(name string) error {
	switch {
	case name == "." || name == "..":
		return fmt.Errorf("the name in the container would be %q: give one, as in path#name", name)
	case strings.Contains(name, "/") || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("the name in the container, %q, must be a plain file name", name)
	case len(name) > 255:
		return fmt.Errorf("the name in the container is longer than 255 bytes")
	case slices.Contains(reserved, name):
		return fmt.Errorf("the name %q is taken in every container: give another, as in path#name", name)
	}
	return nil
}

// text writes what parseFile reads.
func (f File) text() string {
	if f.Name == path.Base(f.Source) && !strings.Contains(f.Source, "#") {
		return f.Source
	}
	return f.Source + "#" + f.Name
}
