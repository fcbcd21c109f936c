package python

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"io/fs"
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

// TestSparkClassesAreBuiltFromTheirSources and needs no JDK.
func TestSparkClassesAreBuiltFromTheirSources(t *testing.T) {
	sources, err := filepath.Glob("java/tfos/spark/*.java") // sorted, as the shell's are
	if err != nil || len(sources) == 0 {
		t.Fatalf("no sources: %v", err)
	}
	h := sha256.New()
	for _, name := range sources {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(b)
	}
	jar, err := zip.OpenReader("tfos/native/spark.jar")
	if err != nil {
		t.Fatal(err)
	}
	defer jar.Close()
	built, err := fs.ReadFile(jar, "SOURCE")
	if err != nil {
		t.Fatal(err)
	}
	if want := hex.EncodeToString(h.Sum(nil)); string(bytes.TrimSpace(built)) != want {
		t.Errorf("spark.jar is of sources %s, and these are %s: run make library", built, want)
	}
}
