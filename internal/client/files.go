package client

import (
	"errors"

	"go.uber.org/zap"

	"tfos/internal/dfs"
	"tfos/internal/hadoop/conf"
)

// Files reaches the filesystems that the Hadoop configuration names, without a cluster: dir is
// --conf, or empty for what the environment names. With no configuration at all there is the local
// disk, and hdfs:// names that say host and port. Close the result.
func Files(dir string, getenv func(string) string, log *zap.Logger) (*dfs.Resolver, error) {
	name, err := userName(getenv)
	if err != nil {
		return nil, err
	}
	var c *conf.Conf
	dirs, err := conf.Directories(dir, lookup(getenv))
	switch {
	case err == nil:
		if c, err = loadConf(dirs, getenv, name); err != nil {
			return nil, err
		}
		if name, err = shortName(name, c); err != nil {
			return nil, err
		}
	case !errors.Is(err, conf.ErrNoDirectory):
		return nil, confError(err)
	}
	return dfs.NewResolver(dfs.Options{Conf: c, User: name, LocalHome: getenv("HOME"), Log: log.Named("dfs")}), nil
}
