package control

import (
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"time"

	"go.uber.org/zap"

	"tfos/internal/listen"
)

// handshakeWait bounds how long a stranger may take to show its certificate.
const handshakeWait = 10 * time.Second

// Gate serves connections over the job's TLS that are not gRPC's. Who is of none of its parties
// gets nothing. It serves from Run on.
type Gate struct {
	*listen.Closer
	listener *listen.Listener
	config   *tls.Config
	parties  []Party
	log      *zap.Logger
}

// NewGate prepares a Gate on a listener, which it closes in the end.
func NewGate(l net.Listener, id Identity, log *zap.Logger, parties ...Party) (*Gate, error) {
	c, pool, err := id.config()
	if err != nil {
		return nil, fmt.Errorf("serve as %s: %w", id, err)
	}
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, pool
	strangers := bounded(l, log)
	return &Gate{Closer: listen.NewCloser(strangers, log), listener: strangers, config: c, parties: parties, log: log}, nil
}

// Addr is where it listens.
func (g *Gate) Addr() net.Addr { return g.listener.Addr() }

// Run hands each connection of one of its parties to serve, in a goroutine of its own, and closes
// it afterwards. It returns once Close was called and all have ended.
func (g *Gate) Run(serve func(net.Conn)) error {
	return g.Closer.Run(func(raw net.Conn) {
		c, err := g.admit(raw)
		if err != nil {
			g.log.Warn("caller turned away", zap.Error(err))
			return
		}
		serve(c)
	})
}

// admit has a stranger show who it is.
func (g *Gate) admit(raw net.Conn) (net.Conn, error) {
	c := tls.Server(raw, g.config)
	if err := c.SetDeadline(time.Now().Add(handshakeWait)); err != nil {
		return nil, err
	}
	if err := c.Handshake(); err != nil {
		return nil, err
	}
	s, err := subjectOf(c.ConnectionState().VerifiedChains[0][0])
	if err != nil {
		return nil, err
	}
	if !slices.Contains(g.parties, s.Party) {
		return nil, fmt.Errorf("a %s has no business here", s.Party)
	}
	if stranger, ok := raw.(*listen.Conn); ok {
		stranger.Admit()
	}
	return c, c.SetDeadline(time.Time{})
}
