package am

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"tfos/internal/am/web"
	"tfos/internal/clusterspec"
	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/membership"
	"tfos/internal/yarn"
)

// launchTimeout bounds how long a NodeManager may take to accept a container.
const launchTimeout = 30 * time.Second

// ask is a role's wish as YARN takes it. Each role has its own id and priority, so that no
// scheduler mixes two roles up.
func (o *owner) ask(a membership.Ask) yarn.Ask {
	i := o.roles[a.Role]
	role := o.m.o.Job.Roles[i]
	label := role.NodeLabel
	if label == "" {
		label = o.m.o.Job.NodeLabel
	}
	return yarn.Ask{ID: int64(i) + 1, Priority: int32(i) + 1, Resource: role.YARN(), Count: a.Count, NodeLabel: label}
}

// roleOf is the role whose ask a container answers: by the ask's id, or by its priority where the
// scheduler knows no ids.
func (o *owner) roleOf(c yarn.Container) string {
	i := int(c.AskID) - 1
	if c.AskID <= 0 {
		i = int(c.Priority) - 1
	}
	if i < 0 || i >= len(o.m.o.Job.Roles) {
		return ""
	}
	return o.m.o.Job.Roles[i].Name
}

// launch starts a task's agent in its container, and tells the owner if the node did not take it.
func (m *Master) launch(ctx context.Context, a membership.Launch, c yarn.Container) {
	ctx, cancel := context.WithTimeout(ctx, launchTimeout)
	defer cancel()
	l, err := m.launchContext(a)
	if err == nil {
		err = m.o.Nodes.Start(ctx, c, l)
	}
	if err == nil || ctx.Err() == context.Canceled {
		return
	}
	m.log.Warn("container not started", zap.Stringer("task", a.Task), zap.Stringer("container", a.Container), zap.Stringer("node", a.Node), zap.Error(err))
	m.post(membership.LaunchFailed{Task: a.Task, Incarnation: a.Incarnation, Container: a.Container, Reason: err.Error()})
}

// launchContext is what runs in a task's container: the agent, with the job's files beside it. The
// program's own command and environment travel over the control connection, where no shell reads
// them.
func (m *Master) launchContext(a membership.Launch) (yarn.LaunchContext, error) {
	identity, err := m.o.Authority.Issue(control.Subject{Party: control.PartyAgent, Container: a.Container, Task: a.Task})
	if err != nil {
		return yarn.LaunchContext{}, err
	}
	pem, err := identity.PEM()
	if err != nil {
		return yarn.LaunchContext{}, fmt.Errorf("encode the agent's identity: %w", err)
	}
	tokens, err := m.o.Tokens(pem)
	if err != nil {
		return yarn.LaunchContext{}, fmt.Errorf("encode the container's credentials: %w", err)
	}
	address, err := m.address()
	if err != nil {
		return yarn.LaunchContext{}, err
	}
	roles := make([]string, len(m.o.Job.Roles))
	for i, r := range m.o.Job.Roles {
		roles[i] = r.Name
	}
	files := make(map[string]yarn.LocalResource, len(m.o.Manifest.Files)+1)
	files[launch.TaskAgent] = m.o.Manifest.Agent.Local()
	for _, f := range m.o.Manifest.Files {
		files[f.Link()] = f.Local()
	}
	env := map[string]string{}
	if r, ok := m.o.Job.Role(a.Task.Role); ok {
		env = launch.ImageEnv(r.Image, r.Mounts)
	}
	maps.Copy(env, map[string]string{
		launch.EnvApplication: m.o.Container.Attempt.Application.String(),
		launch.EnvMaster:      address,
		launch.EnvStaging:     launch.EscapeEnv(m.o.FS.URI(m.o.Manifest.Staging)),
		launch.EnvTask:        a.Task.String(),
		launch.EnvIncarnation: strconv.Itoa(int(a.Incarnation)),
		launch.EnvEndpoints:   string(m.o.Job.Endpoints),
		launch.EnvRoles:       strings.Join(roles, ","),
		launch.EnvFed:         strconv.FormatBool(m.o.Job.Attended > 0), // who feeds a job attends it
		launch.EnvLogs:        fmt.Sprintf(launch.LogsFormat, m.o.Job.Logs.LimitMiB<<20, m.o.Job.Logs.Keep),
	})
	return yarn.LaunchContext{
		Files:   files,
		Env:     env,
		Command: []string{"exec", "./" + launch.TaskAgent, "1><LOG_DIR>/agent.stdout", "2><LOG_DIR>/agent.stderr"},
		Tokens:  tokens,
	}, nil
}

// job is the job as it was submitted, with the values of its variables, which the machine does not
// keep, and of the size that it has by now.
func (o *owner) job() job.Job {
	j := o.m.o.Job
	for _, r := range o.machine.Job().Roles {
		j = j.Sized(r.Name, r.Instances)
	}
	return j
}

// commandOf is the command line of a role's tasks.
func commandOf(r job.Role) string {
	if r.Builtin != "" {
		return "exec ./" + launch.TaskBuiltin + " " + string(r.Builtin)
	}
	return launch.InImage(r.Image) + r.Command
}

// start is the order to start a task's process with the published cluster_spec, of which its agent
// makes the documents.
func (o *owner) start(a membership.StartProcess) control.Start {
	j := o.job()
	role := j.Roles[o.roles[a.Task.Role]]
	env := clusterspec.Env(j, a.Task)
	maps.Copy(env, o.startPoint().Env())
	shows, has := j.Board()
	board := has && a.Task == shows
	if board && o.m.o.Proxies.Base != "" {
		env[launch.EnvTensorBoardPath] = o.m.o.Proxies.Base + web.BoardPath
	}
	return control.Start{
		Incarnation: a.Incarnation,
		Generation:  a.Generation,
		Command:     commandOf(role),
		Env:         env,
		Grace:       j.Stop.Grace,
		TensorBoard: board,
		Cluster:     clusterspec.ClusterOf(j),
		Mirror:      mirrorOf(o.m.o.Job, j, a.Task),
	}
}
