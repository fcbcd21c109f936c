package launch

import (
	"os/exec"
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
