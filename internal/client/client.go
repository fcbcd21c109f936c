// Package client is the product behind the tfos command: it submits jobs, follows them, and speaks
// for the person at the keyboard.
//
// It keeps nothing of its own: what it must know later lies in a job's staging directory, in the
// ResourceManager and in the job's master. Each operation is a function of a Cluster; the command
// makes the Cluster from flags and environment, and turns an error into an exit code.
package client

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"time"

	"go.uber.org/zap"

	"tfos/internal/client/exit"
	"tfos/internal/client/stage"
	"tfos/internal/control"
	"tfos/internal/dfs"
	"tfos/internal/hadoop/token"
	"tfos/internal/launch"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// ResourceManager is what the client asks of YARN.
type ResourceManager interface {
	NewApplication(ctx context.Context) (yarn.NewApplication, error)
	Submit(ctx context.Context, s yarn.Submission) error
	Report(ctx context.Context, id yarn.ApplicationID) (yarn.Report, error)
	Attempts(ctx context.Context, id yarn.ApplicationID) ([]yarn.AttemptReport, error)
	Applications(ctx context.Context, q yarn.ApplicationsQuery) ([]yarn.Report, error)
	Kill(ctx context.Context, id yarn.ApplicationID, diagnostics string) error
	Nodes(ctx context.Context) ([]yarn.NodeReport, error)
	NodeLabels(ctx context.Context) ([]yarn.NodeLabel, error)
	Queue(ctx context.Context, name string) (yarn.Queue, error)
	Queues(ctx context.Context) (yarn.Queue, error)     // the tree, from the root down
	SubmitQueues(ctx context.Context) ([]string, error) // those that the user may submit to
	ResourceTypes(ctx context.Context) ([]yarn.ResourceType, error)
	Since32(ctx context.Context) (bool, error) // it is of Hadoop 3.2 or newer
}

// Master is a job's application master.
type Master interface {
	Watch(ctx context.Context, attend bool, view func(json []byte) error) error
	Stop(ctx context.Context, reason string) error
	Scale(ctx context.Context, w control.ScaleWish) (control.ScaleAnswer, error)
	Debug(ctx context.Context, page string, w io.Writer) error
	Close() error
}

// Agent is a task's agent.
type Agent interface {
	Logs(ctx context.Context, r control.LogsRequest, chunk func(control.LogChunk) error) error
	Feed(ctx context.Context, next func(context.Context) (control.FeedOrder, error), show func(control.FeedState) error) error
	Debug(ctx context.Context, page string, w io.Writer) error
	Close() error
}

// Peers opens connections to a job's processes.
type Peers interface {
	Master(address string, key control.Identity) (Master, error)
	Agent(address string, key control.Identity) (Agent, error)
}

// UI shows a person how a job fares. It is safe for concurrent use.
type UI interface {
	Note(line string)          // something worth a line
	Staging(done, total int64) // bytes
	Status(v status.View)      // the job now
	Log(data []byte)           // the job's own output, whole lines
	Close()                    // everything said so far is written
}

// ContainerLogs reads what containers wrote, after they ended.
type ContainerLogs interface {
	// Read calls chunk with the stream of one container, from offset on. fs.ErrNotExist means that
	// it is not to be had, or not yet.
	Read(ctx context.Context, r LogFile, offset int64, chunk func([]byte) error) error
}

// LogFile names a log file of one container.
type LogFile struct {
	Application yarn.ApplicationID
	User        string // who ran it
	Container   string // container_…
	Node        string // its host, where known: a hint
	Stream      string // control.Stdout, …
}

// Cluster is one Hadoop cluster, or the embedded one. Its functions are safe for concurrent use.
type Cluster struct {
	RM    ResourceManager
	FS    dfs.FS
	Peers Peers
	Logs  ContainerLogs
	Log   *zap.Logger

	User string
	Home string // the directory on FS under which tfos keeps its files
	Conf []byte // the Hadoop configuration, merged: what the master is given
	// Where is the ResourceManager's address, for messages.
	Where string
	// Resolve finds the filesystem that a URI names, and the name in it.
	Resolve func(ctx context.Context, uri string) (dfs.FS, string, error)

	// Token is what the job's processes show to FS to act in the user's name; zero: FS wants none.
	// Nil: the same.
	Token func(ctx context.Context) (token.Token, error)
	// Collects says that the cluster collects the logs of ended containers, which takes it a few
	// seconds.
	Collects bool
	// Forgets says that a ResourceManager that restarts has every NodeManager end its containers.
	// One of Hadoop's up to 3.5 then dies of its own NullPointerException if an application keeps
	// its containers over a restart of its master.
	Forgets bool
	// VirtualRatio is how many times its memory a container may map of address space; 0: that is
	// not checked. OldVirtual says that only NodeManagers before Hadoop 3.2 check it.
	VirtualRatio float64
	OldVirtual   bool
	// MinMiB is the smallest container, where the configuration says so; 0: it does not.
	MinMiB int64
	// Proxy is the SOCKS proxy that Hadoop\'s own clients would go through; empty: there is none.
	Proxy string
	// Masters is how many masters a job gets whose deaths lie within launch.MasterWindow; 0: not
	// known.
	Masters int
	// Web are the URLs of the ResourceManagers' pages.
	Web []string
	// Replication is how many copies HDFS makes of a file, where nobody says otherwise.
	Replication int64
	// MasterPort is where masters listen for agents, if it is free; empty: anywhere.
	MasterPort string
	// Local says that the cluster lives in a process of this machine, and gone, which others than
	// that process have, whether it has ended: with its job, which nobody knows any more then.
	Local bool
	gone  func() bool

	close []func() error
}

// Close ends the connections.
func (c *Cluster) Close() error {
	var errs []error
	for _, f := range c.close {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// jobDir is the staging directory of an application of this user.
func (c *Cluster) jobDir(id yarn.ApplicationID) string { return launch.JobDir(c.Home, id) }

// callTimeout bounds one question to the ResourceManager, or one small file.
const callTimeout = 30 * time.Second

// report asks for one application, and says what a person needs when it is not there.
func (c *Cluster) report(ctx context.Context, id yarn.ApplicationID) (yarn.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.RM.Report(ctx, id)
	switch {
	case errors.Is(err, yarn.ErrUnknownApplication):
		return r, exit.Errorf(exit.Usage, "%s: the cluster knows no such application: %w", id, err).
			Try("%s shows the jobs it knows", c.command("list"))
	case err != nil:
		return r, c.unreachable("ask for "+id.String(), err)
	case r.Type != launch.ApplicationType:
		return r, exit.Errorf(exit.Usage, "%s (%s) is an application of type %s, not a tfos job", id, r.Name, r.Type)
	}
	return r, nil
}

// command is how a person types a tfos command for this cluster.
func (c *Cluster) command(rest string) string {
	if c.Local {
		return "tfos " + rest + " --master local"
	}
	return "tfos " + rest
}

// unreachable is an error of the ResourceManager's, whatever it was about.
func (c *Cluster) unreachable(doing string, err error) error {
	var known *exit.Error
	if errors.As(err, &known) {
		return err
	}
	if errors.Is(err, yarn.ErrUnauthorized) {
		return exit.Errorf(exit.Refused, "%s: the ResourceManager at %s does not let %s: %w", doing, c.Where, c.User, err)
	}
	e := exit.Errorf(exit.Infrastructure, "%s: no answer from the ResourceManager at %s: %w", doing, c.Where, err)
	if c.Proxy != "" {
		return e.Try("Hadoop's own clients go through the SOCKS proxy %s here (hadoop.rpc.socket.factory.class.default), tfos does not: run it where the cluster can be reached directly", c.Proxy)
	}
	return e.Try("is it running, and is yarn.resourcemanager.address in yarn-site.xml right?")
}

// readFile reads a small file of FS whole.
func (c *Cluster) readFile(ctx context.Context, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return stage.ReadSmall(ctx, c.FS, name)
}

// key reads the identity that opens a job's processes to this user.
func (c *Cluster) key(ctx context.Context, id yarn.ApplicationID) (control.Identity, error) {
	name := path.Join(c.jobDir(id), launch.ClientKeyFile)
	b, err := c.readFile(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return control.Identity{}, exit.Errorf(exit.Refused, "%s is not yours to look into: no key at %s: %w", id, c.FS.URI(name), err).
			Try("only who submitted a job can reach its processes; the ResourceManager's pages show what others may see")
	case err != nil:
		return control.Identity{}, stage.Explain(c.FS, "read", name, err)
	}
	return control.ParseIdentity(b)
}

// masterAddress finds where a job's master listens now: in the staging directory, else where it
// registered.
func (c *Cluster) masterAddress(ctx context.Context, r yarn.Report) (string, error) {
	m, err := c.announced(ctx, r.ID)
	if err == nil && m.Address != "" {
		return m.Address, nil
	}
	if address := registeredAddress(r); address != "" {
		return address, nil
	}
	return "", err
}
