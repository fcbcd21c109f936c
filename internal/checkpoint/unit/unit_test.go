package unit_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tfos/internal/checkpoint"
	"tfos/internal/checkpoint/unit"
)

// files makes a listing of "name" or "name=size", each a second newer than the one before. No file
// can be opened.
func files(t *testing.T, names ...string) checkpoint.Listing {
	t.Helper()
	var list []checkpoint.File
	for i, n := range names {
		f := checkpoint.File{Name: n, Size: 10, Time: time.Unix(int64(i), 0)}
		if name, size, ok := strings.Cut(n, "="); ok {
			f.Name = name
			if _, err := fmt.Sscan(size, &f.Size); err != nil {
				t.Fatal(err)
			}
		}
		list = append(list, f)
	}
	l, err := checkpoint.List(list, func(name string) (checkpoint.Content, error) { return nil, fmt.Errorf("%s is not to be opened", name) })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func names(units []unit.Unit) []string {
	var out []string
	for _, u := range units {
		out = append(out, u.Name)
	}
	return out
}

func TestOf(t *testing.T) {
	for _, c := range []struct {
		why   string
		files []string
		want  []string
	}{
		{"a bundle", []string{"ckpt-1.data-00000-of-00001", "ckpt-1.index"}, []string{"ckpt-1"}},
		{"its writer was killed before the index", []string{"ckpt-1.data-00000-of-00001"}, nil},
		{"a shard is missing", []string{"ckpt-1.data-00000-of-00002", "ckpt-1.index"}, nil},
		{"files of a library, by age", []string{"b.pkl", "a.safetensors"}, []string{"b.pkl", "a.safetensors"}},
		{"a directory of one", []string{"checkpoint-500/model.safetensors", "checkpoint-500/deep/rng.pth"}, []string{"checkpoint-500"}},
		{"a directory with something known in it", []string{"run/ckpt-1.data-00000-of-00001", "run/ckpt-1.index", "run/notes.txt"}, []string{"run/ckpt-1", "run/notes.txt"}},
		{"temporary names", []string{"a.pkl.tmp", "tmp-checkpoint-5/x", ".hidden", "b.npz~", "x.part", "c/tmp_1/y", "workertemp_1/z", "o.orbax-checkpoint-tmp-1/x"}, nil},
		{"hidden files of libraries", []string{".metadata", ".zarray", "d/.zattrs"}, []string{".metadata", ".zarray", "d"}},
		{"what TensorFlow is writing", []string{"a.index.tempstate17"}, nil},
		{"names that only look so", []string{"template.pkl", "temperature.npz", "apartment.pt"}, []string{"template.pkl", "temperature.npz", "apartment.pt"}},
	} {
		if got := names(unit.Of(files(t, c.files...))); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
	units := unit.Of(files(t, "ckpt-1.data-00000-of-00001", "ckpt-1.index"))
	if last := units[0].Files[1].Name; last != "ckpt-1.index" {
		t.Errorf("the last file is %s: without its index a bundle is none", last)
	}
}

func TestStep(t *testing.T) {
	for name, want := range map[string]int64{"checkpoint-500": 500, "model-2-of-epoch-7.pkl": 7, "state.pkl": -1, "export-1796000000.pt": -1, "x-99999999999999999999.pkl": -1} {
		if got := (unit.Unit{Name: name}).Step(); got != want {
			t.Errorf("%s: step %d, want %d", name, got, want)
		}
	}
}

func TestWanted(t *testing.T) {
	bundle := func(n int) []string {
		return []string{fmt.Sprintf("ckpt-%d.data-00000-of-00001", n), fmt.Sprintf("ckpt-%d.index", n)}
	}
	l := files(t, slices.Concat(bundle(1), bundle(2), []string{"best.keras", "layer1.pkl", "layer2.pkl", "export/saved_model.pb"})...)
	var got [][]string
	for _, choices := range unit.Wanted(unit.Of(l)) {
		got = append(got, names(choices))
	}
	if want := [][]string{{"ckpt-2", "ckpt-1"}, {"best.keras"}, {"layer1.pkl"}, {"layer2.pkl"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestNewer(t *testing.T) {
	all := files(t, "a-1.keras", "a-2.keras", "a-3.keras")
	choices := unit.Wanted(unit.Of(all))[0]
	for _, c := range []struct {
		why        string
		here, want []string
	}{
		{"nothing here", nil, []string{"a-3.keras", "a-2.keras", "a-1.keras"}},
		{"the newest is here", []string{"a-3.keras"}, nil},
		{"an older one is here: a broken one was set aside", []string{"a-2.keras"}, []string{"a-3.keras"}},
		{"what is here was never copied", []string{"a-3.keras", "a-4.keras"}, nil},
		{"something else is here", []string{"b-4.keras"}, []string{"a-3.keras", "a-2.keras", "a-1.keras"}},
	} {
		if got := names(unit.Newer(choices, unit.Of(files(t, c.here...)))); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
}

// play has a tracker see one directory after the other, and copy what there is to copy; what
// happens is told as text.
type play struct {
	t       *testing.T
	tracker *unit.Tracker
	now     time.Time
	open    string // a unit that somebody writes
}

func newPlay(t *testing.T) *play {
	return &play{t: t, tracker: unit.NewTracker(), now: time.Unix(0, 0)}
}

func (p *play) look(life unit.Life, names ...string) string {
	p.t.Helper()
	p.now = p.now.Add(time.Second)
	p.tracker.Scan(unit.Of(files(p.t, names...)))
	if life == unit.Runs {
		for _, u := range p.tracker.Still() {
			if u.Name != p.open {
				p.tracker.Closed(u)
			}
		}
	}
	var did []string
	for {
		c, ok := p.tracker.Next(p.now, life, func(string) bool { return false })
		if !ok {
			break
		}
		text := c.Unit.Name
		if c.Unit.Known == nil && len(c.Changed) != len(c.Unit.Files) || len(c.Stale) > 0 {
			text += fmt.Sprintf("(%d", len(c.Changed))
			for _, s := range c.Stale {
				text += " -" + s
			}
			text += ")"
		}
		did = append(did, text)
		p.tracker.Copied(p.now, c.Unit)
	}
	for _, c := range p.tracker.Deleted(life) {
		did = append(did, "-"+strings.Join(c.Stale, " -"))
		p.tracker.Forget(c.Unit)
	}
	return strings.Join(did, " ")
}

func (p *play) want(why, got, want string) {
	p.t.Helper()
	if got != want {
		p.t.Errorf("%s: %q, want %q", why, got, want)
	}
}

func TestTrackerCopiesWhatIsComplete(t *testing.T) {
	p := newPlay(t)
	p.want("seen once", p.look(unit.Runs, "a.pkl"), "")
	p.want("it grows", p.look(unit.Runs, "a.pkl=20"), "")
	p.open = "a.pkl"
	p.want("still, yet open", p.look(unit.Runs, "a.pkl=20"), "")
	p.open = ""
	p.want("closed", p.look(unit.Runs, "a.pkl=20"), "a.pkl")
	p.want("nothing new", p.look(unit.Runs, "a.pkl=20"), "")
	p.want("written again", p.look(unit.Runs, "a.pkl=30"), "")
	p.want("written again, and still", p.look(unit.Runs, "a.pkl=30"), "a.pkl")
}

func TestTrackerCopiesWhatChangedOfADirectory(t *testing.T) {
	p := newPlay(t)
	p.look(unit.Runs, "d/a", "d/b")
	p.want("all of it", p.look(unit.Runs, "d/a", "d/b"), "d")
	p.look(unit.Runs, "d/a", "d/c=5")
	p.want("a file in the place of another", p.look(unit.Runs, "d/a", "d/c=5"), "d(1 -d/b)")
}

func TestTrackerFollowsDeletions(t *testing.T) {
	p := newPlay(t)
	p.look(unit.Ended, "a.pkl", "d/x", "m.keras")
	p.want("gone for a moment, as one that is written anew", p.look(unit.Runs), "")
	p.want("gone: what tfos does not know goes, what it knows stays", p.look(unit.Runs), "-a.pkl -d/x")
	p.want("once", p.look(unit.Runs), "")
	p.want("never copied, so nothing is to be deleted", p.look(unit.Runs, "b.pkl")+p.look(unit.Runs)+p.look(unit.Runs), "")
}

// A shard is nobody's until its index comes, and then it is a part of the checkpoint: it is not
// deleted.
func TestTrackerOfAShard(t *testing.T) {
	shard := checkpoint.File{Name: "a.data-00000-of-00001", Size: 10}
	index := checkpoint.File{Name: "a.index", Size: 10}
	alone := unit.Unit{Name: shard.Name, Files: []checkpoint.File{shard}}
	whole := unit.Unit{Name: "a", Known: &checkpoint.Checkpoint{Name: "a", Format: checkpoint.Bundle}, Files: []checkpoint.File{shard, index}}
	tracker := unit.NewTracker()
	tracker.Scan([]unit.Unit{alone})
	tracker.Copied(time.Unix(1, 0), alone)
	for range 3 {
		tracker.Scan([]unit.Unit{whole})
	}
	if gone := tracker.Deleted(unit.Runs); len(gone) > 0 {
		t.Errorf("deleted: %+v", gone)
	}
	// A file may be called as a checkpoint is.
	file := unit.Unit{Name: "a", Files: []checkpoint.File{{Name: "a", Size: 3}}}
	tracker.Scan([]unit.Unit{whole, file})
	tracker.Copied(time.Unix(2, 0), whole)
	if left := tracker.Waiting(unit.Ended); len(left) != 1 || left[0].Known != nil {
		t.Errorf("waiting: %+v", left)
	}
}

func TestTrackerWhenTheProgramEnds(t *testing.T) {
	p := newPlay(t)
	p.want("it ended by itself", p.look(unit.Ended, "a.pkl", "m-1.keras", "m-2.keras"), "m-2.keras a.pkl")
	p = newPlay(t)
	p.want("it was cut off: nobody knows whether a file of an unknown kind is whole", p.look(unit.CutOff, "a.pkl", "m-1.keras"), "m-1.keras")
	if got := names(p.tracker.Doubtful()); !slices.Equal(got, []string{"a.pkl"}) {
		t.Errorf("doubtful: %q", got)
	}
	p = newPlay(t)
	p.tracker.Scan(unit.Of(files(t, "a.pkl")))
	p.tracker.Scan(unit.Of(files(t, "a.pkl")))
	p.tracker.Closed(p.tracker.Still()[0])
	p.want("it was closed before", p.look(unit.CutOff, "a.pkl"), "a.pkl")
}

// Copying that does not keep up passes over what is old.
func TestTrackerThatFallsBehind(t *testing.T) {
	p := newPlay(t)
	all := []string{"m-1.keras", "m-2.keras", "m-3.keras", "m-4.keras"}
	p.tracker.Scan(unit.Of(files(t, all...)))
	p.want("four at once", p.look(unit.Runs, all...), "m-3.keras m-4.keras")
}

func TestTrackerCopiesLogsSeldom(t *testing.T) {
	const log = "events.out.tfevents.1.host"
	p := newPlay(t)
	p.look(unit.Runs, log)
	p.want("the first time", p.look(unit.Runs, log), log)
	p.look(unit.Runs, log+"=20")
	p.want("it has grown", p.look(unit.Runs, log+"=20"), "")
	p.now = p.now.Add(time.Minute)
	p.want("a minute later", p.look(unit.Runs, log+"=20"), log)
	p.want("at the end", p.look(unit.Ended, log+"=30"), log)
}

func TestTrackerLooksAtARefusedUnitAgainWhenItChanges(t *testing.T) {
	p := newPlay(t)
	p.tracker.Scan(unit.Of(files(t, "m.keras")))
	c, _ := p.tracker.Next(p.now, unit.Ended, func(string) bool { return false })
	p.tracker.Refuse(c.Unit)
	p.want("refused", p.look(unit.Ended, "m.keras"), "")
	p.want("changed", p.look(unit.Ended, "m.keras=20"), "m.keras")
}

func FuzzParsePlan(f *testing.F) {
	f.Add([]byte(`{"files":["a","b/c"],"stale":["d"]}`))
	f.Add([]byte(`{"files":["../a"]}`))
	f.Add([]byte(`{"files":["/a"],"stale":[""]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := unit.ParsePlan(b)
		if err != nil {
			return
		}
		for _, name := range slices.Concat(p.Files, p.Stale) {
			if strings.HasPrefix(name, "/") || slices.Contains(strings.Split(name, "/"), "..") || strings.HasPrefix(name, checkpoint.Staging+"/") || name == "" {
				t.Errorf("%q was taken", name)
			}
		}
		again, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if q, err := unit.ParsePlan(again); err != nil || !slices.Equal(p.Files, q.Files) || !slices.Equal(p.Stale, q.Stale) {
			t.Errorf("%+v became %+v, %v", p, q, err)
		}
	})
}
