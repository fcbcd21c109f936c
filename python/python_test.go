package python

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"os"
	"path/filepath"
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
	for _, name := range []string{"tfos/__init__.py", "sitecustomize.py", "tfos/compat/marker.py", "tfos/native/files_x86_64.so", "tfos/native/files_aarch64.so",
		"tfos/native/crc32c_x86_64.so", "tfos/native/crc32c_aarch64.so"} {
		if _, err := r.Open(name); err != nil {
			t.Error(err)
		}
	}
}

// TestChecksumIsBuiltFromItsSource and needs nothing that a machine may lack.
func TestChecksumIsBuiltFromItsSource(t *testing.T) {
	built, err := filepath.Glob("tfos/native/crc32c_*.so")
	if err != nil || len(built) == 0 {
		t.Fatalf("no library: %v", err)
	}
	source, err := os.ReadFile("native/crc32c.c")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(source)
	for _, name := range built {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(b, []byte(hex.EncodeToString(sum[:]))) {
			t.Errorf("%s is not of this source: run python/native/build", name)
		}
		f, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		libraries, err := f.ImportedLibraries()
		if err != nil || len(libraries) > 0 {
			t.Errorf("%s needs %q, %v", name, libraries, err)
		}
		if symbols, err := f.ImportedSymbols(); err != nil || len(symbols) > 0 {
			t.Errorf("%s needs %v, %v", name, symbols, err)
		}
	}
}
