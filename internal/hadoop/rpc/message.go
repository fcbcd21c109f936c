package rpc

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/wire"
)

// The seven bytes of a connection's start: magic, version, service class, how authentication goes
// on.
const (
	magic      = "hrpc"
	version    = 9
	authSimple = 0x00
	authSASL   = 0xdf
)

// Call ids that are no calls.
const (
	callAuthFailed = -1
	callContext    = -3
	callPing       = -4
	callSASL       = -33
)

// maxSetupFrame bounds frames before anyone is authenticated, in bytes.
const maxSetupFrame = 1 << 20

// requestFrame makes a frame that a client sends: header and what follows.
func requestFrame(callID int32, clientID []byte, retry int32, parts ...proto.Message) ([]byte, error) {
	header := &pb.RpcRequestHeaderProto{
		RpcKind:    pb.RpcKindProto_RPC_PROTOCOL_BUFFER.Enum(),
		RpcOp:      pb.RpcRequestHeaderProto_RPC_FINAL_PACKET.Enum(),
		CallId:     proto.Int32(callID),
		ClientId:   clientID,
		RetryCount: proto.Int32(retry),
	}
	if clientID == nil {
		header.ClientId = []byte{} // required
	}
	return frame(append([]proto.Message{header}, parts...)...)
}

// responseFrame makes a frame that a server sends.
func responseFrame(header *pb.RpcResponseHeaderProto, parts ...proto.Message) ([]byte, error) {
	header.ServerIpcVersionNum = proto.Uint32(version)
	return frame(append([]proto.Message{header}, parts...)...)
}

func frame(messages ...proto.Message) ([]byte, error) {
	parts := make([][]byte, len(messages))
	for i, m := range messages {
		var err error
		if parts[i], err = proto.Marshal(m); err != nil {
			return nil, fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
		}
	}
	f := wire.Frame(parts...)
	if len(f)-4 > wire.MaxFrame {
		return nil, fmt.Errorf("frame of %d bytes: %w of %d", len(f)-4, wire.ErrTooLarge, wire.MaxFrame)
	}
	return f, nil
}

// cut takes one length-prefixed message off b.
func cut(b []byte, m proto.Message) (rest []byte, err error) {
	part, rest, err := wire.CutDelimited(b)
	if err == nil {
		err = proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(part, m)
	}
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return rest, nil
}

// cutResponse takes the header off a server's frame; what it says of a failure is the *RemoteError.
func cutResponse(b []byte) (header *pb.RpcResponseHeaderProto, body []byte, failure *RemoteError, err error) {
	header = new(pb.RpcResponseHeaderProto)
	if body, err = cut(b, header); err != nil {
		return nil, nil, nil, err
	}
	if header.GetStatus() != pb.RpcResponseHeaderProto_SUCCESS {
		failure = &RemoteError{
			Class:   header.GetExceptionClassName(),
			Message: header.GetErrorMsg(),
			Fatal:   header.GetStatus() == pb.RpcResponseHeaderProto_FATAL,
			Code:    int32(header.GetErrorDetail()),
		}
	}
	return header, body, failure, nil
}
