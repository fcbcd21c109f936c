package yarnrpc

import (
	"reflect"
	"testing"
	"time"

	"tfos/internal/yarn"
)

func TestTokenIdentifiers(t *testing.T) {
	attempt := yarn.AttemptID{Application: yarn.ApplicationID{ClusterTimestamp: 17, Sequence: 3}, Attempt: 2}
	node := yarn.NodeID{Host: "n", Port: 4}
	at := time.UnixMilli(1_700_000_000_000)
	master := MasterTokenID{attempt}
	if got, err := ParseMasterTokenID(marshal(t, master)); err != nil || got != master {
		t.Errorf("%+v, %v", got, err)
	}
	nm := NodeTokenID{attempt, node, "ann"}
	if got, err := ParseNodeTokenID(marshal(t, nm)); err != nil || got != nm {
		t.Errorf("%+v, %v", got, err)
	}
	c := ContainerTokenID{Container: yarn.ContainerID{Attempt: attempt, ID: 5}, Node: node, User: "ann", Priority: 6, AskID: 7,
		Resource: yarn.Resource{MemoryMiB: 1, VCores: 2, Custom: map[string]int64{"yarn.io/gpu": 3}}, Created: at, Expires: at.Add(time.Hour), RM: at, Master: true}
	if got, err := ParseContainerTokenID(marshal(t, c)); err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("%+v, %v", got, err)
	}
}

func marshal(t testing.TB, id interface{ Marshal() ([]byte, error) }) []byte {
	t.Helper()
	b, err := id.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzTokenIdentifiers(f *testing.F) {
	f.Add(marshal(f, MasterTokenID{}))
	f.Add(marshal(f, NodeTokenID{User: "u"}))
	f.Add(marshal(f, ContainerTokenID{Node: yarn.NodeID{Host: "n", Port: 1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, err := ParseContainerTokenID(b); err == nil {
			marshal(t, id)
		}
		if id, err := ParseNodeTokenID(b); err == nil {
			marshal(t, id)
		}
		if id, err := ParseMasterTokenID(b); err == nil {
			marshal(t, id)
		}
	})
}
