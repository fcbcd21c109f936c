package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"

	"tfos/internal/dfs"
	"tfos/internal/hadoop/tfile"
)

// TestAggregatedLogsAreFound looks for every log of a file that a real NodeManager wrote, among
// files of other nodes, in the directories that each generation of Hadoop makes.
func TestAggregatedLogsAreFound(t *testing.T) {
	for _, captured := range []string{"3.4.3-none.tfile", "3.4.3.ifile"} {
		t.Run(captured, func(t *testing.T) { aggregatedLogsAreFound(t, captured) })
	}
}

func aggregatedLogsAreFound(t *testing.T, captured string) {
	content, err := os.ReadFile("../hadoop/tfile/testdata/" + captured)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile("../hadoop/tfile/testdata/2.10.2-none.tfile")
	if err != nil {
		t.Fatal(err)
	}
	type log struct {
		tfile.Log
		text string
	}
	var want []log
	for r, err := tfile.NewReader(bytes.NewReader(content), int64(len(content))); ; {
		if err != nil {
			t.Fatal(err)
		}
		l, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, log{l, string(b)})
	}
	places := tfile.Places(func(key string) string {
		return map[string]string{
			"yarn.nodemanager.remote-app-log-dir": "/logs", "yarn.nodemanager.remote-app-log-dir-suffix": "logs",
			"yarn.log-aggregation.Mine.remote-app-log-dir": "memory://own", "yarn.log-aggregation.Mine.remote-app-log-dir-suffix": "sfx",
		}[key]
	}, []string{"Mine"})
	in := func(d *dfs.Memory) func(context.Context, string) (dfs.FS, string, error) {
		return func(_ context.Context, uri string) (dfs.FS, string, error) {
			name, whole := strings.CutPrefix(uri, "memory:/")
			if !whole && !strings.HasPrefix(uri, "/") {
				return nil, "", fmt.Errorf("%s: %w", uri, dfs.ErrUnsupported)
			}
			return d, name, nil
		}
	}
	app := anID.String()
	for _, dir := range []string{"/logs/ann/logs/" + app, "/logs/ann/logs-tfile/" + app, "/logs/ann/bucket-logs-tfile/0007/" + app, "/logs/ann/bucket-logs-ifile/0007/" + app, "/own/ann/bucket-sfx/0007/" + app} {
		d := dfs.NewMemory(dfs.MemoryOptions{User: "ann"})
		if err := d.Mkdir(t.Context(), dir, 0o770); err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string][]byte{"nm1_8041": other, "nm2_8041": content, "nm3_8041.tmp": []byte("unfinished"), "nm4_8041": content[:99], "nm2_8041-checksum": []byte("x")} {
			if err := dfs.WriteFile(t.Context(), d, path.Join(dir, name), b, 0o640); err != nil {
				t.Fatal(err)
			}
		}
		logs := aggregatedLogs{in(d), places}
		read := func(container, node, stream string, offset int64) (string, error) {
			var got strings.Builder
			err := logs.Read(t.Context(), LogFile{Application: anID, User: "ann", Container: container, Node: node, Stream: stream}, offset, func(b []byte) error {
				got.Write(b)
				return nil
			})
			return got.String(), err
		}
		for _, w := range want {
			for _, node := range []string{"", "nm1", "nm2"} { // the hint may be wrong
				if got, err := read(w.Container, node, w.Name, 0); err != nil || got != w.text {
					t.Errorf("%s: %s of %s: %d bytes, %v; want %d", dir, w.Name, w.Container, len(got), err, w.Size)
				}
			}
			for _, offset := range []int64{w.Size / 2, w.Size, w.Size + 9} {
				if got, err := read(w.Container, "", w.Name, offset); err != nil || got != w.text[min(offset, w.Size):] {
					t.Errorf("%s: %s of %s from %d: %d bytes, %v", dir, w.Name, w.Container, offset, len(got), err)
				}
			}
		}
		if _, err := read("container_1_0001_01_000001", "", "stdout", 0); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: of nobody: %v", dir, err)
		}
	}
	none := aggregatedLogs{in(dfs.NewMemory(dfs.MemoryOptions{})), places}
	if err := none.Read(t.Context(), LogFile{Application: anID, User: "ann"}, 0, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("where there are none: %v", err)
	}
	elsewhere := aggregatedLogs{in(dfs.NewMemory(dfs.MemoryOptions{})), []tfile.Place{{Root: "s3a://logs"}}}
	if err := elsewhere.Read(t.Context(), LogFile{Application: anID, User: "ann"}, 0, nil); !errors.Is(err, dfs.ErrUnsupported) {
		t.Errorf("where they cannot be read: %v", err)
	}
}
