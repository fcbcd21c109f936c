package dfs

import (
	"errors"
	"io/fs"
	"strings"

	"tfos/internal/hadoop/rpc"
)

// hdfsErrors says which of our errors one of rpc's is.
var hdfsErrors = []struct{ theirs, ours error }{
	{rpc.ErrSafeMode, ErrSafeMode},
	{rpc.ErrQuota, ErrQuota},
	{rpc.ErrNoSpace, ErrNoSpace},
	{rpc.ErrNotEmpty, ErrNotEmpty},
	{rpc.ErrNotDirectory, ErrNotDirectory},
	{rpc.ErrIsDirectory, ErrIsDirectory},
	{rpc.ErrLeaseHeld, ErrBusy},
	{rpc.ErrStandby, ErrUnreachable},
	{rpc.ErrUnreachable, ErrUnreachable},
	{rpc.ErrInvalidToken, ErrCredentials},
	{rpc.ErrAuthentication, ErrCredentials},
	{rpc.ErrKerberosOnly, ErrCredentials},
	{rpc.ErrClosed, fs.ErrClosed},
}

// Java's classes that rpc leaves to us.
var hdfsClasses = map[string]error{
	"org.apache.hadoop.HadoopIllegalArgumentException":                                    fs.ErrInvalid,
	"org.apache.hadoop.fs.InvalidPathException":                                           fs.ErrInvalid,
	"org.apache.hadoop.hdfs.protocol.FSLimitException":                                    fs.ErrInvalid,
	"org.apache.hadoop.hdfs.protocol.FSLimitException$PathComponentTooLongException":      fs.ErrInvalid,
	"org.apache.hadoop.hdfs.protocol.FSLimitException$MaxDirectoryItemsExceededException": ErrQuota,
	"org.apache.hadoop.hdfs.UnknownCryptoProtocolVersionException":                        ErrEncrypted,
	"org.apache.hadoop.hdfs.UnknownCipherSuiteException":                                  ErrEncrypted,
}

const (
	plainIOException          = "java.io.IOException"
	safeModeException         = "org.apache.hadoop.hdfs.server.namenode.SafeModeException"
	recoveryException         = "org.apache.hadoop.hdfs.protocol.RecoveryInProgressException"
	notReplicatedYetException = "org.apache.hadoop.hdfs.server.namenode.NotReplicatedYetException"
)

// hdfsError makes an error of a NameNode ours. It keeps the NameNode's words.
func hdfsError(err error) error {
	if ours := meaning(err); ours != nil {
		return &foreignError{ours: ours, err: err}
	}
	return err
}

func meaning(err error) error {
	for _, e := range hdfsErrors {
		if errors.Is(err, e.theirs) {
			return e.ours
		}
	}
	remote, ok := errors.AsType[*rpc.RemoteError](err)
	if !ok {
		return nil
	}
	if ours := hdfsClasses[remote.Class]; ours != nil {
		return ours
	}
	switch {
	case remote.Method == "addBlock" && remote.Class == plainIOException:
		// The one thing for which addBlock has no class of its own: no DataNode can take the block,
		// because they are full or because none is alive. The words tell which.
		return ErrNoSpace
	case errors.Is(err, rpc.ErrRetriable) && strings.HasPrefix(remote.Message, safeModeException):
		return ErrSafeMode // so says an active NameNode that has just started: come again
	}
	return nil
}
