package fileserver

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"

	"tfos/internal/dfs"
)

// codes says what TensorFlow calls our errors: what its local filesystem makes of the errno that
// stands for the same. The first that matches counts.
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
	{dfs.ErrCredentials, codeUnauthenticated},
	{fs.ErrClosed, codeUnavailable}, // the agent is ending
	{dfs.ErrEncrypted, codeUnimplemented},
	{dfs.ErrErasureCoded, codeUnimplemented},
	{dfs.ErrUnsupported, codeUnimplemented},
	{context.DeadlineExceeded, codeDeadlineExceeded},
	{dfs.ErrCorrupt, codeDataLoss},
	{io.ErrUnexpectedEOF, codeDataLoss},
}

// advice says what to do about errors that only a person can end. It comes first: the message is
// likely to be in a program's last line, which is cut where it is quoted.
var advice = []struct {
	err  error
	text string
}{
	{dfs.ErrQuota, "raise the quota (hdfs dfsadmin -setSpaceQuota, -setQuota) or delete something below the directory"},
	{fs.ErrPermission, "have the job's user given the permission (hdfs dfs -chmod, -chown, -setfacl)"},
	{dfs.ErrCredentials, "the job's token has expired or was cancelled; tfos resume goes on from the newest checkpoint with a new one"},
}

// Explain says an error to people: first what to do, where only a person can end it.
func Explain(err error) string {
	for _, a := range advice {
		if errors.Is(err, a.err) {
			return a.text + ": " + err.Error()
		}
	}
	return err.Error()
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
