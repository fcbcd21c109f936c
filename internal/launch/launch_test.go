package launch

import (
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestEscapedTextPassesAShell: a NodeManager writes export NAME="VALUE" into a script.
func TestEscapedTextPassesAShell(t *testing.T) {
	for _, text := range []string{"hdfs://nn:8020/user/ann/.tfos", `hdfs://nn/user/svc$HOME "a" \b ` + "`id` %20 #{{x}}é\n"} {
		out, err := exec.Command("sh", "-c", `V="`+EscapeEnv(text)+`"; printf %s "$V"`).Output()
		if got, unescapeErr := UnescapeEnv(string(out)); got != text || err != nil || unescapeErr != nil {
			t.Errorf("%q came as %q, %v, %v", text, got, err, unescapeErr)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		if got, err := UnescapeEnv(EscapeEnv(text)); got != text || err != nil {
			t.Errorf("%q came back as %q, %v", text, got, err)
		}
	})
}

func TestCheckpointURI(t *testing.T) {
	for dir, want := range map[string]string{"/m/a b%20#1": "file:///m/a b%20#1", "hdfs:///m#2": "hdfs:///m#2"} {
		if got := CheckpointURI(dir); got != want {
			t.Errorf("%s is %s, want %s", dir, got, want)
		}
	}
}

// TestLinks: what a NodeManager may stumble over comes under another name, and the agent finds its
// own in that.
func TestLinks(t *testing.T) {
	for _, c := range []struct {
		r       Resource
		same    bool // the NodeManager gives it its name
		unpack  bool
		archive bool // for the NodeManager
	}{
		{Resource{Name: "train.py", URI: "hdfs://nn/c/1"}, true, false, false},
		{Resource{Name: "a b'%#*.txt", URI: "hdfs://nn/c/1"}, true, false, false},
		{Resource{Name: "env", URI: "hdfs://nn/c/1.zip", Archive: true}, true, false, true},
		{Resource{Name: "Grüße.py", URI: "hdfs://nn/c/1"}, false, false, false},
		{Resource{Name: "a$HOME.txt", URI: "hdfs://nn/c/1"}, false, false, false},
		{Resource{Name: "hour=00:00", URI: "hdfs://nn/c/1"}, false, false, false},
		{Resource{Name: `a"b`, URI: "hdfs://nn/c/1"}, false, false, false},
		{Resource{Name: "dätä", URI: "hdfs://nn/c/1.zip", Archive: true}, false, false, true},
		{Resource{Name: "daten", URI: "hdfs://nn/c/1.by-agent.tar.gz", Archive: true}, false, true, false},
	} {
		name, unpack, ok := ParseLink(c.r.Link())
		if !ok {
			name = c.r.Link()
		}
		if ok == c.same || name != c.r.Name || unpack != c.unpack || c.r.Local().Archive != c.archive || !plainName(c.r.Link()) {
			t.Errorf("%+v is linked as %s, which is %s, unpacked %v, archive %v", c.r, c.r.Link(), name, unpack, c.r.Local().Archive)
		}
		if c.unpack && !strings.HasSuffix(c.r.Link(), ".tar.gz") {
			t.Errorf("%s does not say what it is", c.r.Link())
		}
	}
	if long := (Resource{Name: strings.Repeat("ü", 100)}); long.CheckLink() == nil {
		t.Errorf("a link of %d bytes is let pass", len(long.Link()))
	}
}

func TestGranted(t *testing.T) {
	for _, c := range []struct {
		set  map[string]int64
		want int
	}{
		{nil, 2},
		{map[string]int64{"yarn.resourcemanager.am.max-attempts": 5}, 5},
		{map[string]int64{"yarn.resourcemanager.am.max-attempts": 100}, MasterAttempts},
		{map[string]int64{"yarn.resourcemanager.am.max-attempts": 2, "yarn.resourcemanager.am.global.max-attempts": 4}, 4},
		{map[string]int64{"yarn.resourcemanager.am.max-attempts": 0}, 1},
	} {
		got, err := Granted(func(key string, otherwise int64) (int64, error) {
			if n, ok := c.set[key]; ok {
				return n, nil
			}
			return otherwise, nil
		})
		if got != c.want || err != nil {
			t.Errorf("%v: %d, %v; want %d", c.set, got, err, c.want)
		}
	}
}

// FuzzManifest: a manifest is an error, or comes back as it was; and the names of its files come
// back from their links.
func FuzzManifest(f *testing.F) {
	m := Manifest{Version: "1", User: "ann", Staging: "/user/ann/.tfos/jobs/a", Agent: Resource{Name: "tfos-agent", URI: "hdfs://nn/c/1", Size: 1, ModTime: 2}}
	m.Files = []Resource{{Name: "Grüße.zip", URI: "hdfs://nn/c/2.by-agent.zip", Archive: true}}
	m.Resume = &StartPoint{From: "application_1_0001", Checkpoint: "ckpt-4", Step: 4}
	b, err := m.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"files": null, "resume": {}, "agent": {"size": 1e3}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManifest(b)
		comesBack(t, m, err, Manifest.Encode, ParseManifest)
		for _, r := range append(m.Files, m.Agent) {
			if name, unpack, ok := ParseLink(r.Link()); ok && r.Link() != r.Name && (name != r.Name || unpack != r.byAgent()) {
				t.Errorf("%+v is linked as %s, which is %q, unpacked %v", r, r.Link(), name, unpack)
			}
			r.Local()
		}
	})
}

// FuzzMaster: where a master listens is an error, or comes back as it was.
func FuzzMaster(f *testing.F) {
	f.Add([]byte(`{"address": "nm1:4711", "attempt": 2}`))
	f.Add([]byte(`{"attempt": 99999999999}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMaster(b)
		comesBack(t, m, err, Master.Encode, ParseMaster)
		if err == nil && m.Address == "" {
			t.Errorf("%s names no address", b)
		}
	})
}

// comesBack holds a parser's answer against that to the encoded answer.
func comesBack[T any](t *testing.T, got T, err error, encode func(T) ([]byte, error), parse func([]byte) (T, error)) {
	t.Helper()
	if err != nil {
		return
	}
	b, err := encode(got)
	if err != nil {
		t.Fatalf("%+v: %v", got, err)
	}
	if again, err := parse(b); err != nil || !reflect.DeepEqual(again, got) {
		t.Errorf("%+v comes back as %+v, %v", got, again, err)
	}
}
