// Package unit decides how a program's directory of checkpoints is kept elsewhere: which of its
// files belong together and are copied as one, when such a unit is complete, which one is copied
// next, and which ones a program needs to go on.
//
// A unit is a checkpoint that package checkpoint knows, or the files of a library that it does not
// know: a single one, or all in a directory. The former are judged by their content, as far as that
// tells, and stay elsewhere when the program deletes them here: there others decide what is kept.
// The latter have nothing to be judged by. They are complete when they have not changed for a while
// and nobody has them open for writing, and what the program deletes here is to go there as well.
//
// The package opens no file and never looks at the clock.
package unit

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tfos/internal/checkpoint"
)

// Unit is what is copied as one.
type Unit struct {
	Name  string                 // relative to the directory: "ckpt-5", "state.pkl", "checkpoint-500"
	Known *checkpoint.Checkpoint // nil: of a kind that tfos does not know
	Files []checkpoint.File      // in the order in which they are to appear: last the one that completes it
	Time  time.Time              // when the newest was written
}

// Step is the training step that it is of, as far as that is known; else checkpoint.Unknown. Of an
// unknown kind it is the last number in the name.
func (u Unit) Step() int64 {
	if u.Known != nil {
		return u.Known.Step
	}
	all := numbers.FindAllString(path.Base(u.Name), -1)
	if len(all) == 0 {
		return checkpoint.Unknown
	}
	n, err := strconv.ParseInt(all[len(all)-1], 10, 64)
	if err != nil {
		return checkpoint.Unknown
	}
	return checkpoint.StepIn(n)
}

// Bytes is the size of all files.
func (u Unit) Bytes() int64 { return bytes(u.Files) }

func bytes(files []checkpoint.File) int64 {
	n := int64(0)
	for _, f := range files {
		n += f.Size
	}
	return n
}

// Of finds the units in a directory: known ones first, the oldest first, then the others in the
// order in which they were written. What its writer has not finished, and what by its name is
// temporary, is in none.
func Of(l checkpoint.Listing) []Unit {
	var units []Unit
	known := map[string]bool{} // directories at the top with something known in them
	for i, c := range l.Checkpoints {
		if top, _, deep := strings.Cut(c.Name, "/"); deep {
			known[top] = true
		}
		if c.Unfinished == "" {
			units = append(units, Unit{Name: c.Name, Known: &l.Checkpoints[i], Files: c.Written(), Time: c.Time})
		}
	}
	others := map[string]*Unit{}
	var names []string
	for _, f := range l.Others {
		if temporary(f.Name) {
			continue
		}
		name := f.Name
		if top, _, deep := strings.Cut(f.Name, "/"); deep && !known[top] {
			name = top
		}
		u := others[name]
		if u == nil {
			u = &Unit{Name: name}
			others[name] = u
			names = append(names, name)
		}
		u.Files = append(u.Files, f)
	}
	first := len(units)
	for _, name := range names {
		u := others[name]
		slices.SortStableFunc(u.Files, func(a, b checkpoint.File) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Name, b.Name)) })
		u.Time = u.Files[len(u.Files)-1].Time
		units = append(units, *u)
	}
	slices.SortStableFunc(units[first:], func(a, b Unit) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Name, b.Name)) })
	return units
}

// Names by which programs and libraries mark what they are writing. A name that begins with a dot
// does so at the top only: below, and for some libraries there as well, it is as much a part of a
// checkpoint as any other file.
var (
	unfinished = regexp.MustCompile(`^~|~$|(^|[-_.])te?mp([-_.\d]|$)|\.(part|partial|incomplete|lock|swp)$|^workertemp|\.tempstate\d*$|^\.nfs[\da-f]+$|^\.tfos-`)
	hidden     = regexp.MustCompile(`^\.`)
	part       = regexp.MustCompile(`^\.(metadata|z[a-z]+)$`) // of torch.distributed, of zarr
)

func temporary(name string) bool {
	return hidden.MatchString(name) && !part.MatchString(name) || slices.ContainsFunc(strings.Split(name, "/"), unfinished.MatchString)
}

var numbers = regexp.MustCompile(`\d+`)

// key tells a unit from others: a file may have the name that a bundle's files begin with.
func (u Unit) key() string {
	if u.Known != nil && u.Known.Format != checkpoint.HDF5 && u.Known.Format != checkpoint.Keras {
		return string(u.Known.Format) + " " + u.Name
	}
	return "? " + u.Name
}

// series is the checkpoint's; of an unknown kind each is one of its own.
func (u Unit) series() string {
	if u.Known == nil {
		return "? " + u.Name
	}
	return u.Known.Series()
}

// Wanted lists what a program needs to go on. There are several choices for each: the newest first,
// to be taken if it is whole. Of known checkpoints whose names differ in a number only it is one;
// of unknown kinds it is everything. Models for serving are none of it.
func Wanted(units []Unit) [][]Unit {
	var wanted [][]Unit
	at := map[string]int{}
	for _, u := range slices.Backward(units) {
		if u.Known != nil && u.Known.Exported() {
			continue
		}
		key := u.series()
		i, ok := at[key]
		if !ok {
			i = len(wanted)
			at[key] = i
			wanted = append(wanted, nil)
		}
		wanted[i] = append(wanted[i], u)
	}
	slices.Reverse(wanted)
	return wanted
}

// Newer lists what of the choices is to be fetched: those that are newer than what is here. Where
// the program ran last, that is newer than anything elsewhere unless it was copied.
func Newer(choices, here []Unit) []Unit {
	if len(choices) == 0 {
		return nil
	}
	last := -1
	for i, u := range here {
		if u.series() == choices[0].series() {
			last = i
		}
	}
	if last < 0 {
		return choices
	}
	i := slices.IndexFunc(choices, func(u Unit) bool { return u.Name == here[last].Name })
	if i < 0 {
		return nil // it was written after anything that was copied
	}
	return choices[:i]
}

// state tells a unit from one of the same name that was written later.
func (u Unit) state() string {
	var b strings.Builder
	for _, f := range u.Files {
		fmt.Fprintf(&b, "%s %d %d\n", f.Name, f.Size, f.Time.UnixNano())
	}
	return b.String()
}
