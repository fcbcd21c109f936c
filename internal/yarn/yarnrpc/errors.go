package yarnrpc

import (
	"errors"
	"fmt"
	"strings"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/rpc"
	"tfos/internal/yarn"
)

// meanings turns what rpc made of an exception into what it means to a user of YARN, the special
// before the general.
var meanings = []struct{ foreign, ours error }{
	{rpc.ErrNotRegistered, yarn.ErrNotRegistered},
	{rpc.ErrAttemptNotFound, yarn.ErrAttemptGone},
	{rpc.ErrInvalidRequest, yarn.ErrOutOfStep},
	{rpc.ErrApplicationNotFound, yarn.ErrUnknownApplication},
	{rpc.ErrContainerNotFound, yarn.ErrUnknownContainer},
	{rpc.ErrInvalidResource, yarn.ErrInvalidResource},
	{rpc.ErrInvalidBlacklist, yarn.ErrInvalidBlacklist},
	{rpc.ErrInvalidContainer, yarn.ErrInvalidContainer},
	{rpc.ErrQueue, yarn.ErrUnknownQueue},
	{rpc.ErrNotYetReady, yarn.ErrNotReady},
	{rpc.ErrAccessDenied, yarn.ErrUnauthorized},
	{rpc.ErrInvalidToken, yarn.ErrUnauthorized},
	{rpc.ErrAuthentication, yarn.ErrUnauthorized},
	{rpc.ErrKerberosOnly, yarn.ErrUnauthorized},
	{rpc.ErrNoSuchMethod, yarn.ErrUnsupported},
}

// meant is a foreign error with what it means. Its text is the service's own, which says more than
// ours.
type meant struct{ foreign, ours error }

func (e *meant) Error() string   { return e.foreign.Error() }
func (e *meant) Unwrap() []error { return []error{e.ours, e.foreign} }

// translate lets callers ask for yarn's errors.
func translate(err error) error {
	for _, m := range meanings {
		if errors.Is(err, m.foreign) {
			return &meant{err, m.ours}
		}
	}
	return err
}

// ContainerError is what a NodeManager could not do to one container, in a call that went through.
type ContainerError struct {
	ID      yarn.ContainerID
	Class   string // Java class
	Message string
}

// Error is the first line of what the NodeManager says.
func (e *ContainerError) Error() string {
	line, _, _ := strings.Cut(strings.TrimSpace(e.Message), "\n")
	if line == "" {
		line = e.Class
	}
	return fmt.Sprintf("%s: %s", e.ID, line)
}

// Is lets callers ask for yarn's errors.
func (e *ContainerError) Is(target error) bool {
	foreign := rpc.Meaning(e.Class)
	for _, m := range meanings {
		if m.foreign == foreign {
			return m.ours == target
		}
	}
	return false
}

// containerErrorFromPB takes the innermost exception that says something: outer ones wrap it in
// words of the transport.
func containerErrorFromPB(p *pb.ContainerExceptionMapProto) *ContainerError {
	e := &ContainerError{ID: containerIDFromPB(p.GetContainerId())}
	for x := p.GetException(); x != nil; x = x.GetCause() {
		if e.Message == "" || rpc.Meaning(e.Class) == nil && rpc.Meaning(x.GetClassName()) != nil {
			e.Class, e.Message = x.GetClassName(), x.GetMessage()
		}
	}
	return e
}
