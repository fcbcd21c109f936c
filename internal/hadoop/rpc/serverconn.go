package rpc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/sasl"
	"tfos/internal/hadoop/wire"
	"tfos/internal/listen"
)

// serverConn is one client's connection, from its first byte on.
type serverConn struct {
	*Server
	conn   net.Conn // unwrapped, once authentication agreed on wrapping
	caller Caller

	writing sync.Mutex // one response at a time
}

// serve talks to one client until either side ends.
func (s *Server) serve(ctx context.Context, conn net.Conn, qops []sasl.QOP) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()
	c := &serverConn{Server: s, conn: conn, caller: Caller{Remote: conn.RemoteAddr()}}
	if err := conn.SetDeadline(time.Now().Add(setupTimeout)); err != nil {
		return
	}
	err := c.setUp(qops)
	if err == nil {
		err = c.conn.SetDeadline(time.Time{})
	}
	if err == nil {
		if stranger, ok := conn.(*listen.Conn); ok {
			stranger.Admit()
		}
		err = c.calls(ctx)
	}
	if err != nil && err != io.EOF && ctx.Err() == nil {
		s.log.Info("client's connection ended", zap.Stringer("remote", conn.RemoteAddr()), zap.String("user", c.caller.User), zap.Error(err))
		linger(conn)
	}
}

// linger lets the client read our last words: closing with its bytes unread would reset the
// connection and lose them.
func linger(conn net.Conn) {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	if conn.SetReadDeadline(time.Now().Add(time.Second)) == nil {
		_, _ = io.CopyN(io.Discard, conn, 1<<20)
	}
}

// setUp reads the connection's start, authenticates the client and reads what it wants.
func (c *serverConn) setUp(qops []sasl.QOP) error {
	var start [7]byte
	if _, err := io.ReadFull(c.conn, start[:4]); err != nil {
		return err
	}
	if string(start[:4]) != magic {
		if string(start[:4]) == "GET " {
			_, _ = io.WriteString(c.conn, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nThis port speaks Hadoop RPC, not HTTP.\n")
		}
		return fmt.Errorf("%w: starts with %q", errUnexpectedMessage, start[:4])
	}
	if _, err := io.ReadFull(c.conn, start[4:]); err != nil {
		return err
	}
	if start[4] != version {
		return fmt.Errorf("%w: %d", errVersionMismatch, start[4])
	}
	switch start[6] {
	case authSimple:
		return c.context(!c.offers(Simple))
	case authSASL:
		if err := c.authenticate(qops); err != nil {
			return err
		}
		return c.context(false)
	}
	return fmt.Errorf("%w: authentication %#x", errUnexpectedMessage, start[6])
}

// context reads who the client says it is and what it wants to speak. A client that may not come
// with a mere name is refused after it, when it listens.
func (c *serverConn) context(refuse bool) error {
	f, err := wire.ReadFrame(c.conn, maxSetupFrame)
	if err != nil {
		return err
	}
	header, body, err := cutRequest(f)
	if err != nil {
		return err
	}
	if header.GetCallId() != callContext {
		return fmt.Errorf("%w: call id %d where the connection's context was due", errUnexpectedMessage, header.GetCallId())
	}
	who := new(pb.IpcConnectionContextProto)
	if _, err := cut(body, who); err != nil {
		return err
	}
	if refuse {
		return c.fatal(callAuthFailed, pb.RpcResponseHeaderProto_FATAL_UNAUTHORIZED,
			&JavaError{classAccessControl, fmt.Sprintf("SIMPLE authentication is not enabled.  Available:%v", c.o.Auth)})
	}
	user := who.GetUserInfo().GetEffectiveUser()
	c.caller.Protocol = who.GetProtocol()
	switch {
	case c.caller.Identifier == nil:
		c.caller.User, c.caller.RealUser = user, who.GetUserInfo().GetRealUser()
	case user != "" && user != c.caller.User:
		return c.fatal(callAuthFailed, pb.RpcResponseHeaderProto_FATAL_UNAUTHORIZED,
			&JavaError{classAccessControl, fmt.Sprintf("a token of %s does not let in %s", c.caller.User, user)})
	}
	if c.caller.User == "" {
		return c.fatal(callAuthFailed, pb.RpcResponseHeaderProto_FATAL_UNAUTHORIZED, &JavaError{classAccessControl, "no user name was given"})
	}
	return nil
}

// cutRequest takes the header off a client's frame.
func cutRequest(f []byte) (*pb.RpcRequestHeaderProto, []byte, error) {
	header := new(pb.RpcRequestHeaderProto)
	body, err := cut(f, header)
	return header, body, err
}

// calls reads calls and has each answered by a goroutine of its own. It returns when they all have
// ended.
func (c *serverConn) calls(ctx context.Context) error {
	var handlers sync.WaitGroup
	defer handlers.Wait()
	ctx, cancel := context.WithCancel(ctx) // a client that has gone needs no answers
	defer cancel()
	slots := make(chan struct{}, maxInFlight)
	r := bufio.NewReaderSize(c.conn, 16<<10)
	for {
		if err := c.conn.SetReadDeadline(time.Now().Add(clientTimeout)); err != nil {
			return err
		}
		f, err := wire.ReadFrame(r, wire.MaxFrame)
		if err != nil {
			return err
		}
		header, body, err := cutRequest(f)
		if err != nil {
			return c.fatal(callAuthFailed, pb.RpcResponseHeaderProto_FATAL_DESERIALIZING_REQUEST, &JavaError{classRPCServer, err.Error()})
		}
		id := header.GetCallId()
		switch {
		case id == callPing:
			continue
		case id < 0:
			return c.fatal(id, pb.RpcResponseHeaderProto_FATAL_INVALID_RPC_HEADER, &JavaError{classRPCServer, fmt.Sprintf("unexpected call id %d", id)})
		case header.GetRpcKind() != pb.RpcKindProto_RPC_PROTOCOL_BUFFER || header.RpcOp == nil || header.GetRpcOp() != pb.RpcRequestHeaderProto_RPC_FINAL_PACKET:
			return c.fatal(id, pb.RpcResponseHeaderProto_FATAL_INVALID_RPC_HEADER, &JavaError{classRPCServer, "neither a protobuf call nor its final packet"})
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		handlers.Go(func() {
			defer func() { <-slots }()
			defer c.survive()
			if err := c.answer(ctx, header, body); err != nil && ctx.Err() == nil {
				c.log.Info("answer was not sent", zap.Stringer("remote", c.caller.Remote), zap.Error(err))
				_ = c.conn.Close() // a response cut short leaves no way on
			}
		})
	}
}

// survive ends one connection for a panic, and not the server.
func (c *serverConn) survive() {
	if p := recover(); p != nil {
		c.log.Error("a call panicked", zap.Stringer("remote", c.caller.Remote), zap.Any("panic", p), zap.Stack("stack"))
		_ = c.conn.Close()
	}
}

// answer handles one call and sends the response.
func (c *serverConn) answer(ctx context.Context, header *pb.RpcRequestHeaderProto, body []byte) error {
	response := &pb.RpcResponseHeaderProto{
		CallId:     proto.Uint32(callIDBits(header.GetCallId())),
		Status:     pb.RpcResponseHeaderProto_SUCCESS.Enum(),
		ClientId:   header.GetClientId(),
		RetryCount: proto.Int32(header.GetRetryCount()),
	}
	result, code, err := c.handle(ctx, body)
	var f []byte
	if err == nil {
		f, err = responseFrame(response, result)
		code = pb.RpcResponseHeaderProto_ERROR_SERIALIZING_RESPONSE
	}
	if err != nil {
		refuse(response, pb.RpcResponseHeaderProto_ERROR, code, err)
		if f, err = responseFrame(response); err != nil {
			return err
		}
	}
	return c.send(f)
}

// handle finds the handler of a call and lets it work.
func (c *serverConn) handle(ctx context.Context, body []byte) (proto.Message, pb.RpcResponseHeaderProto_RpcErrorCodeProto, error) {
	var call pb.RequestHeaderProto
	rest, err := cut(body, &call)
	if err != nil {
		return nil, pb.RpcResponseHeaderProto_ERROR_RPC_SERVER, err
	}
	request, _, err := wire.CutDelimited(rest)
	if err != nil {
		return nil, pb.RpcResponseHeaderProto_ERROR_RPC_SERVER, err
	}
	name := call.GetDeclaringClassProtocolName()
	reg, ok := c.protocols[name]
	if !ok {
		return nil, pb.RpcResponseHeaderProto_ERROR_NO_SUCH_PROTOCOL, &JavaError{classNoSuchProtocol, "Unknown protocol: " + name}
	}
	if v := call.GetClientProtocolVersion(); v != reg.version {
		return nil, pb.RpcResponseHeaderProto_ERROR_RPC_VERSION_MISMATCH, &JavaError{"org.apache.hadoop.ipc.RPC$VersionMismatch", fmt.Sprintf("%s: client has version %d, server %d", name, v, reg.version)}
	}
	caller := c.caller
	caller.Protocol = name
	result, err := reg.handler(ctx, caller, call.GetMethodName(), request)
	return result, pb.RpcResponseHeaderProto_ERROR_APPLICATION, err
}

// fatal tells the client why its connection ends, and returns that as the error.
func (c *serverConn) fatal(callID int32, code pb.RpcResponseHeaderProto_RpcErrorCodeProto, reason error) error {
	response := &pb.RpcResponseHeaderProto{CallId: proto.Uint32(callIDBits(callID))}
	refuse(response, pb.RpcResponseHeaderProto_FATAL, code, reason)
	f, err := responseFrame(response)
	if err == nil {
		err = c.send(f)
	}
	return errors.Join(reason, err)
}

// refuse makes a response one of failure.
func refuse(r *pb.RpcResponseHeaderProto, status pb.RpcResponseHeaderProto_RpcStatusProto, code pb.RpcResponseHeaderProto_RpcErrorCodeProto, err error) {
	r.Status, r.ErrorDetail = status.Enum(), code.Enum()
	class, message := classIO, err.Error()
	if java, ok := errors.AsType[*JavaError](err); ok {
		class, message = java.Class, java.Message
	}
	r.ExceptionClassName, r.ErrorMsg = proto.String(class), proto.String(message)
}

func (c *serverConn) send(f []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := c.conn.Write(f)
	return err
}
