package rpc

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/sasl"
	"tfos/internal/hadoop/token"
	"tfos/internal/hadoop/wire"
)

// realm is both the realm and the server id of Hadoop's digests; the protocol before the id is
// empty.
const realm = "default"

func (c *serverConn) offers(m AuthMethod) bool { return slices.Contains(c.o.Auth, m) }

// authenticate goes through the SASL exchange. After it the caller is known, and conn unwraps if
// that was agreed on.
func (c *serverConn) authenticate(qops []sasl.QOP) error {
	if _, err := c.expect(pb.RpcSaslProto_NEGOTIATE); err != nil {
		return err
	}
	if !c.offers(Token) {
		return c.sendSASL(&pb.RpcSaslProto{State: pb.RpcSaslProto_SUCCESS.Enum()}) // the name in the context will do
	}
	digest := sasl.NewServer(sasl.ServerOptions{Realm: realm, URI: "/" + realm, Allowed: qops, Nonce: nonce()})
	offer := &pb.RpcSaslProto{State: pb.RpcSaslProto_NEGOTIATE.Enum()}
	for _, m := range c.o.Auth {
		a := &pb.RpcSaslProto_SaslAuth{Method: proto.String(string(m)), Mechanism: proto.String("")}
		if m == Token {
			a.Mechanism, a.Protocol, a.ServerId, a.Challenge = proto.String(sasl.Mechanism), proto.String(""), proto.String(realm), digest.Challenge()
		}
		offer.Auths = append(offer.Auths, a)
	}
	if err := c.sendSASL(offer); err != nil {
		return err
	}
	initiate, err := c.expect(pb.RpcSaslProto_INITIATE)
	if err != nil {
		return err
	}
	chosen := ""
	if len(initiate.GetAuths()) == 1 {
		chosen = initiate.GetAuths()[0].GetMethod()
	}
	switch {
	case chosen == string(Simple) && c.offers(Simple):
		return nil // the context follows at once
	case chosen != string(Token):
		return c.fatal(callSASL, pb.RpcResponseHeaderProto_FATAL_UNAUTHORIZED, &JavaError{classSasl, fmt.Sprintf("%q was not offered", chosen)})
	}
	final, err := digest.Accept(initiate.GetToken(), c.password)
	if err != nil {
		if errors.Is(err, sasl.ErrAuthentication) {
			err = &JavaError{classSasl, "DIGEST-MD5: " + err.Error()}
		}
		return c.fatal(callSASL, pb.RpcResponseHeaderProto_FATAL_UNAUTHORIZED, err)
	}
	if err := c.sendSASL(&pb.RpcSaslProto{State: pb.RpcSaslProto_SUCCESS.Enum(), Token: final}); err != nil {
		return err
	}
	p, err := digest.Protector()
	if err == nil && p != nil {
		c.conn = &protectedConn{Conn: c.conn, Protector: p, server: true}
	}
	return err
}

// password looks a token up and remembers whose it is.
func (c *serverConn) password(username string) (token.Secret, error) {
	identifier, err := base64.StdEncoding.DecodeString(username)
	if err != nil {
		return nil, &JavaError{classInvalidToken, "the identifier is not base64"}
	}
	password, user, err := c.o.Secrets(c.onlyProtocol(), identifier)
	if err != nil {
		if _, ok := errors.AsType[*JavaError](err); !ok {
			err = &JavaError{classInvalidToken, err.Error()}
		}
		return nil, err
	}
	c.caller.Identifier, c.caller.User = identifier, user
	return encodePassword(password), nil
}

// expect reads one SASL message of the given state.
func (c *serverConn) expect(state pb.RpcSaslProto_SaslState) (*pb.RpcSaslProto, error) {
	f, err := wire.ReadFrame(c.conn, maxSetupFrame)
	if err != nil {
		return nil, err
	}
	message, _, err := cutSASL(true, f)
	if err != nil {
		return nil, err
	}
	if message.GetState() != state {
		return nil, c.fatal(callSASL, pb.RpcResponseHeaderProto_FATAL_UNAUTHORIZED, &JavaError{classSasl, fmt.Sprintf("SASL state %v where %v was due", message.GetState(), state)})
	}
	return message, nil
}

func (c *serverConn) sendSASL(message *pb.RpcSaslProto) error {
	f, err := saslFrame(true, message)
	if err != nil {
		return err
	}
	return c.send(f)
}
