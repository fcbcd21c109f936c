package endpoint_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"tfos/internal/clusterspec"
	"tfos/internal/endpoint"
	"tfos/internal/job"
)

func TestDirectShowsWhatIsPublished(t *testing.T) {
	e, err := endpoint.New(t.Context(), endpoint.Direct, endpoint.Options{Self: worker0, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for g := 1; g < 3; g++ {
		s := spec(g, g, "node:1")
		if err := e.Update(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, e.View()); diff != "" {
			t.Error(diff)
		}
	}
	if env := e.Env([]string{"A=b"}); len(env) != 1 || e.Counters() != nil || e.Kind().Stable() {
		t.Errorf("direct does something: %v", env)
	}
}

func TestNoSuchCarrier(t *testing.T) {
	_, err := endpoint.New(t.Context(), "pigeon", endpoint.Options{Self: worker0, Logger: zap.NewNop()})
	if err == nil || errors.Is(err, endpoint.ErrUnavailable) || !strings.Contains(err.Error(), "worker/0") || !strings.Contains(err.Error(), "pigeon") {
		t.Errorf("the error is %v", err)
	}
}

// TestNamesAreLookedUp: a host that cannot be found costs its member the target, and no other; the
// same generation again finds it.
func TestNamesAreLookedUp(t *testing.T) {
	there := false
	e, err := endpoint.New(t.Context(), endpoint.Forward, endpoint.Options{Self: worker0, Logger: zap.NewNop(),
		Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
			switch {
			case host == "here":
				return []netip.Addr{netip.MustParseAddr("fe80::1"), netip.MustParseAddr("127.0.0.1")}, nil
			case host == "there" && there:
				return []netip.Addr{netip.MustParseAddr("::ffff:127.0.0.1")}, nil
			}
			return nil, errors.New("no such host")
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	a, b := serve(t, "a"), serve(t, "b")
	ps1 := job.Task{Role: "ps", Index: 1}
	s := clusterspec.Spec{Generation: 1, Members: []clusterspec.Member{
		{Task: ps0, Incarnation: 1, Address: "here" + strings.TrimPrefix(a.addr(), "127.0.0.1")},
		{Task: ps1, Incarnation: 1, Address: "there" + strings.TrimPrefix(b.addr(), "127.0.0.1")},
		{Task: job.Task{Role: "ps", Index: 2}, Incarnation: 1, Address: "nonsense"},
	}}
	err = e.Update(t.Context(), s)
	if err == nil || !strings.Contains(err.Error(), "ps/1") || !strings.Contains(err.Error(), "no such host") || !strings.Contains(err.Error(), "ps/2") || strings.Contains(err.Error(), "ps/0") {
		t.Errorf("the error is %v", err)
	}
	r := rig{endpoints: e, client: dialer{t}}
	c := r.reaches(t, "a")

	there = true
	s.Members = s.Members[:2]
	if err := e.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if got, err := c.echo("still there"); got != "still there" {
		t.Errorf("the member that was fine was disturbed: %q, %v", got, err)
	}
	at, _ := e.View().Address(ps1)
	d, err := r.client.connect(at)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.line(); got != "b" {
		t.Errorf("ps/1 is %q, %v", got, err)
	}
}

// TestANewerGenerationOvertakes: while a host name is looked up, a newer generation comes. Its
// target stays.
func TestANewerGenerationOvertakes(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	e, err := endpoint.New(t.Context(), endpoint.Forward, endpoint.Options{Self: worker0, Logger: zap.NewNop(),
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			close(asked)
			<-answer
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	a, b := serve(t, "a"), serve(t, "b")
	done := make(chan error, 1)
	go func() { done <- e.Update(t.Context(), spec(1, 1, "slow"+strings.TrimPrefix(a.addr(), "127.0.0.1"))) }()
	<-asked
	r := rig{endpoints: e, client: dialer{t}, gen: 1}
	r.move(t, b.addr())
	close(answer)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r.reaches(t, "b")
}

func TestVirtual(t *testing.T) {
	many := make([]string, 101)
	for _, c := range []struct {
		task  string
		roles []string
		want  string // empty: an error
	}{
		{"worker/0", roles, "127.100.0.0:4"},
		{"ps/0", roles, "127.101.0.0:4"},
		{"ps/258", roles, "127.101.1.2:4"},
		{"ps/65535", roles, "127.101.255.255:4"},
		{"ps/65536", roles, ""},
		{"chief/0", roles, ""},
		{"x/0", append(many[:99:99], "x"), "127.199.0.0:4"},
		{"x/0", append(many[:100:100], "x"), ""},
	} {
		task, err := job.ParseTask(c.task)
		if err != nil {
			t.Fatal(err)
		}
		got, err := endpoint.Virtual(c.roles, task)
		if (err == nil) != (c.want != "") || err == nil && got.String() != c.want {
			t.Errorf("%s is %v, %v; want %s", c.task, got, err, c.want)
		}
	}
}
