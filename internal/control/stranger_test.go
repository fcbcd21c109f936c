package control_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"tfos/internal/control"
	"tfos/internal/control/controlpb"
	"tfos/internal/job"
)

// logSource counts who gets to the logs.
type logSource struct{ calls int }

func (l *logSource) Logs(_ context.Context, r control.LogsRequest, send func(control.LogChunk) error) error {
	l.calls++
	if r.Stream != control.Stdout {
		return control.ErrNoLog
	}
	return send(control.LogChunk{Data: []byte("secret of the job"), Offset: r.Offset})
}

// serveLogs runs the agent server of worker 0, and returns its address.
func (w *world) serveLogs(source control.LogSource) string { return w.serveAgent(source, nil) }

func (w *world) serveAgent(source control.LogSource, feed control.FeedSource) string {
	w.t.Helper()
	l, err := w.net.Host("node0").Listen(0)
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := control.NewAgentServer(l, w.issue(agentSubject(0)), source, feed, []control.Page{big}, zaptest.NewLogger(w.t))
	if err != nil {
		w.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Run() }()
	w.t.Cleanup(func() {
		s.Close(time.Second)
		if err := <-served; err != nil {
			w.t.Error(err)
		}
	})
	return l.Addr().String()
}

// faulty is a source of logs that panics.
type faulty struct{ logSource }

func (f *faulty) Logs(ctx context.Context, r control.LogsRequest, send func(control.LogChunk) error) error {
	if r.Stream == control.Stderr {
		panic("a fault of ours")
	}
	return f.logSource.Logs(ctx, r, send)
}

// TestAPanicCostsOneCall: not the agent.
func TestAPanicCostsOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c, err := control.DialAgent(w.serveLogs(new(faulty)), w.issue(control.Subject{Party: control.PartyClient}), w.net.Host("laptop").Dial)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Logs(t.Context(), control.LogsRequest{Stream: control.Stderr}, nil); err == nil || !strings.Contains(err.Error(), "a fault of ours") {
			t.Errorf("a call that panics: %v", err)
		}
		if err := c.Logs(t.Context(), control.LogsRequest{Stream: control.Stdout}, func(control.LogChunk) error { return nil }); err != nil {
			t.Errorf("the next call: %v", err)
		}
	})
}

func TestLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c, err := control.DialAgent(w.serveLogs(new(logSource)), w.issue(control.Subject{Party: control.PartyClient}), w.net.Host("laptop").Dial)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var got control.LogChunk
		if err := c.Logs(t.Context(), control.LogsRequest{Stream: control.Stdout, Offset: 7}, func(c control.LogChunk) error { got = c; return nil }); err != nil {
			t.Error(err)
		}
		if string(got.Data) != "secret of the job" || got.Offset != 7 {
			t.Errorf("logs: %+v", got)
		}
		if err := c.Logs(t.Context(), control.LogsRequest{Stream: "../secrets"}, nil); !errors.Is(err, control.ErrNoLog) {
			t.Errorf("logs of no stream: %v", err)
		}
	})
}

// dialRaw connects as someone who does not use this package.
func (w *world) dialRaw(address string, creds credentials.TransportCredentials) *grpc.ClientConn {
	w.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(creds), grpc.WithContextDialer(w.net.Host("stranger").Dial))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	return conn
}

// raw is a certificate of ours as crypto/tls has it.
func raw(t *testing.T, id control.Identity) tls.Certificate {
	t.Helper()
	pem, err := id.PEM()
	if err != nil {
		t.Fatal(err)
	}
	// The bundle begins with the authority's certificate.
	_, own, _ := strings.Cut(string(pem), "-----END CERTIFICATE-----\n")
	c, err := tls.X509KeyPair([]byte(own), []byte(own))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// try makes every call there is, and fails the test for each that gets anything.
func (w *world) try(who, master, agent string, creds credentials.TransportCredentials) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	m := controlpb.NewMasterClient(w.dialRaw(master, creds))
	got := func(call string, err error) {
		w.t.Helper()
		if err == nil || errors.Is(err, io.EOF) {
			w.t.Errorf("%s may call %s", who, call)
		}
	}
	_, err := m.Stop(ctx, &controlpb.StopRequest{Reason: "mischief"})
	got("Stop", err)
	watch, err := m.Watch(ctx, &controlpb.WatchRequest{})
	if err == nil {
		_, err = watch.Recv()
	}
	got("Watch", err)
	session, err := m.Session(ctx)
	if err == nil {
		s := agentSubject(0)
		session.Send(&controlpb.FromAgent{Message: &controlpb.FromAgent_Hello{Hello: &controlpb.Hello{Container: s.Container.String(), Task: s.Task.String(), Incarnation: 1}}})
		_, err = session.Recv()
	}
	got("Session", err)
	logs, err := controlpb.NewAgentClient(w.dialRaw(agent, creds)).Logs(ctx, &controlpb.LogsRequest{Stream: control.Stdout})
	if err == nil {
		_, err = logs.Recv()
	}
	got("Logs", err)
}

func TestAStrangerGetsNothing(t *testing.T) {
	other := newAuthority(t)
	for name, creds := range map[string]func(w *world) credentials.TransportCredentials{
		"who speaks no TLS": func(*world) credentials.TransportCredentials { return insecure.NewCredentials() },
		"who has no certificate": func(*world) credentials.TransportCredentials {
			return credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})
		},
		"of another job, as client": func(w *world) credentials.TransportCredentials {
			id := issue(w.t, other, control.Subject{Party: control.PartyClient})
			return credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, Certificates: []tls.Certificate{raw(w.t, id)}})
		},
		"of another job, as agent": func(w *world) credentials.TransportCredentials {
			id := issue(w.t, other, agentSubject(0))
			return credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, Certificates: []tls.Certificate{raw(w.t, id)}})
		},
		"who speaks TLS 1.2": func(w *world) credentials.TransportCredentials {
			id := w.issue(control.Subject{Party: control.PartyClient})
			return credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{raw(w.t, id)}})
		},
		"who is the master itself": func(w *world) credentials.TransportCredentials { // serves, never calls
			id := w.issue(control.Subject{Party: control.PartyMaster})
			return credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, Certificates: []tls.Certificate{raw(w.t, id)}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.change()
				source := new(logSource)
				agent := w.serveLogs(source)
				w.try("a stranger "+name, w.where(), agent, creds(w))
				w.expect("from a stranger " + name)
				if source.calls != 0 {
					t.Errorf("a stranger %s got to the logs", name)
				}
			})
		})
	}
}

// TestEachPartyKeepsToItsCalls: a certificate of the job opens what its party needs, and no more.
func TestEachPartyKeepsToItsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		source := new(logSource)
		address := w.serveLogs(source)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		refused := func(call string, err error) {
			t.Helper()
			if err == nil || !strings.Contains(err.Error(), "may not call this") {
				t.Errorf("%s: %v", call, err)
			}
		}
		agent := credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, Certificates: []tls.Certificate{raw(t, w.issue(agentSubject(0)))}})
		m := controlpb.NewMasterClient(w.dialRaw(w.where(), agent))
		_, err := m.Stop(ctx, &controlpb.StopRequest{})
		refused("Stop by an agent", err)
		watch, err := m.Watch(ctx, &controlpb.WatchRequest{})
		if err == nil {
			_, err = watch.Recv()
		}
		refused("Watch by an agent", err)
		logs, err := controlpb.NewAgentClient(w.dialRaw(address, agent)).Logs(ctx, &controlpb.LogsRequest{Stream: control.Stdout})
		if err == nil {
			_, err = logs.Recv()
		}
		refused("Logs by an agent", err)
		debug, err := m.Debug(ctx, &controlpb.DebugRequest{})
		if err == nil {
			_, err = debug.Recv()
		}
		refused("Debug by an agent", err)

		client := credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, Certificates: []tls.Certificate{raw(t, w.issue(control.Subject{Party: control.PartyClient}))}})
		session, err := controlpb.NewMasterClient(w.dialRaw(w.where(), client)).Session(ctx)
		if err == nil {
			_, err = session.Recv()
		}
		refused("Session by a client", err)
		w.expect("from those who may not")
	})
}

func TestAnAgentSpeaksForItsOwnContainerOnly(t *testing.T) {
	for name, hello := range map[string]control.Subject{
		"container": {Party: control.PartyAgent, Container: agentSubject(1).Container, Task: agentSubject(0).Task},
		"task":      {Party: control.PartyAgent, Container: agentSubject(0).Container, Task: job.Task{Role: "chief"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				a := w.joinAs(w.issue(agentSubject(0)), hello, "node0")
				if err := a.over(); !errors.Is(err, control.ErrRefused) {
					t.Errorf("the link ended with %v, want that it was refused", err)
				}
				w.expect("from a liar")
			})
		})
	}
}

// TestAnImpostorIsNoMaster: neither another job's master nor another party of this job gets an
// agent's or a client's word.
func TestAnImpostorIsNoMaster(t *testing.T) {
	other := newAuthority(t)
	for name, id := range map[string]func(w *world) control.Identity{
		"of another job": func(w *world) control.Identity { return issue(w.t, other, control.Subject{Party: control.PartyMaster}) },
		"an agent":       func(w *world) control.Identity { return w.issue(agentSubject(1)) },
		"a client":       func(w *world) control.Identity { return w.issue(control.Subject{Party: control.PartyClient}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				l, err := w.net.Host("impostor").Listen(0)
				if err != nil {
					t.Fatal(err)
				}
				heard := &impostor{}
				s := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{ClientAuth: tls.RequestClientCert, Certificates: []tls.Certificate{raw(t, id(w))}})))
				controlpb.RegisterMasterServer(s, heard)
				go s.Serve(l)
				defer s.Stop()
				w.move(l.Addr().String())
				a := w.join(0)
				c, err := control.DialMaster(w.where(), w.issue(control.Subject{Party: control.PartyClient}), w.net.Host("laptop").Dial)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if err := c.Stop(ctx, "please"); !errors.Is(err, control.ErrUnreachable) {
					t.Errorf("a client's stop: %v", err)
				}
				if err := a.over(); !errors.Is(err, control.ErrNoMaster) {
					t.Errorf("an agent's link: %v", err)
				}
				if heard.calls != 0 {
					t.Errorf("the impostor heard %d calls", heard.calls)
				}
			})
		})
	}
}

type impostor struct {
	controlpb.UnimplementedMasterServer
	calls int
}

func (i *impostor) Session(grpc.BidiStreamingServer[controlpb.FromAgent, controlpb.ToAgent]) error {
	i.calls++
	return nil
}

func (i *impostor) Stop(context.Context, *controlpb.StopRequest) (*controlpb.StopResponse, error) {
	i.calls++
	return &controlpb.StopResponse{}, nil
}

func TestOnlyTheRightPartyServesAndJoins(t *testing.T) {
	a := newAuthority(t)
	client := issue(t, a, control.Subject{Party: control.PartyClient})
	if _, err := control.NewMaster(control.MasterOptions{Identity: client}); err == nil {
		t.Error("a client serves as master")
	}
	if _, err := control.NewAgentServer(nil, client, nil, nil, nil, nil); err == nil {
		t.Error("a client serves as agent")
	}
	if _, err := control.NewLink(control.LinkOptions{Identity: client}); err == nil {
		t.Error("a client joins as agent")
	}
	if _, err := control.DialMaster("am:1", control.Identity{}, nil); err == nil {
		t.Error("nobody dials")
	}
}

// TestListenKeepsLoopbackToItself: what only this machine can reach by its name listens nowhere
// else.
func TestListenKeepsLoopbackToItself(t *testing.T) {
	for host, want := range map[string]bool{"127.0.0.1": true, "::1": true, "node7.example.com": false, "10.1.2.3": false, "": false} {
		l, err := control.Listen(host)
		if err != nil {
			t.Fatal(err)
		}
		if ip := l.Addr().(*net.TCPAddr).IP; ip.IsLoopback() != want || !want && !ip.IsUnspecified() {
			t.Errorf("for %q at %v", host, ip)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestStrangersWhoSayNothing: half-open connections are few, whoever makes them, and end. Nobody of
// the job waits for it.
func TestStrangersWhoSayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		logs := w.serveLogs(new(logSource))
		client := raw(t, w.issue(control.Subject{Party: control.PartyClient}))
		for _, address := range []string{w.where(), logs} {
			evil := &crowd{t: t, address: address, dial: w.net.Host("evil").Dial}
			for range 500 {
				evil.connect(nil)
			}
			synctest.Wait()
			if open := evil.open(); open == 0 || open > 64 {
				t.Errorf("%s: %d of 500 connections from one address are open, want 64 at most", address, open)
			}
			// Those who have a certificate of the job are bounded as long as they say nothing
			// behind it.
			insider := &crowd{t: t, address: address, dial: w.net.Host("insider").Dial}
			for range 100 {
				insider.connect(&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, Certificates: []tls.Certificate{client}})
			}
			synctest.Wait()
			if open := insider.open(); open == 0 || open > 64 {
				t.Errorf("%s: %d of 100 connections of an insider are open, want 64 at most", address, open)
			}
			c, err := control.DialAgent(logs, w.issue(control.Subject{Party: control.PartyClient}), w.net.Host("laptop").Dial)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if err := c.Logs(t.Context(), control.LogsRequest{Stream: control.Stdout}, func(control.LogChunk) error { return nil }); err != nil {
				t.Error(err)
			}
			a := w.join(0)
			synctest.Wait()
			w.expect("the strangers are there", "joined worker/0 inc=1 running=0 exited=- generation=0")
			if took := time.Since(began); took > time.Second {
				t.Errorf("who is of the job waited for %v", took)
			}
			a.end()
			c.Close()
			time.Sleep(11 * time.Second)
			synctest.Wait()
			if e, i := evil.open(), insider.open(); e+i > 0 {
				t.Errorf("%s: %d and %d connections are still open", address, e, i)
			}
			w.heard()
		}
	})
}

// crowd are connections that say nothing.
type crowd struct {
	t       *testing.T
	address string
	dial    control.Dialer
	conns   []net.Conn
}

func (c *crowd) connect(config *tls.Config) {
	conn, err := c.dial(c.t.Context(), c.address)
	if err != nil {
		c.t.Fatal(err)
	}
	if config != nil {
		secure := tls.Client(conn, config)
		if secure.Handshake() != nil {
			return // turned away
		}
		conn = secure
	}
	c.t.Cleanup(func() { conn.Close() })
	c.conns = append(c.conns, conn)
}

// open counts those that the other side has not closed.
func (c *crowd) open() int {
	n := 0
	for _, conn := range c.conns {
		conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		var timeout net.Error
		for {
			_, err := conn.Read(make([]byte, 100)) // the server's side of HTTP/2 may have spoken
			if err == nil {
				continue
			}
			if errors.As(err, &timeout) && timeout.Timeout() {
				n++
			}
			break
		}
	}
	return n
}
