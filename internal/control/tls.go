package control

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

func (i Identity) config() (*tls.Config, *x509.CertPool, error) {
	if i.key == nil {
		return nil, nil, errors.New("the identity is empty")
	}
	pool := x509.NewCertPool()
	pool.AddCert(i.authority)
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{i.certificate()},
		SessionTicketsDisabled: true, // sessions last; a resumed one would skip the certificates
	}, pool, nil
}

// serverTLS lets in whoever the authority knows. Which calls a caller may make is up to admit.
func (i Identity) serverTLS() (credentials.TransportCredentials, error) {
	c, pool, err := i.config()
	if err != nil {
		return nil, err
	}
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, pool
	return admitting{credentials.NewTLS(c)}, nil
}

// clientTLS talks to a server of the given party of the same job, and to no other.
func (i Identity) clientTLS(want Party) (credentials.TransportCredentials, error) {
	c, err := i.ClientConfig(want)
	if err != nil {
		return nil, err
	}
	return credentials.NewTLS(c), nil
}

// ClientConfig is for talking to a server of the given party of the same job, and to no other.
func (i Identity) ClientConfig(want Party) (*tls.Config, error) {
	c, pool, err := i.config()
	if err != nil {
		return nil, err
	}
	c.RootCAs, c.ServerName = pool, want.serverName()
	return c, nil
}

// admit tells who is calling, and refuses all but the given parties.
func admit(ctx context.Context, parties ...Party) (Subject, error) {
	s, _, err := admitBy(ctx, parties...)
	return s, err
}

// admitBy is admit that tells by which connection as well.
func admitBy(ctx context.Context, parties ...Party) (Subject, net.Conn, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Subject{}, nil, status.Error(codes.Unauthenticated, "no peer")
	}
	c, ok := p.AuthInfo.(caller)
	if !ok {
		return Subject{}, nil, status.Error(codes.Unauthenticated, "no verified certificate of a party of this job")
	}
	if !slices.Contains(parties, c.who.Party) {
		return Subject{}, nil, status.Error(codes.PermissionDenied, fmt.Sprintf("a %s may not call this", c.who.Party))
	}
	return c.who, c.raw, nil
}
