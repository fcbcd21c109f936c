package tensorboard

import (
	"os"
	"path/filepath"
	"testing"

	"tfos/internal/dfs"
)

// TestMirror copies what TensorBoard reads, and then what has grown.
func TestMirror(t *testing.T) {
	ctx := t.Context()
	far, to := dfs.NewMemory(dfs.MemoryOptions{User: "ann"}), t.TempDir()
	for _, dir := range []string{"/m/logs/train/plugins/profile", "/m/ckpt"} {
		if err := far.Mkdir(ctx, dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		t.Helper()
		w, err := far.Create(ctx, name, dfs.CreateOptions{Overwrite: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	const events = "logs/train/events.out.tfevents.1.host.v2"
	write("/m/"+events, "one")
	write("/m/logs/train/plugins/profile/x.xplane.pb", "profile")
	write("/m/ckpt/ckpt-1.index", "no event")
	m := NewMirror(far, "/m/", to)
	holds := func(name, want string) {
		t.Helper()
		if b, err := os.ReadFile(filepath.Join(to, name)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v, want %q", name, b, err, want)
		}
	}
	updates := func(want Copied) {
		t.Helper()
		if got, err := m.Update(ctx); err != nil || got != want {
			t.Errorf("copied %+v, %v, want %+v", got, err, want)
		}
	}
	updates(Copied{2, 10})
	holds(events, "one")
	holds("logs/train/plugins/profile/x.xplane.pb", "profile")
	if _, err := os.Stat(filepath.Join(to, "ckpt")); err == nil {
		t.Error("a checkpoint was copied")
	}
	updates(Copied{2, 0})
	a, err := far.Append(ctx, "/m/"+events)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Write([]byte("two")); err != nil {
		t.Fatal(err)
	}
	if err := a.Sync(); err != nil { // it is being written
		t.Fatal(err)
	}
	updates(Copied{2, 3})
	holds(events, "onetwo")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	write("/m/"+events, "new") // by a job that began anew
	updates(Copied{2, 3})
	holds(events, "new")
	if _, err := NewMirror(far, "/nowhere", to).Update(ctx); err == nil {
		t.Error("no directory, and no error")
	}
}
