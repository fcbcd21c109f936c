package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"tfos/internal/checkpoint/hdf5"
)

// shardsIndex ends the name of the file that says in which of the others each variable lies.
const shardsIndex = ".weights.json"

// shardFile matches one of the others: keras.src.saving.saving_lib.ShardedH5IOStore. A number has
// five digits, or more if it needs them.
var shardFile = regexp.MustCompile(`^(.+)_\d{5,}\.weights\.h5$`)

// shards claims the files of Keras' sharded weights: the index, and those that go by its name.
func (l *lister) shards(files []File) {
	for _, f := range files {
		m := shardFile.FindStringSubmatch(f.Name)
		if m == nil || l.claimed[f.Name] {
			continue
		}
		index, ok := l.plain[m[1]+shardsIndex]
		if !ok || l.claimed[index.Name] && l.groups[index.Name] == nil {
			continue
		}
		c := l.group(index.Name, KerasShards)
		if !l.claimed[index.Name] {
			l.claim(c, index)
		}
		l.claim(c, f)
	}
}

// shardsMap is the content of the index.
type shardsMap struct {
	Metadata struct {
		TotalSize float64 `json:"total_size"` // bytes of all variables
	} `json:"metadata"`
	WeightMap map[string]fileNames `json:"weight_map"` // of variables
}

// fileNames is one name, or a list of them.
type fileNames []string

func (n *fileNames) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*n = fileNames{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(n))
}

// readShardsMap reads an index. The error is a *Problem if it is none, a *Doubt if it is too large.
func readShardsMap(open Opener, f File) (shardsMap, error) {
	if f.Size > maxSmall {
		return shardsMap{}, doubtf("%s has %d bytes, which is more than tfos reads", f.Name, f.Size)
	}
	content, err := readSmall(open, f)
	if err != nil {
		return shardsMap{}, err
	}
	var m shardsMap
	if err := json.Unmarshal(content, &m); err != nil {
		return shardsMap{}, problemf("%s is damaged: %v", f.Name, err)
	}
	if m.WeightMap == nil {
		return shardsMap{}, problemf("%s is damaged: it has no weight_map", f.Name)
	}
	return m, nil
}

// planShards checks that every file is there that the index names, the structure of each, and that
// they hold as many bytes of variables as the index says. Keras writes the index anew whenever it
// has filled a file, so it names no more than is there, but the bytes tell one that was left behind
// by a program that was killed then.
func planShards(open Opener, c Checkpoint, b *planner) error {
	m, err := readShardsMap(open, c.Files[slices.IndexFunc(c.Files, func(f File) bool { return f.Name == c.Name })])
	if err != nil {
		return err
	}
	held := int64(0)
	for _, name := range m.files() {
		name = path.Join(path.Dir(c.Name), name)
		i := slices.IndexFunc(c.Files, func(f File) bool { return f.Name == name })
		if i < 0 {
			return problemf("%s is missing", name)
		}
		contents, err := hdf5Contents(open, c.Files[i])
		if err != nil {
			return err
		}
		b.hdf5(c.Files[i], contents)
		for _, d := range contents.Datasets {
			held += d.Elements * d.Size
		}
	}
	if b.plan.doubt == nil && float64(held) < m.Metadata.TotalSize {
		return problemf("%s is not whole: it speaks of %.0f bytes of variables, its files hold %d", c.Name, m.Metadata.TotalSize, held)
	}
	return nil
}

// files lists the names of the files, in order.
func (m shardsMap) files() []string {
	var names []string
	for _, of := range m.WeightMap {
		names = append(names, of...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// hdf5 plans to read all of an HDF5 file: no checksum of ours covers the data, but HDFS has its
// own.
func (b *planner) hdf5(f File, contents hdf5.Contents) {
	if contents.Doubt != "" {
		b.doubt("%s: %s", f.Name, contents.Doubt)
	}
	b.add(f, 0, f.Size, castagnoli, region{what: f.Name, unchecked: true})
}

// hdf5Contents reads the structure of an HDF5 file.
func hdf5Contents(open Opener, f File) (hdf5.Contents, error) {
	in, err := open(f.Name)
	if err != nil {
		return hdf5.Contents{}, err
	}
	defer in.Close()
	contents, err := hdf5.Check(in, in.Size())
	switch {
	case errors.As(err, new(*hdf5.CorruptError)):
		return hdf5.Contents{}, problemf("%s is damaged: %v", f.Name, err)
	case err != nil:
		return hdf5.Contents{}, fmt.Errorf("read %s: %w", f.Name, err)
	}
	return contents, nil
}

// kerasFiles lists the HDF5 files of a checkpoint that may hold the optimizer's variables.
func kerasFiles(c Checkpoint) []File {
	return slices.DeleteFunc(slices.Clone(c.Files), func(f File) bool {
		return !hdf5File.MatchString(f.Name) || c.Format == HDF5 && f.Name != c.Name
	})
}

// stem is a name without what the format puts behind it.
func stem(name string, format Format) string {
	stem := path.Base(name)
	switch format {
	case HDF5, Keras:
		stem = strings.TrimSuffix(stem, backupSuffix)
		stem = strings.TrimSuffix(stem, path.Ext(stem))
		stem = strings.TrimSuffix(stem, ".weights")
	case KerasShards:
		stem = strings.TrimSuffix(stem, shardsIndex)
	}
	return stem
}
