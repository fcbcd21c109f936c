package fileserver

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// libc is what the plugin may need: what every libc has had under these names since long, in
// itself.
var libc = []string{
	"__errno_location", "calloc", "close", "connect", "free", "getauxval", "getenv", "getpid", "malloc", "memcpy", "memset", "recv", "recvmsg", "sendmsg", "setsockopt",
	"snprintf", "socket", "strcpy", "strdup", "strlen", "strndup",
}

// TestPluginIsBuiltFromItsSource and needs nothing that a machine with TensorFlow may lack.
func TestPluginIsBuiltFromItsSource(t *testing.T) {
	built, err := filepath.Glob("../../python/tfos/native/files_*.so")
	if err != nil || len(built) == 0 {
		t.Fatalf("no plugin: %v", err)
	}
	h := sha256.New()
	for _, name := range []string{"plugin/files.c", "plugin/tensorflow.h"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(b)
	}
	sum := hex.EncodeToString(h.Sum(nil))
	for _, name := range built {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(b, []byte(sum)) {
			t.Errorf("%s is not of these sources: run internal/fileserver/build", name)
		}
		f, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if needs, err := f.ImportedLibraries(); err != nil || !slices.Equal(needs, []string{"libtensorflow_framework.so.2"}) {
			t.Errorf("%s needs %q, %v", name, needs, err)
		}
		symbols, err := f.ImportedSymbols()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range symbols {
			if s.Version != "" || s.Name != "TF_SetStatus" && !slices.Contains(libc, s.Name) {
				t.Errorf("%s needs %s %s", name, s.Name, s.Version)
			}
		}
	}
}
