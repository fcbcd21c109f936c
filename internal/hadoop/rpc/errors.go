package rpc

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"tfos/internal/hadoop/sasl"
)

// What a Hadoop service's exception, or the lack of an answer, means. Errors of this package are
// one of these under errors.Is, or one of io/fs, where a caller may want to branch.
var (
	ErrUnreachable           = errors.New("service cannot be reached")
	ErrStandby               = errors.New("service is in standby")
	ErrRetriable             = errors.New("service asks to try again later")
	ErrNotYetReady           = errors.New("NodeManager is not ready yet")
	ErrAccessDenied          = errors.New("access denied")
	ErrAuthentication        = sasl.ErrAuthentication
	ErrInvalidToken          = errors.New("token is not valid")
	ErrKerberosOnly          = errors.New("service wants Kerberos")
	ErrNotRegistered         = errors.New("application master is not registered")
	ErrInvalidRequest        = errors.New("heartbeat out of step, or second registration")
	ErrAttemptNotFound       = errors.New("application attempt is over or unknown")
	ErrApplicationNotFound   = errors.New("application is unknown")
	ErrContainerNotFound     = errors.New("container is unknown")
	ErrInvalidResource       = errors.New("resource request cannot be met")
	ErrInvalidContainer      = errors.New("container's token is of an earlier ResourceManager")
	ErrInvalidRelease        = errors.New("container to release is not the application's")
	ErrInvalidBlacklist      = errors.New("invalid blacklist request")
	ErrQueue                 = errors.New("queue is unknown or does not take applications")
	ErrSafeMode              = errors.New("NameNode is in safe mode")
	ErrQuota                 = errors.New("quota exceeded")
	ErrNoSpace               = errors.New("no space left")
	ErrNotEmpty              = errors.New("directory is not empty")
	ErrNotDirectory          = errors.New("not a directory")
	ErrIsDirectory           = errors.New("is a directory")
	ErrLeaseHeld             = errors.New("file is being written by someone else")
	ErrNoSuchMethod          = errors.New("service does not know the method")
	ErrClosed                = errors.New("rpc: closed")
	errVersionMismatch       = errors.New("service speaks another version of Hadoop RPC")
	errUnexpectedMessage     = errors.New("unexpected message")
	errProtectionCircumvened = errors.New("service answered without the agreed protection")
)

// meanings is the one table from Java's exceptions to ours.
var meanings = map[string]error{
	"org.apache.hadoop.ipc.StandbyException":                              ErrStandby,
	"org.apache.hadoop.ipc.ObserverRetryOnActiveException":                ErrStandby,
	"org.apache.hadoop.ipc.RetriableException":                            ErrRetriable,
	"org.apache.hadoop.ipc.RpcNoSuchMethodException":                      ErrNoSuchMethod,
	"org.apache.hadoop.ipc.RpcNoSuchProtocolException":                    ErrNoSuchMethod,
	"org.apache.hadoop.ipc.RPC$VersionMismatch":                           errVersionMismatch,
	"org.apache.hadoop.security.AccessControlException":                   ErrAccessDenied,
	"org.apache.hadoop.security.authorize.AuthorizationException":         ErrAccessDenied,
	"org.apache.hadoop.security.token.SecretManager$InvalidToken":         ErrInvalidToken,
	"javax.security.sasl.SaslException":                                   ErrAuthentication,
	yarnExceptions + "NMNotYetReadyException":                             ErrNotYetReady,
	yarnExceptions + "ApplicationMasterNotRegisteredException":            ErrNotRegistered,
	yarnExceptions + "InvalidApplicationMasterRequestException":           ErrInvalidRequest,
	yarnExceptions + "ApplicationAttemptNotFoundException":                ErrAttemptNotFound,
	yarnExceptions + "ApplicationNotFoundException":                       ErrApplicationNotFound,
	yarnExceptions + "ContainerNotFoundException":                         ErrContainerNotFound,
	yarnExceptions + "InvalidResourceRequestException":                    ErrInvalidResource,
	yarnExceptions + "InvalidLabelResourceRequestException":               ErrInvalidResource,
	yarnExceptions + "SchedulerInvalidResoureRequestException":            ErrInvalidResource,
	yarnExceptions + "ResourceNotFoundException":                          ErrInvalidResource,
	yarnExceptions + "InvalidContainerException":                          ErrInvalidContainer,
	yarnExceptions + "InvalidContainerReleaseException":                   ErrInvalidRelease,
	yarnExceptions + "InvalidResourceBlacklistRequestException":           ErrInvalidBlacklist,
	yarnScheduler + "QueueInvalidException":                               ErrQueue,
	yarnScheduler + "fair.InvalidQueueNameException":                      ErrQueue,
	"org.apache.hadoop.hdfs.server.namenode.SafeModeException":            ErrSafeMode,
	"org.apache.hadoop.hdfs.server.namenode.LeaseExpiredException":        ErrLeaseHeld,
	"org.apache.hadoop.hdfs.protocol.AlreadyBeingCreatedException":        ErrLeaseHeld,
	"org.apache.hadoop.hdfs.protocol.RecoveryInProgressException":         ErrLeaseHeld,
	"org.apache.hadoop.hdfs.protocol.QuotaExceededException":              ErrQuota,
	"org.apache.hadoop.hdfs.protocol.DSQuotaExceededException":            ErrQuota,
	"org.apache.hadoop.hdfs.protocol.NSQuotaExceededException":            ErrQuota,
	"org.apache.hadoop.hdfs.protocol.QuotaByStorageTypeExceededException": ErrQuota,
	"org.apache.hadoop.fs.ClusterStorageCapacityExceededException":        ErrNoSpace,
	"org.apache.hadoop.fs.PathIsNotEmptyDirectoryException":               ErrNotEmpty,
	"org.apache.hadoop.fs.PathIsNotDirectoryException":                    ErrNotDirectory,
	"org.apache.hadoop.fs.ParentNotDirectoryException":                    ErrNotDirectory,
	"org.apache.hadoop.fs.PathIsDirectoryException":                       ErrIsDirectory,
	"org.apache.hadoop.fs.FileAlreadyExistsException":                     fs.ErrExist,
	"org.apache.hadoop.fs.PathExistsException":                            fs.ErrExist,
	"org.apache.hadoop.fs.PathNotFoundException":                          fs.ErrNotExist,
	"java.io.FileNotFoundException":                                       fs.ErrNotExist,
}

const (
	yarnExceptions = "org.apache.hadoop.yarn.exceptions."
	yarnScheduler  = "org.apache.hadoop.yarn.server.resourcemanager.scheduler."
)

// A RemoteError is the exception a Hadoop service answered with.
type RemoteError struct {
	Method  string // of the call; empty if the connection's set-up was refused
	Class   string // Java class, "org.apache.hadoop.ipc.StandbyException"
	Message string // often with a stack trace below its first line
	Fatal   bool   // the service closed the connection over it
	Code    int32  // RpcErrorCodeProto
}

// Error tells method, the class's last part and the first line of the message.
func (e *RemoteError) Error() string {
	class := e.Class[strings.LastIndexAny(e.Class, ".$")+1:]
	text, _, _ := strings.Cut(e.Message, "\n")
	text = strings.TrimPrefix(text, e.Class+": ")
	if e.Method == "" {
		return fmt.Sprintf("%s: %s", class, text)
	}
	return fmt.Sprintf("%s: %s: %s", e.Method, class, text)
}

// Is lets callers write errors.Is(err, ErrNotRegistered). An access that HDFS or YARN denied is
// fs.ErrPermission too.
func (e *RemoteError) Is(target error) bool {
	m, known := meanings[e.Class]
	return known && (m == target || m == ErrAccessDenied && target == fs.ErrPermission)
}

// of returns e as the answer to a method.
func (e *RemoteError) of(method string) *RemoteError {
	named := *e
	named.Method = method
	return &named
}

// refusedName tells whether the service refused the connection because of who opened it.
func (e *RemoteError) refusedName() bool {
	return e.Fatal && meanings[e.Class] == ErrAccessDenied
}

// Meaning turns a Java class that came by another way than a failed call, in a SerializedException
// say, into one of our errors; nil if it means nothing special.
func Meaning(class string) error { return meanings[class] }

// A NetworkError says that a service could not be reached, or was lost before it answered.
type NetworkError struct {
	Method string // of the call
	Addr   string
	Sent   bool // the request may have been carried out
	Err    error
}

// Error tells the method, the address and what went wrong there.
func (e *NetworkError) Error() string {
	note := ""
	if e.Sent {
		note = "lost after the request was sent: "
	}
	if e.Method == "" {
		return fmt.Sprintf("%s: %s%v", e.Addr, note, e.Err)
	}
	return fmt.Sprintf("%s at %s: %s%v", e.Method, e.Addr, note, e.Err)
}

// Unwrap returns the cause.
func (e *NetworkError) Unwrap() error { return e.Err }

// Is reports that every NetworkError is an ErrUnreachable.
func (e *NetworkError) Is(target error) bool { return target == ErrUnreachable }

// A JavaError is an error that a Server's handler sends to the client as an exception.
type JavaError struct {
	Class   string // "org.apache.hadoop.yarn.exceptions.ApplicationNotFoundException"
	Message string
}

// Error is the message with the class before it.
func (e *JavaError) Error() string { return e.Class + ": " + e.Message }

// NoSuchMethod is what a handler returns for a method it does not know.
func NoSuchMethod(protocol, method string) error {
	return &JavaError{Class: classNoSuchMethod, Message: fmt.Sprintf("Unknown method %s called on %s protocol.", method, protocol)}
}

// Classes the server side needs by name.
const (
	classNoSuchMethod   = "org.apache.hadoop.ipc.RpcNoSuchMethodException"
	classNoSuchProtocol = "org.apache.hadoop.ipc.RpcNoSuchProtocolException"
	classAccessControl  = "org.apache.hadoop.security.AccessControlException"
	classInvalidToken   = "org.apache.hadoop.security.token.SecretManager$InvalidToken"
	classSasl           = "javax.security.sasl.SaslException"
	classRPCServer      = "org.apache.hadoop.ipc.RpcServerException"
	classIO             = "java.io.IOException"
)
