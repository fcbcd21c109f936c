package launch

import (
	"os/exec"
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
