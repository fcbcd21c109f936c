package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/sasl"
	"tfos/internal/hadoop/token"
	"tfos/internal/hadoop/wire"
)

// HandshakeOptions says who opens a connection, and what for.
type HandshakeOptions struct {
	Protocol   string      // Java name of the protocol to be spoken
	User       string      // for SIMPLE; a token says by itself who calls
	RealUser   string      // who acts for User; empty: User itself
	Token      token.Token // zero: SIMPLE
	Protection []string    // hadoop.rpc.protection; none: authentication
}

// Handshake opens a Hadoop RPC connection over conn: header, authentication, connection context.
// The connection it returns carries plain frames, wrapped and unwrapped on the way if that was
// agreed on; it is conn itself otherwise. The context bounds the handshake, not the connection. On
// failure conn is to be closed by the caller.
func Handshake(ctx context.Context, conn net.Conn, o HandshakeOptions) (net.Conn, error) {
	allowed, err := sasl.ParseProtection(o.Protection)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // ends the I/O that goes on
	opened, err := open(conn, o, allowed)
	if !stop() || err != nil && ctx.Err() != nil {
		return nil, errors.Join(context.Cause(ctx), err)
	}
	if err != nil {
		return nil, err
	}
	return opened, conn.SetDeadline(time.Time{})
}

func open(conn net.Conn, o HandshakeOptions, allowed []sasl.QOP) (net.Conn, error) {
	who := &pb.IpcConnectionContextProto{Protocol: proto.String(o.Protocol)}
	start := []byte{magic[0], magic[1], magic[2], magic[3], version, 0, authSASL}
	simple := o.Token.IsZero()
	if simple {
		start[6] = authSimple
		who.UserInfo = &pb.UserInformationProto{EffectiveUser: proto.String(o.User)}
		if o.RealUser != "" && o.RealUser != o.User {
			who.UserInfo.RealUser = proto.String(o.RealUser)
		}
	}
	if _, err := conn.Write(start); err != nil {
		return nil, err
	}
	if !simple {
		p, err := negotiate(conn, o.Token, &tokenMechanism{token: o.Token, allowed: allowed})
		if err != nil {
			return nil, err
		}
		if p != nil {
			conn = &protectedConn{Conn: conn, Protector: p}
		}
	}
	f, err := requestFrame(callContext, nil, -1, who)
	if err != nil {
		return nil, err
	}
	_, err = conn.Write(f)
	return conn, err
}

// negotiate goes through the SASL exchange and returns what protects the connection after it.
func negotiate(conn net.Conn, t token.Token, m mechanism) (*sasl.Protector, error) {
	reply, err := exchange(conn, &pb.RpcSaslProto{State: pb.RpcSaslProto_NEGOTIATE.Enum()})
	if err != nil {
		return nil, err
	}
	if reply.GetState() == pb.RpcSaslProto_SUCCESS {
		return nil, fmt.Errorf("%w: the service checks nobody, not even by tokens, so it may be an impostor", ErrAuthentication)
	}
	if reply.GetState() != pb.RpcSaslProto_NEGOTIATE {
		return nil, fmt.Errorf("%w: SASL state %v in answer to NEGOTIATE", errUnexpectedMessage, reply.GetState())
	}
	offer, err := choose(reply.GetAuths(), t)
	if err != nil {
		return nil, err
	}
	first, err := m.begin(offer)
	if err != nil {
		return nil, err
	}
	reply, err = exchange(conn, &pb.RpcSaslProto{
		State: pb.RpcSaslProto_INITIATE.Enum(),
		Token: first,
		Auths: []*pb.RpcSaslProto_SaslAuth{{Method: offer.Method, Mechanism: offer.Mechanism, Protocol: offer.Protocol, ServerId: offer.ServerId}},
	})
	for range maxChallenges {
		if err != nil {
			return nil, err
		}
		switch reply.GetState() {
		case pb.RpcSaslProto_SUCCESS:
			return m.finish(reply.GetToken())
		case pb.RpcSaslProto_CHALLENGE:
			answer, err := m.next(reply.GetToken())
			if err != nil {
				return nil, err
			}
			reply, err = exchange(conn, &pb.RpcSaslProto{State: pb.RpcSaslProto_RESPONSE.Enum(), Token: answer})
			if err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("%w: SASL state %v in answer to INITIATE", errUnexpectedMessage, reply.GetState())
		}
	}
	return nil, fmt.Errorf("%w: more than %d challenges", ErrAuthentication, maxChallenges)
}

// maxChallenges bounds the exchange; GSSAPI needs two.
const maxChallenges = 8

// exchange sends one SASL message and reads the answer.
func exchange(conn net.Conn, message *pb.RpcSaslProto) (*pb.RpcSaslProto, error) {
	f, err := saslFrame(false, message)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(f); err != nil {
		return nil, err
	}
	if f, err = wire.ReadFrame(conn, maxSetupFrame); err != nil {
		return nil, err
	}
	reply, failure, err := cutSASL(false, f)
	if failure != nil {
		return nil, failure
	}
	return reply, err
}
