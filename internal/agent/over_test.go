package agent

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap/zaptest"

	"tfos/internal/hadoop/rpc"
	"tfos/internal/storage"
	"tfos/internal/yarn"
	"tfos/internal/yarn/yarnrpc"
)

// oneApplication is a ResourceManager that knows of one.
type oneApplication struct {
	yarnrpc.ClientService
	state yarn.ApplicationState // set while nobody asks
}

func (o *oneApplication) Report(_ context.Context, _ rpc.Caller, id yarn.ApplicationID) (yarn.Report, error) {
	return yarn.Report{ID: id, State: o.state}, nil
}

// An agent whose container YARN has lost asks the ResourceManager, though the NodeManager has
// deleted its directory.
func TestAskYARN(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rm := &oneApplication{state: yarn.StateRunning}
	s := rpc.NewServer(rpc.ServerOptions{Listener: listener, Auth: []rpc.AuthMethod{rpc.Simple}, Log: zaptest.NewLogger(t)})
	yarnrpc.ServeClient(s, rm)
	served := make(chan error, 1)
	go func() { served <- s.Serve(t.Context()) }()
	defer func() { s.Close(); <-served }()

	dir := t.TempDir()
	file := filepath.Join(dir, "conf.xml")
	site := "<configuration><property><name>yarn.resourcemanager.address</name><value>" + listener.Addr().String() + "</value></property></configuration>"
	if err := os.WriteFile(file, []byte(site), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := askYARN(yarn.ApplicationID{ClusterTimestamp: 1, Sequence: 7}, storage.Options{Conf: file, User: "ann", Getenv: func(string) string { return "" }})
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if why, err := ask(t.Context()); why != "" || err != nil {
		t.Errorf("while it runs: %q, %v", why, err)
	}
	rm.state = yarn.StateFailed
	if why, err := ask(t.Context()); !strings.HasSuffix(why, "is FAILED") || err != nil {
		t.Errorf("once it has failed: %q, %v", why, err)
	}
}

// Where the ResourceManager does not answer an agent, the job's result does.
func TestLookForResult(t *testing.T) {
	dir := t.TempDir()
	site := filepath.Join(dir, "conf.xml")
	if err := os.WriteFile(site, []byte("<configuration/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := storage.New(storage.Options{Conf: site, Getenv: func(string) string { return "" }})
	defer s.Close()
	if err := os.Remove(site); err != nil { // as a NodeManager does that has lost the container
		t.Fatal(err)
	}
	look := lookForResult(s, "file://"+dir)
	if why, err := look(t.Context()); why != "" || err != nil {
		t.Errorf("while it runs: %q, %v", why, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "result.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if why, err := look(t.Context()); !strings.Contains(why, "result.json") || err != nil {
		t.Errorf("once it is over: %q, %v", why, err)
	}
}
