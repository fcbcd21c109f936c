package yarnrpc

import (
	"context"
	"net"
	"time"

	"go.uber.org/zap"

	"tfos/internal/hadoop/conf"
	"tfos/internal/hadoop/rpc"
	"tfos/internal/hadoop/token"
)

// DialFunc opens a connection.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// Options are what the clients have in common.
type Options struct {
	// Addrs are host:port of the ResourceManagers, of the client's port or of the scheduler's.
	// Nodes needs none.
	Addrs      []string
	User       string        // who we are, where no token says it
	Protection []string      // hadoop.rpc.protection; none: authentication
	Dial       DialFunc      // nil: TCP
	Timeout    time.Duration // of a call whose context has no deadline; 0: a minute
	Log        *zap.Logger
}

func (o Options) rpc(protocol string, tok func() (token.Token, bool)) rpc.Options {
	return rpc.Options{
		Protocol: protocol, Addrs: o.Addrs, User: o.User, Token: tok, Protection: o.Protection,
		Dial: o.Dial, Timeout: o.Timeout, Log: o.Log,
	}
}

// ClientOptions are NewClient's for the cluster that c describes; the caller adds User and Log.
func ClientOptions(c *conf.Conf) (Options, error) { return optionsFor(c, conf.RMClient) }

// MasterOptions are NewMaster's for the cluster that c describes; the caller adds Log.
func MasterOptions(c *conf.Conf) (Options, error) { return optionsFor(c, conf.RMScheduler) }

// NodesOptions are NewNodes' for the cluster that c describes; the caller adds Log.
func NodesOptions(c *conf.Conf) Options {
	o := Options{Protection: c.List(protection)}
	if at := c.String(NodesAt); at != "" {
		o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			var d net.Dialer
			return d.DialContext(ctx, network, net.JoinHostPort(at, port))
		}
	}
	return o
}

// NodesAt is the property that tells where NodeManagers listen, whatever hosts they are known by:
// an embedded YARN has nodes that stand for processes of other machines. Empty: at their hosts.
const NodesAt = "tfos.nodemanagers.at"

// protection is the key of the list of protections, of which both sides must share one.
const protection = "hadoop.rpc.protection"

func optionsFor(c *conf.Conf, s conf.RMService) (Options, error) {
	addrs, err := c.ResourceManagers(s)
	return Options{Addrs: addrs, Protection: c.List(protection)}, err
}
