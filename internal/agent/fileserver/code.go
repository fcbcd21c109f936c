package fileserver

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"

	"tfos/internal/dfs"
)

// codes says what TensorFlow calls our errors: what its local filesystem makes of the errno that stands for the same. The first that
// matches counts.
var codes = []struct {
	err  error
	code code
}{
	{dfs.ErrNotEmpty, codeFailedPrecondition}, // Go takes ENOTEMPTY for an ErrExist too
	{fs.ErrNotExist, codeNotFound},
	{fs.ErrExist, codeAlreadyExists},
	{fs.ErrPermission, codePermissionDenied},
	{fs.ErrInvalid, codeInvalidArgument},
	{dfs.ErrNotDirectory, codeFailedPrecondition},
	{dfs.ErrIsDirectory, codeFailedPrecondition},
	{dfs.ErrBusy, codeFailedPrecondition},
	{dfs.ErrQuota, codeResourceExhausted},
	{dfs.ErrNoSpace, codeResourceExhausted},
	{dfs.ErrSafeMode, codeUnavailable},
	{dfs.ErrUnreachable, codeUnavailable},
	{fs.ErrClosed, codeUnavailable}, // the agent is ending
	{dfs.ErrEncrypted, codeUnimplemented},
	{dfs.ErrErasureCoded, codeUnimplemented},
	{dfs.ErrUnsupported, codeUnimplemented},
	{context.DeadlineExceeded, codeDeadlineExceeded},
	{io.ErrUnexpectedEOF, codeDataLoss},
}

func codeOf(err error) code {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return codeUnavailable // DataNodes
	}
	return codeUnknown
}
