//go:build hadoop

package yarntest

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"strings"
	"testing"

	"tfos/internal/hadoop/conf"
	"tfos/internal/yarn/yarnrpc"
)

// The environment describes a running cluster on this machine.
const (
	envConf    = "TFOS_TEST_HADOOP_CONF"    // its configuration directory
	envCustom  = "TFOS_TEST_HADOOP_CUSTOM"  // a custom resource that its nodes have; may be empty
	envRestart = "TFOS_TEST_HADOOP_RESTART" // a command that restarts its ResourceManager; may be empty
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
		Dir: t.TempDir(), Custom: os.Getenv(envCustom),
	}
	if command := strings.Fields(os.Getenv(envRestart)); len(command) > 0 {
		cluster.Restart = func(t *testing.T) {
			if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", command, err, out)
			}
		}
	}
	Run(t, cluster)
}
