package checkpoint_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tfos/internal/checkpoint"
)

// do carries actions out.
func (d directory) do(t testing.TB, actions []checkpoint.Action) directory {
	t.Helper()
	d = maps.Clone(d)
	for _, a := range actions {
		switch a.Op {
		case checkpoint.Rename:
			if _, taken := d[a.To]; taken {
				t.Errorf("%s: it is taken", a)
			}
			d[a.To] = d[a.Name]
			delete(d, a.Name)
		case checkpoint.Remove:
			delete(d, a.Name)
		case checkpoint.Write:
			d[a.Name] = a.Content
		}
	}
	return d
}

// shown is d as the store would list it: without what was set aside.
func (d directory) shown() directory {
	s := maps.Clone(d)
	maps.DeleteFunc(s, func(name string, _ []byte) bool {
		return slices.ContainsFunc(strings.Split(name, "/"), checkpoint.Skip)
	})
	return s
}

func (d directory) taken(name string) bool {
	for file := range d {
		if file == name || strings.HasPrefix(file, name+"/") {
			return true
		}
	}
	return false
}

// latest is what a program that starts now would restore, by the state file.
func latest(t *testing.T, d directory) string {
	t.Helper()
	l := d.shown().list(t)
	if len(l.States) == 0 {
		return ""
	}
	if len(l.Problems) > 0 {
		t.Errorf("problems: %q", l.Problems)
	}
	return l.States[0].State.Latest
}

// Whatever is wrong with the newest, afterwards a program restores the one before; nothing is lost;
// and if the work is cut off after any of its steps, no program is led to something broken.
func TestRecover(t *testing.T) {
	good := golden(t, "v2")
	flipped := bytes.Clone(good["ckpt-4.data-00000-of-00001"])
	flipped[7] ^= 1
	for _, c := range []struct {
		name string
		d    directory
		want string // the newest whole one
	}{
		{"whole", good, "ckpt-4"},
		{"a flipped bit", good.with("ckpt-4.data-00000-of-00001", flipped), "ckpt-3"},
		{"no data", good.with("ckpt-4.data-00000-of-00001", nil), "ckpt-3"},
		{"killed between data and index", good.with("ckpt-4.index", nil).with("checkpoint", []byte(`model_checkpoint_path: "ckpt-3"`)), "ckpt-3"},
		{"killed between index and checkpoint", good.with("checkpoint", []byte("model_checkpoint_path: \"ckpt-3\"\nall_model_checkpoint_paths: \"ckpt-2\"\nall_model_checkpoint_paths: \"ckpt-3\"\n")), "ckpt-4"},
		{"checkpoint names a missing one", good.with("checkpoint", []byte(`model_checkpoint_path: "ckpt-9"`)), "ckpt-4"},
		{"no checkpoint file", good.with("checkpoint", nil), "ckpt-4"},
		{"two are broken", good.with("ckpt-4.index", nil).with("ckpt-3.index", good["ckpt-3.index"][:100]), "ckpt-2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := c.d.list(t)
			var whole *checkpoint.Checkpoint
			var broken []checkpoint.Checkpoint
			for i := len(l.Checkpoints) - 1; i >= 0 && whole == nil; i-- {
				if ck := l.Checkpoints[i]; c.d.verify(t, ck, 1000).Whole {
					whole = &ck
				} else {
					broken = append(broken, ck)
				}
			}
			actions := checkpoint.Recover(l, whole, broken, c.d.taken)
			for n := 1; n <= len(actions); n++ {
				if got := latest(t, c.d.do(t, actions[:n])); n > 0 && got != c.want {
					t.Errorf("after %q the state file names %q", actions[:n], got)
				}
			}
			after := c.d.do(t, actions)
			if got := latest(t, after); got != c.want {
				t.Errorf("the state file names %q, want %q; did %q", got, c.want, actions)
			}
			for _, ck := range after.shown().list(t).Checkpoints {
				if v := after.shown().verify(t, ck, 1000); !v.Whole {
					t.Errorf("%s is left: %v", ck.Name, v)
				}
			}
			for name, content := range c.d {
				if name != checkpoint.StateFile && !bytes.Equal(after[name], content) && !bytes.Equal(after[moved(actions, name)], content) {
					t.Errorf("%s is lost", name)
				}
			}
			if again := checkpoint.Recover(after.shown().list(t), whole, nil, after.taken); len(again) > 0 {
				t.Errorf("there is more to do: %q", again)
			}
		})
	}
}

func moved(actions []checkpoint.Action, name string) string {
	for _, a := range actions {
		if a.Name == name {
			return a.To
		}
	}
	return ""
}

// Keras restores nothing from a second copy alone, so it takes the place of the broken first.
func TestRecoverBackup(t *testing.T) {
	d := golden(t, "backup")
	second := d["latest.weights.h5.bkp"]
	d["latest.weights.h5"] = d["latest.weights.h5"][:5000]
	l := d.list(t)
	broken, whole := find(l, "latest.weights.h5"), find(l, "latest.weights.h5.bkp")
	after := d.do(t, checkpoint.Recover(l, &whole, []checkpoint.Checkpoint{broken}, d.taken))
	left := after.shown().list(t).Checkpoints
	if len(left) != 1 || left[0].Name != "latest.weights.h5" || left[0].Number != 2 || !bytes.Equal(after["latest.weights.h5"], second) {
		t.Errorf("left: %+v", left)
	}
}

// With nothing whole left no state file may lead to what was set aside, and a second one of the
// same name finds a place.
func TestRecoverNothing(t *testing.T) {
	d := golden(t, "v2")
	for range 2 {
		l := d.shown().list(t)
		d = d.do(t, checkpoint.Recover(l, nil, l.Checkpoints, d.taken))
		if left := d.shown(); len(left) > 0 {
			t.Errorf("left: %v", slices.Sorted(maps.Keys(left)))
		}
		maps.Copy(d, golden(t, "v2"))
	}
	if got := len(d); got != 3*7 {
		t.Errorf("%d files, want all three times 7: %v", got, slices.Sorted(maps.Keys(d)))
	}
}

// Cut off after any step, a deletion leaves nothing that is whole by halves: what is listed as a
// checkpoint verifies, or lacks its index.
func TestDelete(t *testing.T) {
	d := golden(t, "v1-sharded")
	l := d.list(t)
	actions := checkpoint.Delete(l, l.Checkpoints[:1])
	for n := 1; n <= len(actions); n++ {
		left := d.do(t, actions[:n])
		list := left.list(t)
		if len(list.Problems) > 0 || len(list.States) != 1 || len(list.States[0].State.All) != 1 {
			t.Errorf("after %d steps: %+v", n, list)
		}
		for _, c := range list.Checkpoints {
			if v := left.verify(t, c, 1000); !v.Whole && c.Unfinished == "" {
				t.Errorf("after %d steps %s: %v", n, c.Name, v)
			}
		}
	}
	if got := d.do(t, actions).list(t).Checkpoints; len(got) != 1 || got[0].Name != "model.ckpt-30" {
		t.Errorf("left: %v", got)
	}
}

func TestSuperfluous(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := checkpoint.Policy{Keep: rapid.IntRange(1, 5).Draw(t, "keep"), KeepEvery: rapid.SampledFrom([]time.Duration{0, time.Hour, 3 * time.Hour}).Draw(t, "every")}
		var series []checkpoint.Checkpoint
		verdicts := map[string]checkpoint.Verdict{}
		pins := map[string]bool{}
		at := time.Unix(0, 0)
		newest := ""
		for i := range rapid.IntRange(0, 12).Draw(t, "checkpoints") {
			at = at.Add(rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour}).Draw(t, "pause"))
			name := fmt.Sprintf("ckpt-%d", i)
			series = append(series, checkpoint.Checkpoint{Name: name, Time: at})
			switch rapid.IntRange(0, 3).Draw(t, "verdict") {
			case 0:
				verdicts[name] = checkpoint.Verdict{Problem: "it is broken"}
			case 1:
				verdicts[name], newest = checkpoint.Verdict{Whole: true}, name
			}
			pins[name] = rapid.Bool().Draw(t, "pinned")
		}
		gone := p.Superfluous(series, verdicts, func(name string) bool { return pins[name] })
		kept := slices.DeleteFunc(slices.Clone(series), func(c checkpoint.Checkpoint) bool {
			return slices.ContainsFunc(gone, func(g checkpoint.Checkpoint) bool { return g.Name == c.Name })
		})
		good := 0
		var last time.Time
		for _, c := range kept {
			if v, ok := verdicts[c.Name]; !ok || v.Whole {
				good++
			}
			if last = c.Time; newest == c.Name {
				break // what is newer stays in any case
			}
		}
		for _, c := range gone {
			if c.Name == newest || pins[c.Name] || newest == "" || c.Time.After(last) {
				t.Errorf("%s went; newest whole %s", c.Name, newest)
			}
		}
		if len(gone) > 0 && good < p.Keep {
			t.Errorf("%d that may be whole are left, want %d", good, p.Keep)
		}
		if again := p.Superfluous(kept, verdicts, func(name string) bool { return pins[name] }); len(again) > 0 {
			t.Errorf("a second time %v went", again)
		}
	})
}

func TestKeepEvery(t *testing.T) {
	var series []checkpoint.Checkpoint
	for i := range 10 {
		series = append(series, checkpoint.Checkpoint{Name: fmt.Sprint("ckpt-", i), Time: time.Unix(int64(i)*600, 0)})
	}
	p := checkpoint.Policy{Keep: 2, KeepEvery: 30 * time.Minute}
	var gone []string
	for _, c := range p.Superfluous(series, map[string]checkpoint.Verdict{"ckpt-9": {Whole: true}}, func(string) bool { return false }) {
		gone = append(gone, c.Name)
	}
	if want := []string{"ckpt-1", "ckpt-2", "ckpt-4", "ckpt-5", "ckpt-7"}; !slices.Equal(gone, want) {
		t.Errorf("%q went, want %q", gone, want)
	}
}

func TestSeries(t *testing.T) {
	var names []string
	for _, dir := range []string{"keras", "v2", "backup", "saved-model"} {
		for _, s := range checkpoint.Series(golden(t, dir).list(t)) {
			for _, c := range s {
				names = append(names, c.Name)
			}
		}
	}
	if want := []string{"model-02.weights.h5", "ckpt-2", "ckpt-3", "ckpt-4"}; !slices.Equal(names, want) {
		t.Errorf("series of %q, want %q", names, want)
	}
}
