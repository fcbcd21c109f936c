//go:build hadoop

package yarntest

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"testing"
	"time"

	"tfos/internal/hadoop/conf"
	"tfos/internal/yarn"
	"tfos/internal/yarn/yarnrpc"
)

// The environment describes a running cluster on this machine.
const (
	envConf    = "TFOS_TEST_HADOOP_CONF"    // its configuration directory
	envCustom  = "TFOS_TEST_HADOOP_CUSTOM"  // a custom resource that its nodes have; may be empty
	envCluster = "TFOS_TEST_HADOOP_CLUSTER" // deploy/testcluster/cluster for it, with arguments: to break it; may be empty
	// envPreempt is a queue of which it preempts what goes beyond its share, once the queue default
	// wants all of the cluster; may be empty.
	envPreempt = "TFOS_TEST_HADOOP_PREEMPT"
)

// TestHadoop puts a real Hadoop to the suite.
func TestHadoop(t *testing.T) {
	dir := os.Getenv(envConf)
	if dir == "" {
		t.Fatalf("set %s to the configuration directory of a running cluster, as deploy/testcluster makes it", envConf)
	}
	c, err := conf.Load([]string{dir}, os.ReadFile, conf.Environment{Env: os.LookupEnv})
	must(t, err)
	client, errClient := yarnrpc.ClientOptions(c)
	master, errMaster := yarnrpc.MasterOptions(c)
	must(t, errors.Join(errClient, errMaster))
	name := os.Getenv("HADOOP_USER_NAME")
	if name == "" {
		u, err := user.Current()
		must(t, err)
		name = u.Username
	}
	cluster := Cluster{
		Client: client.Addrs, Scheduler: master.Addrs, User: name, Queue: "default", Protection: client.Protection,
		Dir: t.TempDir(), Custom: os.Getenv(envCustom), Patience: time.Minute,
	}
	if command := strings.Fields(os.Getenv(envCluster)); len(command) > 0 {
		run := func(t *testing.T, args ...string) {
			if out, err := exec.Command(command[0], append(command[1:len(command):len(command)], args...)...).CombinedOutput(); err != nil {
				t.Fatalf("cluster %s: %v\n%s", strings.Join(args, " "), err, out)
			}
		}
		cluster.Restart = func(t *testing.T) { run(t, "restart", "rm"); run(t, "wait") }
		cluster.Drain = func(t *testing.T, n yarn.NodeID, timeout time.Duration) {
			run(t, "drain", "--timeout", strconv.Itoa(int(timeout/time.Second)), n.Host)
		}
		cluster.Recommission = func(t *testing.T, n yarn.NodeID) { run(t, "recommission", n.Host) }
	}
	if cluster.PreemptQueue = os.Getenv(envPreempt); cluster.PreemptQueue != "" {
		cluster.Preempt = func(t *testing.T, _ yarn.ContainerID) { cluster.wantEverything(t) }
	}
	Run(t, cluster)
}

// wantEverything has another application of the default queue want more than the cluster has.
func (c Cluster) wantEverything(t *testing.T) {
	s := &suite{Cluster: c}
	s.client = yarnrpc.NewClient(s.options(t, c.Client), nil)
	t.Cleanup(func() { must(t, s.client.Close()) })
	rival := s.submit(t, nil)
	rival.register()
	rival.ledger.SetAsk(yarn.Ask{ID: 1, Priority: 1, Resource: yarn.Resource{MemoryMiB: rival.registered.Max.MemoryMiB / 4, VCores: 1}, Count: 100})
	rival.beat()
}
