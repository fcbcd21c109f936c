package version

import (
	"os"
	"regexp"
	"testing"
)

// TestNumberIsThatOfTheWheels: pip tells people the version of the binaries that a wheel brings.
func TestNumberIsThatOfTheWheels(t *testing.T) {
	for _, name := range []string{"../../python/pyproject.toml", "../../python/names/pyproject.toml"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if m := regexp.MustCompile(`(?m)^version = "(.*)"$`).FindSubmatch(b); m == nil || string(m[1]) != Number {
			t.Errorf("%s has the version %q, want %s", name, m, Number)
		}
	}
}

func TestString(t *testing.T) {
	defer func(was string) { commit = was }(commit)
	commit = "1a2b3c4d5e6f-dirty"
	if got, want := String(), Number+"+1a2b3c4d5e6f-dirty"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
