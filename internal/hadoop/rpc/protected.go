package rpc

import (
	"fmt"
	"net"
	"sync"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/sasl"
	"tfos/internal/hadoop/wire"
)

// protectedConn carries a stream inside SASL frames of state WRAP. To its users it is a plain
// connection.
type protectedConn struct {
	net.Conn
	*sasl.Protector
	server bool // which side we are: the two put different headers before the same message

	writing sync.Mutex // makes frames go out in the order they were wrapped in

	reading sync.Mutex
	plain   []byte // unwrapped and not yet read; guarded by reading
}

// Write sends all of b or fails; after a failure the connection is of no more use.
func (c *protectedConn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	sent := 0
	for sent < len(b) {
		piece := b[sent:min(len(b), sent+c.Max())]
		message := &pb.RpcSaslProto{State: pb.RpcSaslProto_WRAP.Enum(), Token: c.Wrap(piece)}
		f, err := saslFrame(c.server, message)
		if err != nil {
			return sent, err
		}
		if _, err := c.Conn.Write(f); err != nil {
			return sent, err
		}
		sent += len(piece)
	}
	return sent, nil
}

// Read returns unwrapped bytes. A frame that is not wrapped is an error: someone on the way may
// have put it in.
func (c *protectedConn) Read(b []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	for len(c.plain) == 0 {
		f, err := wire.ReadFrame(c.Conn, wire.MaxFrame)
		if err != nil {
			return 0, err
		}
		token, err := c.wrappedToken(f)
		if err != nil {
			return 0, err
		}
		if c.plain, err = c.Unwrap(token); err != nil {
			return 0, err
		}
	}
	n := copy(b, c.plain)
	c.plain = c.plain[n:]
	return n, nil
}

func (c *protectedConn) wrappedToken(f []byte) ([]byte, error) {
	message, failure, err := cutSASL(c.server, f)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errProtectionCircumvened, err)
	case failure != nil:
		return nil, failure
	case message.GetState() != pb.RpcSaslProto_WRAP:
		return nil, fmt.Errorf("%w: SASL state %v", errProtectionCircumvened, message.GetState())
	}
	return message.GetToken(), nil
}

// saslFrame makes a frame of the SASL exchange as one side or the other sends it.
func saslFrame(server bool, message *pb.RpcSaslProto) ([]byte, error) {
	if server {
		return responseFrame(&pb.RpcResponseHeaderProto{CallId: proto.Uint32(callIDBits(callSASL)), Status: pb.RpcResponseHeaderProto_SUCCESS.Enum()}, message)
	}
	return requestFrame(callSASL, nil, -1, message)
}

// cutSASL takes a frame of the SASL exchange apart, as the given side gets it.
func cutSASL(server bool, f []byte) (*pb.RpcSaslProto, *RemoteError, error) {
	message := new(pb.RpcSaslProto)
	var callID int32
	var body []byte
	if server {
		header := new(pb.RpcRequestHeaderProto)
		rest, err := cut(f, header)
		if err != nil {
			return nil, nil, err
		}
		callID, body = header.GetCallId(), rest
	} else {
		header, rest, failure, err := cutResponse(f)
		if err != nil || failure != nil {
			return nil, failure, err
		}
		callID, body = int32(header.GetCallId()), rest
	}
	if callID != callSASL {
		return nil, nil, fmt.Errorf("%w: call id %d where SASL was due", errUnexpectedMessage, callID)
	}
	if _, err := cut(body, message); err != nil {
		return nil, nil, err
	}
	return message, nil, nil
}

// callIDBits is a call id as the response header carries it.
func callIDBits(id int32) uint32 { return uint32(id) }
