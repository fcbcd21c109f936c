package light_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
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
	job        job.Job
	fs         dfs.FS
	log        *zap.Logger
	authority  *control.Authority
	tasks      int
	cancel     context.CancelFunc
	ended      chan error // of the newest master

	mu         sync.Mutex
	address    string                 // guarded by mu: of the newest master
	attempt    yarn.AttemptID         // guarded by mu: its
	responseID int32                  // guarded by mu
	next       int64                  // guarded by mu
	live       []yarn.Container       // guarded by mu
	completed  []yarn.ContainerStatus // guarded by mu: not told yet
}

// newYARN starts the master of a job of so many tasks.
func newYARN(t testing.TB, tasks int, containers string, log *zap.Logger) *fakeYARN {
	t.Helper()
	authority, err := control.NewAuthority()
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
	y := &fakeYARN{containers: containers, job: j, fs: fs, log: log, authority: authority, tasks: tasks, next: 2,
		attempt: yarn.AttemptID{Application: yarn.ApplicationID{ClusterTimestamp: 1, Sequence: 7}}}
	y.start(t)
	return y
}

// start starts the next attempt of the master.
func (y *fakeYARN) start(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	y.mu.Lock()
	y.attempt.Attempt++
	y.address, y.responseID = l.Addr().String(), 0
	attempt := y.attempt
	y.mu.Unlock()
	master := am.New(am.Options{
		Container: yarn.ContainerID{Attempt: attempt, ID: 1}, Job: y.job, Host: "127.0.0.1", Listener: l, RM: y, Nodes: y, FS: y.fs, Files: oneFS{y.fs},
		Manifest:  launch.Manifest{User: "ann", Staging: "/job", Agent: launch.Resource{Name: launch.TaskAgent, URI: "mem:///agent"}},
		Authority: y.authority, Log: y.log,
		Tokens: func(identity token.Secret) ([]byte, error) {
			var c token.Credentials
			c.AddSecret(launch.SecretIdentity, identity)
			return c.Encode(), nil
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	y.cancel, y.ended = cancel, ended
	go func() { ended <- master.Run(ctx) }()
}

// replace ends the master, and starts the next attempt.
func (y *fakeYARN) replace(t testing.TB) {
	t.Helper()
	y.cancel()
	if err := <-y.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the master ended with %v", err)
	}
	y.start(t)
}

// where is where the master listens.
func (y *fakeYARN) where() string {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.address
}

type oneFS struct{ fs dfs.FS }

func (o oneFS) Resolve(_ context.Context, uri string) (dfs.FS, string, error) { return o.fs, uri, nil }

func (y *fakeYARN) client(t testing.TB) *control.MasterClient {
	t.Helper()
	key, err := y.authority.Issue(control.Subject{Party: control.PartyClient})
	if err != nil {
		t.Fatal(err)
	}
	c, err := control.DialMaster(y.where(), key, nil)
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
	err := c.Watch(t.Context(), false, func(document []byte) error {
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
		if n == y.tasks && v.Diagnostics == "" {
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
	y.mu.Lock()
	defer y.mu.Unlock()
	return yarn.Registered{Max: yarn.Resource{MemoryMiB: 8192, VCores: 8}, Queue: "default", Kept: slices.Clone(y.live)}, nil
}

func (y *fakeYARN) Allocate(_ context.Context, r yarn.AllocateRequest) (yarn.AllocateResponse, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.responseID++
	resp := yarn.AllocateResponse{ResponseID: y.responseID, ClusterNodes: 100, Completed: y.completed}
	y.completed = nil
	y.live = slices.DeleteFunc(y.live, func(c yarn.Container) bool { return slices.Contains(r.Releases, c.ID) })
	for _, a := range r.Asks {
		for range a.Count {
			c := yarn.ContainerID{Attempt: y.attempt, ID: y.next}
			y.next++
			resp.Granted = append(resp.Granted, yarn.Container{
				ID: c, Node: yarn.NodeID{Host: fmt.Sprintf("127.1.%d.%d", c.ID/250, c.ID%250+1), Port: 1}, Resource: a.Resource, Priority: a.Priority, AskID: a.ID,
			})
			y.live = append(y.live, resp.Granted[len(resp.Granted)-1])
		}
	}
	return resp, nil
}

func (y *fakeYARN) Finish(context.Context, yarn.FinalStatus, string, string) error { return nil }

func (y *fakeYARN) SetTokens(...yarn.NMToken) {}

// nodeLost is what a container says whose node is lost.
const nodeLost = -1

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
		if code == nodeLost {
			return // the ResourceManager takes its time to notice
		}
		y.mu.Lock()
		defer y.mu.Unlock()
		y.live = slices.DeleteFunc(y.live, func(one yarn.Container) bool { return one.ID == c.ID })
		y.completed = append(y.completed, yarn.ContainerStatus{ID: c.ID, State: yarn.ContainerComplete, ExitStatus: yarn.ExitStatus(code)})
	}()
	return nil
}
