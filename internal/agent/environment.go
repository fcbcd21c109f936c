package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"tfos/internal/agent/logfile"
	"tfos/internal/control"
	"tfos/internal/hadoop/token"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/storage"
)

// What a NodeManager tells the processes of a container
// (org.apache.hadoop.yarn.api.ApplicationConstants.Environment).
const (
	envTokens    = "HADOOP_TOKEN_FILE_LOCATION"
	envContainer = "CONTAINER_ID"
	envNodeHost  = "NM_HOST"
	envLogDirs   = "LOG_DIRS"
	envUser      = "USER" // who submitted the job
)

// FromEnvironment reads the options of an agent from the environment of its container, as getenv
// has it, and from the credentials file that this names. The Logger is left to the caller.
func FromEnvironment(getenv func(string) string) (Options, error) {
	var missing []string
	get := func(name string) string {
		v := getenv(name)
		if v == "" {
			missing = append(missing, name)
		}
		return v
	}
	master, task, incarnation, tokens := get(launch.EnvMaster), get(launch.EnvTask), get(launch.EnvIncarnation), get(envTokens)
	logs, container := get(envLogDirs), get(envContainer)
	endpoints, roles := get(launch.EnvEndpoints), get(launch.EnvRoles)
	if missing != nil {
		return Options{}, fmt.Errorf("the environment lacks %s: tfos-agent is started by tfos-am, in a container", strings.Join(missing, ", "))
	}
	credentials, err := readCredentials(tokens)
	if err != nil {
		return Options{}, err
	}
	id, err := identity(credentials)
	if err != nil {
		return Options{}, err
	}
	if s := id.Subject(); s.Party != control.PartyAgent || s.Container.String() != container || s.Task.String() != task {
		return Options{}, fmt.Errorf("the credentials are for %s, the container is %s of %s", s, container, task)
	}
	first, err := strconv.Atoi(incarnation)
	if err != nil {
		return Options{}, fmt.Errorf("%s: %w", launch.EnvIncarnation, err)
	}
	dir, err := os.Getwd()
	if err != nil {
		return Options{}, err
	}
	host := getenv(envNodeHost)
	if host == "" {
		if host, err = os.Hostname(); err != nil {
			return Options{}, fmt.Errorf("neither %s nor a host name is known: %w", envNodeHost, err)
		}
	}
	staging, err := launch.UnescapeEnv(getenv(launch.EnvStaging))
	if err != nil {
		return Options{}, fmt.Errorf("%s: %w", launch.EnvStaging, err)
	}
	logDir, _, _ := strings.Cut(logs, ",")
	files := storage.Options{
		Conf: filepath.Join(dir, launch.TaskConf), Tokens: credentials.Tokens(), User: getenv(envUser), Getenv: getenv,
	}
	limits, err := logLimits(getenv(launch.EnvLogs))
	if err != nil {
		return Options{}, err
	}
	return Options{
		Identity:      id,
		Incarnation:   job.Incarnation(first),
		Host:          host,
		Dir:           dir,
		LogDir:        logDir,
		Logs:          limits,
		Env:           os.Environ(),
		MasterAddress: master,
		Staging:       staging,
		Endpoints:     job.Endpoints(endpoints),
		Fed:           getenv(launch.EnvFed) == "true",
		Roles:         strings.Split(roles, ","),
		Storage:       files,
		Over:          askYARN(id.Subject().Container.Attempt.Application, files),
	}, nil
}

// logLimits reads launch.EnvLogs.
func logLimits(text string) (l logfile.Limits, err error) {
	if text == "" {
		return l, nil
	}
	if _, err = fmt.Sscanf(text, launch.LogsFormat, &l.Size, &l.Keep); err != nil {
		err = fmt.Errorf("%s=%s: %w", launch.EnvLogs, text, err)
	}
	return l, err
}

// readCredentials reads a credentials file at once: the program may remove it.
func readCredentials(file string) (*token.Credentials, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the credentials: %w", err)
	}
	c, err := token.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("read the credentials in %s: %w", file, err)
	}
	return c, nil
}

// identity finds the agent's identity among credentials.
func identity(c *token.Credentials) (control.Identity, error) {
	secret, ok := c.Secret(launch.SecretIdentity)
	if !ok {
		return control.Identity{}, errors.New("the credentials hold no " + launch.SecretIdentity)
	}
	return control.ParseIdentity(secret)
}

// NewLogger writes to agent.log in a log directory, one line an entry. An empty level is info.
func NewLogger(dir, level string) (*zap.Logger, *logfile.File, error) {
	l := zapcore.InfoLevel
	if level != "" {
		var err error
		if l, err = zapcore.ParseLevel(level); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", launch.EnvLogLevel, err)
		}
	}
	f := logfile.New(logFile(dir, control.AgentLog), agentLogLimits)
	c := zap.NewProductionEncoderConfig()
	c.EncodeTime = zapcore.ISO8601TimeEncoder
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(c), zapcore.AddSync(f), l)), f, nil
}
