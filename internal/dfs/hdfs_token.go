package dfs

import (
	"context"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/token"
)

// DelegationToken asks a filesystem for a token by which the processes of a job act as its user,
// and which renewer, the ResourceManager's principal, may renew. The zero token, without an error,
// is the answer of a filesystem that issues none: every one but HDFS, and HDFS without security.
// The token bears the service that Hadoop's own clients look for.
//
// A filesystem that was itself opened by a token gets no other: HDFS refuses.
func DelegationToken(ctx context.Context, f FS, renewer string) (token.Token, error) {
	h, ok := f.(*HDFS)
	if !ok {
		return token.Token{}, nil
	}
	resp := &pb.GetDelegationTokenResponseProto{}
	if err := h.call(ctx, "get a token for", "/", "getDelegationToken", &pb.GetDelegationTokenRequestProto{Renewer: &renewer}, resp); err != nil {
		return token.Token{}, err
	}
	t := resp.GetToken()
	if t == nil {
		return token.Token{}, nil
	}
	return token.Token{Kind: t.GetKind(), Service: h.services[0], Identifier: t.GetIdentifier(), Password: t.GetPassword()}, nil
}
