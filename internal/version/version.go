// Package version says which tfos this is.
package version

import "runtime/debug"

// Number is that of the release: python/pyproject.toml has the same.
const Number = "0.1.0"

// commit is set by the Makefile's -ldflags, with "-dirty" behind it if files differ from it; a
// plain `go build` leaves it empty, and may know it otherwise.
var commit string

// String is the version for people and manifests: "0.1.0+1a2b3c4d5e6f", or "0.1.0" where the build
// knows no commit.
func String() string {
	if c := Commit(); c != "" {
		return Number + "+" + c
	}
	return Number
}

// Commit is the first twelve digits of the commit that this was built from; empty: not known.
func Commit() string {
	if commit != "" {
		return commit
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return ""
}
