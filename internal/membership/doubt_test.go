package membership

import (
	"slices"
	"testing"

	"tfos/internal/job"
	"tfos/internal/yarn"
)

func TestStrays(t *testing.T) {
	var k takeover
	one, two := yarn.ContainerID{ID: 1}, yarn.ContainerID{ID: 2}
	k.keep(stray{Container: one, Node: yarn.NodeID{Host: "a"}})
	k.keep(stray{Container: two})
	k.keep(stray{Container: one, Node: yarn.NodeID{Host: "b"}}) // told again
	if len(k.Strays) != 2 {
		t.Errorf("there are %+v", k.Strays)
	}
	if s, is := k.claim(one); !is || s.Node.Host != "b" {
		t.Errorf("one is %+v, %v", s, is)
	}
	if _, is := k.claim(one); is || len(k.Strays) != 1 {
		t.Errorf("it was claimed twice, and %+v are left", k.Strays)
	}
	if k.begin(3); k.Attempt != 3 || k.Strays != nil {
		t.Errorf("the next attempt has %+v", k)
	}
}

// TestGenerationsInDoubt: a cluster_spec's number is given out once, whatever the journal knows.
func TestGenerationsInDoubt(t *testing.T) {
	worker := func(i int) job.Task { return job.Task{Role: "worker", Index: i} }
	k := takeover{Unheard: []job.Task{worker(0), worker(1)}}
	if got := k.next(7); got != 8 {
		t.Errorf("after 7 comes %d", got)
	}
	k.hear(worker(0), 7, Joined{Generation: 9, Digest: 99})
	k.hear(worker(2), 7, Joined{Generation: 8, Digest: 88})
	if got := k.next(7); got != 10 || k.Digest != 99 {
		t.Errorf("after 7, with agents that have 9 and 8, comes %d; digest %d", got, k.Digest)
	}
	if !slices.Equal(k.Unheard, []job.Task{worker(1)}) {
		t.Errorf("unheard are %v", k.Unheard)
	}
	k.MaybeNewer = true
	if got := k.next(7); got != 10+generationLeap {
		t.Errorf("after one that may be newer comes %d", got)
	}
	if k.published(); k.next(7) != 8 {
		t.Errorf("once one was published: %d", k.next(7))
	}
}

func TestTakeoversAreBounded(t *testing.T) {
	var k takeover
	for i := range maxTakeovers + 5 {
		k.note(moment(i))
	}
	if len(k.Times) != maxTakeovers || !k.Times[0].Equal(moment(5)) {
		t.Errorf("%d are remembered, since %v", len(k.Times), k.Times[0])
	}
}
