package checkpoint

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Listing is what a directory holds.
type Listing struct {
	Checkpoints []Checkpoint // the oldest first
	States      []StateAt    // the state files, by directory
	// Problems are sentences about the directory rather than one checkpoint: a state file that
	// names none, say.
	Problems []string
	// Others are the files that belong to no checkpoint and are no state file, by name: those of
	// libraries that this package does not know, logs.
	Others []File
	// Dir is where the directory is: scheme, authority and path, none of it escaped:
	// "hdfs://nn:8020/models/run". Empty: not known.
	Dir string
}

// StateAt is a state file.
type StateAt struct {
	Dir   string // relative: "" or "chief"
	State State
}

// SetAside is the directory, in each directory of checkpoints, that broken ones are moved to. What
// lies in it is not listed.
const SetAside = "set-aside"

// Staging is the directory, in a directory of checkpoints, that one is brought to before its files
// take their places. What lies in it is not listed.
const Staging = ".tfos-mirror"

const (
	// Of BackupAndRestore: the weights, and the note of their epoch.
	latestWeights = "latest.weights.h5"
	metadataFile  = "training_metadata.json"
	// maxSmall is how large a state or metadata file may be, in bytes.
	maxSmall = 4 << 20
)

// temporary matches directories in which a Saver collects the shards of a checkpoint that is being
// written, and those into which the other workers of a mirrored job write theirs, by Keras' name
// for them: all must save together, and only the chief's counts.
var temporary = regexp.MustCompile(`_temp(_[0-9a-f]+)?$|^workertemp_\d+$`)

// Skip says whether a directory, by its last element, is no place of checkpoints.
func Skip(dir string) bool { return dir == SetAside || dir == Staging || temporary.MatchString(dir) }

// List finds what by its name is a checkpoint among the files of a directory and those below it,
// which may come in any order. It opens state and metadata files only; Foreign tells by the content
// of the others. A problem of theirs is reported in the Listing; the error is an open or read that
// failed.
//
// Which is the newest is said by time of completion, except that a state file's own order wins
// among those that it lists: a copied directory has new times.
func List(files []File, open Opener) (Listing, error) {
	l := lister{groups: map[string]*Checkpoint{}, plain: map[string]File{}, claimed: map[string]bool{}, bundles: map[string]bool{}}
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	for _, f := range files {
		l.plain[f.Name] = f
	}
	l.savedModels(files)
	l.shards(files)
	for _, f := range files {
		if !l.claimed[f.Name] {
			l.classify(f)
		}
	}
	var result Listing
	for _, f := range files {
		if path.Base(f.Name) != StateFile || l.claimed[f.Name] {
			continue
		}
		s, problem, err := readState(open, f)
		switch {
		case err != nil:
			return Listing{}, err
		case problem == "":
			l.claimed[f.Name] = true
			result.States = append(result.States, StateAt{Dir: parent(f.Name), State: s})
		case l.restorable(parent(f.Name)): // of another library it would be nothing to complain of
			l.claimed[f.Name] = true
			result.Problems = append(result.Problems, problem)
		}
	}
	l.legacy(files, result.States)
	for _, c := range l.groups {
		if c.Format == Bundle && len(c.Files) > 1 && !c.missing() {
			l.bundles[c.Series()] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.groups)) {
		c := l.groups[name]
		if len(c.Files) == 0 {
			continue
		}
		c.Expected = l.bundles[c.Series()] || slices.ContainsFunc(result.States, func(s StateAt) bool { return s.lists(c.Name) })
		l.complete(c)
		if err := l.epoch(c, open); err != nil {
			return Listing{}, err
		}
		result.Checkpoints = append(result.Checkpoints, *c)
	}
	for _, s := range result.States {
		if s.State.Latest != "" && !slices.ContainsFunc(result.Checkpoints, func(c Checkpoint) bool { return names(s.Dir, s.State.Latest, c.Name) && !c.missing() }) {
			result.Problems = append(result.Problems, fmt.Sprintf("%s names %s, which is not there", path.Join(s.Dir, StateFile), s.State.Latest))
		}
	}
	for _, f := range files {
		if !l.claimed[f.Name] {
			result.Others = append(result.Others, f)
		}
	}
	order(result.Checkpoints, result.States)
	return result, nil
}

// restorable says whether a directory holds what a state file can name.
func (l *lister) restorable(dir string) bool {
	for name, c := range l.groups {
		if parent(name) == dir && usesState(*c) && len(c.Files) > 1 && !c.missing() {
			return true
		}
	}
	return false
}

// lists says whether a state file names a checkpoint.
func (s StateAt) lists(name string) bool {
	return s.State.Latest != "" && names(s.Dir, s.State.Latest, name) ||
		slices.ContainsFunc(s.State.All, func(written string) bool { return names(s.Dir, written, name) })
}

// Without is the listing without the checkpoints that are none: their files are others.
func (l Listing) Without(foreign func(Checkpoint) bool) Listing {
	next := l
	next.Checkpoints, next.Others = nil, slices.Clone(l.Others)
	for _, c := range l.Checkpoints {
		if foreign(c) {
			next.Others = append(next.Others, c.Files...)
		} else {
			next.Checkpoints = append(next.Checkpoints, c)
		}
	}
	slices.SortFunc(next.Others, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	return next
}

// missing says that a bundle has no index: to TensorFlow it is not there.
func (c *Checkpoint) missing() bool {
	return c.Format == Bundle && !slices.ContainsFunc(c.Files, func(f File) bool { return f.Name == c.Name+".index" })
}

// lister groups files.
type lister struct {
	groups  map[string]*Checkpoint // by name
	plain   map[string]File        // all files, by name
	claimed map[string]bool        // files that belong to a checkpoint, or to none
	bundles map[string]bool        // series in which there are an index and a shard
}

func (l *lister) group(name string, format Format) *Checkpoint {
	c := l.groups[name]
	if c == nil {
		c = &Checkpoint{Name: name, Format: format}
		l.groups[name] = c
	}
	return c
}

func (l *lister) claim(c *Checkpoint, f File) {
	l.claimed[f.Name] = true
	c.Files = append(c.Files, f)
	c.Size += f.Size
}

// savedModels claims the directories that hold a saved_model.pb.
func (l *lister) savedModels(files []File) {
	for _, f := range files {
		if isProgram(path.Base(f.Name)) {
			l.group(path.Dir(f.Name), SavedModel)
		}
	}
	for _, f := range files {
		for dir := path.Dir(f.Name); ; dir = path.Dir(dir) {
			if c := l.groups[dir]; c != nil && c.Format == SavedModel && inSavedModel(strings.TrimPrefix(f.Name, dir+"/")) {
				l.claim(c, f)
				break
			}
			if dir == "." {
				break
			}
		}
	}
}

// inSavedModel tells a SavedModel's own files, by names relative to its directory, from others that
// lie beside them.
func inSavedModel(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return slices.Contains(ownFiles, first)
}

var (
	dataFile  = regexp.MustCompile(`^(.+)\.data-\d{5}-of-(\d{5})$`)
	indexFile = regexp.MustCompile(`^(.+)\.index$`)
	halfFile  = regexp.MustCompile(`^(.+)\.(?:index|data-\d{5}-of-\d{5})\.tempstate\d*$`) // is being written
	hdf5File  = regexp.MustCompile(`\.(h5|hdf5)(\.bkp)?$`)
)

func (l *lister) classify(f File) {
	if m := dataFile.FindStringSubmatch(f.Name); m != nil {
		l.claim(l.group(m[1], Bundle), f)
	} else if m := indexFile.FindStringSubmatch(f.Name); m != nil {
		l.claim(l.group(m[1], Bundle), f)
	} else if m := halfFile.FindStringSubmatch(f.Name); m != nil {
		l.claim(l.group(m[1], Bundle), f)
	} else if hdf5File.MatchString(f.Name) {
		l.claim(l.group(f.Name, HDF5), f)
	} else if strings.HasSuffix(f.Name, ".keras") {
		l.claim(l.group(f.Name, Keras), f)
	}
}

var legacyShard = regexp.MustCompile(`^(.+)-\d{5}-of-(\d{5})$`)

// legacy finds tables of the old format, which have no name of their own: those that have a .meta
// beside them or that a state file names. Then it gives each .meta to its checkpoint.
func (l *lister) legacy(files []File, states []StateAt) {
	for _, f := range files {
		prefix := f.Name
		if m := legacyShard.FindStringSubmatch(f.Name); m != nil {
			prefix = m[1]
		}
		_, meta := l.plain[prefix+".meta"]
		named := meta || slices.ContainsFunc(states, func(s StateAt) bool { return s.lists(prefix) })
		if !l.claimed[f.Name] && named && path.Base(f.Name) != StateFile {
			l.claim(l.group(prefix, Legacy), f)
		}
	}
	for _, f := range files {
		if prefix, ok := strings.CutSuffix(f.Name, ".meta"); ok && l.groups[prefix] != nil && !l.claimed[f.Name] {
			l.claim(l.groups[prefix], f)
		}
	}
}

// complete fills in what follows from the files.
func (l *lister) complete(c *Checkpoint) {
	slices.SortFunc(c.Files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	c.Number = number(c.Name, c.Format)
	c.Step = StepIn(c.Number)
	for _, f := range c.Files {
		if !strings.HasSuffix(f.Name, ".meta") && f.Time.After(c.Time) {
			c.Time = f.Time
		}
	}
	if i := slices.IndexFunc(c.Files, func(f File) bool { return f.Name == c.Name+".index" }); i >= 0 {
		c.Time = c.Files[i].Time
	}
	switch {
	case c.missing():
		c.Unfinished = fmt.Sprintf("%s.index is missing: its writer has not finished", c.Name)
	case c.Format == Bundle || c.Format == Legacy:
		c.Unfinished = missingShard(c)
	}
}

var shardNumber = regexp.MustCompile(`-(\d{5})-of-(\d{5})$`)

// missingShard looks for gaps in the numbers of shards.
func missingShard(c *Checkpoint) string {
	have := map[string]bool{}
	for _, f := range c.Files {
		have[f.Name] = true
	}
	for _, f := range c.Files {
		m := shardNumber.FindStringSubmatchIndex(f.Name)
		if m == nil {
			continue
		}
		stem, of := f.Name[:m[0]], f.Name[m[4]:m[5]]
		count, _ := strconv.Atoi(of)
		for i := range count {
			if name := fmt.Sprintf("%s-%05d-of-%s", stem, i, of); !have[name] {
				return name + " is missing"
			}
		}
	}
	return ""
}

var (
	lastNumber  = regexp.MustCompile(`-(\d{1,18})$`)
	firstNumber = regexp.MustCompile(`(?:^|[-_.])(\d{1,18})(?:[-_.]|$)`)
)

// number reads the number in a name: the 12 of ckpt-12, the 5 of weights.05-0.23.weights.h5, the 3
// of export/3.
func number(name string, format Format) int64 {
	stem := stem(name, format)
	m := lastNumber.FindStringSubmatch(stem)
	if m == nil && format != Bundle && format != Legacy {
		m = firstNumber.FindStringSubmatch(stem)
	}
	if m == nil {
		return Unknown
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return Unknown
	}
	return n
}

// StepIn is the step that a number in a name is taken for: Unknown if it is more than anybody
// trains, as the time of an export is.
func StepIn(number int64) int64 {
	if number >= 1e9 {
		return Unknown
	}
	return number
}

// epoch reads what BackupAndRestore notes beside latest.weights.h5, which is written after it:
// weights without it are restored as of epoch 0. Where there is no such note, and no second copy
// either, somebody else has given that name.
func (l *lister) epoch(c *Checkpoint, open Opener) error {
	if c.Format != HDF5 || !strings.HasPrefix(path.Base(c.Name), latestWeights) {
		return nil
	}
	dir := path.Dir(c.Name)
	name := path.Join(dir, metadataFile)
	if strings.HasSuffix(c.Name, backupSuffix) {
		name += backupSuffix
	}
	f, ok := l.plain[name]
	if !ok {
		for _, sibling := range []string{metadataFile, metadataFile + backupSuffix, latestWeights + backupSuffix} {
			if _, ok := l.plain[path.Join(dir, sibling)]; ok {
				c.Unfinished = name + " is missing: its writer has not finished"
			}
		}
		return nil
	}
	content, err := readSmall(open, f)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var noted struct{ Epoch, Batch *int64 }
	err = json.Unmarshal(content, &noted)
	if err == nil && noted.Epoch == nil {
		return nil // another program's
	}
	l.claim(c, f)
	if err != nil {
		c.Unfinished = name + " is damaged: it names no epoch"
		return nil
	}
	c.Number, c.Step = *noted.Epoch, *noted.Epoch
	return nil
}

func readState(open Opener, f File) (s State, problem string, err error) {
	content, err := readSmall(open, f)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, f.Name + " went while it was looked at", nil
	}
	if err != nil {
		return State{}, "", err
	}
	if s, err = ParseState(content); err != nil {
		return State{}, fmt.Sprintf("%s is damaged: %v", f.Name, err), nil
	}
	if s.Latest == "" {
		return State{}, f.Name + " names no checkpoint", nil
	}
	return s, "", nil
}

// readSmall reads a file whole, if it is small.
func readSmall(open Opener, f File) ([]byte, error) {
	if f.Size > maxSmall {
		return nil, nil // a file of another kind by that name
	}
	c, err := open(f.Name)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	b := make([]byte, min(c.Size(), maxSmall))
	n, err := c.ReadAt(b, 0)
	if n < len(b) && err != nil && err != io.EOF {
		return nil, fmt.Errorf("read %s: %w", f.Name, err)
	}
	return b[:n], nil
}

// order sorts checkpoints, the oldest first.
func order(list []Checkpoint, states []StateAt) {
	type key struct {
		time   time.Time
		listed int
	}
	keys := map[string]key{}
	for _, c := range list {
		keys[c.Name] = key{time: c.Time}
	}
	for _, s := range states {
		var latest time.Time
		for i, written := range s.State.All {
			for _, c := range list {
				if names(s.Dir, written, c.Name) {
					if c.Time.After(latest) {
						latest = c.Time
					}
					keys[c.Name] = key{time: latest, listed: i + 1}
				}
			}
		}
	}
	slices.SortFunc(list, func(a, b Checkpoint) int {
		x, y := keys[a.Name], keys[b.Name]
		return cmp.Or(x.time.Compare(y.time), cmp.Compare(x.listed, y.listed), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Name, b.Name))
	})
}
