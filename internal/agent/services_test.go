package agent_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	"tfos/internal/agent"
	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/memnet"
	"tfos/internal/yarn"
)

// TestAnAgentThatCannotBeginLeavesNothingOpen: whatever stands in its way, every listener that it
// was given is closed, and the task's port with them.
func TestAnAgentThatCannotBeginLeavesNothingOpen(t *testing.T) {
	authority, err := control.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	worker := job.Task{Role: "worker"}
	id, err := authority.Issue(control.Subject{Party: control.PartyAgent, Container: yarn.ContainerID{ID: 2}, Task: worker})
	if err != nil {
		t.Fatal(err)
	}
	for name, obstruct := range map[string]func(dir string, o *agent.Options) error{
		"a file in place of its directory": func(dir string, _ *agent.Options) error {
			return os.WriteFile(filepath.Join(dir, launch.TaskDir), nil, 0o600)
		},
		"a directory in place of the program's socket": func(dir string, o *agent.Options) error {
			o.Socket = nil
			return os.MkdirAll(filepath.Join(dir, launch.TaskDir, "agent"), 0o700)
		},
		"a directory in place of the socket of its files": func(dir string, o *agent.Options) error {
			o.FilesSocket = nil
			return os.MkdirAll(filepath.Join(dir, launch.TaskDir, "files"), 0o700)
		},
		"a directory in place of the socket of its rows": func(dir string, o *agent.Options) error {
			o.FeedSocket = nil
			return os.MkdirAll(filepath.Join(dir, launch.TaskDir, "feed"), 0o700)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var given []*closable
			listen := func(port int) net.Listener {
				l, err := memnet.New().Host("node").Listen(port)
				if err != nil {
					t.Fatal(err)
				}
				given = append(given, &closable{Listener: l})
				return given[len(given)-1]
			}
			dir := t.TempDir()
			o := agent.Options{Identity: id, Incarnation: 1, Host: "node", Dir: dir, LogDir: dir, Listener: listen(1), Socket: listen(2), FilesSocket: listen(3), Witness: listen(4), Fed: true, Feeders: listen(5), FeedSocket: listen(6)}
			if err := obstruct(dir, &o); err != nil {
				t.Fatal(err)
			}
			before := descriptors(t)
			a, err := agent.New(o)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Run(context.Background()); err == nil {
				t.Error("it began")
			}
			for i, l := range given {
				if !l.closed && (l == o.Socket || l == o.FilesSocket || l == o.Listener || l == o.Witness || l == o.Feeders || l == o.FeedSocket) {
					t.Errorf("listener %d is left open", i+1)
				}
			}
			if now := descriptors(t); now > before {
				t.Errorf("%d descriptors are open, and %d were before", now, before)
			}
		})
	}
}

type closable struct {
	net.Listener
	closed bool
}

func (c *closable) Close() error {
	c.closed = true
	return c.Listener.Close()
}

// descriptors counts what this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}
