package checkpoint

import (
	"fmt"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// StateFile is the name of the file in which a Saver or CheckpointManager says which checkpoint is
// the newest.
const StateFile = "checkpoint"

// State is the content of a StateFile, a CheckpointState in protobuf's text format.
type State struct {
	Latest string   // model_checkpoint_path, as written: relative to the file's directory, or absolute
	All    []string // all_model_checkpoint_paths, the oldest first
	// Times are when each of All was written, in seconds since 1970; empty, or as many as All.
	Times []float64
	// LastPreserved is when a checkpoint was last kept for good, in seconds since 1970, with
	// keep_checkpoint_every_n_hours; else 0.
	LastPreserved float64
}

// ParseState reads a state file. Fields that it does not know it passes over.
func ParseState(text []byte) (State, error) {
	var s State
	for number, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return State{}, problemf("line %d is no field", number+1)
		}
		value = strings.TrimSpace(value)
		var err error
		var seconds float64
		switch name {
		case "model_checkpoint_path":
			s.Latest, err = unquote(value)
		case "all_model_checkpoint_paths":
			var p string
			p, err = unquote(value)
			s.All = append(s.All, p)
		case "all_model_checkpoint_timestamps":
			seconds, err = strconv.ParseFloat(value, 64)
			s.Times = append(s.Times, seconds)
		case "last_preserved_timestamp":
			s.LastPreserved, err = strconv.ParseFloat(value, 64)
		}
		if err != nil {
			return State{}, problemf("line %d: %s is no value", number+1, value)
		}
	}
	if len(s.Times) != len(s.All) {
		s.Times = nil
	}
	return s, nil
}

// Marshal is the state as TensorFlow writes it.
func (s State) Marshal() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "model_checkpoint_path: %s\n", quote(s.Latest))
	for _, p := range s.All {
		fmt.Fprintf(&b, "all_model_checkpoint_paths: %s\n", quote(p))
	}
	for _, t := range s.Times {
		fmt.Fprintf(&b, "all_model_checkpoint_timestamps: %s\n", strconv.FormatFloat(t, 'f', -1, 64))
	}
	if s.LastPreserved != 0 {
		fmt.Fprintf(&b, "last_preserved_timestamp: %s\n", strconv.FormatFloat(s.LastPreserved, 'f', -1, 64))
	}
	return []byte(b.String())
}

// Moved is the state as it is in another directory, which has those checkpoints of it that have
// says, by names relative to the listed directory; dir is where the state file lies in that.
// Absolute paths become relative: a directory has another name elsewhere. False: there is none of
// them.
func (s State) Moved(dir string, have func(name string) bool) (State, bool) {
	next := State{LastPreserved: s.LastPreserved}
	move := func(written string) (string, bool) {
		if absolute(written) {
			written = path.Base(written)
		}
		return written, have(path.Join(dir, shardPattern.ReplaceAllString(written, "")))
	}
	for i, written := range s.All {
		moved, ok := move(written)
		if !ok {
			continue
		}
		next.All = append(next.All, moved)
		if s.Times != nil {
			next.Times = append(next.Times, s.Times[i])
		}
	}
	latest, ok := move(s.Latest)
	switch {
	case s.Latest != "" && ok:
		next.Latest = latest
	case len(next.All) > 0:
		next.Latest = next.All[len(next.All)-1]
	default:
		return State{}, false
	}
	return next, true
}

// names says whether a path in the state file of directory dir ("" or "chief") means the checkpoint
// name. Absolute paths are known by their last element only: the directory may have been reached by
// another name, or copied.
func names(dir, written, name string) bool {
	written = shardPattern.ReplaceAllString(written, "")
	if absolute(written) {
		return path.Base(written) == path.Base(name) && dir == parent(name)
	}
	return path.Join(dir, written) == name
}

// Elsewhere lists the state files whose newest checkpoint is one of this directory, but by a path
// that leads to another: the directory was moved or copied. TensorFlow looks there.
func (l Listing) Elsewhere() []StateAt {
	var moved []StateAt
	for _, s := range l.States {
		if l.elsewhere(s, s.State.Latest) && slices.ContainsFunc(l.Checkpoints, func(c Checkpoint) bool { return names(s.Dir, s.State.Latest, c.Name) }) {
			moved = append(moved, s)
		}
	}
	return moved
}

// elsewhere reports whether a path in a state file leads to another place than where that lies, as
// far as can be seen: a filesystem may go by two names.
func (l Listing) elsewhere(s StateAt, written string) bool {
	if l.Dir == "" || !absolute(written) {
		return false
	}
	scheme, authority, name := cutURI(written)
	hereScheme, hereAuthority, here := cutURI(l.Dir)
	return scheme != hereScheme || path.Dir(path.Clean(name)) != path.Join(here, s.Dir) || authority != "" && authority != hereAuthority
}

// here is a path in a state file as it is to be where the state file lies: one that leads elsewhere
// becomes relative.
func (l Listing) here(s StateAt, written string) string {
	if l.elsewhere(s, written) {
		return path.Base(written)
	}
	return written
}

// absolute says whether a path in a state file does not count from where that lies.
func absolute(written string) bool {
	return strings.HasPrefix(written, "/") || strings.Contains(written, "://")
}

// cutURI takes an absolute path apart. TensorFlow takes one without a scheme for local.
func cutURI(uri string) (scheme, authority, name string) {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok {
		return "file", "", uri
	}
	authority, name, _ = strings.Cut(rest, "/")
	return scheme, authority, "/" + name
}

// shardPattern is what a Saver adds to the name of a sharded checkpoint of the first format.
var shardPattern = regexp.MustCompile(`-\?{5}-of-\d{5}$`)

// parent is the directory of a relative name: "" for the listed one.
func parent(name string) string {
	if dir := path.Dir(name); dir != "." {
		return dir
	}
	return ""
}

// stamp is a time as state files have it.
func stamp(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// quote writes a string with protobuf's text escapes.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\' || c == '\'':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, "\\%03o", c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// unquote reads a string with protobuf's text escapes.
func unquote(s string) (string, error) {
	if len(s) < 2 || s[0] != '"' && s[0] != '\'' || s[len(s)-1] != s[0] {
		return "", strconv.ErrSyntax
	}
	mark := s[0]
	s = s[1 : len(s)-1]
	var b strings.Builder
	for len(s) > 0 {
		c := s[0]
		if c == mark {
			return "", strconv.ErrSyntax
		}
		if c != '\\' {
			b.WriteByte(c)
			s = s[1:]
			continue
		}
		if len(s) > 1 && (s[1] == '"' || s[1] == '\'' || s[1] == '?') { // Go wants only the mark escaped
			b.WriteByte(s[1])
			s = s[2:]
			continue
		}
		n := 2
		for n < 4 && n < len(s) && s[1] >= '0' && s[1] <= '7' && s[n] >= '0' && s[n] <= '7' {
			n++
		}
		if len(s) > 1 && s[1] >= '0' && s[1] <= '7' {
			v, err := strconv.ParseUint(s[1:n], 8, 16)
			if err != nil || v > math.MaxUint8 {
				return "", strconv.ErrSyntax
			}
			b.WriteByte(byte(v))
			s = s[n:]
			continue
		}
		v, wide, rest, err := strconv.UnquoteChar(s, '"')
		if err != nil {
			return "", err
		}
		if wide {
			b.WriteRune(v)
		} else {
			b.WriteByte(byte(v))
		}
		s = rest
	}
	return b.String(), nil
}
