package dfs_test

import (
	"testing"

	"tfos/internal/dfs"
	"tfos/internal/dfs/dfstest"
)

func TestLocalKeepsTheContract(t *testing.T) {
	dfstest.Run(t, func(t *testing.T) dfstest.Bed {
		dir := t.TempDir()
		l := dfs.NewLocal(dir)
		if err := l.Chmod(t.Context(), dir, 0o755); err != nil {
			t.Fatal(err)
		}
		return dfstest.Bed{FS: l, Dir: dir}
	})
}

func TestMemoryKeepsTheContract(t *testing.T) {
	dfstest.Run(t, func(t *testing.T) dfstest.Bed {
		m := dfs.NewMemory(dfs.MemoryOptions{User: "ann"})
		if err := m.Mkdir(t.Context(), "/user/ann/work", 0o755); err != nil {
			t.Fatal(err)
		}
		return dfstest.Bed{FS: m, Dir: "/user/ann/work", Stranger: m.As("bob")}
	})
}
