package rpc

import (
	"context"
	"fmt"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/wire"
)

// CallRaw is Call for a request that is encoded already: it sends the bytes of the request message
// and returns those of the response message. A client library whose calls pass through this one
// uses it.
func (c *Client) CallRaw(ctx context.Context, method string, request []byte, opts ...CallOption) ([]byte, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.o.Timeout)
		defer cancel()
	}
	carrier := new(pb.GetServerDefaultsRequestProto) // a message without fields: every field of the request is unknown to it
	carrier.ProtoReflect().SetUnknown(request)
	call := &call{id: c.nextID(), method: method, req: carrier}
	for _, o := range opts {
		o(call)
	}
	body, err := c.retry(ctx, call)
	if err != nil {
		return nil, err
	}
	response, _, err := wire.CutDelimited(body)
	if err != nil {
		return nil, fmt.Errorf("answer to %s: %w", method, err)
	}
	return response, nil
}
