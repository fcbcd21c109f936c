package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// ErrNoDirectory says that nothing tells where the configuration is.
var ErrNoDirectory = errors.New("no Hadoop configuration directory: give --conf DIR or set HADOOP_CONF_DIR")

// siteFiles are read in this order, as Hadoop's clients do.
var siteFiles = []string{"core-site.xml", "hdfs-site.xml", "yarn-site.xml"}

// Directories lists where to look for *-site.xml: dir alone if it is not empty, else what
// HADOOP_CONF_DIR and YARN_CONF_DIR name. None is ErrNoDirectory. Each can be a list with colons,
// as on Java's class path: see Split.
func Directories(dir string, env func(name string) (string, bool)) ([]string, error) {
	if dir != "" {
		return []string{dir}, nil
	}
	var dirs []string
	for _, name := range []string{"HADOOP_CONF_DIR", "YARN_CONF_DIR"} {
		if d, ok := env(name); ok && d != "" && (len(dirs) == 0 || d != dirs[0]) {
			dirs = append(dirs, d)
		}
	}
	if len(dirs) == 0 {
		return nil, ErrNoDirectory
	}
	return dirs, nil
}

// Split takes a list of directories apart: /etc/hadoop/conf:/etc/hive/conf. The first that has a
// file counts.
func Split(dirs string) []string {
	return slices.DeleteFunc(strings.Split(dirs, ":"), func(dir string) bool { return dir == "" })
}

// Load reads the site files of the directories, each file from the first directory that has it;
// yarn-site.xml from the last, since YARN_CONF_DIR comes there. Read is os.ReadFile or the like: a
// file that is not there is fs.ErrNotExist.
func Load(dirs []string, read func(path string) ([]byte, error), e Environment) (*Conf, error) {
	c := New(e)
	found := false
	for _, file := range siteFiles {
		order := slices.Clone(dirs)
		if file == "yarn-site.xml" {
			slices.Reverse(order)
		}
		for _, dir := range Split(strings.Join(order, ":")) {
			name := path.Join(dir, file)
			data, err := read(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("read Hadoop's configuration: %w", err)
			}
			if err := c.AddResource(name, data, includes(dir, read)); err != nil {
				return nil, err
			}
			found = true
			break
		}
	}
	if !found {
		return nil, fmt.Errorf("%s holds none of %s: is it a Hadoop configuration directory?", strings.Join(dirs, " and "), strings.Join(siteFiles, ", "))
	}
	return c, nil
}

// includes opens what files in dir include: names relative to dir, or absolute, or file: URIs.
func includes(dir string, read func(path string) ([]byte, error)) func(href string) ([]byte, error) {
	return func(href string) ([]byte, error) {
		name := strings.TrimPrefix(strings.TrimPrefix(href, "file://"), "file:")
		if strings.Contains(name, "://") {
			return nil, fmt.Errorf("only files can be included")
		}
		if !path.IsAbs(name) {
			name = path.Join(dir, name)
		}
		return read(name)
	}
}
