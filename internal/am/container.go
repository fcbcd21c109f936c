package am

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"tfos/internal/am/web"
	"tfos/internal/control"
	"tfos/internal/dfs"
	"tfos/internal/hadoop/conf"
	"tfos/internal/hadoop/token"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/yarn"
	"tfos/internal/yarn/yarnrpc"
)

// RunInContainer is the master that YARN started: everything it needs it finds in its container,
// which getenv and the current directory describe. It returns what Master.Run returns.
func RunInContainer(ctx context.Context, getenv func(string) string, log *zap.Logger) (err error) {
	c, err := findContainer(getenv)
	if err != nil {
		return err
	}
	scheduler, err := yarnrpc.MasterOptions(c.conf)
	if err != nil {
		return err
	}
	scheduler.User, scheduler.Log = c.manifest.User, log.Named("rm")
	containers := yarnrpc.NodesOptions(c.conf)
	containers.User, containers.Log = c.manifest.User, log.Named("nodes")
	amrm, ok := c.credentials.OfKind(token.KindAMRM)
	if !ok {
		return errors.New("the container's credentials hold no AMRMToken: tfos-am runs as an application master only, started by YARN")
	}
	authority, err := c.authority()
	if err != nil {
		return err
	}
	rm, nodes := yarnrpc.NewMaster(scheduler, amrm), yarnrpc.NewNodes(containers)
	files := dfs.NewResolver(dfs.Options{Conf: c.conf, User: c.manifest.User, Tokens: c.tokens(), Log: log.Named("dfs")})
	fs, _, err := files.Resolve(ctx, "/")
	if err != nil {
		return err
	}
	listener, err := control.ListenAt(c.host, cmp.Or(getenv(launch.EnvPort), "0"))
	if err != nil {
		return fmt.Errorf("listen for agents: %w", err)
	}
	pages, err := control.Listen(c.host)
	if err != nil {
		return fmt.Errorf("listen for browsers: %w", err)
	}
	proxies, err := web.FindProxies(c.conf, getenv, c.manifest.User)
	if err != nil {
		return err
	}
	history := c.conf.String(launch.HistoryURL)
	if history != "" && !strings.HasPrefix(history, "http://") && !strings.HasPrefix(history, "https://") {
		log.Warn("ignored: it is no http or https URL", zap.String(launch.HistoryURL, history))
		history = ""
	}
	if proxies.Scrapers, err = web.ParseScrapers(c.conf.String(web.ScrapersKey)); err != nil {
		log.Warn("ignored: nobody reads metrics but through the proxy", zap.Error(err))
	}
	patience, err := preemptionPatience(c.conf)
	if err != nil {
		return err
	}
	masters, err := launch.Granted(c.conf.Int)
	if err != nil {
		return err
	}
	m := New(Options{
		Sized:     func(tasks int) { debug.SetMemoryLimit(memoryLimit(c.job.Master.MemoryMiB, tasks)) },
		Container: c.id, Job: c.job, Manifest: c.manifest, Host: c.host, Listener: listener,
		RM: rm, Nodes: nodes, FS: fs, Files: files, Authority: authority, Web: pages, Proxies: proxies, History: history, Tokens: c.taskCredentials,
		Submitted: c.submitted, Masters: masters, Seed: seedOf(c.id), PreemptionPatience: patience, Log: log,
	})
	err = m.Run(ctx)
	return errors.Join(err, rm.Close(), nodes.Close(), files.Close())
}

// programMiB is what a master has of memory that Go's runtime does not count: the program itself.
const programMiB = 16

// leastMiB is what a master may use before the number of its job's tasks counts.
const leastMiB = 64

// memoryLimit is how many bytes the runtime may use in a container of so many MiB before it spends
// more of its time on collecting garbage: an eighth more than a job of so many tasks needs, since
// a thousand agents that join at once leave as much garbage as they need themselves; and less than
// the container has, since YARN ends a process that needs more.
func memoryLimit(containerMiB int64, tasks int) int64 {
	needs := max(leastMiB, job.MasterMiB(tasks)*9/8) - programMiB
	return min(needs, max(containerMiB-programMiB, containerMiB/2)) << 20
}

// container is what a master's container holds.
type container struct {
	id          yarn.ContainerID
	host        string
	submitted   time.Time // zero: not told
	job         job.Job
	manifest    launch.Manifest
	conf        *conf.Conf
	credentials *token.Credentials
}

func findContainer(getenv func(string) string) (container, error) {
	var c container
	var err error
	if c.id, err = yarn.ParseContainerID(getenv("CONTAINER_ID")); err != nil {
		return c, fmt.Errorf("CONTAINER_ID: %w", err)
	}
	if c.host = getenv("NM_HOST"); c.host == "" {
		return c, errors.New("NM_HOST is not set: tfos-am runs in a container of YARN only")
	}
	if ms, err := strconv.ParseInt(getenv("APP_SUBMIT_TIME_ENV"), 10, 64); err == nil {
		c.submitted = time.UnixMilli(ms).UTC()
	}
	b, err := os.ReadFile(getenv("HADOOP_TOKEN_FILE_LOCATION"))
	if err != nil {
		return c, fmt.Errorf("read the container's credentials: %w", err)
	}
	if c.credentials, err = token.Decode(b); err != nil {
		return c, fmt.Errorf("read the container's credentials: %w", err)
	}
	if b, err = os.ReadFile(launch.JobFile); err != nil {
		return c, err
	}
	if c.job, err = job.Parse(launch.JobFile, b, nil); err != nil {
		return c, err
	}
	if b, err = os.ReadFile(launch.ManifestFile); err != nil {
		return c, err
	}
	if c.manifest, err = launch.ParseManifest(b); err != nil {
		return c, err
	}
	if b, err = os.ReadFile(launch.ConfFile); err != nil {
		return c, err
	}
	c.conf = conf.New(conf.Environment{Env: func(name string) (string, bool) { v := getenv(name); return v, v != "" }})
	return c, c.conf.AddResource(launch.ConfFile, b, nil)
}

func (c container) authority() (*control.Authority, error) {
	secret, ok := c.credentials.Secret(launch.SecretAuthority)
	if !ok {
		return nil, fmt.Errorf("the container's credentials hold no secret %s: was the job submitted by tfos?", launch.SecretAuthority)
	}
	return control.ParseAuthority(secret)
}

// tokens are the user's.
func (c container) tokens() []token.Token { return c.credentials.Without(token.KindAMRM).Tokens() }

// taskCredentials is the credentials file of a task's container: the user's tokens and the agent's
// identity. The AMRMToken and the job's authority stay with the master.
func (c container) taskCredentials(identity token.Secret) ([]byte, error) {
	var out token.Credentials
	for _, e := range c.credentials.Entries() {
		if e.Token.Kind != token.KindAMRM {
			out.Add(e.Alias, e.Token)
		}
	}
	out.AddSecret(launch.SecretIdentity, identity)
	return out.Encode(), nil
}

// seedOf gives each attempt its own random pauses, the same ones when its event log is replayed.
func seedOf(id yarn.ContainerID) uint64 {
	h := fnv.New64a()
	h.Write([]byte(id.String()))
	return h.Sum64()
}
