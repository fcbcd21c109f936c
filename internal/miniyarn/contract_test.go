package miniyarn_test

import (
	"testing"
	"time"

	"tfos/internal/miniyarn"
	"tfos/internal/yarn"
	"tfos/internal/yarn/yarntest"
)

// TestContract puts the embedded YARN to what real Hadoop has passed.
func TestContract(t *testing.T) {
	node := yarn.Resource{MemoryMiB: 2048, VCores: 8, Custom: map[string]int64{"yarn.io/gpu": 2}}
	for name, o := range map[string]miniyarn.Options{
		"at once":      {},
		"on heartbeat": {NodeHeartbeat: 20 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.CustomResources = []yarn.ResourceType{{Name: "yarn.io/gpu"}}
			o.Nodes = []miniyarn.NodeOptions{{Capacity: node}, {Host: "127.0.0.2", Capacity: node}}
			l := newLab(t, o)
			yarntest.Run(t, yarntest.Cluster{
				Client: []string{l.c.Addr()}, Scheduler: []string{l.c.SchedulerAddr()}, User: "ann", Token: as(l.c, "ann"), Queue: "default", Dir: t.TempDir(),
				Custom: "yarn.io/gpu", Restart: func(*testing.T) { l.c.RestartResourceManager() },
				Drain: func(_ *testing.T, n yarn.NodeID, timeout time.Duration) { l.c.DrainNode(n, timeout) },
				Recommission: func(t *testing.T, n yarn.NodeID) {
					l.c.RecommissionNode(n)
					if err := l.c.StartNode(n); err != nil {
						t.Logf("it is up: %v", err)
					}
				},
				Preempt: func(_ *testing.T, c yarn.ContainerID) { l.c.Preempt(c, time.Second) }, PreemptQueue: "default",
			})
		})
	}
}
