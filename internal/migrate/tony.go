package migrate

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tfos/internal/hadoop/conf"
	"tfos/internal/job"
)

// tony is a conversion of TonY's configuration at work.
type tony struct {
	Result
	s       Source
	c       *conf.Conf
	files   files
	counted map[string]bool // roles that have instances
	service map[string]bool
	command string // of all roles; empty: none is given
	binary  string // python's path, if only the configuration names it
	texts   []byte // of the configuration
	srcName string // the source directory's name in the container
}

// rule says what becomes of a key of TonY's. In its name * is a role; a * at the end is anything.
type rule struct {
	key string
	do  func(t *tony, key, role, value string)
}

// roleName is what TonY lets a role be called.
var roleKey = regexp.MustCompile(`^tony\.([A-Za-z][A-Za-z0-9_-]*)\.([a-z-]+)$`)

// notRoles are words after "tony." that are no roles.
var notRoles = []string{"am", "application", "containers", "container", "docker", "task", "yarn", "other", "execution", "history", "portal", "keytab", "https", "http", "secret", "init", "horovod", "version-info"}

// tonyRules are all keys that are known, of all versions of TonY.
var tonyRules = []rule{
	{"tony.*.instances", func(*tony, string, string, string) {}}, // read first: it makes the role
	{"tony.*.memory", func(t *tony, key, role, v string) { t.memory(key, v, "roles", role, "memory") }},
	{"tony.*.vcores", func(t *tony, key, role, v string) { t.Draft.Plain(v, "roles", role, "vcores") }},
	{"tony.*.gpus", func(t *tony, key, role, v string) {
		if v != "0" {
			t.Draft.Plain(v, "roles", role, "gpus")
		}
	}},
	{"tony.*.command", func(t *tony, key, role, v string) { t.Draft.Text(t.line(v), "roles", role, "command") }},
	{"tony.*.resources", func(t *tony, key, role, v string) {
		if len(t.counted) > 1 && v != "" {
			t.note(Changed, key, "all tasks get these files, not those of %s alone", role)
		}
		t.resources(key, v)
	}},
	{"tony.*.node-label", func(t *tony, key, role, v string) { t.Draft.Text(v, "roles", role, "node-label") }},
	{"tony.*.depends-on", drop("all tasks start together, as soon as each has its container")},
	{"tony.*.max-instances", drop("the cluster's queues bound what a job may have")},
	{"tony.*.placement-spec", drop("tfos has no placement constraints; node-label chooses nodes")},
	{"tony.*.allocation-tags", drop("tfos has no placement constraints; node-label chooses nodes")},
	{"tony.*.timeout", func(t *tony, key, role, v string) {
		if v != "0" {
			t.note(Dropped, key, "no task has a time limit of its own: timeout is the whole job's")
		}
	}},

	{"tony.containers.resources", func(t *tony, key, _, v string) { t.resources(key, v) }},
	{"tony.containers.command", func(t *tony, _, _, v string) { t.command = v }},
	{"tony.containers.envs", func(t *tony, key, _, v string) { t.envs(key, v) }},
	{"tony.execution.envs", func(t *tony, key, _, v string) { t.envs(key, v) }},
	{"tony.containers.placement-spec", drop("tfos has no placement constraints; node-label chooses nodes")},
	{"tony.containers.allocation-tags", drop("tfos has no placement constraints; node-label chooses nodes")},

	{"tony.yarn.queue", func(t *tony, _, _, v string) { t.Draft.Text(v, "queue") }},
	{"tony.application.name", func(t *tony, _, _, v string) { t.Draft.Text(v, "name") }},
	{"tony.application.tags", func(t *tony, _, _, v string) {
		for _, tag := range list(v) {
			t.Draft.Item(tag, "tags")
		}
	}},
	{"tony.application.node-label", func(t *tony, _, _, v string) { t.Draft.Text(v, "node-label") }},
	{"tony.application.timeout", func(t *tony, key, _, v string) {
		switch text, none, err := length(v, time.Millisecond); {
		case err != nil:
			t.note(Dropped, key, "%s", err)
		case !none:
			t.Draft.Plain(text, "timeout")
		}
	}},
	{"tony.application.framework", func(t *tony, key, _, v string) {
		switch strings.ToLower(v) {
		case "tensorflow":
		case "pytorch":
			t.note(Changed, key, "RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT are set; INIT_METHOD is not: it is tcp://$MASTER_ADDR:$MASTER_PORT")
		case "standalone":
			t.Draft.Text("none", "strategy")
		default:
			t.note(Dropped, key, "tfos sets no variables for %s", v)
		}
	}},
	{"tony.application.distributed-mode", func(t *tony, key, _, v string) {
		if !strings.EqualFold(v, "GANG") {
			t.note(Dropped, key, "%s: tasks start together, once each has its container", v)
		}
	}},
	{"tony.application.untracked.jobtypes", func(t *tony, key, _, v string) { t.services(key, v) }},
	{"tony.application.sidecar.jobtypes", func(t *tony, key, _, v string) {
		t.services(key, v)
		if len(list(v)) > 0 {
			t.note(Changed, key, "a service that fails is started again, within recovery.user-failures; TonY ignores it")
		}
	}},
	{"tony.application.stop-on-failure-jobtypes", drop("a task that fails is started again, within recovery.user-failures: 0 ends the job at the first failure of any")},
	{"tony.application.fail-on-worker-failure-enabled", func(t *tony, key, _, v string) {
		if v == "true" {
			t.Draft.Plain("0", "recovery", "user-failures")
			t.note(Changed, key, "the first failure of any task ends the job (recovery.user-failures: 0)")
		} else {
			t.note(Dropped, key, "a worker that fails is started again, within recovery.user-failures; more than that ends the job")
		}
	}},
	{"tony.application.enable-preprocess", func(t *tony, key, _, v string) {
		if v != "false" {
			t.note(Dropped, key, "no program runs in the master: do it in a job of its own, or in the chief's command")
		}
	}},
	{"tony.application.single-node", func(t *tony, key, _, v string) {
		if v != "false" {
			t.note(Dropped, key, "no program runs in the master: have a role of one instance, as in roles: {notebook: {instances: 1}}")
		}
	}},
	{"tony.application.tensorboard-log-dir", func(t *tony, key, _, v string) {
		t.Draft.Text(v, "env", "TB_LOG_DIR")
		t.Draft.Plain("program", "tensorboard")
		t.note(Changed, key, "a port for TensorBoard is kept on the leading task (TB_PORT), which starts it")
	}},
	{"tony.application.security.enabled", needless("the cluster's own configuration says it")},
	{"tony.application.hdfs-conf-path", needless("give its directory with --conf, or in HADOOP_CONF_DIR")},
	{"tony.application.yarn-conf-path", needless("give its directory with --conf, or in YARN_CONF_DIR")},
	{"tony.application.mapred-conf-path", drop("tasks get HDFS by themselves, and no configuration of MapReduce: name the file under files")},
	{"tony.application.type", needless("jobs of tfos have a type of their own")},
	{"tony.application.num-client-rm-connect-retries", needless("tfos tries again by itself")},
	{"tony.application.prepare-stage", drop("all tasks start together")},
	{"tony.application.training-stage", drop("all tasks start together")},
	{"tony.application.group.*", drop("all tasks start together")},
	{"tony.application.dependency.*", drop("no task has a time limit of its own")},
	{"tony.application.test.*", needless("it is for TonY's own tests")},
	{"tony.application.docker.enabled", (*tony).docker},
	{"tony.application.docker.image", (*tony).docker},
	{"tony.docker.*", (*tony).docker},

	{"tony.am.memory", func(t *tony, key, _, v string) {
		t.note(Needless, key, "tfos' master is no JVM: master.memory is 512MiB and grows with the tasks")
	}},
	{"tony.am.vcores", needless("tfos' master needs one: master.vcores")},
	{"tony.am.gpus", func(t *tony, key, _, v string) {
		if v != "0" {
			t.note(Dropped, key, "no program runs in the master: give the GPUs to the role that uses them")
		}
	}},
	{"tony.am.resources", drop("no program runs in the master")},
	{"tony.am.command", drop("no program runs in the master")},
	{"tony.am.retry-count", func(t *tony, key, _, v string) {
		t.note(Changed, key, "a master that dies is replaced, up to the cluster's limit, and training goes on meanwhile; retries: N runs a job again that failed")
	}},
	{"tony.am.*", drop("tfos' master has nothing like it")},

	{"tony.task.heartbeat-interval-ms", needless("tfos has its own: docs/job-file.md, When a task is lost")},
	{"tony.task.heartbeat-interval", needless("tfos has its own: docs/job-file.md, When a task is lost")},
	{"tony.task.max-missed-heartbeats", needless("tfos has its own: docs/job-file.md, When a task is lost")},
	{"tony.task.metrics-interval-ms", needless("tfos has its own")},
	{"tony.task.gpu-metrics.enabled", needless("tfos has its own")},
	{"tony.task.executor.jvm.opts", needless("there is no JVM beside a task")},
	{"tony.task.am.jvm.opts", needless("the master is no JVM")},
	{"tony.task.executor.execution-timeout-ms", func(t *tony, key, role, v string) {
		if v != "0" {
			t.note(Dropped, key, "no task has a time limit of its own: timeout is the whole job's")
		}
	}},
	{"tony.task.executor.registry-timeout-sec", needless("a gang that is not complete gives its containers back after gang.timeout, and asks again")},
	{"tony.task.max-total-*", needless("the cluster's queues bound what a job may have")},
	{"tony.task.*", drop("tfos has nothing like it")},
	{"tony.container.allocation.timeout", (*tony).gang},
	{"tony.container.registration.timeout", (*tony).gang},

	{"tony.other.namenodes", drop("tfos gets a token of fs.defaultFS; others are reached without")},
	{"tony.python-exec-path", func(t *tony, _, _, v string) { t.binary = v }},
	{"tony.chief.name", (*tony).oldChief},
	{"tony.chief.index", (*tony).oldChief},
	{"tony.horovod.*", drop("tfos starts no Horovod driver")},
	{"tony.history.*", needless("it is of TonY's portal")},
	{"tony.portal.*", needless("it is of TonY's portal")},
	{"tony.keytab.*", needless("it is of TonY's portal")},
	{"tony.https.*", needless("it is of TonY's portal")},
	{"tony.http.port", needless("it is of TonY's portal")},
	{"tony.secret.key", needless("it is of TonY's portal")},
	{"tony.init.module", needless("it is of TonY's portal")},
	{"tony.version-info.*", needless("it says which TonY wrote the file")},
}

func drop(why string) func(*tony, string, string, string) {
	return func(t *tony, key, _, _ string) { t.note(Dropped, key, "%s", why) }
}

func needless(why string) func(*tony, string, string, string) {
	return func(t *tony, key, _, _ string) { t.note(Needless, key, "%s", why) }
}

// find is the rule for a key, and the role in it.
func find(key string) (r rule, role string, ok bool) {
	for _, r := range tonyRules { // a key that is spelled out goes before any pattern
		if r.key == key {
			return r, "", true
		}
	}
	if m := roleKey.FindStringSubmatch(key); m != nil && !slices.Contains(notRoles, m[1]) {
		for _, r := range tonyRules {
			if r.key == "tony.*."+m[2] {
				return r, m[1], true
			}
		}
	}
	for _, r := range tonyRules {
		if prefix, ok := strings.CutSuffix(r.key, "*"); ok && strings.HasPrefix(key, prefix) {
			return r, "", true
		}
	}
	return r, "", false
}

// tonyFile reads a configuration that no command line goes with.
func tonyFile(s Source) (Result, error) {
	t := newTony(s)
	t.texts = s.Data
	if err := t.c.AddResource(s.Name, s.Data, s.Open); err != nil {
		return t.Result, err
	}
	t.convert(tonyArgs{})
	return t.Result, nil
}

func newTony(s Source) *tony {
	t := &tony{s: s, c: conf.New(s.Env), counted: map[string]bool{}, service: map[string]bool{}}
	t.From = "TonY"
	t.files.r = &t.Result
	return t
}

// convert turns the configuration, and what its command line says, into a job file.
func (t *tony) convert(a tonyArgs) {
	var keys []string
	for _, key := range t.c.Keys() {
		if !t.c.IsDefault(key) {
			keys = append(keys, key)
		}
	}
	if !slices.Contains(keys, "tony.application.name") {
		t.Draft.Text(strings.TrimSuffix(path.Base(t.s.Name), path.Ext(t.s.Name)), "name")
	}
	t.arguments(a) // the source directory is known before any command is written
	t.roles(keys)
	for _, key := range keys {
		r, role, ok := find(key)
		switch {
		case !ok && strings.HasPrefix(key, "tony."):
			t.note(Unknown, key, "tfos does not know what it means")
		case !ok && bytes.Contains(t.texts, []byte("${"+key+"}")): // it is where that names it
		case !ok:
			t.note(Dropped, key, "it is no key of TonY's: tfos reads Hadoop's configuration from --conf or HADOOP_CONF_DIR")
		case role != "" && !t.counted[role]:
			if r.key != "tony.*.instances" {
				t.note(Dropped, key, "there is no tony.%s.instances, so the job has no such role", role)
			}
		default:
			if role != "" {
				role = strings.ReplaceAll(role, "-", "_")
			}
			r.do(t, key, role, t.c.String(key))
		}
	}
	t.commands(a)
	t.finish()
}

// roles makes the roles that have instances: the chief first, for a person's eye.
func (t *tony) roles(keys []string) {
	var names []string
	for _, key := range keys {
		if r, role, ok := find(key); ok && r.key == "tony.*.instances" {
			v := t.c.String(key)
			if n, err := strconv.Atoi(v); err == nil && n <= 0 {
				if n < 0 {
					t.note(Dropped, key, "%s is no number of tasks", v)
				}
				continue
			}
			t.counted[role] = true
			names = append(names, role)
		}
	}
	order := []string{job.Chief, job.Master, job.Worker, job.ParameterServer, job.Evaluator}
	slices.SortStableFunc(names, func(a, b string) int {
		at := func(name string) int {
			if i := slices.Index(order, name); i >= 0 {
				return i
			}
			return len(order)
		}
		return at(a) - at(b)
	})
	for _, name := range names {
		key := "tony." + name + ".instances"
		t.Draft.Plain(t.c.String(key), "roles", t.roleName(key, name), "instances")
	}
	if len(names) == 0 {
		t.note(Dropped, "tony.*.instances", "no role has instances, so there is no job yet: write roles:, or give --workers NUMBER")
	}
}

func (t *tony) memory(key, v string, to ...string) {
	text, err := memory(v, binaryUnits, 1<<20)
	if err != nil {
		t.note(Dropped, key, "%s", err)
		return
	}
	t.Draft.Plain(text, to...)
}

// list takes a comma-separated value apart.
func list(v string) []string {
	var items []string
	for item := range strings.SplitSeq(v, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// resources reads PATH[::NAME][#archive],...
func (t *tony) resources(key, v string) {
	for _, item := range list(v) {
		source, archive := strings.CutSuffix(item, "#archive")
		f := job.File{Source: source}
		if i := strings.LastIndex(source, "::"); i >= 0 {
			f.Source, f.Name = source[:i], source[i+2:]
		}
		f.Source = from(t.s.Here, f.Source)
		if f.Name == "" && archive {
			f.Name = path.Base(f.Source) // TonY unpacks it into a directory of the archive's name
		}
		t.files.add(key, f, archive)
	}
}

// envs reads NAME=VALUE,...
func (t *tony) envs(key, v string) {
	for _, item := range list(v) {
		name, value, _ := strings.Cut(item, "=")
		t.env(key, name, value)
	}
}

func (t *tony) env(key, name, value string) {
	name = strings.TrimSpace(name)
	switch {
	case strings.HasPrefix(name, "YARN_CONTAINER_RUNTIME_"):
		t.runtime(key, name, value)
	case job.SetByTfos(name):
		t.note(Needless, key, "%s is set by tfos for each task", name)
	default:
		t.Draft.Text(value, "env", name)
	}
}

// services have the roles of a list run until the others have ended.
func (t *tony) services(key, v string) {
	for _, role := range list(v) {
		t.service[role] = true
	}
}

func (t *tony) gang(key, _, v string) {
	if n, err := strconv.ParseInt(v, 10, 64); err == nil && n <= 0 {
		return // TonY waits for ever, as tfos does
	}
	t.note(Changed, key, "a gang that is not complete gives its containers back after gang.timeout and asks again; timeout ends a job that takes too long")
}

// docker reads which image tasks run in, unless that is turned off.
func (t *tony) docker(key, _, v string) {
	on := t.c.String("tony.docker.enabled") == "true" || t.c.String("tony.application.docker.enabled") == "true"
	role, isRole := strings.CutSuffix(strings.TrimPrefix(key, "tony.docker."), ".image")
	switch {
	case strings.HasSuffix(key, ".enabled"):
	case !on:
		t.note(Needless, key, "tony.docker.enabled is not true")
	case key == "tony.application.docker.image", key == "tony.docker.containers.image":
		t.Draft.Text(v, "image")
	case key == "tony.docker.containers.mount":
		for _, mount := range list(v) {
			t.Draft.Item(mount, "mounts")
		}
	case isRole && t.counted[role]:
		t.Draft.Text(v, "roles", strings.ReplaceAll(role, "-", "_"), "image")
	default:
		t.note(Dropped, key, "image and mounts are all that tfos tells YARN of images")
	}
}

// runtime reads the variables by which YARN itself is told of images.
func (t *tony) runtime(key, name, value string) {
	switch name {
	case "YARN_CONTAINER_RUNTIME_TYPE":
	case "YARN_CONTAINER_RUNTIME_DOCKER_IMAGE":
		t.Draft.Text(value, "image")
	case "YARN_CONTAINER_RUNTIME_DOCKER_MOUNTS":
		for _, mount := range list(value) {
			t.Draft.Item(mount, "mounts")
		}
	default:
		t.note(Dropped, key, "%s: image and mounts are all that tfos tells YARN of images", name)
	}
}

func (t *tony) oldChief(key, _, v string) {
	t.note(Dropped, key, "the leader is the chief, or where there is none worker/0; success: ROLE says whose end is the job's")
}

// finish writes what follows from the whole.
func (t *tony) finish() {
	if t.c.IsDefault("tony.application.untracked.jobtypes") {
		t.service[job.ParameterServer] = true // TonY's default
	}
	for _, role := range slices.Sorted(maps.Keys(t.counted)) {
		if service := t.service[role]; service != (role == job.ParameterServer) {
			t.Draft.Plain(strconv.FormatBool(service), "roles", strings.ReplaceAll(role, "-", "_"), "service")
		}
	}
	// TonY gives these to each task. JOB_ID is in the command.
	for _, v := range [][2]string{{"ATTEMPT_NUMBER", "0"}, {"DISTRIBUTED_MODE", "GANG"}, {"SESSION_ID", "0"}} {
		if !t.Draft.Has("env", v[0]) {
			t.Draft.Text(v[1], "env", v[0])
		}
	}
}

// configuration adds a file that the command line names, or implies.
func (t *tony) configuration(name string) error {
	open := t.s.Open
	if open == nil {
		open = func(string) ([]byte, error) { return nil, fs.ErrNotExist }
	}
	data, err := open(name)
	if err != nil {
		return fmt.Errorf("read the configuration %s: %w", name, err)
	}
	t.texts = append(t.texts, data...)
	return t.c.AddResource(name, data, t.s.Open)
}
