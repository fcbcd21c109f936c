package dfs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/rpc"
	"tfos/internal/hadoop/wire"
)

// bridge is the "connection to the NameNode" of one of the library's clients. It goes nowhere: it reads the library's requests,
// makes each as a call of our own rpc client, and writes the answers back. So tokens, protection, failover, retries and
// deadlines are those of our calls, and the library, which has none of it, never sees a broken connection.
//
// On the way it refuses files whose bytes the library would get wrong, keeps new blocks off DataNodes that cannot be reached,
// and lets a lease renewal through now and then where the library sends one each second.
//
// The library writes the seven bytes of the header, a connection context, and then one request at a time, reading its
// answer before the next:
//
//	+------------------+-----------------------------+-------------------------+-----------------+
//	| uint32 length of | varint + RpcRequestHeader   | varint + RequestHeader  | varint +        |
//	| the rest         | (call id)                   | (method)                | request message |
//	+------------------+-----------------------------+-------------------------+-----------------+
type bridge struct {
	call     func(ctx context.Context, method string, request []byte) ([]byte, error)
	dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	dataAddr func(*pb.DatanodeIDProto) string // where a DataNode serves blocks
	log      *zap.Logger

	stage bridgeStage            // what the library writes next; the library's own lock guards it, as what follows
	asked bytes.Buffer           // what the library wrote and no whole frame is yet
	told  bytes.Buffer           // answers that the library has not read
	last  *pb.ExtendedBlockProto // of the file that the library completes

	mu      sync.Mutex
	ctx     context.Context // guarded by mu; of the operation that uses the library now, which cannot carry one itself
	err     error           // guarded by mu; why the last call of that operation failed
	renewed time.Time       // guarded by mu; when the lease was last known to be fresh
}

type bridgeStage int

const (
	bridgeHeader bridgeStage = iota
	bridgeContext
	bridgeRequests
)

const (
	headerLength = 7
	// leaseRenewal is how often a writer's lease is renewed. Others may take it after a minute (the soft limit), and Java
	// clients renew at half of that.
	leaseRenewal = 20 * time.Second
	// replicationWait bounds how long a new block waits for the one before to reach a DataNode.
	replicationWait = 20 * time.Second
)

func newBridge(h *HDFS) *bridge {
	return &bridge{
		dial:     h.dial,
		dataAddr: h.dataAddr,
		call: func(ctx context.Context, method string, request []byte) ([]byte, error) {
			ctx, cancel := context.WithTimeout(ctx, h.patience)
			defer cancel()
			return h.nameNode.CallRaw(ctx, method, request, rpc.Idempotent())
		},
		log:     h.log,
		renewed: time.Now(),
	}
}

// during runs an operation of the library under ctx. It returns the error of the NameNode, if that is why the operation
// failed: the library's own words for it keep neither type nor class.
func (b *bridge) during(ctx context.Context, operation func() error) error {
	b.mu.Lock()
	b.ctx, b.err = ctx, nil
	b.mu.Unlock()
	err := operation()
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil && b.err != nil {
		err = b.err
	}
	b.ctx, b.err = nil, nil
	return err
}

// Write takes what the library sends, and makes the calls that are whole.
func (b *bridge) Write(p []byte) (int, error) {
	b.asked.Write(p)
	for {
		switch b.stage {
		case bridgeHeader:
			if b.asked.Len() < headerLength {
				return len(p), nil
			}
			b.asked.Next(headerLength)
			b.stage = bridgeContext
		default:
			if b.asked.Len() < 4 {
				return len(p), nil
			}
			length := int(binary.BigEndian.Uint32(b.asked.Bytes()))
			if b.asked.Len() < 4+length {
				return len(p), nil
			}
			frame := b.asked.Next(4 + length)[4:]
			if b.stage == bridgeContext {
				b.stage = bridgeRequests
				continue
			}
			if err := b.serve(frame); err != nil {
				return 0, err
			}
		}
	}
}

// serve makes one call and answers it.
func (b *bridge) serve(frame []byte) error {
	var header pb.RpcRequestHeaderProto
	var method pb.RequestHeaderProto
	rest, err := cutMessage(frame, &header)
	if err == nil {
		rest, err = cutMessage(rest, &method)
	}
	if err != nil {
		return fmt.Errorf("request of the HDFS library: %w", err)
	}
	request, _, err := wire.CutDelimited(rest)
	if err != nil {
		return fmt.Errorf("request of the HDFS library: %w", err)
	}
	answer := &pb.RpcResponseHeaderProto{
		CallId: proto.Uint32(uint32(header.GetCallId())), Status: pb.RpcResponseHeaderProto_SUCCESS.Enum(),
	}
	response, err := b.answer(method.GetMethodName(), request)
	if err != nil {
		// Never a StandbyException: that would make the library look for another NameNode, and ours are all behind this call.
		class := "java.io.IOException"
		if remote, ok := errors.AsType[*rpc.RemoteError](err); ok && !errors.Is(err, rpc.ErrStandby) {
			class = remote.Class
		}
		answer.Status = pb.RpcResponseHeaderProto_ERROR.Enum()
		answer.ExceptionClassName, answer.ErrorMsg = proto.String(class), proto.String(err.Error())
	}
	encoded, encodeErr := proto.Marshal(answer)
	if encodeErr != nil {
		return encodeErr
	}
	if err != nil {
		b.told.Write(wire.Frame(encoded))
	} else {
		b.told.Write(wire.Frame(encoded, response))
	}
	return nil
}

func cutMessage(b []byte, m proto.Message) (rest []byte, err error) {
	part, rest, err := wire.CutDelimited(b)
	if err != nil {
		return nil, err
	}
	return rest, proto.Unmarshal(part, m)
}

// answer makes a call for the library, and remembers why it failed.
func (b *bridge) answer(method string, request []byte) ([]byte, error) {
	if method == "renewLease" { // comes from a goroutine of the library, in the middle of nothing or of an operation
		return b.renew(request)
	}
	b.mu.Lock()
	ctx := b.ctx
	b.mu.Unlock()
	if ctx == nil {
		ctx = context.Background()
	}
	var response []byte
	var err error
	switch method {
	case "addBlock":
		response, err = b.newBlock(ctx, request)
	case "complete":
		response, err = b.complete(ctx, request)
	default:
		response, err = b.ask(ctx, method, request)
	}
	if err == nil {
		err = readable(method, response)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
	return response, err
}

// ask makes the call; a new block that comes too early it asks for again, as Java clients do.
func (b *bridge) ask(ctx context.Context, method string, request []byte) ([]byte, error) {
	end := time.Now().Add(replicationWait)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		response, err := b.call(ctx, method, request)
		remote, ok := errors.AsType[*rpc.RemoteError](err)
		if !ok || remote.Class != notReplicatedYetException || time.Now().After(end) {
			return response, err
		}
		b.log.Debug("a new block waits for the one before", zap.String("method", method), zap.Duration("pause", pause))
		if err := wait(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// renew lets a lease renewal through if the last one was long ago.
func (b *bridge) renew(request []byte) ([]byte, error) {
	b.mu.Lock()
	fresh := time.Since(b.renewed) < leaseRenewal
	if !fresh {
		b.renewed = time.Now()
	}
	b.mu.Unlock()
	if fresh {
		return nil, nil
	}
	response, err := b.call(context.Background(), "renewLease", request)
	if err != nil {
		b.log.Warn("a file that is being written may be lost to another writer: its lease was not renewed", zap.Error(err))
	}
	return response, err
}

// readable refuses a file that the library would write wrongly: it knows neither encryption zones, and would put the text itself
// where others expect cipher text, nor striped blocks. It looks at the answers that the library is about to act on, so that there is
// no moment between the check and the use.
func readable(method string, response []byte) error {
	var status *pb.HdfsFileStatusProto
	switch method {
	case "getFileInfo":
		var m pb.GetFileInfoResponseProto
		if err := proto.Unmarshal(response, &m); err != nil {
			return fmt.Errorf("answer to %s: %w", method, err)
		}
		status = m.GetFs()
	case "create":
		var m pb.CreateResponseProto
		if err := proto.Unmarshal(response, &m); err != nil {
			return fmt.Errorf("answer to %s: %w", method, err)
		}
		status = m.GetFs()
	case "append":
		var m pb.AppendResponseProto
		if err := proto.Unmarshal(response, &m); err != nil {
			return fmt.Errorf("answer to %s: %w", method, err)
		}
		status = m.GetStat()
	}
	return plainFile(status)
}

// plainBlocks refuses what readable says, by where a file's blocks are.
func plainBlocks(blocks *pb.LocatedBlocksProto) error {
	switch {
	case blocks.GetFileEncryptionInfo() != nil:
		return ErrEncrypted
	case blocks.GetEcPolicy() != nil:
		return ErrErasureCoded
	}
	return nil
}

// plainFile refuses what readable says, by a file's status. Hadoop 2 has the flags in the permission instead.
func plainFile(s *pb.HdfsFileStatusProto) error {
	const oldEncrypted, oldErasureCoded = 1 << 13, 1 << 14 // FsPermissionExtension
	if s == nil || s.GetFileType() == pb.HdfsFileStatusProto_IS_DIR {
		return nil
	}
	flags, perm := s.GetFlags(), s.GetPermission().GetPerm()
	switch {
	case s.GetFileEncryptionInfo() != nil, flags&uint32(pb.HdfsFileStatusProto_HAS_CRYPT) != 0, perm&oldEncrypted != 0:
		return ErrEncrypted
	case s.GetEcPolicy() != nil, flags&uint32(pb.HdfsFileStatusProto_HAS_EC) != 0, perm&oldErasureCoded != 0:
		return ErrErasureCoded
	}
	return nil
}

// wait pauses for about d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Read gives the library its answers. It asks only for what it is owed.
func (b *bridge) Read(p []byte) (int, error) {
	if b.told.Len() == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return b.told.Read(p)
}

// The rest of net.Conn means nothing here.

func (b *bridge) Close() error                     { return nil }
func (b *bridge) LocalAddr() net.Addr              { return bridgeAddr{} }
func (b *bridge) RemoteAddr() net.Addr             { return bridgeAddr{} }
func (b *bridge) SetDeadline(time.Time) error      { return nil }
func (b *bridge) SetReadDeadline(time.Time) error  { return nil }
func (b *bridge) SetWriteDeadline(time.Time) error { return nil }

type bridgeAddr struct{}

func (bridgeAddr) Network() string { return "bridge" }
func (bridgeAddr) String() string  { return "namenode" }
