// Package migrate turns what other launchers were told into a job file of tfos: TonY's
// configuration and the command lines of its client, skein's specification, Kubernetes' TFJob.
//
// Text comes in, a draft and a list of notes go out. Every key of the source is carried over or has
// a note: none is dropped in silence. What the draft says is checked by whoever parses it. The
// package opens nothing by itself.
package migrate

import (
	"bytes"
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"tfos/internal/hadoop/conf"
	"tfos/internal/job"
)

// Source is a file of another launcher.
type Source struct {
	Name string // for messages
	Data []byte
	// Here leads from the job file's directory to where the user stands, and Beside to the source's
	// directory: which of them a relative path starts from is the launcher's rule. Empty: the same.
	Here, Beside string
	// Open reads a file that the source refers to: included ones, and TonY's --conf_file. Nil:
	// there are none.
	Open func(name string) ([]byte, error)
	// Env is what ${…} in Hadoop's XML and $… in a shell script can reach.
	Env conf.Environment
}

// Kind says what became of a key.
type Kind string

// The kinds, the gravest first.
const (
	Unknown  Kind = "unknown"          // nothing is known of it
	Dropped  Kind = "not carried over" // the job may behave differently
	Changed  Kind = "changed"          // it is in the job file, as something that is not quite the same
	Needless Kind = "needless"         // tfos does it anyway, or has nothing that it could mean
)

var kinds = []Kind{Unknown, Dropped, Changed, Needless}

// Note tells of a key of the source that is not in the job file as it was.
type Note struct {
	Kind Kind   `json:"kind"`
	Key  string `json:"key"`
	Text string `json:"text"`
}

// String is "not carried over: KEY: text".
func (n Note) String() string { return fmt.Sprintf("%s: %s: %s", n.Kind, n.Key, n.Text) }

// Result is what a source was turned into.
type Result struct {
	From  string // "TonY", "skein", "TFJob"
	Draft job.Draft
	Notes []Note // by kind, then in the order of the source
}

func (r *Result) note(k Kind, key, format string, args ...any) {
	n := Note{k, key, fmt.Sprintf(format, args...)}
	if !slices.Contains(r.Notes, n) {
		r.Notes = append(r.Notes, n)
	}
}

// File is the job file, which tells at its top of what is not in it.
func (r *Result) File(source string) []byte {
	comment := fmt.Sprintf("From %s (%s) by tfos convert.", source, r.From)
	for _, n := range r.Notes {
		comment += "\n- " + strings.ReplaceAll(n.String(), "\n", " ")
	}
	return r.Draft.Bytes(comment)
}

// Convert reads a source of any of the kinds.
func Convert(s Source) (Result, error) {
	var r Result
	var err error
	switch trimmed := bytes.TrimSpace(bytes.TrimPrefix(s.Data, []byte("\xef\xbb\xbf"))); {
	case len(trimmed) == 0:
		return r, fmt.Errorf("%s is empty", s.Name)
	case trimmed[0] == '<' || bytes.HasPrefix(trimmed, []byte("\xfe\xff")) || bytes.HasPrefix(trimmed, []byte("\xff\xfe")):
		r, err = tonyFile(s)
	case strings.EqualFold(path.Ext(s.Name), ".sh") || bytes.HasPrefix(trimmed, []byte("#!")) || tonyCommand.Match(trimmed):
		r, err = tonyScript(s)
	default:
		r, err = yamlFile(s)
	}
	slices.SortStableFunc(r.Notes, func(a, b Note) int { return cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)) })
	return r, err
}

// from is where a path of the source lies, as the job file has to write it.
func from(dir, name string) string {
	if dir == "" || dir == "." || path.IsAbs(name) || strings.Contains(name, "://") || name == "" {
		return name
	}
	return path.Join(dir, name)
}

// roleName makes a name of a role of what another launcher allows.
func (r *Result) roleName(key, name string) string {
	made := strings.Map(func(c rune) rune {
		if c == '-' || c == '.' || c == ' ' {
			return '_'
		}
		return c
	}, name)
	if made != name {
		r.note(Changed, key, "the role is called %s: TensorFlow's names have letters, digits and _", made)
	}
	return made
}
