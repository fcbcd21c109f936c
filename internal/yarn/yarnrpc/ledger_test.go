package yarnrpc

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/wire"
	"tfos/internal/yarn"
	"tfos/internal/yarn/ledger"
)

// FuzzAnswers gives the ledger what a ResourceManager might answer, one message after the other.
// Whatever it says, each container and each completion is counted once, what is wanted never grows
// by itself, and the next request survives the wire.
func FuzzAnswers(f *testing.F) {
	container := func(n, ask int64, memory int64) yarn.Container {
		return yarn.Container{ID: yarn.ContainerID{Attempt: yarn.AttemptID{Attempt: 1}, ID: n}, Node: yarn.NodeID{Host: "n", Port: 1}, AskID: ask, Resource: yarn.Resource{MemoryMiB: memory, VCores: 1}}
	}
	over := func(n int64) yarn.ContainerStatus { return yarn.ContainerStatus{ID: container(n, 0, 0).ID, State: 3} }
	var seed []byte
	for i, r := range []yarn.AllocateResponse{
		{Granted: []yarn.Container{container(1, 1, 100), container(2, 1, 100), container(3, 2, 50)}},
		{Granted: []yarn.Container{container(4, 1, 100), container(5, 7, 1)}, Completed: []yarn.ContainerStatus{over(1), over(1), over(9)}},
		{Kept: []yarn.Container{container(6, 0, 1)}, Completed: []yarn.ContainerStatus{over(6), over(3)}},
		{Preempt: yarn.Preemption{Strict: []yarn.ContainerID{container(2, 0, 0).ID}}, Nodes: []yarn.NodeReport{{ID: yarn.NodeID{Host: "n", Port: 1}, State: 3}}},
	} {
		r.ResponseID = int32(i + 1)
		b, err := proto.Marshal(allocateResponseToPB(r))
		if err != nil {
			f.Fatal(err)
		}
		seed = wire.AppendDelimited(seed, b)
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		l := ledger.New()
		l.SetAsk(yarn.Ask{ID: 1, Priority: 1, Resource: yarn.Resource{MemoryMiB: 100, VCores: 1}, Count: 2})
		l.SetAsk(yarn.Ask{ID: 2, Priority: 2, Resource: yarn.Resource{MemoryMiB: 100, VCores: 1, Custom: map[string]int64{"yarn.io/gpu": 1}}, Count: 3, NodeLabel: "gpu"})
		l.Exclude("bad")
		told := map[yarn.ContainerID]bool{}
		for len(in) > 0 {
			var b []byte
			var err error
			if b, in, err = wire.CutDelimited(in); err != nil {
				return
			}
			var message pb.AllocateResponseProto
			if proto.Unmarshal(b, &message) != nil {
				return
			}
			request := l.Next(0.5)
			sent := allocateRequestFromPB(allocateRequestToPB(request))
			if diff := cmp.Diff(request, sent); diff != "" {
				t.Fatalf("the request is read otherwise:\n%s", diff)
			}
			response := allocateResponseFromPB(&message)
			if diff := cmp.Diff(response, allocateResponseFromPB(allocateResponseToPB(response))); diff != "" {
				t.Fatalf("the answer comes back otherwise:\n%s", diff)
			}
			wanted := l.Wanted()
			out, err := l.Answered(response)
			if err != nil {
				t.Fatal(err)
			}
			booked := map[yarn.ContainerID]int{}
			for _, c := range slices.Concat(out.Granted, out.Surplus, out.Unfit) {
				booked[c.ID]++
			}
			for _, c := range response.Granted {
				if n := booked[c.ID]; n > 1 || n == 0 && !told[c.ID] { // one that was told before may be told again
					t.Errorf("%s is booked %d times", c.ID, n)
				}
			}
			for _, c := range slices.Concat(response.Granted, response.Kept) {
				told[c.ID] = true
			}
			if n := len(out.Completed) + len(out.Unknown); n != len(response.Completed) {
				t.Errorf("%d completions of %d", n, len(response.Completed))
			}
			if now := l.Wanted(); now < 0 || now > wanted {
				t.Errorf("%d containers are wanted, and %d were before", now, wanted)
			}
		}
	})
}
