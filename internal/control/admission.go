package control

import (
	"net"

	"go.uber.org/zap"
	"google.golang.org/grpc/credentials"

	"tfos/internal/listen"
)

// Who connects is a stranger until it has shown a certificate of the job, and has begun to speak:
// one that does neither costs a descriptor and some 30 KiB. The listener bounds how many there may
// be, and closes them after as long as a server of gRPC waits.
func bounded(l net.Listener, logger *zap.Logger) *listen.Listener {
	return listen.New(l, listen.Options{Timeout: connectWait, Logger: logger})
}

// admitting tells a bounded listener who is none of them any more.
type admitting struct {
	credentials.TransportCredentials
}

// prefaceBytes is what a client of HTTP/2 says first (RFC 9113, 3.4).
const prefaceBytes = 24

// ServerHandshake implements credentials.TransportCredentials.
func (a admitting) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, info, err := a.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return c, info, err
	}
	if stranger, ok := raw.(*listen.Conn); ok {
		c, raw = &known{Conn: c, stranger: stranger}, stranger.Conn
	}
	shown, ok := info.(credentials.TLSInfo)
	if !ok || len(shown.State.VerifiedChains) == 0 {
		return c, info, nil
	}
	who, err := subjectOf(shown.State.VerifiedChains[0][0])
	if err != nil {
		return c, info, nil
	}
	return c, caller{shown.CommonAuthInfo, who, raw}, nil
}

// Clone implements credentials.TransportCredentials.
func (a admitting) Clone() credentials.TransportCredentials {
	return admitting{a.TransportCredentials.Clone()}
}

// known is a connection of one that has shown its certificate, and is admitted once it has said the
// preface.
type known struct {
	net.Conn
	stranger *listen.Conn // nil: admitted. The reader's
	said     int          // bytes; the reader's
}

// Read implements net.Conn.
func (k *known) Read(b []byte) (int, error) {
	n, err := k.Conn.Read(b)
	if k.stranger != nil {
		if k.said += n; k.said >= prefaceBytes {
			k.stranger.Admit()
			k.stranger = nil
		}
	}
	return n, err
}
