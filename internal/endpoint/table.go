package endpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"tfos/internal/clusterspec"
)

// The layout of the table: preload/endpoint.h, which says how it is written and why. A test
// compares the two.
const (
	magic = "TFOSEP03"
	live  = 1 // a flag: there is a target
	mix   = 0x9e3779b97f4a7c15

	headSize, entrySize   = 64, 64
	countsSize, countSize = 64 + 8192, 32
	countsAlign           = 64 << 10 // the largest page of any machine we know
)

type tableHead struct {
	magic        [8]byte
	gen          uint32
	count        uint32
	capacity     uint32
	countsOffset uint32
	selfVAddr    [4]byte
	selfVPort    [2]byte
	selfPort     [2]byte
	_            [32]byte
}

type tableEntry struct {
	seq   uint32
	gen   uint32
	vaddr [4]byte
	vport [2]byte
	flags uint16
	taddr [16]byte
	tport [2]byte
	pport [2]byte
	proof [16]byte
	_     [12]byte
}

type tableCounts struct {
	processes uint32
	binds     uint32
	_         [56]byte
	images    [2048]uint32
}

type tableCount struct {
	connections uint64
	refused     uint64
	resets      uint64
	_           uint64
}

// table is the file that the preloaded library reads. One goroutine at a time uses it.
type table struct {
	path    string
	mem     []byte // all of the file, shared
	head    *tableHead
	entries []tableEntry
	counts  *tableCounts
	count   []tableCount
}

// newTable makes the file, with room for capacity entries. Its blocks are there from the start: a
// write to a page that the disk has no room for would kill us.
func newTable(path string, capacity int) (t *table, err error) {
	offset := (headSize + capacity*entrySize + countsAlign - 1) &^ (countsAlign - 1)
	size := offset + countsSize + capacity*countSize
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		f.Close() // the mapping stays
		if err != nil {
			os.Remove(path)
		}
	}()
	if err = unix.Fallocate(int(f.Fd()), 0, 0, int64(size)); errors.Is(err, unix.EOPNOTSUPP) {
		_, err = f.Write(make([]byte, size))
	}
	if err != nil {
		return nil, fmt.Errorf("make room for %s: %w", path, err)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	t = &table{path: path, mem: mem}
	t.head = (*tableHead)(unsafe.Pointer(&mem[0]))
	t.entries = unsafe.Slice((*tableEntry)(unsafe.Pointer(&mem[headSize])), capacity)
	t.counts = (*tableCounts)(unsafe.Pointer(&mem[offset]))
	t.count = unsafe.Slice((*tableCount)(unsafe.Pointer(&mem[offset+countsSize])), capacity)
	t.head.capacity = uint32(capacity)
	t.head.countsOffset = uint32(offset)
	copy(t.head.magic[:], magic)
	return t, nil
}

// bind has processes that bind the virtual address get a port instead. It is called before there is
// any process.
func (t *table) bind(virtual netip.AddrPort, port int) {
	t.head.selfVAddr = virtual.Addr().As4()
	binary.BigEndian.PutUint16(t.head.selfVPort[:], virtual.Port())
	binary.BigEndian.PutUint16(t.head.selfPort[:], uint16(port))
}

// add appends an entry without a target. Its targets must prove who they are; with the zero Proof
// they need not.
func (t *table) add(virtual netip.AddrPort, proof Proof) (int, error) {
	n := int(t.head.count)
	if n == len(t.entries) {
		return 0, fmt.Errorf("the table of endpoints is full: it was made for %d", n)
	}
	t.entries[n].vaddr = virtual.Addr().As4()
	binary.BigEndian.PutUint16(t.entries[n].vport[:], virtual.Port())
	t.entries[n].proof = proof
	atomic.StoreUint32(&t.head.count, uint32(n+1)) // publishes the entry
	return n, nil
}

// retarget gives an entry another target, or none, and wakes the processes.
func (t *table) retarget(i int, to target) {
	e := &t.entries[i]
	var w tableEntry // the words of e from taddr on, and flags
	w.vport = e.vport
	if to.IsValid() {
		w.flags = live
		w.taddr = to.Addr().As16()
		binary.BigEndian.PutUint16(w.tport[:], to.Port())
		if e.proof != (Proof{}) {
			binary.BigEndian.PutUint16(w.pport[:], to.witness)
		}
	}
	atomic.AddUint32(&e.seq, 1)
	// Word by word and atomically: else they might be seen before seq is odd, or after it is even
	// again.
	const first, last = unsafe.Offsetof(e.vport) / 4, unsafe.Offsetof(e.pport) / 4
	from, into := words(&w), words(e)
	for k := first; k <= last; k++ {
		atomic.StoreUint32(&into[k], from[k])
	}
	atomic.AddUint32(&e.gen, 1)
	atomic.AddUint32(&e.seq, 1)
	atomic.AddUint32(&t.head.gen, 1)
	wake(&t.head.gen)
}

func words(e *tableEntry) *[entrySize / 4]uint32 {
	return (*[entrySize / 4]uint32)(unsafe.Pointer(e))
}

// wake wakes everyone who sleeps on a word. Should it fail, they wake by themselves before long.
func wake(word *uint32) {
	const futexWake, everyone = 1, 1<<31 - 1 // linux/futex.h
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWake, everyone, 0, 0, 0)
}

// read fills in what processes counted. They may write what they like there: these are only
// numbers.
func (t *table) read(i int, c *clusterspec.Counters) {
	c.Connections = atomic.LoadUint64(&t.count[i].connections)
	c.Refused = atomic.LoadUint64(&t.count[i].refused)
	c.Resets = atomic.LoadUint64(&t.count[i].resets)
	c.Sent, c.Received = -1, -1
}

// processes is how many have loaded the library, ever.
func (t *table) processes() int { return int(atomic.LoadUint32(&t.counts.processes)) }

// has reports whether an image has loaded the library. Images have bits, so that one which has not
// is taken for one that has once in many thousand times, and never the reverse.
func (t *table) has(i image) bool {
	bit := i.hash() % uint64(32*len(t.counts.images))
	return atomic.LoadUint32(&t.counts.images[bit/32])&(1<<(bit%32)) != 0
}

// close removes the file. The processes that have it keep it as it is.
func (t *table) close() error {
	return errors.Join(unix.Munmap(t.mem), os.Remove(t.path))
}
