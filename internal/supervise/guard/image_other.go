//go:build !amd64 && !arm64

package guard

// image is empty: there is none for this kind of machine.
var image []byte
