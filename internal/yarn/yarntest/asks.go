package yarntest

import (
	"errors"
	"slices"
	"testing"

	"tfos/internal/yarn"
)

// testRefusedAsks asks for what can never be granted.
func testRefusedAsks(t *testing.T, s *suite) {
	a := s.submit(t, nil)
	a.register()
	for name, spoil := range map[string]func(*yarn.Ask){
		"more memory than any node has": func(k *yarn.Ask) { k.Resource.MemoryMiB = a.registered.Max.MemoryMiB + 1024 },
		"more vcores than any node has": func(k *yarn.Ask) { k.Resource.VCores = a.registered.Max.VCores + 1 },
		"a label that no node has":      func(k *yarn.Ask) { k.NodeLabel = "no-such-label" },
		"less than nothing":             func(k *yarn.Ask) { k.Resource.MemoryMiB = -1 },
	} {
		ask := yarn.Ask{ID: 1, Priority: 1, Resource: small, Count: 1}
		spoil(&ask)
		a.ledger.SetAsk(ask)
		if _, err := a.master.Allocate(s.context(t), a.ledger.Next(0)); !errors.Is(err, yarn.ErrInvalidResource) {
			t.Errorf("%s: %v", name, err)
		}
		a.ledger.Refused()
		a.ledger.SetAsk(yarn.Ask{ID: 1, Priority: 1, Resource: small, Count: 0})
	}
	// The refused heartbeats changed nothing: the next one has the same id and works.
	a.ask(yarn.Ask{ID: 2, Priority: 2, Resource: small, Count: 1})
}

// testCustom asks for resources beyond memory and vcores.
func testCustom(t *testing.T, s *suite) {
	a := s.submit(t, nil)
	a.register()
	unknown := yarn.Resource{MemoryMiB: 128, VCores: 1, Custom: map[string]int64{"test.example/unknown": 1}}
	if err := yarn.CheckResource(a.registered.ResourceTypes, unknown); !errors.Is(err, yarn.ErrUnknownResource) {
		t.Errorf("check of a resource that the cluster does not count: %v", err)
	}
	// Asked for without the check: dropped without a word.
	a.ledger.SetAsk(yarn.Ask{ID: 1, Priority: 1, Resource: unknown, Count: 1})
	a.beatUntil("nothing was granted", func() bool { return len(a.last.Unfit)+len(a.last.Granted) > 0 })
	if len(a.last.Granted) > 0 {
		t.Errorf("granted a resource that the cluster does not count: %+v", a.last.Granted)
	}
	a.ledger.SetAsk(yarn.Ask{ID: 1, Priority: 1, Resource: unknown, Count: 0})
	a.beat()
	if s.Custom == "" {
		return
	}
	one := yarn.Resource{MemoryMiB: 128, VCores: 1, Custom: map[string]int64{s.Custom: 1}}
	if err := yarn.CheckResource(a.registered.ResourceTypes, one); err != nil {
		t.Error(err)
	}
	c := a.ask(yarn.Ask{ID: 2, Priority: 2, Resource: one, Count: 1})[0]
	if c.Resource.Custom[s.Custom] != 1 {
		t.Errorf("granted %v, asked for %v", c.Resource, one)
	}
	huge := one
	huge.Custom = map[string]int64{s.Custom: 1 << 40}
	a.ledger.SetAsk(yarn.Ask{ID: 3, Priority: 3, Resource: huge, Count: 1})
	if _, err := a.master.Allocate(s.context(t), a.ledger.Next(0)); !errors.Is(err, yarn.ErrInvalidResource) {
		t.Errorf("more %s than any node has: %v", s.Custom, err)
	}
}

// testExcluded keeps containers off a host, and lets them on it again.
func testExcluded(t *testing.T, s *suite) {
	nodes, err := s.client.Nodes(s.context(t))
	must(t, err)
	var hosts []string
	for _, n := range nodes {
		if n.State.Usable() && !slices.Contains(hosts, n.ID.Host) {
			hosts = append(hosts, n.ID.Host)
		}
	}
	slices.Sort(hosts)
	a := s.submit(t, nil)
	a.register()
	a.ledger.Exclude(hosts...)
	a.beat()
	a.ledger.SetAsk(yarn.Ask{ID: 1, Priority: 1, Resource: small, Count: 2})
	for range 20 {
		if out := a.beat(); len(out.Granted)+len(out.Surplus) > 0 {
			t.Fatalf("granted on an excluded host: %+v", out)
		}
	}
	a.ledger.Readmit(hosts[0])
	for _, c := range a.ask() {
		if c.Node.Host != hosts[0] {
			t.Errorf("granted on %s, with %v excluded", c.Node, hosts[1:])
		}
	}
}
