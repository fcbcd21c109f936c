package agent

import (
	"bytes"
	"testing"
)

func FuzzReadLeaseCall(f *testing.F) {
	f.Add([]byte(`{"incarnation": 1, "client": "c", "number": 5, "next": {"dataset": {"name": "d", "patterns": ["/*"], "kind": "text", "shuffle": 3}}}`))
	f.Add([]byte(`{"ack": [{"lease": 7, "position": 18, "end": "done"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := readLeaseCall(bytes.NewReader(b)); err == nil && c.Op == nil {
			t.Errorf("%q asks for nothing", b)
		}
	})
}
