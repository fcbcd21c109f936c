package endpoint

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

// images are the libraries that are committed, one for each kind of machine.
func images(t *testing.T) map[elf.Machine][]byte {
	t.Helper()
	m := make(map[elf.Machine][]byte)
	for machine, name := range map[elf.Machine]string{elf.EM_X86_64: "endpoint_amd64.so", elf.EM_AARCH64: "endpoint_arm64.so"} {
		b, err := os.ReadFile(filepath.Join("preload", name))
		if err != nil {
			t.Fatal(err)
		}
		m[machine] = b
	}
	return m
}

// sources are the C files, in the order in which ./build hashes them.
func sources(t *testing.T) []byte {
	t.Helper()
	var all []byte
	for _, name := range []string{"endpoint.c", "endpoint.h"} {
		b, err := os.ReadFile(filepath.Join("preload", name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

// TestLibrariesAreBuiltFromTheSources: who changes the C code runs internal/endpoint/build and
// commits what it makes.
func TestLibrariesAreBuiltFromTheSources(t *testing.T) {
	sum := sha256.Sum256(sources(t))
	want := []byte("tfos-endpoint-source " + hex.EncodeToString(sum[:]))
	for name, image := range images(t) {
		if !bytes.Contains(image, want) {
			t.Errorf("%s was not built from the present sources: run internal/endpoint/build", name)
		}
	}
}

// always are the functions that every libc has had in its main library for as long as Linux 4.14
// has been there, and musl has.
var always = []string{
	"__errno_location", "__h_errno_location", "close", "environ", "execvpe", "fcntl", "getauxval", "getenv", "getpeername", "lseek", "madvise", "memcmp", "memcpy", "memset", "mmap", "nanosleep", "open",
	"poll", "pread", "pthread_attr_destroy", "pthread_attr_init", "pthread_attr_setdetachstate", "pthread_mutex_lock", "pthread_mutex_unlock",
	"recv", "setsockopt", "shutdown", "sigfillset", "sigprocmask", "socket", "strcspn", "strlen", "strncmp", "syscall",
}

// TestLibrariesLoadEverywhere: a preloaded library that needs something absent is fatal to every
// program of the task.
func TestLibrariesLoadEverywhere(t *testing.T) {
	for name, image := range images(t) {
		f, err := elf.NewFile(bytes.NewReader(image))
		if err != nil {
			t.Fatal(err)
		}
		if f.Machine != name {
			t.Errorf("the library for %s is for %s", name, f.Machine)
		}
		if needed, err := f.ImportedLibraries(); len(needed) > 0 || err != nil {
			t.Errorf("%s needs %v, %v", name, needed, err)
		}
		if s := f.Section(".gnu.version_r"); s != nil {
			t.Errorf("%s needs versions of symbols", name)
		}
		symbols, err := f.DynamicSymbols()
		if err != nil {
			t.Fatal(err)
		}
		var exports []string
		for _, s := range symbols {
			switch {
			case elf.ST_TYPE(s.Info) == elf.STT_SECTION: // of the linker's own
			case s.Section != elf.SHN_UNDEF:
				exports = append(exports, s.Name)
			case elf.ST_BIND(s.Info) != elf.STB_WEAK && !slices.Contains(always, s.Name):
				t.Errorf("%s uses %s, which not every libc has", name, s.Name)
			}
		}
		slices.Sort(exports)
		want := []string{"bind", "connect", "execv", "execve", "execvp", "gethostbyaddr", "gethostbyaddr_r", "getnameinfo", "getsockname", "getsockopt",
			"posix_spawn", "posix_spawnp"}
		if !slices.Equal(exports, want) {
			t.Errorf("%s replaces %v, want %v", name, exports, want)
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_GNU_STACK && p.Flags&elf.PF_X != 0 {
				t.Errorf("%s makes the stack of a program executable", name)
			}
		}
	}
}

// TestTheLayoutIsTheHeaders reads the structs of endpoint.h and compares each field with ours.
func TestTheLayoutIsTheHeaders(t *testing.T) {
	header, err := os.ReadFile("preload/endpoint.h")
	if err != nil {
		t.Fatal(err)
	}
	var (
		h tableHead
		e tableEntry
		n tableCounts
		c tableCount
	)
	ours := map[string]map[string]uintptr{
		"ep_table": {
			"magic": unsafe.Offsetof(h.magic), "gen": unsafe.Offsetof(h.gen), "count": unsafe.Offsetof(h.count), "capacity": unsafe.Offsetof(h.capacity),
			"counts_offset": unsafe.Offsetof(h.countsOffset), "self_vaddr": unsafe.Offsetof(h.selfVAddr), "self_vport": unsafe.Offsetof(h.selfVPort),
			"self_port": unsafe.Offsetof(h.selfPort), "end": unsafe.Sizeof(h),
		},
		"ep_entry": {
			"seq": unsafe.Offsetof(e.seq), "gen": unsafe.Offsetof(e.gen), "vaddr": unsafe.Offsetof(e.vaddr), "vport": unsafe.Offsetof(e.vport),
			"flags": unsafe.Offsetof(e.flags), "taddr": unsafe.Offsetof(e.taddr), "tport": unsafe.Offsetof(e.tport),
			"pport": unsafe.Offsetof(e.pport), "proof": unsafe.Offsetof(e.proof), "end": unsafe.Sizeof(e),
		},
		"ep_counts": {"processes": unsafe.Offsetof(n.processes), "binds": unsafe.Offsetof(n.binds), "images": unsafe.Offsetof(n.images), "end": unsafe.Sizeof(n)},
		"ep_count": {
			"connections": unsafe.Offsetof(c.connections), "refused": unsafe.Offsetof(c.refused), "resets": unsafe.Offsetof(c.resets), "end": unsafe.Sizeof(c),
		},
	}
	sizes := map[string]uintptr{"char": 1, "uint8_t": 1, "uint16_t": 2, "uint32_t": 4, "uint64_t": 8}
	structs := regexp.MustCompile(`(?s)struct (\w+) \{\n(.*?)\n\};`).FindAllSubmatch(header, -1)
	field := regexp.MustCompile(`^\s*(\w+)\s+(\w+)(?:\[(\d+)\])?;`)
	for _, s := range structs {
		name, at := string(s[1]), uintptr(0)
		theirs := make(map[string]uintptr)
		for line := range strings.Lines(string(s[2])) {
			m := field.FindStringSubmatch(line)
			if m == nil || sizes[m[1]] == 0 {
				t.Fatalf("%s: cannot read %q", name, line)
			}
			size, n := sizes[m[1]], uintptr(1)
			if m[3] != "" {
				k, _ := strconv.Atoi(m[3])
				n = uintptr(k)
			}
			at = (at + size - 1) / size * size
			if m[2] != "pad" {
				theirs[m[2]] = at
			}
			at += size * n
		}
		theirs["end"] = at
		if len(theirs) != len(ours[name]) {
			t.Errorf("%s has %v, ours %v", name, theirs, ours[name])
		}
		for f, at := range theirs {
			if got, ok := ours[name][f]; !ok || got != at {
				t.Errorf("%s.%s is at %d, ours at %d", name, f, at, got)
			}
		}
	}
	if len(structs) != len(ours) {
		t.Errorf("the header has %d structs, ours are %d", len(structs), len(ours))
	}
	for _, want := range []string{`#define EP_MAGIC "` + magic + `"`, "#define EP_LIVE " + strconv.Itoa(live) + "u", fmt.Sprintf("#define EP_MIX %#xu", uint64(mix))} {
		if !bytes.Contains(header, []byte(want)) {
			t.Errorf("the header lacks %s", want)
		}
	}
	if headSize != unsafe.Sizeof(h) || entrySize != unsafe.Sizeof(e) || countsSize != unsafe.Sizeof(n) || countSize != unsafe.Sizeof(c) {
		t.Error("the sizes are not those of the structs")
	}
}
