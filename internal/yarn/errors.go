package yarn

import "errors"

// What YARN's services refuse with, where a caller must do something about it. yarnrpc turns Java
// exceptions into these; each comes wrapped with what the service said.
var (
	// ErrNotRegistered asks the master to register again and to re-send everything it wants: the
	// ResourceManager restarted.
	ErrNotRegistered = errors.New("the ResourceManager does not know this master")
	// ErrAttemptGone ends a master: its attempt is over, and another one may run already.
	ErrAttemptGone = errors.New("this attempt is over")
	// ErrOutOfStep is the answer to a heartbeat with a wrong response id, and to a second
	// registration.
	ErrOutOfStep = errors.New("the request is out of step with the ResourceManager")
	// ErrUnknownApplication: the ResourceManager never had the application, or forgot it.
	ErrUnknownApplication = errors.New("no such application")
	// ErrUnknownQueue: the scheduler has no queue of that name.
	ErrUnknownQueue = errors.New("no such queue")
	// ErrUnknownContainer: the service never had the container, or forgot it.
	ErrUnknownContainer = errors.New("no such container")
	// ErrInvalidResource: the asked resource or node label can never be granted.
	ErrInvalidResource = errors.New("the asked resource can never be granted")
	// ErrUnknownResource: the cluster does not count a resource of that name.
	ErrUnknownResource = errors.New("unknown resource type")
	// ErrInvalidBlacklist: the list of excluded nodes is wrong.
	ErrInvalidBlacklist = errors.New("the list of excluded nodes is wrong")
	// ErrInvalidContainer: the NodeManager does not accept the container's token: release the
	// container and ask for another.
	ErrInvalidContainer = errors.New("the container's token is not valid here")
	// ErrNotReady: the service has just started; the same request will do after a while.
	ErrNotReady = errors.New("the service is not ready yet")
	// ErrUnauthorized: the caller may not do this, or its token is not accepted. Trying again is of
	// no use.
	ErrUnauthorized = errors.New("not authorized")
	// ErrUnsupported: the service is too old for the request.
	ErrUnsupported = errors.New("the service does not know this request")
	// ErrRefused: the ResourceManager refused an application: unknown queue, no permission, too
	// large a master.
	ErrRefused = errors.New("the ResourceManager refused the application")
)
