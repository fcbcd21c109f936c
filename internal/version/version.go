// Package version says which tfos this is.
package version

import "runtime/debug"

// number is set by the Makefile's -ldflags; a plain `go build` leaves it.
var number = "devel"

// String is the version for people and manifests: "0.1.0", or "devel" with the commit where the
// build knows it.
func String() string {
	if number != "devel" {
		return number
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return number
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return number + "-" + s.Value[:12]
		}
	}
	return number
}
