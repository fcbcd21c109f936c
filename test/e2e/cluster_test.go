//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// cluster is a real Hadoop on loopback, as deploy/testcluster starts it.
type cluster struct {
	name string
	conf string   // HADOOP_CONF_DIR
	env  []string // for tfos
	web  string   // see webhdfs
	rm   string   // see rmWeb
	ha   bool     // it has two ResourceManagers
	// hosts are the addresses of the hosts that are network namespaces, by name; empty: all nodes
	// share this machine's network.
	hosts map[string]string
}

// portBase keeps the tests' clusters off those that a developer runs by hand, and below the ports
// that the kernel hands out. TFOS_TEST_PORTS sets another one, so that two checkouts can test at
// the same time.
var portBase = func() int {
	if n, err := strconv.Atoi(os.Getenv("TFOS_TEST_PORTS")); err == nil {
		return n
	}
	return 26000
}()

// shared is the cluster that most tests use: four nodes, a NameNode that issues delegation tokens
// as a secure one does, and every protection on offer.
var shared = sync.OnceValues(func() (*cluster, error) {
	return startCluster("e2e", portBase, "--nms", "4",
		"--set", "dfs.namenode.delegation.token.always-use=true", "--set", "dfs.block.access.token.enable=true",
		"--set", "hadoop.rpc.protection=authentication,integrity,privacy")
})

// hadoop is the shared cluster, started by the first test that asks for it.
func hadoop(t testing.TB) *cluster {
	t.Helper()
	c, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// started are the clusters to take down at the end.
var started struct {
	sync.Mutex
	clusters []*cluster
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, c := range started.clusters {
		if err := c.script("down"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func startCluster(name string, base int, args ...string) (*cluster, error) {
	c := &cluster{name: name}
	started.Lock()
	started.clusters = append(started.clusters, c)
	started.Unlock()
	if err := c.script("down"); err != nil { // a run before this one may have been cut off
		return nil, err
	}
	if err := c.script(append([]string{"up", "--port-base", fmt.Sprint(base)}, args...)...); err != nil {
		return nil, err
	}
	home := os.Getenv("TESTCLUSTER_HOME")
	if home == "" {
		home = filepath.Join(root, "build", "testcluster")
	}
	c.conf = filepath.Join(home, "run", name, "conf")
	c.env = []string{"HADOOP_CONF_DIR=" + c.conf, "HADOOP_USER_NAME=root"}
	if slices.Contains(args, "--netns") {
		enter, err := c.ask("on", "--show", "gateway")
		if err != nil {
			return nil, err
		}
		c.env = append(c.env, onHost+strings.TrimSpace(enter))
		return c, c.readHosts()
	}
	return c, nil
}

// onHost begins the variable that says on which host of a cluster a command runs: the words that
// precede the command there, each on a line.
const onHost = "TESTCLUSTER_ON="

// on precedes a command with this environment, to have it run on the host that it is for.
func on(env []string) []string {
	for _, kv := range env {
		if enter, ok := strings.CutPrefix(kv, onHost); ok {
			return strings.Split(enter, "\n")
		}
	}
	return nil
}

// readHosts learns the addresses of a cluster's hosts.
func (c *cluster) readHosts() error {
	b, err := os.ReadFile(filepath.Join(c.conf, "hosts"))
	if err != nil {
		return err
	}
	c.hosts = make(map[string]string)
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 2 {
			c.hosts[f[1]] = f[0]
		}
	}
	return nil
}

// http asks the cluster's daemons from this machine, which knows its hosts by address only.
func (c *cluster) http(timeout time.Duration) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return dial(ctx, network, net.JoinHostPort(cmp.Or(c.hosts[host], host), port))
	}
	return &http.Client{Transport: transport, Timeout: timeout}
}

// dataNode is the name of the DataNode beside a NodeManager. Where hosts share this machine's
// network there is one for all.
func (c *cluster) dataNode(nodeManager string) string {
	if c.hosts == nil {
		return "dn1"
	}
	return "dn" + strings.TrimPrefix(nodeManager, "nm")
}

// nodeManager is the name of the NodeManager on a node: 127.0.16.2 is nm2, and a host of its own
// bears its name.
func nodeManager(node string) string {
	if strings.HasPrefix(node, "nm") {
		return node
	}
	return "nm" + node[strings.LastIndexByte(node, '.')+1:]
}

// script runs deploy/testcluster/cluster for this cluster.
func (c *cluster) script(args ...string) error {
	_, err := c.ask(args...)
	return err
}

// ask runs the cluster's script for what it prints.
func (c *cluster) ask(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(root, "deploy/testcluster/cluster"), append([]string{"--name", c.name}, args...)...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("cluster %s: %w\n%s%s", strings.Join(args, " "), err, out, said.String())
	}
	return string(out), nil
}

// shell runs a line with the functions hdfs, yarn and dshell of `cluster env`, and returns its
// output.
func (c *cluster) shell(t testing.TB, line string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience) // of use in a cleanup, too
	defer cancel()
	text := fmt.Sprintf("eval \"$(%s --name %s env)\"; %s", filepath.Join(root, "deploy/testcluster/cluster"), c.name, line)
	r := command(ctx, t, nil, "bash", "-c", text)
	if r.code != 0 {
		t.Fatalf("%s: exit code %d\n%s\n%s", line, r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// webhdfs is the NameNode's HTTP address.
func (c *cluster) webhdfs(t testing.TB) string {
	t.Helper()
	if c.web == "" {
		c.web = strings.TrimSpace(c.shell(t, "echo $NN_WEB"))
	}
	return c.web
}

// rmWeb is the ResourceManager's HTTP address.
func (c *cluster) rmWeb(t testing.TB) string {
	t.Helper()
	if c.rm == "" {
		c.rm = strings.TrimSpace(c.shell(t, "echo $RM_WEB"))
	}
	return c.rm
}
