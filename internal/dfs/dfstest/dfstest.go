// Package dfstest is the contract of dfs.FS, as tests. Every implementation passes it, the real
// HDFS included.
package dfstest

import (
	"context"
	"testing"
	"time"

	"tfos/internal/dfs"
)

// Bed is a filesystem to test.
type Bed struct {
	FS dfs.FS
	// Dir is an existing empty directory, mode 0755, of the FS's user. It is the suite's own.
	Dir string
	// Stranger is the same filesystem as another user, who owns nothing in Dir and is no superuser;
	// nil where there is none.
	Stranger dfs.FS
	// BlockSize, in bytes, of a filesystem of blocks; 0 else. A large file then spans several.
	BlockSize int64
}

// operationTimeout is far beyond what any operation takes.
const operationTimeout = time.Minute

// Run checks the contract. newBed is called for each part of it.
func Run(t *testing.T, newBed func(t *testing.T) Bed) {
	for _, part := range []struct {
		name string
		test func(*testing.T, *bench)
	}{
		{"Stat", testStat},
		{"List", testList},
		{"Create", testCreate},
		{"Overwrite", testOverwrite},
		{"Abort", testAbort},
		{"CreateErrors", testCreateErrors},
		{"Read", testRead},
		{"LargeFile", testLargeFile},
		{"ReadConcurrently", testReadConcurrently},
		{"Append", testAppend},
		{"Sync", testSync},
		{"Mkdir", testMkdir},
		{"Rename", testRename},
		{"RenameOverwrite", testRenameOverwrite},
		{"Remove", testRemove},
		{"Sweep", testSweep},
		{"Modes", testModes},
		{"Times", testTimes},
		{"Names", testNames},
		{"Cancelled", testCancelled},
		{"ManyAtOnce", testManyAtOnce},
		{"URI", testURI},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, newBench(t, newBed)) })
	}
	t.Run("Stranger", func(t *testing.T) {
		if b := newBench(t, newBed); b.Stranger != nil {
			testStranger(t, b)
		}
	})
}

// bench is a Bed with the short forms that tests use.
type bench struct {
	Bed
	t   *testing.T
	ctx context.Context
}

func newBench(t *testing.T, newBed func(*testing.T) Bed) *bench {
	ctx, cancel := context.WithTimeout(t.Context(), operationTimeout)
	t.Cleanup(cancel)
	return &bench{Bed: newBed(t), t: t, ctx: ctx}
}
