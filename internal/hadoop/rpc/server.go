package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/sasl"
	"tfos/internal/hadoop/token"
	"tfos/internal/listen"
)

// A SecretManager finds the password of a token's identifier, and the user that the token speaks
// for. An error refuses the client: a *JavaError as it is, any other as an invalid token. The
// protocol is the server's, if it has one only; else it is empty, because a client names it after
// it was let in.
type SecretManager func(protocol string, identifier []byte) (password token.Secret, user string, err error)

// Caller is who made a call, as far as its connection proved it.
type Caller struct {
	User       string
	RealUser   string // who acts for User; empty: User itself. Taken on trust.
	Identifier []byte // of the token that was shown; nil under SIMPLE, which proves nothing
	Protocol   string
	Remote     net.Addr
}

// A Handler answers one call: it decodes the request of the method it knows and returns the
// response. Its error goes to the client, a *JavaError by its class, any other as a
// java.io.IOException. Handlers run concurrently; the context ends with the server.
type Handler func(ctx context.Context, caller Caller, method string, request []byte) (proto.Message, error)

// ServerOptions says where a Server listens and which clients it lets in.
type ServerOptions struct {
	Listener   net.Listener  // the server closes it
	Auth       []AuthMethod  // in order of preference; none: SIMPLE
	Secrets    SecretManager // for TOKEN
	Protection []string      // hadoop.rpc.protection; none: authentication
	Log        *zap.Logger
}

// Server serves protocols over Hadoop RPC.
type Server struct {
	o         ServerOptions
	log       *zap.Logger
	listener  *listen.Listener
	protocols map[string]registration // not changed after Serve

	mu      sync.Mutex
	cancel  context.CancelFunc // guarded by mu; nil before Serve
	closed  bool               // guarded by mu
	stopped chan struct{}      // closed when Serve has returned
}

type registration struct {
	version uint64
	handler Handler
}

const (
	setupTimeout  = 30 * time.Second // of a client, from connect to connection context
	writeTimeout  = time.Minute
	clientTimeout = 10 * time.Minute // of silence
	closeTimeout  = 10 * time.Second // for handlers to end once their context has
	maxInFlight   = 256              // calls of one connection; more are not read until one ends
)

// NewServer returns a server that serves nothing yet.
func NewServer(o ServerOptions) *Server {
	if len(o.Auth) == 0 {
		o.Auth = []AuthMethod{Simple}
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	l := listen.New(o.Listener, listen.Options{Timeout: setupTimeout, Logger: o.Log})
	return &Server{o: o, log: o.Log, listener: l, protocols: map[string]registration{}, stopped: make(chan struct{})}
}

// Register adds a protocol by its Java name. It must not be called after Serve.
func (s *Server) Register(protocol string, version uint64, h Handler) {
	s.protocols[protocol] = registration{version, h}
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve accepts clients until the context ends or Close is called, which is no error. When it
// returns the connections are closed and the handlers have ended; handlers that do not, within ten
// seconds, are an error.
func (s *Server) Serve(ctx context.Context) error {
	qops, err := sasl.ParseProtection(s.o.Protection)
	if err != nil {
		return err
	}
	if slices.Contains(s.o.Auth, Token) && s.o.Secrets == nil {
		return errors.New("rpc server: TOKEN is offered without a secret manager")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	if s.cancel != nil {
		s.mu.Unlock()
		return errors.New("rpc server: Serve was called before")
	}
	s.cancel = cancel
	if s.closed {
		cancel()
	}
	s.mu.Unlock()
	defer close(s.stopped)

	var conns sync.WaitGroup
	stop := context.AfterFunc(ctx, func() { _ = s.listener.Close() })
	err = s.accept(ctx, qops, &conns)
	stopping := ctx.Err() != nil
	cancel()
	if stop() {
		_ = s.listener.Close()
	}
	if stopping {
		err = nil
	}
	return errors.Join(err, waitFor(&conns))
}

// accept starts a goroutine for each connection.
func (s *Server) accept(ctx context.Context, qops []sasl.QOP, conns *sync.WaitGroup) error {
	for {
		conn, err := s.listener.Accept()
		switch {
		case err == nil:
			conns.Go(func() { s.serve(ctx, conn, qops) })
		case ctx.Err() != nil:
			return nil
		default:
			return fmt.Errorf("accept: %w", err)
		}
	}
}

// waitFor waits for the connections' goroutines, within bounds.
func waitFor(conns *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() { conns.Wait(); close(done) }()
	t := time.NewTimer(closeTimeout)
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-t.C:
		return fmt.Errorf("rpc server: handlers still run %v after their context ended", closeTimeout)
	}
}

// Close ends Serve and waits for it. It may be called more than once, and before Serve.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	cancel := s.cancel
	s.mu.Unlock()
	if cancel == nil {
		return s.listener.Close()
	}
	cancel()
	<-s.stopped
	return nil
}

// onlyProtocol is the protocol's name if there is one only.
func (s *Server) onlyProtocol() string {
	if len(s.protocols) != 1 {
		return ""
	}
	for name := range s.protocols {
		return name
	}
	return ""
}
