package rpc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/token"
	"tfos/internal/pause"
)

// Options says which protocol a Client speaks, to which server, and as which user.
type Options struct {
	Protocol string   // Java name, "org.apache.hadoop.yarn.api.ApplicationClientProtocolPB"
	Version  uint64   // of the protocol; 0: 1
	Addrs    []string // host:port, tried in this order and then round again; a standby or unreachable one is left for the next

	User     string // under SIMPLE
	RealUser string // who acts for User under SIMPLE; empty: User itself
	// Token is asked at each connect, so that a token that was rolled over is used. Nil, or false:
	// SIMPLE.
	Token      func() (token.Token, bool)
	Protection []string // hadoop.rpc.protection; none: authentication

	Dial     func(ctx context.Context, network, addr string) (net.Conn, error) // nil: net.Dialer's
	Timeout  time.Duration                                                     // of a call whose context has no deadline, its retries included; 0: 60 s
	Retry    Retry
	ClientID [16]byte // the caller's identity in a NameNode's retry cache; zero: random
	Log      *zap.Logger
}

// Retry bounds how often a call is tried. What may be tried again: a call that was not sent, one
// that the service asked to send again or elsewhere, and, if it is Idempotent, one whose answer was
// lost.
type Retry struct {
	MaxAttempts int           // 0: as many as MaxElapsed allows; 1: no retry
	MaxElapsed  time.Duration // since the call began; 0: 20 s
	Patience    time.Duration // instead of MaxElapsed, with a service that has been reached before or is a NameNode in safe mode, which otherwise is told at once
	Base, Max   time.Duration // the first and the longest pause, give or take half; 0: 100 ms and 3 s. No pause before another address.
}

const (
	connectTimeout = 20 * time.Second // dialing and handshake, each address
	idleTimeout    = 10 * time.Second // a connection without calls is closed, before the service does it in the middle of one
	pingInterval   = time.Minute      // of silence while calls wait
)

// Client calls the methods of one protocol of one service. It connects at the first call and again
// when it has to. It is safe for concurrent use, and calls that overlap share the connection.
type Client struct {
	o        Options
	clientID []byte
	log      *zap.Logger
	wg       sync.WaitGroup // the links' goroutines and the one that dials

	mu      sync.Mutex
	closed  bool           // these are guarded by mu
	at      int            // index of the address in use
	link    *link          // nil, or dead, if there is no connection
	reached bool           // there has been a connection
	links   map[*link]bool // all that have not ended: besides link those that were left with calls in flight
	dialing *dialing       // nil: nobody dials
	lastID  int32
}

// dialing is an attempt to connect that several calls may wait for.
type dialing struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when link and err are set
	link   *link
	err    error
}

// NewClient returns a client. It connects when it is first called.
func NewClient(o Options) *Client {
	if o.Version == 0 {
		o.Version = 1
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	orDefault(&o.Timeout, time.Minute)
	orDefault(&o.Retry.MaxElapsed, 20*time.Second)
	orDefault(&o.Retry.Base, 100*time.Millisecond)
	orDefault(&o.Retry.Max, 3*time.Second)
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.ClientID == ([16]byte{}) {
		_, _ = rand.Read(o.ClientID[:]) // never fails
	}
	return &Client{o: o, clientID: o.ClientID[:], log: o.Log, links: map[*link]bool{}}
}

func orDefault(d *time.Duration, v time.Duration) {
	if *d == 0 {
		*d = v
	}
}

// A CallOption changes how one call is made.
type CallOption func(*call)

// Idempotent says that the call may be carried out twice, so that it is sent again when its answer
// was lost. A service with a retry cache recognizes it by its client and call id.
func Idempotent() CallOption { return func(c *call) { c.idempotent = true } }

// Call calls a method and waits for its answer, which it decodes into resp. Errors are
// *RemoteError, *NetworkError, or those of the context, the last failure joined to them.
func (c *Client) Call(ctx context.Context, method string, req, resp proto.Message, opts ...CallOption) error {
	if len(c.o.Addrs) == 0 {
		return &NetworkError{Method: method, Addr: c.o.Protocol, Err: errors.New("no address is configured")}
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.o.Timeout)
		defer cancel()
	}
	call := &call{id: c.nextID(), method: method, req: req}
	for _, o := range opts {
		o(call)
	}
	body, err := c.retry(ctx, call)
	if err != nil {
		return err
	}
	if _, err := cut(body, resp); err != nil {
		return fmt.Errorf("answer to %s: %w", method, err)
	}
	return nil
}

func (c *Client) nextID() int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastID = (c.lastID + 1) & 0x7fffffff // negative ids are no calls
	return c.lastID
}

// retry makes the call until it is answered or must not be tried again.
func (c *Client) retry(ctx context.Context, call *call) ([]byte, error) {
	pauses := pause.Growing(c.o.Retry.Base, c.o.Retry.Max)
	began := time.Now()
	for n := 1; ; n++ {
		body, err := c.once(ctx, call)
		if err == nil {
			if n > 1 {
				c.log.Info("call succeeded after retries", zap.String("method", call.method), zap.Int("attempts", n))
			}
			return body, nil
		}
		again, within := c.whatNext(err, call.idempotent)
		if ctx.Err() != nil {
			return nil, ctxError(ctx, err, call)
		}
		call.last = err
		rest := time.Duration(0)
		if again == sameService || n%len(c.o.Addrs) == 0 { // every address had its turn
			rest = pauses.Next()
		}
		if again == giveUp || n == c.o.Retry.MaxAttempts || time.Since(began)+rest > within {
			if n > 1 {
				c.log.Warn("call failed for good", zap.String("method", call.method), zap.Int("attempts", n), zap.Error(err))
			}
			if remote, ok := errors.AsType[*RemoteError](err); ok { // whose Error leaves Java's stack out
				c.log.Debug("the service's whole answer", zap.String("method", call.method), zap.String("class", remote.Class), zap.String("message", remote.Message))
			}
			return nil, err
		}
		if n == 1 {
			c.log.Info("call failed, will be tried again", zap.String("method", call.method), zap.Error(err))
		}
		if pause.For(ctx, rest) != nil {
			return nil, ctxError(ctx, err, call)
		}
	}
}

// ctxError says that the context ended, and what had gone wrong before.
func ctxError(ctx context.Context, err error, call *call) error {
	if !errors.Is(err, ctx.Err()) { // it ended in a pause
		return fmt.Errorf("%s: %w; before: %w", call.method, ctx.Err(), err)
	}
	if call.last != nil {
		return fmt.Errorf("%w; before: %w", err, call.last)
	}
	return err
}

// verdict is what a failure lets us do.
type verdict int

const (
	giveUp verdict = iota
	sameService
	nextService
)

// whatNext tells what to do after a failure, and for how long since the call began.
func (c *Client) whatNext(err error, idempotent bool) (verdict, time.Duration) {
	patience := c.o.Retry.MaxElapsed
	if c.hasReached() {
		patience = max(patience, c.o.Retry.Patience)
	}
	if errors.Is(err, ErrSafeMode) && c.o.Retry.Patience > 0 {
		return sameService, patience
	}
	return judge(err, idempotent), patience
}

func (c *Client) hasReached() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reached
}

func judge(err error, idempotent bool) verdict {
	network, lost := errors.AsType[*NetworkError](err)
	switch {
	case errors.Is(err, ErrStandby):
		return nextService
	case errors.Is(err, ErrRetriable), errors.Is(err, ErrNotYetReady):
		return sameService
	case lost && (!network.Sent || idempotent):
		return nextService
	}
	return giveUp
}

// once makes one attempt, on the connection there is or a new one.
func (c *Client) once(ctx context.Context, call *call) ([]byte, error) {
	w := &waiting{answer: make(chan answer, 1)}
	var err error
	w.frame, err = requestFrame(call.id, c.clientID, call.tries, &pb.RequestHeaderProto{
		MethodName:                 proto.String(call.method),
		DeclaringClassProtocolName: proto.String(c.o.Protocol),
		ClientProtocolVersion:      proto.Uint64(c.o.Version),
	}, call.req)
	if err != nil {
		return nil, err
	}
	l, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	err = l.add(call.id, w)
	if _, refused := errors.AsType[*RemoteError](err); err != nil && !refused { // it died since its last call, which says nothing of the service
		if l, err = c.connect(ctx); err != nil {
			return nil, err
		}
		err = l.add(call.id, w)
	}
	var body []byte
	if err == nil {
		body, err = l.await(ctx, call, w)
	}
	if w.sent.Load() {
		call.tries++
	}
	err = c.named(l, call, w, err)
	if judge(err, true) == nextService || errors.Is(err, errSilent) {
		c.leave(l)
	}
	return body, err
}

// named completes the error of an attempt with what is known of it.
func (c *Client) named(l *link, call *call, w *waiting, err error) error {
	remote, isRemote := errors.AsType[*RemoteError](err)
	_, isNetwork := errors.AsType[*NetworkError](err)
	switch {
	case err == nil || isNetwork:
		return err
	case isRemote && remote.refusedName() && !l.byToken:
		return fmt.Errorf("%w (tfos gave the plain user name %q; the service may want a token or Kerberos)", remote.of(call.method), c.o.User)
	case isRemote:
		return remote.of(call.method)
	case errors.Is(err, ErrClosed) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", call.method, err)
	}
	return &NetworkError{Method: call.method, Addr: l.addr, Sent: w.sent.Load(), Err: err}
}

// connect returns the connection, made anew if there is none. Calls that come at the same time
// share one attempt.
func (c *Client) connect(ctx context.Context) (*link, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, ErrClosed
	}
	if c.link != nil && c.link.alive() {
		defer c.mu.Unlock()
		return c.link, nil
	}
	d := c.dialing
	if d == nil {
		dialCtx, cancel := context.WithTimeout(context.Background(), connectTimeout)
		d = &dialing{cancel: cancel, done: make(chan struct{})}
		c.dialing = d
		addr := c.o.Addrs[c.at]
		c.wg.Go(func() { c.dial(dialCtx, d, addr) })
	}
	c.mu.Unlock()
	select {
	case <-d.done:
		return d.link, d.err
	case <-ctx.Done():
		return nil, fmt.Errorf("connect for %s: %w", c.o.Protocol, ctx.Err())
	}
}

// dial makes a connection and shares it, or moves on to the next address.
func (c *Client) dial(ctx context.Context, d *dialing, addr string) {
	defer close(d.done)
	defer d.cancel()
	conn, byToken, err := c.open(ctx, addr)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.dialing = nil
	switch {
	case err != nil:
		d.err = err
		c.at = (c.at + 1) % len(c.o.Addrs)
	case c.closed:
		d.err = ErrClosed
		_ = conn.Close()
	default:
		l := newLink(conn, addr, byToken)
		d.link, c.link, c.links[l], c.reached = l, l, true, true
		c.wg.Go(l.write)
		c.wg.Go(func() { l.read(); c.forget(l) })
	}
}

func (c *Client) forget(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.links, l)
}

// open dials and shakes hands.
func (c *Client) open(ctx context.Context, addr string) (conn net.Conn, byToken bool, err error) {
	raw, err := c.o.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, false, &NetworkError{Addr: addr, Err: err}
	}
	h := HandshakeOptions{Protocol: c.o.Protocol, User: c.o.User, RealUser: c.o.RealUser, Protection: c.o.Protection}
	if c.o.Token != nil {
		if t, ok := c.o.Token(); ok {
			h.Token = t
		}
	}
	conn, err = Handshake(ctx, raw, h)
	if err == nil {
		c.log.Debug("connected", zap.String("addr", addr), zap.String("protocol", c.o.Protocol))
		return conn, !h.Token.IsZero(), nil
	}
	_ = raw.Close()
	if _, ok := errors.AsType[*RemoteError](err); ok || errors.Is(err, ErrAuthentication) || errors.Is(err, ErrKerberosOnly) {
		return nil, false, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return nil, false, &NetworkError{Addr: addr, Err: err}
}

// leave gives up a connection and moves on to the next address, unless another call has done so
// already.
func (c *Client) leave(l *link) {
	c.mu.Lock()
	if c.link == l {
		c.link = nil
		c.at = (c.at + 1) % len(c.o.Addrs)
	}
	c.mu.Unlock()
	l.retire()
}

// Close ends the connection. Calls that wait fail with ErrClosed. It returns when the client's
// goroutines have ended.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	d, links := c.dialing, slices.Collect(maps.Keys(c.links))
	c.mu.Unlock()
	if d != nil {
		d.cancel()
	}
	for _, l := range links {
		l.fail(ErrClosed)
	}
	c.wg.Wait()
	return nil
}
