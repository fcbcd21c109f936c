package rpc

import (
	"encoding/hex"
	"io"
	"testing"

	"tfos/internal/hadoop/wire"
)

func readTestFrame(r io.Reader) ([]byte, error) { return wire.ReadFrame(r, wire.MaxFrame) }

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
