package migrate

import (
	"path"
	"strings"

	"tfos/internal/job"
)

// files collects what containers get: a job of tfos has one list for all of them.
type files struct {
	r    *Result
	seen map[string]job.File // by the name in the container
}

// add has a file or an archive in every container. where is the key that names it.
func (f *files) add(where string, file job.File, archive bool) {
	if file.Name == "" {
		file.Name = path.Base(strings.TrimSuffix(file.Source, "/"))
	}
	if strings.Contains(strings.Trim(file.Name, "/"), "/") {
		f.r.note(Dropped, where, "%s would be in a directory of the container, as %s: files of a job lie at its top; put them into a directory and name that", file.Source, file.Name)
		return
	}
	if f.seen == nil {
		f.seen = map[string]job.File{}
	}
	if other, ok := f.seen[file.Name]; ok {
		if other.Source != file.Source {
			f.r.note(Dropped, where, "%s has the name %s of %s, and all tasks have the same files: give one of them another name, PATH#NAME", file.Source, file.Name, other.Source)
		}
		return
	}
	f.seen[file.Name] = file
	list := "files"
	if archive {
		list = "archives"
	}
	f.r.Draft.File(file, list)
}
