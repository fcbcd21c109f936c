package checkpoint_test

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"slices"
	"testing"

	"tfos/internal/checkpoint"
	"tfos/internal/checkpoint/sstable/sstabletest"
)

// FuzzFile puts anything in the place of one file of each format: a state file, an index, metadata,
// an archive, a program. With seal, a table gets the checksums that fit it, so that what is wrong
// inside a block is reached.
func FuzzFile(f *testing.F) {
	dirs, err := os.ReadDir("testdata")
	if err != nil {
		f.Fatal(err)
	}
	var all []directory
	for _, e := range dirs {
		if !e.IsDir() {
			continue
		}
		d := golden(f, e.Name())
		for i, name := range slices.Sorted(maps.Keys(d)) {
			if len(d[name]) < 64<<10 {
				f.Add(uint8(len(all)), uint8(i), true, d[name])
			}
		}
		all = append(all, d)
	}
	f.Fuzz(func(t *testing.T, dir, file uint8, seal bool, b []byte) {
		if seal {
			b = bytes.Clone(b)
			sstabletest.Reseal(b)
		}
		d := all[int(dir)%len(all)]
		names := slices.Sorted(maps.Keys(d))
		name := names[int(file)%len(names)]
		d = d.with(name, b)
		l, err := checkpoint.List(d.files(), d.open)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range l.Checkpoints {
			if !slices.ContainsFunc(c.Files, func(f checkpoint.File) bool { return f.Name == name }) {
				continue
			}
			if _, err := checkpoint.Step(c, d.open); err != nil && !errors.As(err, new(*checkpoint.Problem)) {
				t.Errorf("step of %s: %v", c.Name, err)
			}
			if err := d.check(c, 1000); err != nil && !errors.As(err, new(*checkpoint.Problem)) {
				t.Errorf("%s: %v", c.Name, err)
			}
		}
	})
}
