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
	if _, err := r.Open("tfos/__init__.py"); err != nil {
		t.Error(err)
	}
}
