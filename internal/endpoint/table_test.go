package endpoint

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"tfos/internal/clusterspec"
)

// TestTheFileIsWhatTheLibraryReads looks at the bytes.
func TestTheFileIsWhatTheLibraryReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "table")
	tab, err := newTable(path, 2000)
	if err != nil {
		t.Fatal(err)
	}
	tab.bind(netip.MustParseAddrPort("127.100.0.7:4"), 0x1234)
	read := func() []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	u32 := func(at int) uint32 { return binary.NativeEndian.Uint32(read()[at:]) }

	const offset = 128 << 10 // of the counts: 64 + 2000*64, rounded up to 64 KiB
	if n := len(read()); n != offset+64+8192+2000*32 {
		t.Fatalf("the file has %d bytes", n)
	}
	if b := read(); string(b[:8]) != "TFOSEP03" || u32(16) != 2000 || u32(20) != offset || !bytes.Equal(b[24:32], []byte{127, 100, 0, 7, 0, 4, 0x12, 0x34}) {
		t.Errorf("it begins with % x", b[:64])
	}
	i, err := tab.add(netip.MustParseAddrPort("127.101.0.0:4"), Proof{})
	if err != nil || i != 0 || u32(12) != 1 || u32(8) != 0 {
		t.Fatalf("the first entry is %d, %v", i, err)
	}
	i, err = tab.add(netip.MustParseAddrPort("127.101.1.2:4"), Proof{1, 15: 2})
	if err != nil || i != 1 || u32(12) != 2 {
		t.Fatalf("the second entry is %d, %v", i, err)
	}

	entry := func() []byte { return read()[64+64 : 64+2*64] }
	tab.retarget(1, target{netip.MustParseAddrPort("10.1.2.3:8080"), 0x2b67})
	want := make([]byte, 64)
	binary.NativeEndian.PutUint32(want, 2)     // seq: even
	binary.NativeEndian.PutUint32(want[4:], 1) // gen
	copy(want[8:], []byte{127, 101, 1, 2, 0, 4})
	binary.NativeEndian.PutUint16(want[14:], 1) // live
	copy(want[16:], []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3, 0x1f, 0x90, 0x2b, 0x67, 1})
	want[51] = 2
	if got := entry(); !bytes.Equal(got, want) {
		t.Errorf("with a target:\n% x, want\n% x", got, want)
	}
	if u32(8) != 1 {
		t.Errorf("the table's generation is %d", u32(8))
	}

	tab.retarget(1, target{netip.MustParseAddrPort("[fd00::1]:1"), 2})
	if got := entry(); netip.AddrFrom16([16]byte(got[16:32])).String() != "fd00::1" {
		t.Errorf("with an IPv6 target: % x", got)
	}

	tab.retarget(1, target{})
	clear(want[14:36])
	binary.NativeEndian.PutUint32(want, 6)
	binary.NativeEndian.PutUint32(want[4:], 3)
	if got := entry(); !bytes.Equal(got, want) || u32(8) != 3 {
		t.Errorf("without a target:\n% x, want\n% x", got, want)
	}

	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	counted := make([]byte, 24)
	for k := range 3 {
		binary.NativeEndian.PutUint64(counted[8*k:], uint64(k+5))
	}
	if _, err := f.WriteAt(counted, offset+64+8192+32); err != nil {
		t.Fatal(err)
	}
	var c clusterspec.Counters
	tab.read(1, &c)
	if c.Connections != 5 || c.Refused != 6 || c.Resets != 7 || c.Sent != -1 {
		t.Errorf("counted %+v", c)
	}
	if err := tab.close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the file is left")
	}
}

func TestATableIsNeverTakenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "table")
	if err := os.WriteFile(path, []byte("somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newTable(path, 1); err == nil {
		t.Error("a file that was there became the table")
	}
	if b, _ := os.ReadFile(path); string(b) != "somebody's" {
		t.Error("the file was changed")
	}
}
