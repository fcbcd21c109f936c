package client

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"go.uber.org/zap"

	"tfos/internal/client/exit"
	"tfos/internal/dfs"
	"tfos/internal/hadoop/conf"
	"tfos/internal/hadoop/principal"
	"tfos/internal/hadoop/tfile"
	"tfos/internal/hadoop/token"
	"tfos/internal/launch"
	"tfos/internal/yarn/yarnrpc"
)

// ConnectOptions says where a cluster is.
type ConnectOptions struct {
	Conf   []string // directories of the Hadoop configuration, as FindConf gives them
	Getenv func(string) string
	Log    *zap.Logger
}

// FindConf says which directories hold the Hadoop configuration: dir if it is given, else those
// that the environment names.
func FindConf(dir string, getenv func(string) string) ([]string, error) {
	const advice = "give the directory of core-site.xml and yarn-site.xml with --conf, HADOOP_CONF_DIR or YARN_CONF_DIR; or try tfos run --master local"
	dirs, err := conf.Directories(dir, lookup(getenv))
	if err != nil {
		return nil, exit.Errorf(exit.Usage, "%w", err).Try(advice)
	}
	for _, d := range conf.Split(strings.Join(dirs, ":")) {
		if isFile(filepath.Join(d, "yarn-site.xml")) {
			return dirs, nil
		}
	}
	return nil, exit.Errorf(exit.Usage, "%s holds no yarn-site.xml, so there is no knowing where YARN is", strings.Join(dirs, " and ")).Try(advice)
}

// lookup tells a variable that is not set from one that is empty, as far as getenv can.
func lookup(getenv func(string) string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v := getenv(name)
		return v, v != ""
	}
}

// environment is what ${…} in Hadoop's XML can reach.
func environment(getenv func(string) string, userName string) conf.Environment {
	return conf.Environment{
		Env:    lookup(getenv),
		System: map[string]string{"user.name": userName, "user.home": getenv("HOME"), "java.io.tmpdir": os.TempDir()},
	}
}

func loadConf(dirs []string, getenv func(string) string, userName string) (*conf.Conf, error) {
	c, err := conf.Load(dirs, os.ReadFile, environment(getenv, userName))
	if err != nil {
		return nil, confError(err)
	}
	return c, nil
}

func confError(err error) error { return exit.Errorf(exit.Usage, "the Hadoop configuration: %w", err) }

// Connect prepares the way to a cluster. Nothing is connected before it is used. Close the result.
func Connect(ctx context.Context, o ConnectOptions) (*Cluster, error) {
	name, err := userName(o.Getenv)
	if err != nil {
		return nil, err
	}
	c, err := loadConf(o.Conf, o.Getenv, name)
	if err != nil {
		return nil, err
	}
	if name, err = shortName(name, c); err != nil {
		return nil, err
	}
	if strings.EqualFold(c.String("hadoop.security.authentication"), "kerberos") {
		return nil, exit.Errorf(exit.Refused, "the cluster wants Kerberos (hadoop.security.authentication in %s), which this tfos does not speak yet", c.Source("hadoop.security.authentication")).
			Try("use a cluster with simple authentication")
	}
	return connect(ctx, c, name, "", nil, o.Log)
}

// connect makes a Cluster of a configuration. localHome is the home directory on the local disk, if
// that is the filesystem, and tok what the ResourceManager wants to see; nil: it takes the user's
// name on trust.
func connect(ctx context.Context, c *conf.Conf, userName, localHome string, tok func() (token.Token, bool), log *zap.Logger) (*Cluster, error) {
	options, err := yarnrpc.ClientOptions(c)
	if err != nil {
		return nil, confError(err)
	}
	collects, err := c.Bool("yarn.log-aggregation-enable", false)
	if err != nil {
		return nil, confError(err)
	}
	masters, err := launch.Granted(c.Int)
	if err != nil {
		return nil, confError(err)
	}
	preserves, err := c.Bool("yarn.resourcemanager.work-preserving-recovery.enabled", true)
	if err != nil {
		return nil, confError(err)
	}
	smallest := int64(0)
	if key := "yarn.scheduler.minimum-allocation-mb"; !c.IsDefault(key) { // else the ResourceManager may have another
		if smallest, err = c.Int(key, 0); err != nil {
			return nil, confError(err)
		}
	}
	proxy := ""
	if strings.HasSuffix(c.String("hadoop.rpc.socket.factory.class.default"), ".SocksSocketFactory") {
		proxy = cmp.Or(c.String("hadoop.socks.server"), "that the JVM names")
	}
	ratio, old, err := c.VirtualRatio()
	if err != nil {
		return nil, confError(err)
	}
	places := dfs.NewResolver(dfs.Options{Conf: c, User: userName, LocalHome: localHome, Log: log.Named("dfs")})
	files, _, err := places.Resolve(ctx, "/")
	if err != nil {
		return nil, confError(err)
	}
	web, err := pages(c)
	if err != nil {
		return nil, confError(err)
	}
	copies, err := c.Int("dfs.replication", 3)
	if err != nil {
		return nil, confError(err)
	}
	options.User, options.Log = userName, log.Named("rm")
	rm := yarnrpc.NewClient(options, tok)
	cluster := &Cluster{
		RM: rm, FS: files, Peers: dialPeers{}, Logs: noLogs{}, Log: log,
		User: userName, Home: files.Home(), Conf: c.EncodeXML(), Where: strings.Join(options.Addrs, ", "),
		Token:    func(ctx context.Context) (token.Token, error) { return dfs.DelegationToken(ctx, files, renewer(c)) },
		Resolve:  places.Resolve,
		Collects: collects,
		Forgets:  !preserves,
		Masters:  masters,
		Web:      web, Replication: copies,
		VirtualRatio: ratio, OldVirtual: old, MinMiB: smallest, Proxy: proxy,
		close: []func() error{rm.Close, places.Close},
	}
	if cluster.Collects {
		cluster.Logs = aggregatedLogs{resolve: places.Resolve, places: tfile.Places(c.String, c.List("yarn.log-aggregation.file-formats"))}
	}
	return cluster, nil
}

// pages are the URLs of the ResourceManagers' pages.
func pages(c *conf.Conf) ([]string, error) {
	service, scheme := conf.RMWeb, "http://"
	if strings.EqualFold(c.String("yarn.http.policy"), "HTTPS_ONLY") {
		service, scheme = conf.RMWebTLS, "https://"
	}
	addrs, err := c.ResourceManagers(service)
	for i := range addrs {
		addrs[i] = scheme + addrs[i]
	}
	return addrs, err
}

// renewer is who may renew the tokens of a job: the ResourceManager.
func renewer(c *conf.Conf) string { return cmp.Or(c.String("yarn.resourcemanager.principal"), "yarn") }

// shortName is what a cluster calls a user: the owner of files, whose home is /user/NAME.
func shortName(name string, c *conf.Conf) (string, error) {
	mit := strings.EqualFold(c.String("hadoop.security.auth_to_local.mechanism"), "mit")
	short, err := principal.Short(name, c.String("hadoop.security.auth_to_local"), mit)
	if err != nil {
		return "", exit.Errorf(exit.Usage, "%w", err).Try("set HADOOP_USER_NAME to the name that the cluster knows you by")
	}
	return short, nil
}

// userName is the user that a cluster without Kerberos takes us for.
func userName(getenv func(string) string) (string, error) {
	// Hadoop's clients act as the proxy user in the name of the other one. Where names are taken on
	// trust nothing is lost without saying whose proxy it is.
	for _, key := range []string{"HADOOP_PROXY_USER", "HADOOP_USER_NAME"} {
		if name := getenv(key); name != "" {
			return name, nil
		}
	}
	u, err := user.Current()
	if err != nil {
		return "", exit.Errorf(exit.Usage, "find out who you are: %w", err).Try("set HADOOP_USER_NAME")
	}
	if u.Username == "" {
		return "", exit.Errorf(exit.Usage, "%w", fmt.Errorf("user %s has no name", u.Uid)).Try("set HADOOP_USER_NAME")
	}
	return u.Username, nil
}
