package checkpoint

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Action is one change of a directory. A list of them is done in order; stopping after any of them
// leaves no half checkpoint that looks whole, and no state file that names one.
type Action struct {
	Op      Op
	Name    string // of the file, relative to the directory
	To      string // Rename: the new name
	Content []byte // Write: all of the file
}

// Op is what an Action does.
type Op string

// The operations. A file that is not there any more is no error of Rename and Remove.
const (
	Mkdir  Op = "mkdir"
	Rename Op = "rename" // onto nothing
	Remove Op = "remove" // a file
	Write  Op = "write"  // replaces the file in one step
)

func (a Action) String() string {
	if a.Op == Rename {
		return fmt.Sprintf("rename %s to %s", a.Name, a.To)
	}
	return fmt.Sprintf("%s %s", a.Op, a.Name)
}

// Recover plans what must be done so that a program which starts again restores newest, the newest
// checkpoint that is not broken: the broken ones, all of them newer, are set aside, and the state
// file in newest's directory names it, by a path that leads there. With newest nil nothing is left
// to restore from: state files that name a broken one are set aside too. taken says whether a name
// exists; it is asked for names in SetAside only.
func Recover(l Listing, newest *Checkpoint, broken []Checkpoint, taken func(name string) bool) []Action {
	var actions []Action
	gone := func(name string) bool {
		return slices.ContainsFunc(broken, func(c Checkpoint) bool { return c.Name == name })
	}
	stated := false
	for _, s := range l.States {
		here := newest != nil && parent(newest.Name) == s.Dir && usesState(*newest)
		stated = stated || here
		latest := ""
		if here {
			latest = newest.Name
		}
		actions = append(actions, restate(l, s, latest, gone, taken)...)
	}
	if newest != nil && usesState(*newest) && !stated {
		base := path.Base(newest.Name)
		actions = append(actions, Action{Op: Write, Name: path.Join(parent(newest.Name), StateFile),
			Content: State{Latest: base, All: []string{base}, Times: []float64{stamp(newest.Time)}}.Marshal()})
	}
	for _, c := range broken {
		actions = append(actions, setAside(c, taken)...)
	}
	if newest != nil && newest.Format == HDF5 && strings.HasSuffix(newest.Name, backupSuffix) {
		actions = append(actions, promote(*newest)...)
	}
	return actions
}

// backupSuffix ends the names of BackupAndRestore's second copy. It restores from that if the first
// cannot be read, but not if there is no first: then it starts anew.
const backupSuffix = ".bkp"

// promote gives a second copy the names of the first: the weights before the note of their epoch,
// without which they are restored, while an epoch without weights would have training go on from
// nothing.
func promote(c Checkpoint) []Action {
	var actions []Action
	files := completing(c)
	slices.Reverse(files)
	for _, f := range files {
		actions = append(actions, Action{Op: Rename, Name: f.Name, To: strings.TrimSuffix(f.Name, backupSuffix)})
	}
	return actions
}

// usesState says whether TensorFlow looks for it in a state file.
func usesState(c Checkpoint) bool { return c.Format == Bundle || c.Format == Legacy }

// restate writes a state file without what is gone. latest is the checkpoint that it is to name; if
// empty, the one it names, or if that is gone or missing the last of those it lists that is not.
func restate(l Listing, s StateAt, latest string, gone func(string) bool, taken func(string) bool) []Action {
	find := func(written string) *Checkpoint {
		i := slices.IndexFunc(l.Checkpoints, func(c Checkpoint) bool {
			return names(s.Dir, written, c.Name) && c.Unfinished == "" && !gone(c.Name)
		})
		if i < 0 {
			return nil
		}
		return &l.Checkpoints[i]
	}
	next := State{LastPreserved: s.State.LastPreserved}
	listed := ""
	for i, written := range s.State.All {
		c := find(written)
		if c == nil || latest != "" && c.Name == latest {
			continue // the latest comes last
		}
		listed = l.here(s, written)
		next.All = append(next.All, listed)
		if s.State.Times != nil {
			next.Times = append(next.Times, s.State.Times[i])
		}
	}
	name := path.Join(s.Dir, StateFile)
	switch {
	case latest != "" && names(s.Dir, s.State.Latest, latest):
		next = s.State // it names it already
		next.Latest, next.All = l.here(s, s.State.Latest), nil
		for _, written := range s.State.All {
			next.All = append(next.All, l.here(s, written))
		}
	case latest != "":
		next.Latest = path.Base(latest)
		next.All = append(next.All, next.Latest)
		if next.Times != nil {
			next.Times = append(next.Times, stamp(find(next.Latest).Time))
		}
	case find(s.State.Latest) != nil:
		next.Latest = l.here(s, s.State.Latest)
	case listed != "":
		next.Latest = listed
	case l.elsewhere(s, s.State.Latest) && !slices.ContainsFunc(l.Checkpoints, func(c Checkpoint) bool { return gone(c.Name) && s.lists(c.Name) }):
		return nil // it has nothing to do with what is here
	default:
		to := free(path.Join(s.Dir, SetAside, StateFile), taken)
		return []Action{{Op: Mkdir, Name: path.Dir(to)}, {Op: Rename, Name: name, To: to}}
	}
	if slices.Equal(next.All, s.State.All) && next.Latest == s.State.Latest {
		return nil
	}
	return []Action{{Op: Write, Name: name, Content: next.Marshal()}}
}

// setAside moves a checkpoint's files into a directory of its own, the one first without which it
// is none.
func setAside(c Checkpoint, taken func(string) bool) []Action {
	base := path.Base(c.Name)
	if c.Name == "." {
		base = "saved-model"
	}
	to := free(path.Join(parent(c.Name), SetAside, base), taken)
	var actions []Action
	made := map[string]bool{}
	for _, f := range completing(c) {
		target := path.Join(to, path.Base(f.Name))
		if c.Format == SavedModel {
			target = path.Join(to, strings.TrimPrefix(f.Name, c.Name+"/"))
		}
		if dir := path.Dir(target); !made[dir] {
			made[dir] = true
			actions = append(actions, Action{Op: Mkdir, Name: dir})
		}
		actions = append(actions, Action{Op: Rename, Name: f.Name, To: target})
	}
	return actions
}

// completing lists the files in the order in which they go: first the one that was written last and
// makes the others a checkpoint.
func completing(c Checkpoint) []File {
	files := slices.Clone(c.Files)
	slices.SortStableFunc(files, func(a, b File) int { return rank(c, a) - rank(c, b) })
	return files
}

// Written lists the files in the order in which they are to appear elsewhere: last the one that
// makes the others a checkpoint. That of KerasShards comes first: each of the others would be a
// checkpoint by itself.
func (c Checkpoint) Written() []File {
	files := completing(c)
	if c.Format != KerasShards {
		slices.Reverse(files)
	}
	return files
}

func rank(c Checkpoint, f File) int {
	switch base := path.Base(f.Name); {
	case f.Name == c.Name+".index", isProgram(base), strings.HasPrefix(base, metadataFile), c.Format == KerasShards && f.Name == c.Name:
		return 0
	case strings.HasSuffix(base, ".meta"):
		return 2
	}
	return 1
}

// free is name, or name with the first number behind it that is not taken.
func free(name string, taken func(string) bool) string {
	candidate := name
	for i := 2; taken(candidate); i++ {
		candidate = fmt.Sprintf("%s.%d", name, i)
	}
	return candidate
}
