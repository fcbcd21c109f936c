package agent

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tfos/internal/clusterspec"
	"tfos/internal/job"
)

// TestPeersAreReachedWithoutAProxy by whoever looks at any of the variables.
func TestPeersAreReachedWithoutAProxy(t *testing.T) {
	peers := clusterspec.Spec{Members: []clusterspec.Member{
		{Task: job.Task{Role: "worker"}, Address: "127.100.0.0:4"}, {Task: job.Task{Role: "worker", Index: 1}, Address: "n1:8000"},
		{Task: job.Task{Role: "worker", Index: 2}, Address: "n1:8001"}, {Task: job.Task{Role: "worker", Index: 3}},
	}}
	const ours = "127.0.0.0/8,127.100.0.0,n1"
	for _, c := range []struct {
		name      string
		env, want map[string]string
	}{
		{"nothing is set", map[string]string{}, map[string]string{"no_proxy": ours, "NO_PROXY": ours}},
		{"one spelling holds for the other, as it did before", map[string]string{"NO_PROXY": "a, n1"}, map[string]string{
			"no_proxy": "a, n1,127.0.0.0/8,127.100.0.0", "NO_PROXY": "a, n1,127.0.0.0/8,127.100.0.0"}},
		{"both are set", map[string]string{"no_proxy": "a", "NO_PROXY": "b"}, map[string]string{"no_proxy": "a," + ours, "NO_PROXY": "b," + ours}},
		{"gRPC has its own", map[string]string{"no_proxy": "a", "no_grpc_proxy": "g"}, map[string]string{
			"no_proxy": "a," + ours, "NO_PROXY": "a," + ours, "no_grpc_proxy": "g," + ours}},
		{"all hosts, a word that gRPC does not know", map[string]string{"no_proxy": "*"}, map[string]string{
			"no_proxy": "*", "NO_PROXY": "*", "no_grpc_proxy": ours}},
	} {
		withoutProxy(c.env, peers)
		if diff := cmp.Diff(c.want, c.env); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestManyPeersFitIntoAVariable of which the kernel takes 128 KiB.
func TestManyPeersFitIntoAVariable(t *testing.T) {
	var s clusterspec.Spec
	for i := range 20000 {
		s.Members = append(s.Members, clusterspec.Member{Address: fmt.Sprintf("127.100.%d.%d:4", i>>8, i&255)})
	}
	env := map[string]string{"no_proxy": "a"}
	withoutProxy(env, s)
	if n := len(env["no_proxy"]); n > 128<<10-100 || n < 64<<10 {
		t.Errorf("%d bytes", n)
	}
}
