package control

import (
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"tfos/internal/clusterspec"
	"tfos/internal/control/controlpb"
	"tfos/internal/job"
)

// TestAnAgentHasEveryMember: whatever cluster_spec an agent had, it makes the newest one of what it
// is sent, which names few members where few moved.
func TestAnAgentHasEveryMember(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var cache specCache
		had := []clusterspec.Spec{{}}
		for g := range job.Generation(rapid.IntRange(1, 12).Draw(t, "generations")) {
			now := had[len(had)-1].Clone()
			now.Generation = g + 1
			if size := rapid.IntRange(0, 20).Draw(t, "size"); size < len(now.Members) {
				now.Members = now.Members[:size]
			} else {
				for i := len(now.Members); i < size; i++ {
					now.Members = append(now.Members, clusterspec.Member{Task: job.Task{Role: job.Worker, Index: i}, Address: fmt.Sprint("n:", i)})
				}
			}
			for i := range now.Members {
				if rapid.IntRange(0, 9).Draw(t, "moves") == 0 {
					now.Members[i].Incarnation++
				}
			}
			before := rapid.SampledFrom(had).Draw(t, "the agent has")
			had = append(had, now)
			message := sent(t, &cache, before.Generation, now)
			got, err := received(before, message)
			if err != nil || got.Generation != now.Generation || !slices.Equal(got.Members, now.Members) {
				t.Fatalf("of generation %d and %v it made %+v, %v, want %+v", before.Generation, message, got, err, now)
			}
			if moved := news(before.Members, now.Members); message.GetBase() > 0 && len(message.GetMembers()) != len(moved) {
				t.Fatalf("%d members were sent, and %d moved", len(message.GetMembers()), len(moved))
			}
		}
	})
}

// sent is the message as an agent reads it.
func sent(t interface{ Fatal(...any) }, c *specCache, base job.Generation, s clusterspec.Spec) *controlpb.Spec {
	encoded, err := c.encode(base, s)
	if err != nil {
		t.Fatal(err)
	}
	var m controlpb.ToAgent
	if err := proto.Unmarshal(encoded.bytes, &m); err != nil {
		t.Fatal(err)
	}
	if job.Generation(m.GetSpec().GetBase()) != encoded.base {
		t.Fatal("it says another base than it has")
	}
	return m.GetSpec()
}

// TestOneMoveIsOneMember: a thousand agents are not sent a thousand members each.
func TestOneMoveIsOneMember(t *testing.T) {
	var cache specCache
	s := clusterspec.Spec{Generation: 1}
	for i := range 1000 {
		s.Members = append(s.Members, clusterspec.Member{Task: job.Task{Role: job.Worker, Index: i}, Incarnation: 1})
	}
	if m := sent(t, &cache, 0, s); len(m.GetMembers()) != 1000 {
		t.Errorf("who has none was sent %d members", len(m.GetMembers()))
	}
	s = s.Clone()
	s.Generation, s.Members[7].Incarnation = 2, 2
	if m := sent(t, &cache, 1, s); len(m.GetMembers()) != 1 || m.GetPlaces()[0] != 7 {
		t.Errorf("who has the one before was sent %v", m)
	}
	for range recentSpecs {
		s = s.Clone()
		s.Generation++
		if _, err := cache.encode(s.Generation-1, s); err != nil {
			t.Fatal(err)
		}
	}
	if m := sent(t, &cache, 1, s); m.GetBase() != 0 {
		t.Errorf("who has one that is forgotten was sent what is new since generation %d", m.GetBase())
	}
}

// TestWhatDoesNotFitIsRefused: the agent joins anew then, and is sent all.
func TestWhatDoesNotFitIsRefused(t *testing.T) {
	before := clusterspec.Spec{Generation: 3, Members: []clusterspec.Member{{Task: job.Task{Role: job.Worker}}}}
	member := &controlpb.Member{Task: "worker/1"}
	for _, p := range []*controlpb.Spec{
		{Generation: 4, Base: 2, Count: 1},
		{Generation: 4, Base: 3, Count: -1},
		{Generation: 4, Base: 3, Count: 1 << 30},
		{Generation: 4, Base: 3, Count: 1, Places: []int32{0}},
		{Generation: 4, Base: 3, Count: 2, Places: []int32{2}, Members: []*controlpb.Member{member}},
		{Generation: 4, Base: 3, Count: 2, Places: []int32{-1}, Members: []*controlpb.Member{member}},
		{Generation: 4, Base: 3, Count: 2, Places: []int32{0}, Members: []*controlpb.Member{member}},
		{Generation: 4, Base: 3, Count: 2, Places: []int32{1}, Members: []*controlpb.Member{{Task: "x"}}},
	} {
		if got, err := received(before, p); err == nil {
			t.Errorf("of %v it made %+v", p, got)
		}
	}
}
