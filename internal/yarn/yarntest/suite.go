// Package yarntest is the contract between tfos and YARN, as tests that any cluster can be put to.
//
// The embedded YARN and real Hadoop both run it: a test that passes on one only is a bug in the
// embedded one, or in what we believe of Hadoop. The suite is the application's master itself. It
// submits an application whose master is a shell script that hands its tokens out and waits, and
// then speaks for it from here; so the test, the nodes and their containers must share a
// filesystem.
package yarntest

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"tfos/internal/hadoop/token"
	"tfos/internal/hadoop/uri"
	"tfos/internal/yarn"
	"tfos/internal/yarn/yarnrpc"
)

// Cluster is what the suite must know of a cluster. At least two containers of 128 MiB and one of
// 256 MiB must fit beside a master of 128 MiB, with a vcore each.
type Cluster struct {
	Client     []string // host:port of the ResourceManagers' client ports
	Scheduler  []string // and of their scheduler ports
	User       string
	Token      func() (token.Token, bool) // what the client's port wants to see; nil: the user's name will do
	Queue      string                     // takes applications
	Protection []string
	Dial       yarnrpc.DialFunc // nil: TCP
	// Dir is a directory that containers read and write by the same name as the test. Its files
	// must be readable by whoever runs the NodeManagers.
	Dir string
	// Custom is a resource that every node has at least one of, as "yarn.io/gpu"; empty: the
	// cluster counts none.
	Custom string
	// Restart restarts the ResourceManager, which remembers applications, and returns when it
	// serves again. Nil: the cluster cannot, and what it would show is not in the suite.
	Restart func(t *testing.T)
	// Drain decommissions a node gracefully, and Recommission takes it back, started anew if it was
	// shut down meanwhile. Nil: the suite must not.
	Drain        func(t *testing.T, node yarn.NodeID, timeout time.Duration)
	Recommission func(t *testing.T, node yarn.NodeID)
	// Preempt has YARN take back containers of an application in PreemptQueue, this one among the
	// first; it may return before that is announced. Two containers of a quarter of the largest
	// must fit there, and be more than the queue's share. Nil: the cluster does not preempt.
	Preempt      func(t *testing.T, c yarn.ContainerID)
	PreemptQueue string
	// Patience bounds every wait. Zero: a minute.
	Patience time.Duration
}

// Run puts a cluster to all of the suite.
func Run(t *testing.T, c Cluster) {
	if c.Patience == 0 {
		c.Patience = time.Minute
	}
	type test struct {
		name string
		run  func(*testing.T, *suite)
	}
	tests := []test{
		{"cluster", testCluster},
		{"refused submissions", testRefused},
		{"life of an application", testLife},
		{"response ids", testResponseIDs},
		{"containers", testContainers},
		{"ends of containers", testEnds},
		{"releases", testReleases},
		{"refused asks", testRefusedAsks},
		{"custom resources", testCustom},
		{"excluded nodes", testExcluded},
		{"kill", testKill},
		{"second attempt", testSecondAttempt},
	}
	if c.Restart != nil {
		tests = append(tests, test{"restart of the ResourceManager", testRestart})
	}
	if c.Drain != nil {
		tests = append(tests, test{"draining", testDraining}, test{"draining without a master", testDrainingUnheard})
	}
	if c.Preempt != nil {
		tests = append(tests, test{"preemption", testPreemption})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := &suite{Cluster: c}
			s.client = yarnrpc.NewClient(s.options(t, c.Client), c.Token)
			t.Cleanup(func() {
				if err := s.client.Close(); err != nil {
					t.Errorf("close the client: %v", err)
				}
			})
			test.run(t, s)
		})
	}
}

// suite is one test's view of the cluster.
type suite struct {
	Cluster
	client *yarnrpc.Client
}

func (s *suite) options(t *testing.T, addrs []string) yarnrpc.Options {
	return yarnrpc.Options{Addrs: addrs, User: s.User, Protection: s.Protection, Dial: s.Dial, Log: zaptest.NewLogger(t)}
}

// context ends with the test's patience.
func (s *suite) context(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), s.Patience)
	t.Cleanup(cancel)
	return ctx
}

// isQueue reports whether name is the suite's queue, by its last part as in 2.10 or by its path as
// in 3.x.
func (s *suite) isQueue(name string) bool {
	return name == s.Queue || strings.HasSuffix(name, "."+s.Queue)
}

// uri is how a NodeManager names a local file.
func fileURI(path string) string { return uri.URI{Scheme: "file", Path: path}.String() }

// pause lets the cluster work between two looks at it.
const pause = 50 * time.Millisecond

// until looks again and again until look says true.
func (s *suite) until(t *testing.T, what string, look func() bool) {
	t.Helper()
	for end := time.Now().Add(s.Patience); !look(); time.Sleep(pause) {
		if time.Now().After(end) {
			t.Fatalf("after %v: %s", s.Patience, what)
		}
	}
}

// must fails the test if a call failed that the test needs but does not look into.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// small is the least that the suite asks for.
var small = yarn.Resource{MemoryMiB: 128, VCores: 1}
