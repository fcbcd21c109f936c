package client

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"testing"

	"tfos/internal/client/stage"
	"tfos/internal/dfs"
)

// TestAggregatedLogsAreFound looks for a container's log in the directories that each generation of Hadoop makes.
func TestAggregatedLogsAreFound(t *testing.T) {
	// In place of the real format, a node's file holds lines "container/stream=content".
	open := func(f dfs.File, container, stream string) (io.Reader, error) {
		b, err := io.ReadAll(f)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, container+"/"+stream+"="); ok {
				return strings.NewReader(rest), nil
			}
		}
		return nil, fs.ErrNotExist
	}
	app := anID.String()
	for _, dir := range []string{
		"/logs/ann/logs/" + app,                        // 2.x
		"/logs/ann/logs-tfile/" + app,                  // 3.0
		"/logs/ann/bucket-logs-tfile/0007/" + app,      // 3.3
		"/logs/ann/bucket-somewhere-tfile/0007/" + app, // with a suffix of one's own
	} {
		d := dfs.NewMemory(dfs.MemoryOptions{User: "ann"})
		for name, content := range map[string]string{
			dir + "/nm1_8041":                  "c1/stdout=one\n",
			dir + "/nm2_8041":                  "c2/stdout=two\nc2/stderr=oops\n",
			dir + "/nm3_8041.tmp":              "c3/stdout=unfinished\n",
			path.Dir(dir) + "/application_1_1": "a file in the way",
		} {
			if err := d.Mkdir(t.Context(), path.Dir(name), 0o770); err != nil {
				t.Fatal(err)
			}
			if err := stage.WriteSmall(t.Context(), d, name, []byte(content), 0o640); err != nil {
				t.Fatal(err)
			}
		}
		logs := aggregatedLogs{fs: d, root: "/logs", open: open}
		read := func(container, stream string, offset int64) (string, error) {
			var got strings.Builder
			err := logs.Read(t.Context(), LogFile{Application: anID, User: "ann", Container: container, Stream: stream}, offset, func(b []byte) error {
				got.Write(b)
				return nil
			})
			return got.String(), err
		}
		if got, err := read("c2", "stderr", 0); err != nil || got != "oops\n" {
			t.Errorf("%s: %q, %v", dir, got, err)
		}
		if got, err := read("c1", "stdout", 2); err != nil || got != "e\n" {
			t.Errorf("%s, from the third byte: %q, %v", dir, got, err)
		}
		if got, err := read("c1", "stdout", 9); err != nil || got != "" {
			t.Errorf("%s, from beyond the end: %q, %v", dir, got, err)
		}
		if _, err := read("c3", "stdout", 0); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: an unfinished file was read: %v", dir, err)
		}
	}
	none := aggregatedLogs{fs: dfs.NewMemory(dfs.MemoryOptions{}), root: "/logs", open: open}
	if err := none.Read(t.Context(), LogFile{Application: anID, User: "ann"}, 0, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("where there are none: %v", err)
	}
}
