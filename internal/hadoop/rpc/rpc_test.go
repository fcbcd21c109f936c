package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/token"
)

const protocol = "org.apache.hadoop.yarn.api.ApplicationClientProtocolPB"

// pipes is a network in memory: a listener for each address, unbuffered connections.
type pipes struct {
	mu        sync.Mutex
	listeners map[string]*pipeListener // guarded by mu
	dials     map[string]int           // guarded by mu
}

type pipeListener struct {
	addr   string
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes {
	return &pipes{listeners: map[string]*pipeListener{}, dials: map[string]int{}}
}

var errRefused = errors.New("connection refused")

func (p *pipes) listen(addr string) *pipeListener {
	l := &pipeListener{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listeners[addr] = l
	return l
}

func (p *pipes) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	p.mu.Lock()
	l := p.listeners[addr]
	p.dials[addr]++
	p.mu.Unlock()
	if l == nil {
		return nil, errRefused
	}
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, errRefused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) dialed(addr string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dials[addr]
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return pipeAddr(l.addr) }

type pipeAddr string

func (pipeAddr) Network() string  { return "pipe" }
func (a pipeAddr) String() string { return string(a) }

// serve runs a server until the test's end or the returned function is called.
func serve(t *testing.T, o ServerOptions, h Handler) (stop func()) {
	t.Helper()
	s := NewServer(o)
	s.Register(protocol, 1, h)
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background()) }()
	stop = sync.OnceFunc(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func client(t *testing.T, o Options) *Client {
	t.Helper()
	o.Protocol = protocol
	if o.User == "" && o.Token == nil {
		o.User = "ann"
	}
	c := NewClient(o)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

// TestAStackIsLogged: what a service says below the first line is not for people, unless they ask.
func TestAStackIsLogged(t *testing.T) {
	p := newPipes()
	serve(t, ServerOptions{Listener: p.listen("rm:1")}, echo)
	core, logged := observer.New(zapcore.DebugLevel)
	c := client(t, Options{Addrs: []string{"rm:1"}, Dial: p.dial, Log: zap.New(core)})
	err := c.Call(t.Context(), "forceKillApplication", &pb.KillApplicationRequestProto{}, &pb.KillApplicationResponseProto{})
	if err == nil || strings.Contains(err.Error(), "some.java.Class") {
		t.Errorf("%v", err)
	}
	whole := logged.FilterMessage("the service's whole answer").All()
	if len(whole) != 1 || !strings.Contains(whole[0].ContextMap()["message"].(string), "at some.java.Class") {
		t.Errorf("logged: %v", whole)
	}
}

// whoAmI answers killApplication with an error of the caller's data, and getNewApplication with the
// id asked for.
func echo(_ context.Context, caller Caller, method string, request []byte) (proto.Message, error) {
	switch method {
	case "getApplicationReport":
		var r pb.GetApplicationReportRequestProto
		if err := proto.Unmarshal(request, &r); err != nil {
			return nil, err
		}
		return &pb.GetApplicationReportResponseProto{ApplicationReport: &pb.ApplicationReportProto{ApplicationId: r.GetApplicationId(), User: &caller.User}}, nil
	case "forceKillApplication":
		return nil, &JavaError{"org.apache.hadoop.yarn.exceptions.ApplicationNotFoundException", "no such application\n\tat some.java.Class"}
	case "submitApplication":
		return nil, errors.New("plain error")
	}
	return nil, NoSuchMethod(caller.Protocol, method)
}

func report(ctx context.Context, c *Client, id int32, opts ...CallOption) (user string, err error) {
	var resp pb.GetApplicationReportResponseProto
	err = c.Call(ctx, "getApplicationReport", &pb.GetApplicationReportRequestProto{ApplicationId: &pb.ApplicationIdProto{Id: proto.Int32(id)}}, &resp, opts...)
	if err == nil && resp.GetApplicationReport().GetApplicationId().GetId() != id {
		return "", fmt.Errorf("asked for %d, got the answer for %v", id, &resp)
	}
	return resp.GetApplicationReport().GetUser(), err
}

var aToken = token.Token{Kind: token.KindAMRM, Identifier: []byte{0, 1, 0xff}, Password: token.Secret("secret")}

func secrets(_ string, identifier []byte) (token.Secret, string, error) {
	if string(identifier) != string(aToken.Identifier) {
		return nil, "", fmt.Errorf("no key for %x", identifier)
	}
	return aToken.Password, "bob", nil
}

func giving(tok token.Token) func() (token.Token, bool) {
	return func() (token.Token, bool) { return tok, true }
}

func TestCalls(t *testing.T) {
	for _, c := range []struct {
		name           string
		auth           []AuthMethod
		server, client []string
		tok            func() (token.Token, bool)
		user           string
	}{
		{"simple", nil, nil, nil, nil, "ann"},
		{"auth", []AuthMethod{Token}, nil, nil, giving(aToken), "bob"},
		{"auth-int", []AuthMethod{Token, Simple}, []string{"integrity"}, []string{"integrity", "authentication"}, giving(aToken), "bob"},
		{"auth-conf", []AuthMethod{Token}, []string{"authentication", "integrity", "privacy"}, []string{"authentication", "privacy"}, giving(aToken), "bob"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newPipes()
				serve(t, ServerOptions{Listener: net.listen("rm:1"), Auth: c.auth, Secrets: secrets, Protection: c.server}, echo)
				cl := client(t, Options{Addrs: []string{"rm:1"}, Dial: net.dial, Token: c.tok, Protection: c.client})
				var wg sync.WaitGroup
				for id := range int32(200) {
					wg.Go(func() {
						if user, err := report(t.Context(), cl, id); err != nil || user != c.user {
							t.Errorf("call %d: user %q, %v", id, user, err)
						}
					})
				}
				wg.Wait()
				if n := net.dialed("rm:1"); n != 1 {
					t.Errorf("%d connections for overlapping calls", n)
				}
				var none pb.KillApplicationResponseProto
				err := cl.Call(t.Context(), "forceKillApplication", &pb.KillApplicationRequestProto{}, &none)
				if !errors.Is(err, ErrApplicationNotFound) || err.Error() != "forceKillApplication: ApplicationNotFoundException: no such application" {
					t.Errorf("error %v", err)
				}
				if err := cl.Call(t.Context(), "submitApplication", &pb.SubmitApplicationRequestProto{}, &none); err == nil || !strings.Contains(err.Error(), "plain error") {
					t.Errorf("error %v", err)
				}
				if err := cl.Call(t.Context(), "noSuch", &pb.SubmitApplicationRequestProto{}, &none); !errors.Is(err, ErrNoSuchMethod) {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

// A large message spans several wrapped pieces.
func TestLargeMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newPipes()
		serve(t, ServerOptions{Listener: net.listen("rm:1"), Auth: []AuthMethod{Token}, Secrets: secrets, Protection: []string{"privacy"}},
			func(_ context.Context, _ Caller, _ string, request []byte) (proto.Message, error) {
				var r pb.KillApplicationRequestProto
				err := proto.Unmarshal(request, &r)
				return &pb.KillApplicationRequestProto{Diagnostics: proto.String(r.GetDiagnostics() + r.GetDiagnostics())}, err
			})
		cl := client(t, Options{Addrs: []string{"rm:1"}, Dial: net.dial, Token: giving(aToken), Protection: []string{"privacy"}})
		text := strings.Repeat("0123456789", 30_000)
		var got pb.KillApplicationRequestProto
		if err := cl.Call(t.Context(), "x", &pb.KillApplicationRequestProto{Diagnostics: &text}, &got); err != nil || got.GetDiagnostics() != text+text {
			t.Errorf("%d bytes, %v", len(got.GetDiagnostics()), err)
		}
	})
}

func TestRefusals(t *testing.T) {
	wrong := aToken
	wrong.Password = token.Secret("other")
	unknown := aToken
	unknown.Identifier = []byte("x")
	for _, c := range []struct {
		name string
		auth []AuthMethod
		tok  func() (token.Token, bool)
		user string
		want error
	}{
		{"wrong password", []AuthMethod{Token}, giving(wrong), "", ErrAuthentication},
		{"unknown token", []AuthMethod{Token}, giving(unknown), "", ErrInvalidToken},
		{"a name where tokens are wanted", []AuthMethod{Token}, nil, "ann", ErrAccessDenied},
		{"a token where nobody checks", []AuthMethod{Simple}, giving(aToken), "", ErrAuthentication},
		{"kerberos only", []AuthMethod{kerberos}, giving(aToken), "", ErrAuthentication},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newPipes()
				serve(t, ServerOptions{Listener: net.listen("rm:1"), Auth: c.auth, Secrets: secrets}, echo)
				cl := client(t, Options{Addrs: []string{"rm:1"}, Dial: net.dial, Token: c.tok, User: c.user})
				if _, err := report(t.Context(), cl, 1); !errors.Is(err, c.want) {
					t.Errorf("error %v, want %v", err, c.want)
				}
				if n := net.dialed("rm:1"); n != 1 {
					t.Errorf("a refusal was tried %d times", n)
				}
			})
		})
	}
}

func TestChoose(t *testing.T) {
	offer := func(method, mechanism string) *pb.RpcSaslProto_SaslAuth {
		return &pb.RpcSaslProto_SaslAuth{Method: &method, Mechanism: &mechanism}
	}
	for _, c := range []struct {
		offers []*pb.RpcSaslProto_SaslAuth
		want   error
		text   string
	}{
		{[]*pb.RpcSaslProto_SaslAuth{offer("KERBEROS", "GSSAPI")}, ErrKerberosOnly, "offers KERBEROS and takes no " + token.KindAMRM},
		{[]*pb.RpcSaslProto_SaslAuth{offer("SIMPLE", "")}, ErrAuthentication, "offers SIMPLE"},
		{[]*pb.RpcSaslProto_SaslAuth{offer("TOKEN", "SCRAM-SHA-512")}, ErrAuthentication, "SCRAM-SHA-512"},
		{[]*pb.RpcSaslProto_SaslAuth{offer("KERBEROS", "GSSAPI"), offer("TOKEN", "DIGEST-MD5")}, nil, ""},
	} {
		_, err := choose(c.offers, aToken)
		if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%v: error %v", c.offers, err)
		}
	}
}

func TestFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newPipes()
		standby := func(context.Context, Caller, string, []byte) (proto.Message, error) {
			return nil, &JavaError{"org.apache.hadoop.ipc.StandbyException", "not me"}
		}
		serve(t, ServerOptions{Listener: net.listen("rm2:1")}, standby)
		stop := serve(t, ServerOptions{Listener: net.listen("rm3:1")}, echo)
		cl := client(t, Options{Addrs: []string{"rm1:1", "rm2:1", "rm3:1"}, Dial: net.dial})
		if _, err := report(t.Context(), cl, 1); err != nil {
			t.Fatal(err)
		}
		for id := range int32(5) { // it stays with the one that serves
			if _, err := report(t.Context(), cl, id); err != nil {
				t.Fatal(err)
			}
		}
		if a, b, c := net.dialed("rm1:1"), net.dialed("rm2:1"), net.dialed("rm3:1"); a != 1 || b != 1 || c != 1 {
			t.Errorf("dialed %d, %d and %d times", a, b, c)
		}
		stop()
		synctest.Wait() // the client has seen it go
		serve(t, ServerOptions{Listener: net.listen("rm1:1")}, echo)
		if _, err := report(t.Context(), cl, 2); err != nil {
			t.Errorf("after the active one went: %v", err)
		}
	})
}

func TestUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newPipes()
		cl := client(t, Options{Addrs: []string{"rm1:1", "rm2:1"}, Dial: net.dial, Retry: Retry{MaxElapsed: 10 * time.Second}})
		_, err := report(t.Context(), cl, 1)
		if !errors.Is(err, ErrUnreachable) || !errors.Is(err, errRefused) || !strings.Contains(err.Error(), "rm") {
			t.Errorf("error %v", err)
		}
		if a, b := net.dialed("rm1:1"), net.dialed("rm2:1"); a < 3 || b < 3 || a > 20 {
			t.Errorf("dialed %d and %d times", a, b)
		}
		once := client(t, Options{Addrs: []string{"rm9:1"}, Dial: net.dial, Retry: Retry{MaxAttempts: 1}})
		if _, err := report(t.Context(), once, 1); !errors.Is(err, ErrUnreachable) || net.dialed("rm9:1") != 1 {
			t.Errorf("%d attempts, error %v", net.dialed("rm9:1"), err)
		}
		if _, err := report(t.Context(), client(t, Options{}), 1); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "no address") {
			t.Errorf("error %v", err)
		}
	})
}

// A service that was there before is waited for, and a NameNode until it leaves safe mode. One
// never reached is given up earlier.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newPipes()
		began := time.Now()
		starting := func(ctx context.Context, who Caller, method string, request []byte) (proto.Message, error) {
			if time.Since(began) < 4*time.Minute {
				return nil, &JavaError{"org.apache.hadoop.hdfs.server.namenode.SafeModeException", "just started"}
			}
			return echo(ctx, who, method, request)
		}
		patient := client(t, Options{Addrs: []string{"nn:1"}, Dial: net.dial, Timeout: time.Hour, Retry: Retry{Patience: 5 * time.Minute}})
		if _, err := report(t.Context(), patient, 1); !errors.Is(err, ErrUnreachable) || time.Since(began) > 20*time.Second {
			t.Errorf("one never reached was given up after %v: %v", time.Since(began), err)
		}
		stop := serve(t, ServerOptions{Listener: net.listen("nn:1")}, starting)
		if _, err := report(t.Context(), client(t, Options{Addrs: []string{"nn:1"}, Dial: net.dial}), 2); !errors.Is(err, ErrSafeMode) {
			t.Errorf("safe mode without patience: %v", err)
		}
		if _, err := report(t.Context(), patient, 2); err != nil || time.Since(began) < 4*time.Minute {
			t.Errorf("safe mode was over after %v: %v", time.Since(began), err)
		}
		stop()
		synctest.Wait()
		began = time.Now()
		back := make(chan struct{})
		go func() {
			defer close(back)
			time.Sleep(2 * time.Minute)
			serve(t, ServerOptions{Listener: net.listen("nn:1")}, echo)
		}()
		if _, err := report(t.Context(), patient, 3); err != nil || time.Since(began) < 2*time.Minute {
			t.Errorf("it was back after %v: %v", time.Since(began), err)
		}
		<-back
	})
}

// A deadline that passes between attempts tells what had gone wrong.
func TestDeadlineTellsTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cl := client(t, Options{Addrs: []string{"rm1:1"}, Dial: newPipes().dial})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := report(ctx, cl, 1); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUnreachable) {
			t.Errorf("error %v", err)
		}
	})
}

func TestRetriable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newPipes()
		var calls atomic.Int32
		serve(t, ServerOptions{Listener: net.listen("nm:1")}, func(ctx context.Context, c Caller, m string, r []byte) (proto.Message, error) {
			if calls.Add(1) < 4 {
				return nil, &JavaError{"org.apache.hadoop.yarn.exceptions.NMNotYetReadyException", "soon"}
			}
			return echo(ctx, c, m, r)
		})
		cl := client(t, Options{Addrs: []string{"nm:1"}, Dial: net.dial})
		if _, err := report(t.Context(), cl, 1); err != nil || calls.Load() != 4 {
			t.Errorf("%d calls, %v", calls.Load(), err)
		}
		if net.dialed("nm:1") != 1 {
			t.Error("it was another connection each time")
		}
	})
}

// scripted accepts connections and gives each to the next of the functions, past its handshake.
func scripted(t *testing.T, l *pipeListener, scripts ...func(net.Conn)) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, script := range scripts {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				start := make([]byte, 7)
				if _, err := io.ReadFull(conn, start); err == nil {
					script(conn)
				}
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
}

// requests reads frames and returns their headers, until n calls were read.
func requests(conn net.Conn, n int) (headers []*pb.RpcRequestHeaderProto) {
	for len(headers) < n {
		f, err := readTestFrame(conn)
		if err != nil {
			return headers
		}
		h, _, err := cutRequest(f)
		if err != nil {
			return headers
		}
		if h.GetCallId() >= 0 {
			headers = append(headers, h)
		}
	}
	return headers
}

func answerTo(conn net.Conn, h *pb.RpcRequestHeaderProto, id int32) {
	f, err := responseFrame(&pb.RpcResponseHeaderProto{CallId: proto.Uint32(callIDBits(h.GetCallId())), Status: pb.RpcResponseHeaderProto_SUCCESS.Enum()},
		&pb.GetApplicationReportResponseProto{ApplicationReport: &pb.ApplicationReportProto{ApplicationId: &pb.ApplicationIdProto{Id: proto.Int32(id)}}})
	if err == nil {
		_, _ = conn.Write(f)
	}
}

// A connection is lost while a call waits. Only an idempotent call is sent again, with the same ids
// and the next retry count.
func TestLostConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net1 := newPipes()
		var first, second []*pb.RpcRequestHeaderProto
		scripted(t, net1.listen("nn:1"),
			func(c net.Conn) { first = requests(c, 1) },
			func(c net.Conn) {
				second = requests(c, 1)
				answerTo(c, second[0], 7)
				requests(c, 1)
			})
		cl := client(t, Options{Addrs: []string{"nn:1"}, Dial: net1.dial})
		if _, err := report(t.Context(), cl, 7, Idempotent()); err != nil {
			t.Fatal(err)
		}
		a, b := first[0], second[0]
		if a.GetCallId() != b.GetCallId() || string(a.GetClientId()) != string(b.GetClientId()) || len(a.GetClientId()) != 16 || a.GetRetryCount() != 0 || b.GetRetryCount() != 1 {
			t.Errorf("first %v, then %v", a, b)
		}
		_, err := report(t.Context(), cl, 8)
		network, ok := errors.AsType[*NetworkError](err)
		if !ok || !network.Sent || net1.dialed("nn:1") != 2 {
			t.Errorf("a call that may have been carried out: %v, %d connections", err, net1.dialed("nn:1"))
		}
	})
}

// Answers come in any order, and one for a call that was given up does no harm.
func TestAnswersOutOfOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net1 := newPipes()
		scripted(t, net1.listen("nn:1"), func(c net.Conn) {
			h := requests(c, 3)
			time.Sleep(time.Minute)
			for _, i := range []int32{2, 0, 1} {
				answerTo(c, h[i], i)
			}
			requests(c, 1)
		})
		cl := client(t, Options{Addrs: []string{"nn:1"}, Dial: net1.dial, Timeout: time.Hour})
		var wg sync.WaitGroup
		for id := range int32(3) {
			wg.Go(func() {
				time.Sleep(time.Duration(id) * time.Second) // the calls go out in this order
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if id == 0 {
					time.AfterFunc(10*time.Second, cancel)
				}
				if _, err := report(ctx, cl, id); id == 0 && !errors.Is(err, context.Canceled) || id > 0 && err != nil {
					t.Errorf("call %d: %v", id, err)
				}
			})
		}
		wg.Wait()
	})
}

func TestForeignGarbage(t *testing.T) {
	for _, answer := range []string{"HTTP/1.1 404 Not Found\r\n\r\n", "\x00\x00\x00\x03abc", "\x00\x00\x00\x00", "\xff\xff\xff\xff", ""} {
		synctest.Test(t, func(t *testing.T) {
			net1 := newPipes()
			scripted(t, net1.listen("x:1"), func(c net.Conn) {
				requests(c, 1)
				_, _ = io.WriteString(c, answer)
			})
			cl := client(t, Options{Addrs: []string{"x:1"}, Dial: net1.dial})
			if _, err := report(t.Context(), cl, 1); !errors.Is(err, ErrUnreachable) {
				t.Errorf("%q: error %v", answer, err)
			}
		})
	}
}

func TestServerSurvivesGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net1 := newPipes()
		serve(t, ServerOptions{Listener: net1.listen("rm:1"), Auth: []AuthMethod{Token, Simple}, Secrets: secrets}, echo)
		for _, in := range []string{
			"", "hr", "hrpc", "GET / HTTP/1.1\r\n", "hrpc\x08\x00\x00", "hrpc\x09\x00\x07", "hrpc\x09\x00\xdf\x00\x00\x00\x02\x01\x01",
			"hrpc\x09\x00\x00\xff\xff\xff\xff", "hrpc\x09\x00\xdf\xff\xff\xff\xff", "hrpc\x09\x00\x00\x00\x00\x00\x01\xff",
		} {
			conn, err := net1.dial(t.Context(), "", "rm:1")
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = io.Copy(io.Discard, conn) })
			_, _ = io.WriteString(conn, in)
			time.Sleep(time.Minute) // past the time a client has to say who it is
			_ = conn.Close()
			wg.Wait()
		}
		cl := client(t, Options{Addrs: []string{"rm:1"}, Dial: net1.dial})
		if _, err := report(t.Context(), cl, 1); err != nil {
			t.Error(err)
		}
	})
}

// Silence: the service is pinged, and a connection that nobody uses is closed.
func TestPingAndIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net1 := newPipes()
		var ids []int32
		gone := make(chan struct{})
		scripted(t, net1.listen("rm:1"), func(c net.Conn) {
			defer close(gone)
			var call *pb.RpcRequestHeaderProto
			for {
				f, err := readTestFrame(c)
				if err != nil {
					return
				}
				h, _, err := cutRequest(f)
				if err != nil {
					t.Error(err)
					return
				}
				ids = append(ids, h.GetCallId())
				if h.GetCallId() >= 0 {
					call = h
				}
				if len(ids) == 4 {
					answerTo(c, call, 1)
				}
			}
		})
		cl := client(t, Options{Addrs: []string{"rm:1"}, Dial: net1.dial, Timeout: 5 * time.Minute})
		if _, err := report(t.Context(), cl, 1); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(ids) != "[-3 1 -4 -4]" {
			t.Errorf("the service saw the calls %v", ids)
		}
		<-gone
	})
}

func TestCloseEndsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net1 := newPipes()
		started := make(chan struct{})
		serve(t, ServerOptions{Listener: net1.listen("rm:1")}, func(ctx context.Context, _ Caller, _ string, _ []byte) (proto.Message, error) {
			close(started)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		cl := client(t, Options{Addrs: []string{"rm:1"}, Dial: net1.dial})
		failed := make(chan error, 1)
		go func() { _, err := report(t.Context(), cl, 1); failed <- err }()
		<-started
		if err := cl.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; !errors.Is(err, ErrClosed) {
			t.Errorf("error %v", err)
		}
		if _, err := report(t.Context(), cl, 1); !errors.Is(err, ErrClosed) {
			t.Errorf("a call after Close: %v", err)
		}
	})
}

// A rolled-over token is used at the next connect.
func TestTokenIsAskedAtEachConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net1 := newPipes()
		serve(t, ServerOptions{Listener: net1.listen("rm:1"), Auth: []AuthMethod{Token}, Secrets: secrets}, echo)
		tok := aToken
		tok.Identifier = []byte("old")
		cl := client(t, Options{Addrs: []string{"rm:1"}, Dial: net1.dial, Token: func() (token.Token, bool) { return tok, true }})
		if _, err := report(t.Context(), cl, 1); !errors.Is(err, ErrInvalidToken) {
			t.Fatalf("error %v", err)
		}
		tok = aToken
		if _, err := report(t.Context(), cl, 1); err != nil {
			t.Error(err)
		}
	})
}
