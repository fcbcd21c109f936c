package python

import (
	"archive/zip"
	"bytes"
	"testing"
)

func TestArchiveHoldsTheModulesAndIsTheSameEachTime(t *testing.T) {
	first, err := Archive()
	if err != nil {
		t.Fatal(err)
	}
	second, err := Archive()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("two archives differ")
	}
	r, err := zip.NewReader(bytes.NewReader(first), int64(len(first)))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tfos/__init__.py", "sitecustomize.py", "tfos/native/files_x86_64.so"} {
		if _, err := r.Open(name); err != nil {
			t.Error(err)
		}
	}
}
