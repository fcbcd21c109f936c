package guard

import _ "embed"

// image is process/guard.c for this kind of machine, as the script ./build makes it.
//
//go:embed process/guard_arm64
var image []byte
