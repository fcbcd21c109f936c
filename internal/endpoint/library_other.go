//go:build !amd64 && !arm64

package endpoint

// library is empty: there is none for this kind of machine.
var library []byte
