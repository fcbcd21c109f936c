package dfs

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
)

const (
	// maxReplaced is how many times a new block is given back because a DataNode of it cannot be reached.
	maxReplaced = 5
	// knockTimeout bounds how long a DataNode may take to accept a connection.
	knockTimeout = 5 * time.Second
)

// newBlock asks for a block whose DataNodes can all be reached. The NameNode offers one that died for ten minutes after its
// death, and the library gives a file up if any of its DataNodes is not there. As Java clients do, a block on such a DataNode
// is given back, and another asked for elsewhere; if there is no elsewhere, the NameNode says so.
func (b *bridge) newBlock(ctx context.Context, request []byte) ([]byte, error) {
	var req pb.AddBlockRequestProto
	if err := proto.Unmarshal(request, &req); err != nil {
		return nil, fmt.Errorf("request of the HDFS library: %w", err)
	}
	for replaced := 0; ; replaced++ {
		response, err := b.ask(ctx, "addBlock", request)
		if err != nil {
			return nil, err
		}
		var resp pb.AddBlockResponseProto
		if err := proto.Unmarshal(response, &resp); err != nil {
			return nil, fmt.Errorf("answer to addBlock: %w", err)
		}
		dead := b.unreachable(ctx, resp.GetBlock().GetLocs())
		if len(dead) == 0 || replaced == maxReplaced {
			return response, nil
		}
		abandon, err := proto.Marshal(&pb.AbandonBlockRequestProto{
			B: resp.GetBlock().GetB(), Src: req.Src, Holder: req.ClientName, FileId: req.FileId,
		})
		if err != nil {
			return nil, err
		}
		if _, err := b.ask(ctx, "abandonBlock", abandon); err != nil {
			return nil, err
		}
		req.ExcludeNodes = append(req.ExcludeNodes, dead...)
		if request, err = proto.Marshal(&req); err != nil {
			return nil, err
		}
	}
}

// complete closes a file. Where it has to be said again, because too few DataNodes have told of the last block, the library
// forgets the block; Java clients name it each time, and the NameNode looks again only then.
func (b *bridge) complete(ctx context.Context, request []byte) ([]byte, error) {
	var req pb.CompleteRequestProto
	if err := proto.Unmarshal(request, &req); err != nil {
		return nil, fmt.Errorf("request of the HDFS library: %w", err)
	}
	if req.GetLast() != nil {
		b.last = req.GetLast()
	} else if b.last != nil {
		req.Last = b.last
		var err error
		if request, err = proto.Marshal(&req); err != nil {
			return nil, err
		}
	}
	return b.ask(ctx, "complete", request)
}

// unreachable are those of the DataNodes that accept no connection.
func (b *bridge) unreachable(ctx context.Context, nodes []*pb.DatanodeInfoProto) []*pb.DatanodeInfoProto {
	failed := make([]error, len(nodes))
	var knocks sync.WaitGroup
	for i, node := range nodes {
		knocks.Go(func() { failed[i] = b.knock(ctx, b.dataAddr(node.GetId())) })
	}
	knocks.Wait()
	var dead []*pb.DatanodeInfoProto
	for i, node := range nodes {
		if failed[i] != nil && ctx.Err() == nil {
			b.log.Warn("a DataNode cannot be reached, the block goes elsewhere",
				zap.String("datanode", b.dataAddr(node.GetId())), zap.Error(failed[i]))
			dead = append(dead, node)
		}
	}
	return dead
}

func (b *bridge) knock(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, knockTimeout)
	defer cancel()
	conn, err := b.dial(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return conn.Close()
}
