package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// How host names are looked up: each once a generation, not all at a time, and not for long, since
// a task waits for it.
const (
	lookupWait    = 10 * time.Second
	lookupsAtOnce = 16
)

type place struct {
	target target
	err    error
}

// find tells where each change leads to.
func (e *Endpoints) find(ctx context.Context, changed []change) []place {
	ctx, cancel := context.WithTimeout(ctx, lookupWait)
	defer cancel()
	type host struct {
		ip  netip.Addr
		err error
	}
	hosts := make(map[string]*host)
	var lookups errgroup.Group
	lookups.SetLimit(lookupsAtOnce)
	for _, c := range changed {
		name, _, err := net.SplitHostPort(c.to.Address)
		if err != nil || hosts[name] != nil {
			continue
		}
		h := new(host)
		hosts[name] = h
		if h.ip, err = netip.ParseAddr(name); err == nil {
			continue
		}
		lookups.Go(func() error {
			h.ip, h.err = e.lookup(ctx, name)
			return nil
		})
	}
	_ = lookups.Wait() // each host has its own error
	places := make([]place, len(changed))
	for i, c := range changed {
		name, port, err := net.SplitHostPort(c.to.Address)
		if err != nil {
			places[i].err = err
			continue
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			places[i].err = fmt.Errorf("%q is no port", port)
			continue
		}
		if c.to.Witness <= 0 && e.o.Proof(c.p.task) != (Proof{}) {
			places[i].err = errors.New("its agent names no port where it proves to be there")
			continue
		}
		places[i] = place{target{netip.AddrPortFrom(hosts[name].ip, uint16(n)), uint16(c.to.Witness)}, hosts[name].err}
	}
	return places
}

// lookup chooses an address of a host: IPv4 if it has one, since an IPv4 socket cannot be led to an
// IPv6 address, while the reverse is possible.
func (e *Endpoints) lookup(ctx context.Context, host string) (netip.Addr, error) {
	ips, err := e.o.Resolve(ctx, host)
	if err != nil {
		return netip.Addr{}, err
	}
	if len(ips) == 0 {
		return netip.Addr{}, fmt.Errorf("the host %s has no address", host)
	}
	for _, ip := range ips {
		if ip.Unmap().Is4() {
			return ip.Unmap(), nil
		}
	}
	return ips[0], nil
}

func resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}
