package endpoint

import _ "embed"

// library is preload/endpoint.c for this kind of machine, as the script ./build makes it.
//
//go:embed preload/endpoint_amd64.so
var library []byte
