package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
)

// ErrRefused says that the other side is of this job and does not let the caller do this: there is
// no use in trying again.
var ErrRefused = errors.New("refused")

// ErrUnreachable says that the other side cannot be reached, or the connection to it broke.
var ErrUnreachable = errors.New("unreachable")

// Dialer opens a connection to host:port.
type Dialer func(ctx context.Context, address string) (net.Conn, error)

// A master holds a connection for each of thousands of agents, and what they say is short: its
// buffers are small, and those for writing are in a pool. A window that does not grow spares each
// connection the pings by which gRPC measures how far it should.
const (
	bufferBytes     = 4 << 10
	windowBytes     = 64 << 10
	maxMessageBytes = 16 << 20 // a cluster_spec of 100,000 tasks
)

// Keepalives find a peer that went away without a word. The master has the heartbeats for that;
// agents and clients have these. Ten seconds is the least that gRPC takes from a client.
const (
	pingEvery   = 10 * time.Second
	pingTimeout = 10 * time.Second
	connectWait = 10 * time.Second // for one attempt to connect, handshakes included
)

func newServer(tls credentials.TransportCredentials, logger *zap.Logger) *grpc.Server {
	return grpc.NewServer(
		grpc.Creds(tls),
		grpc.ForceServerCodecV2(codec{encoding.GetCodecV2(proto.Name)}),
		grpc.ReadBufferSize(0), // TLS has a buffer of its own
		grpc.WriteBufferSize(bufferBytes),
		grpc.HeaderTableSize(0), // calls are few and long: there is no header worth remembering
		grpc.StaticStreamWindowSize(windowBytes),
		grpc.StaticConnWindowSize(windowBytes),
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (_ any, err error) {
			defer survive(logger, &err)
			return next(ctx, req)
		}),
		grpc.StreamInterceptor(func(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
			defer survive(logger, &err)
			return next(server, stream)
		}),
		grpc.InTapHandle(interruptible),
		grpc.ConnectionTimeout(connectWait),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingEvery / 2, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: pingTimeout}),
	)
}

// A server's call that waits for its caller's next message ends only with its context, which is
// gRPC's. With one of ours in it, the goroutine that serves an agent can read as well: another one
// that reads for it would cost a tenth of what the master keeps of an agent.
type interrupted struct {
	context.Context
	end context.CancelFunc
}

type endOf struct{}

// Value implements context.Context.
func (i *interrupted) Value(key any) any {
	if key == (endOf{}) {
		return i.end
	}
	return i.Context.Value(key)
}

// interruptible gives a call a context that interrupt ends.
func interruptible(ctx context.Context, _ *tap.Info) (context.Context, error) {
	ctx, end := context.WithCancel(ctx)
	return &interrupted{ctx, end}, nil
}

// interrupt ends a call's wait for its caller.
func interrupt(ctx context.Context) { ctx.Value(endOf{}).(context.CancelFunc)() }

// survive makes a panic the error of the one call that it is in: it must not end everything else
// that the process does.
func survive(logger *zap.Logger, err *error) {
	if p := recover(); p != nil {
		logger.Error("a call panicked", zap.Any("panic", p), zap.Stack("stack"))
		*err = status.Error(codes.Internal, fmt.Sprint("panic: ", p))
	}
}

// Listen opens a port for the other processes of a job: on all addresses, or on host alone where
// that is a loopback address, by which nobody else can be meant to reach us.
func Listen(host string) (net.Listener, error) { return ListenAt(host, "0") }

// ListenAt is Listen on a port, or any other one where that is taken.
func ListenAt(host, port string) (net.Listener, error) {
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
		host = ""
	}
	l := net.ListenConfig{Control: sendAgainSoon} // what is accepted inherits it
	at, err := l.Listen(context.Background(), "tcp", net.JoinHostPort(host, port))
	if errors.Is(err, syscall.EADDRINUSE) && port != "0" {
		return ListenAt(host, "0")
	}
	return at, err
}

// sendAgainSoon makes a socket send lost bytes again after a second at most. TCP waits twice as
// long each time: after a link was away for 3.5 s nothing comes through before 6.2 s have gone, and
// by then an agent whose heartbeat waits is counted as lost. Linux has this since 6.15; older ones
// refuse, and go on as they do.
func sendAgainSoon(_, _ string, socket syscall.RawConn) error {
	return socket.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, 1000) })
}

// dial prepares a connection to a server of the given party. It connects when first used.
func dial(address string, d Dialer, id Identity, want Party) (*grpc.ClientConn, error) {
	tls, err := id.clientTLS(want)
	if err != nil {
		return nil, err
	}
	if d == nil {
		n := net.Dialer{Control: sendAgainSoon}
		d = func(ctx context.Context, address string) (net.Conn, error) { return n.DialContext(ctx, "tcp", address) }
	}
	return grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(tls),
		grpc.WithContextDialer(d),
		grpc.WithReadBufferSize(bufferBytes),
		grpc.WithWriteBufferSize(bufferBytes),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingEvery, Timeout: pingTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.3, MaxDelay: 5 * time.Second},
			MinConnectTimeout: connectWait,
		}),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableHealthCheck(),
	)
}

// foreign makes gRPC's error ours. A context's end stays what it is.
func foreign(err error) error {
	s, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	switch s.Code() {
	case codes.Canceled:
		return context.Canceled
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	case codes.PermissionDenied, codes.Unauthenticated:
		return fmt.Errorf("%w: %s", ErrRefused, s.Message())
	case codes.NotFound:
		return fmt.Errorf("%w: %s", ErrNoLog, s.Message())
	case codes.Unavailable:
		return fmt.Errorf("%w: %s", ErrUnreachable, plain(s.Message()))
	default:
		return errors.New(s.Message())
	}
}

// plain is what a dialer said, out of the words that gRPC wraps it in: `connection error: desc =
// "transport: Error while dialing: …"`.
func plain(message string) string {
	_, said, ok := strings.Cut(message, "Error while dialing: ")
	if !ok {
		return message
	}
	return strings.TrimSuffix(said, `"`)
}
