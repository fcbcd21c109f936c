package rpc

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/sasl"
	"tfos/internal/hadoop/token"
)

// A mechanism is one way to show a server who we are. It is asked in turn and sees only its own
// messages.
type mechanism interface {
	// begin answers the server's offer with the first token.
	begin(offer *pb.RpcSaslProto_SaslAuth) ([]byte, error)
	// next answers a challenge.
	next(challenge []byte) ([]byte, error)
	// finish checks the token that came with SUCCESS and returns what protects the connection from
	// now on; nil: nothing.
	finish(final []byte) (*sasl.Protector, error)
}

// AuthMethod is a way of authentication as offers name it.
type AuthMethod string

// The methods that are there.
const (
	Simple   AuthMethod = "SIMPLE" // a name, taken on trust
	Token    AuthMethod = "TOKEN"  // a token's password, by DIGEST-MD5
	kerberos AuthMethod = "KERBEROS"
)

// tokenMechanism shows that we know a token's password.
type tokenMechanism struct {
	token   token.Token
	allowed []sasl.QOP
	digest  *sasl.Client
}

func (m *tokenMechanism) begin(offer *pb.RpcSaslProto_SaslAuth) ([]byte, error) {
	m.digest = sasl.NewClient(sasl.ClientOptions{
		Username: base64.StdEncoding.EncodeToString(m.token.Identifier),
		Password: encodePassword(m.token.Password),
		URI:      offer.GetProtocol() + "/" + offer.GetServerId(),
		Allowed:  m.allowed,
		Nonce:    nonce(),
	})
	return m.digest.Respond(offer.GetChallenge())
}

func (m *tokenMechanism) next([]byte) ([]byte, error) {
	return nil, fmt.Errorf("%w: a second challenge", sasl.ErrAuthentication)
}

func (m *tokenMechanism) finish(final []byte) (*sasl.Protector, error) {
	if err := m.digest.Verify(final); err != nil {
		return nil, err
	}
	return m.digest.Protector()
}

// choose finds the offer that fits the token, or says why there is none.
func choose(offers []*pb.RpcSaslProto_SaslAuth, t token.Token) (*pb.RpcSaslProto_SaslAuth, error) {
	i := slices.IndexFunc(offers, func(o *pb.RpcSaslProto_SaslAuth) bool { return o.GetMethod() == string(Token) })
	if i >= 0 {
		if m := offers[i].GetMechanism(); m != sasl.Mechanism {
			return nil, fmt.Errorf("%w: the service checks tokens by %q, tfos knows %s (hadoop.security.sasl.mechanism)", ErrAuthentication, m, sasl.Mechanism)
		}
		return offers[i], nil
	}
	var names []string
	for _, o := range offers {
		names = append(names, o.GetMethod())
	}
	if slices.Contains(names, string(kerberos)) {
		return nil, fmt.Errorf("%w: it offers %s and takes no %s", ErrKerberosOnly, strings.Join(names, ", "), t.Kind)
	}
	return nil, fmt.Errorf("%w: the service offers %s and takes no %s", ErrAuthentication, strings.Join(names, ", "), t.Kind)
}

// encodePassword is the password as DIGEST-MD5 sees it on both sides.
func encodePassword(p token.Secret) token.Secret {
	return base64.StdEncoding.AppendEncode(nil, p)
}

func nonce() string {
	b := make([]byte, 24)
	_, _ = rand.Read(b) // never fails
	return base64.StdEncoding.EncodeToString(b)
}
