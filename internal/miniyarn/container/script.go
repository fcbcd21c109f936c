package container

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Names in a container's directory, as a NodeManager's.
const (
	scriptFile = "launch_container.sh"
	tokenFile  = "container_tokens"
)

// whitelist is what a container gets of the NodeManager's own environment unless the application
// sets it (yarn.nodemanager.env-whitelist).
var whitelist = []string{"JAVA_HOME", "HADOOP_COMMON_HOME", "HADOOP_HDFS_HOME", "HADOOP_CONF_DIR", "CLASSPATH_PREPEND_DISTCACHE",
	"HADOOP_YARN_HOME", "HADOOP_HOME", "PATH", "LANG", "TZ"}

// defaultHome is what HOME is set to (yarn.nodemanager.user-home-dir).
const defaultHome = "/home/"

// writeLaunch writes the token file and the launch script.
func writeLaunch(l Launch, at layout, files map[string]string, count counters) error {
	if err := os.WriteFile(filepath.Join(at.work, tokenFile), l.Tokens, 0o600); err != nil {
		return fmt.Errorf("write the container's tokens: %w", err)
	}
	s := script(l, at, files, count, os.Getenv)
	if err := os.WriteFile(filepath.Join(at.work, scriptFile), []byte(s), 0o700); err != nil {
		return fmt.Errorf("write the launch script: %w", err)
	}
	return nil
}

// script is the shell script that a container runs. Values stand in double quotes and the command
// in others of its own, so that "$", "`", `"` and `\` are live in both, as they are on a cluster.
func script(l Launch, at layout, files map[string]string, count counters, getenv func(string) string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("#!/bin/bash\n\nset -o pipefail -e")
	line(`export PRELAUNCH_OUT="%s/prelaunch.out"`, at.log)
	line(`exec >"${PRELAUNCH_OUT}"`)
	line(`export PRELAUNCH_ERR="%s/prelaunch.err"`, at.log)
	line(`exec 2>"${PRELAUNCH_ERR}"`)
	line(`echo "Setting up env variables"`)
	env := environment(l, at, count, getenv)
	for _, name := range whitelist {
		if _, set := env[name]; !set {
			if v := getenv(name); v != "" {
				line(`export %s=${%s:-"%s"}`, name, name, v)
			}
		}
	}
	for _, name := range ordered(env) {
		line(`export %s="%s"`, name, expand(env[name], at.log))
	}
	line(`echo "Setting up job resources"`)
	for _, link := range slices.Sorted(maps.Keys(files)) {
		if dir := filepath.Dir(link); dir != "." {
			line(`mkdir -p -- %s`, quote(dir))
		}
		line(`ln -sf -- %s %s`, quote(files[link]), quote(link))
	}
	line(`echo "Launching container"`)
	line(`exec /bin/bash -c "%s"`, expand(strings.Join(l.Context.Command, " "), at.log))
	return b.String()
}

// environment is what the application set, under what a NodeManager sets over it.
func environment(l Launch, at layout, count counters, getenv func(string) string) map[string]string {
	env := map[string]string{"MALLOC_ARENA_MAX": getenv("MALLOC_ARENA_MAX")}
	maps.Copy(env, l.Context.Env)
	maps.Copy(env, map[string]string{
		"CONTAINER_ID":               l.ID.String(),
		"NM_HOST":                    l.Node.Host,
		"NM_PORT":                    strconv.Itoa(int(l.Node.Port)),
		"NM_HTTP_PORT":               strconv.Itoa(int(l.Node.Port)), // there is no web server; grants name this port too
		"LOCAL_DIRS":                 at.app,
		"LOCAL_USER_DIRS":            at.user + "/",
		"LOG_DIRS":                   at.log,
		"USER":                       l.User,
		"LOGNAME":                    l.User,
		"HOME":                       defaultHome,
		"PWD":                        at.work,
		"HADOOP_TOKEN_FILE_LOCATION": filepath.Join(at.work, tokenFile),
		"LOCALIZATION_COUNTERS":      count.String(),
		"JVM_PID":                    "$$",
	})
	if l.Master {
		env["APPLICATION_WEB_PROXY_BASE"] = "/proxy/" + l.ID.Attempt.Application.String()
		env["APP_SUBMIT_TIME_ENV"] = strconv.FormatInt(l.Submitted.UnixMilli(), 10)
	}
	return env
}

var (
	parameter = regexp.MustCompile(`\{\{([^{}]*)\}\}`)
	reference = regexp.MustCompile(`\$(?:\{([A-Za-z_][A-Za-z0-9_]*)|([A-Za-z_][A-Za-z0-9_]*))`)
)

// expand replaces what ContainerLaunch.expandEnvironment does: the log directory, the separator of
// paths, and {{NAME}} by $NAME, which is the shell's to look up. There is no {{LOG_DIR}}: it comes
// out as an empty variable, there as here.
func expand(s, logDir string) string {
	s = strings.ReplaceAll(s, "<LOG_DIR>", logDir)
	s = strings.ReplaceAll(s, "<CPS>", ":")
	return parameter.ReplaceAllString(s, "$$$1")
}

// ordered lists the names of an environment so that a variable follows those that its value refers
// to.
func ordered(env map[string]string) []string {
	var out []string
	seen := make(map[string]bool, len(env))
	var visit func(name string)
	visit = func(name string) {
		value, set := env[name]
		if seen[name] || !set {
			return
		}
		seen[name] = true // before its references: a cycle ends here
		for _, m := range reference.FindAllStringSubmatch(expand(value, ""), -1) {
			visit(m[1] + m[2])
		}
		out = append(out, name)
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		visit(name)
	}
	return out
}

// quote makes one word of s for a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
