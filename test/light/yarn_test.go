package light_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"

	"go.uber.org/zap"

	"tfos/internal/am"
	"tfos/internal/control"
	"tfos/internal/dfs"
	"tfos/internal/hadoop/token"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// fakeYARN grants at once what the master of one job asks for, and has a crowd play the containers,
// as HollowNodeManagers.java does.
type fakeYARN struct {
	containers string // host:port of the crowd
	master     *am.Master
	address    string // of it
	authority  *control.Authority
	tasks      int
	cancel     context.CancelFunc
	ended      chan error

	mu         sync.Mutex
	responseID int32                  // guarded by mu
	next       int64                  // guarded by mu
	completed  []yarn.ContainerStatus // guarded by mu: not told yet
}

// newYARN starts the master of a job of so many workers.
func newYARN(t testing.TB, tasks int, containers string) *fakeYARN {
	t.Helper()
	authority, err := control.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fs := dfs.NewMemory(dfs.MemoryOptions{User: "ann"})
	if err := fs.Mkdir(t.Context(), "/job", 0o700); err != nil {
		t.Fatal(err)
	}
	j, err := job.Parse("job.yaml", fmt.Appendf(nil, "command: x\nroles: {chief: {}, worker: {instances: %d}, ps: {}}\n", tasks-2), nil)
	if err != nil {
		t.Fatal(err)
	}
	y := &fakeYARN{containers: containers, address: l.Addr().String(), authority: authority, tasks: tasks, ended: make(chan error, 1), next: 2}
	y.master = am.New(am.Options{
		Container: yarn.ContainerID{Attempt: application, ID: 1}, Job: j, Host: "127.0.0.1", Listener: l, RM: y, Nodes: y, FS: fs, Files: oneFS{fs},
		Manifest:  launch.Manifest{User: "ann", Staging: "/job", Agent: launch.Resource{Name: launch.TaskAgent, URI: "mem:///agent"}},
		Authority: authority, Log: zap.NewNop(),
		Tokens: func(identity token.Secret) ([]byte, error) {
			var c token.Credentials
			c.AddSecret(launch.SecretIdentity, identity)
			return c.Encode(), nil
		},
	})
	var ctx context.Context
	ctx, y.cancel = context.WithCancel(context.Background())
	go func() { y.ended <- y.master.Run(ctx) }()
	return y
}

var application = yarn.AttemptID{Application: yarn.ApplicationID{ClusterTimestamp: 1, Sequence: 7}, Attempt: 1}

type oneFS struct{ fs dfs.FS }

func (o oneFS) Resolve(_ context.Context, uri string) (dfs.FS, string, error) { return o.fs, uri, nil }

func (y *fakeYARN) client(t testing.TB) *control.MasterClient {
	t.Helper()
	key, err := y.authority.Issue(control.Subject{Party: control.PartyClient})
	if err != nil {
		t.Fatal(err)
	}
	c, err := control.DialMaster(y.address, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// running waits until all tasks run.
func (y *fakeYARN) running(t testing.TB) (v status.View) {
	t.Helper()
	c := y.client(t)
	defer c.Close()
	all := errors.New("all run")
	err := c.Watch(t.Context(), func(document []byte) error {
		v = status.View{}
		if err := json.Unmarshal(document, &v); err != nil {
			return err
		}
		n := 0
		for _, task := range v.Tasks {
			if task.State == status.Running {
				n++
			}
		}
		if n == y.tasks {
			return all
		}
		return nil
	})
	if !errors.Is(err, all) {
		t.Fatalf("the job ended before all its tasks ran: %v", err)
	}
	return v
}

// stop ends the job as a client does, and waits for the master's end.
func (y *fakeYARN) stop(t testing.TB) {
	t.Helper()
	c := y.client(t)
	defer c.Close()
	if err := c.Stop(t.Context(), "the test is over"); err != nil {
		t.Error(err)
	}
	if err := <-y.ended; err != nil {
		t.Error(err)
	}
	y.cancel()
}

func (y *fakeYARN) Register(context.Context, yarn.Registration) (yarn.Registered, error) {
	return yarn.Registered{Max: yarn.Resource{MemoryMiB: 8192, VCores: 8}, Queue: "default"}, nil
}

func (y *fakeYARN) Allocate(_ context.Context, r yarn.AllocateRequest) (yarn.AllocateResponse, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.responseID++
	resp := yarn.AllocateResponse{ResponseID: y.responseID, ClusterNodes: 100, Completed: y.completed}
	y.completed = nil
	for _, a := range r.Asks {
		for range a.Count {
			c := yarn.ContainerID{Attempt: application, ID: y.next}
			y.next++
			resp.Granted = append(resp.Granted, yarn.Container{
				ID: c, Node: yarn.NodeID{Host: fmt.Sprintf("127.1.%d.%d", c.ID/250, c.ID%250+1), Port: 1}, Resource: a.Resource, Priority: a.Priority, AskID: a.ID,
			})
		}
	}
	return resp, nil
}

func (y *fakeYARN) Finish(context.Context, yarn.FinalStatus, string, string) error { return nil }

func (y *fakeYARN) SetTokens(...yarn.NMToken) {}

// Start says of a container what HollowNodeManagers.java says, and books its end.
func (y *fakeYARN) Start(_ context.Context, c yarn.Container, l yarn.LaunchContext) error {
	conn, err := net.Dial("tcp", y.containers)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	text := func(s string) {
		_ = binary.Write(&b, binary.BigEndian, uint16(len(s))) // a Buffer takes everything
		b.WriteString(s)
	}
	text(c.ID.String())
	_ = binary.Write(&b, binary.BigEndian, int32(len(l.Env)+1))
	text("NM_HOST")
	text(c.Node.Host)
	for name, value := range l.Env {
		text(name)
		text(value)
	}
	_ = binary.Write(&b, binary.BigEndian, int32(len(l.Tokens)))
	b.Write(l.Tokens)
	if _, err := conn.Write(b.Bytes()); err != nil {
		conn.Close()
		return err
	}
	go func() {
		defer conn.Close()
		var code int32
		if binary.Read(conn, binary.BigEndian, &code) != nil {
			code = 137
		}
		y.mu.Lock()
		defer y.mu.Unlock()
		y.completed = append(y.completed, yarn.ContainerStatus{ID: c.ID, State: yarn.ContainerComplete, ExitStatus: yarn.ExitStatus(code)})
	}()
	return nil
}
