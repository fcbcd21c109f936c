package job

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Defaults of what the job file leaves out.
const (
	DefaultMemoryMiB     = 2048
	DefaultBoardMiB      = 1024 // of TensorBoard
	DefaultVCores        = 1
	DefaultUserFailures  = 3
	DefaultWindow        = time.Hour
	DefaultGangTimeout   = 5 * time.Minute
	DefaultGrace         = 10 * time.Second
	DefaultLogMiB        = 1 << 10
	DefaultLogKeep       = 2
	DefaultMasterMiB     = 512
	DefaultNoticeWait    = time.Minute
	DefaultStallAfter    = 10
	DefaultStallLeast    = time.Minute
	DefaultEvaluatorWait = 10 * time.Minute
)

// MaxTags is how many tags YARN takes.
const MaxTags = 10

// Bounds. A job beyond maxTasks would not fit a TF_CONFIG into an environment.
const (
	maxTasks    = 5000
	maxVCores   = 1 << 16
	maxNameLen  = 200
	maxRoleLen  = 40
	maxTagLen   = 100
	maxPriority = math.MaxInt32
)

// Parse reads a job file, lays the flags over it, fills in defaults and checks the whole. A job may
// come from flags alone: data is empty then, and file may be.
//
// The file's name is used in messages, as the default of the job's name, and as the directory that
// relative paths in it are taken from. An error is of type Errors.
func Parse(file string, data []byte, flags Overlay) (Job, error) {
	r := reader{file: file}
	root := r.read(data)
	if root == nil {
		return Job{}, r.errs
	}
	d := decoder{errs: append(r.errs, flags.lay(root)...), named: make(map[string]string)}
	j := d.job(root, file)
	if len(d.errs) > 0 {
		d.errs.sort(flags)
		return Job{}, d.errs
	}
	return j, nil
}

func (d *decoder) job(root *value, file string) Job {
	j := Job{
		Name:      defaultName(file),
		Endpoints: EndpointsRedirect,
		Recovery:  Recovery{UserFailures: DefaultUserFailures, Window: DefaultWindow},
		Gang:      Gang{Timeout: DefaultGangTimeout},
		Stop:      Stop{Grace: DefaultGrace},
		Logs:      Logs{LimitMiB: DefaultLogMiB, Keep: DefaultLogKeep},
		Notice:    Notice{Signal: NoSignal, Wait: DefaultNoticeWait},
		Stall:     Stall{After: DefaultStallAfter, Least: DefaultStallLeast},
		Master:    Resources{MemoryMiB: DefaultMasterMiB, VCores: 1},
	}
	dir := path.Dir(file)
	var roles *value
	d.fields(root, "",
		rule{"name", d.text(&j.Name, checkName)},
		rule{"command", d.text(&j.Command, checkCommand)},
		rule{"queue", d.text(&j.Queue, checkQueue)},
		rule{"files", d.list(d.files(&j.Files, dir))},
		rule{"archives", d.list(d.files(&j.Archives, dir))},
		rule{"image", d.text(&j.Image, checkImage)},
		rule{"mounts", d.list(d.mount(&j.Mounts))},
		rule{"venv", d.environmentOf(&j.Venv, "an environment's directory", VenvName, dir)},
		rule{"conda", d.environmentOf(&j.Conda, "an environment's directory", CondaName, dir)},
		rule{"requirements", d.environmentOf(&j.Packages, "a list of packages or a pyproject.toml", VenvName, dir)},
		rule{"env", d.environment(&j.Env)},
		rule{"roles", func(v *value, _ string) { roles = v }},
		rule{"checkpoint", d.section(
			rule{"dir", d.text(&j.Checkpoint.Dir, checkDir)},
			rule{"keep", number(d, &j.Checkpoint.Keep, 0, math.MaxInt32)},
			rule{"keep-every", d.duration(&j.Checkpoint.KeepEvery, 0)},
			rule{"local", d.bool(&j.Checkpoint.Local)})},
		rule{"success", scalarOf(d, &j.Success, parseSuccess)},
		rule{"strategy", scalarOf(d, &j.Strategy, parseStrategy)},
		rule{"endpoints", scalarOf(d, &j.Endpoints, parseEndpoints)},
		rule{"recovery", d.section(
			rule{"user-failures", number(d, &j.Recovery.UserFailures, 0, math.MaxInt32)},
			rule{"window", d.duration(&j.Recovery.Window, time.Second)},
			rule{"resubmit", number(d, &j.Recovery.Resubmit, 0, maxResubmit)})},
		rule{"gang", d.section(rule{"timeout", d.duration(&j.Gang.Timeout, time.Second)})},
		rule{"stop", d.section(rule{"grace", d.duration(&j.Stop.Grace, 0)})},
		rule{"logs", d.section(
			rule{"limit", d.memory(&j.Logs.LimitMiB)},
			rule{"keep", number(d, &j.Logs.Keep, 1, MaxLogKeep)})},
		rule{"notice", d.section(
			rule{"signal", d.text(&j.Notice.Signal, checkNoticeSignal)},
			rule{"wait", d.duration(&j.Notice.Wait, 0)})},
		rule{"stall", d.section(
			rule{"after", number(d, &j.Stall.After, 0, math.MaxInt16)},
			rule{"least", d.duration(&j.Stall.Least, 0)},
			rule{"restart", d.bool(&j.Stall.Restart)})},
		rule{"notify", func(v *value, key string) {
			if d.want(mapping, v, key) {
				for _, f := range v.fields {
					j.Notify = append(j.Notify, d.target(f))
				}
			}
		}},
		rule{"deadline", scalarOf(d, &j.Deadline, parseDeadline)},
		rule{"tensorboard", scalarOf(d, &d.board, parseBoard)},
		rule{"priority", number(d, &j.Priority, 0, maxPriority)},
		rule{"tags", d.list(d.tag(&j.Tags))},
		rule{"lifetime", d.duration(&j.Lifetime, 0)},
		rule{"once", d.text(&j.Once, checkOnce)},
		rule{"timeout", d.duration(&j.Timeout, 0)},
		rule{"retries", number(d, &j.Retries, 0, maxResubmit)},
		rule{"attended", d.duration(&j.Attended, 0)},
		rule{"node-label", d.text(&j.NodeLabel, checkLabel)},
		rule{"master", d.section(
			rule{"memory", d.memory(&j.Master.MemoryMiB)},
			rule{"vcores", number(d, &j.Master.VCores, 1, maxVCores)})},
	)
	if roles != nil && d.want(mapping, roles, "roles") {
		for _, f := range roles.fields {
			j.Roles = append(j.Roles, d.role(f, j))
		}
	}
	if _, own := j.Role(TensorBoard); !own && d.board == boardOfItsOwn && len(j.Roles) > 0 {
		j.Roles = append(j.Roles, d.role(field{key: TensorBoard, value: &value{kind: null}}, j))
	}
	j.OwnBoard = d.board == boardOfProgram
	d.whole(&j, root)
	return j
}

// role reads one role. What it leaves out comes from the job.
func (d *decoder) role(f field, j Job) Role {
	key := join("roles", f.key)
	r := Role{
		Name:      f.key,
		Instances: 1,
		Resources: Resources{MemoryMiB: DefaultMemoryMiB, VCores: DefaultVCores},
		Command:   j.Command,
		Service:   isService(f.key),
		NodeLabel: j.NodeLabel,
		Image:     j.Image,
		Mounts:    j.Mounts,
	}
	wait := setter(func(v *value, key string) {
		d.fail(f.at, key, "only the role evaluator has it: how long it may go on after the training has ended")
	})
	if f.key == Evaluator {
		r.Wait = DefaultEvaluatorWait
		wait = d.duration(&r.Wait, 0)
	}
	if f.key == TensorBoard {
		r.MemoryMiB = DefaultBoardMiB
		if d.board == boardOfItsOwn && f.value.field("command") == nil {
			r.Builtin, r.Command = BuiltinTensorBoard, ""
		}
	}
	if err := checkRoleName(f.key); err != nil {
		d.fail(f.at, key, "%s", err)
	}
	if f.value.kind == null {
		return r
	}
	d.fields(f.value, key,
		rule{"instances", number(d, &r.Instances, 1, maxTasks)},
		rule{"memory", d.memory(&r.MemoryMiB)},
		rule{"vcores", number(d, &r.VCores, 1, maxVCores)},
		rule{"gpus", number(d, &r.GPUs, 0, maxVCores)},
		rule{"resources", d.amounts(&r.Custom)},
		rule{"command", d.text(&r.Command, checkCommand)},
		rule{"builtin", scalarOf(d, &r.Builtin, parseBuiltin)},
		rule{"env", d.environment(&r.Env)},
		rule{"service", d.bool(&r.Service)},
		rule{"wait", wait},
		rule{"node-label", d.text(&r.NodeLabel, checkLabel)},
		rule{"image", d.text(&r.Image, checkImage)},
		rule{"mounts", func(v *value, key string) {
			r.Mounts = nil
			d.list(d.mount(&r.Mounts))(v, key)
		}},
	)
	if v := f.value.field("builtin"); r.Builtin != "" {
		if f.value.field("command") != nil {
			d.fail(v.at, join(key, "builtin"), "the role has a command too: leave one of the two out")
		}
		if r.Builtin == BuiltinPS && !r.Service {
			d.fail(v.at, join(key, "builtin"), "a parameter server never ends by itself: write service: true, or call the role ps")
		}
		if (r.Builtin == BuiltinTensorBoard) != (f.key == TensorBoard) {
			d.fail(v.at, join(key, "builtin"), "the role %s, and no other, runs TensorBoard", TensorBoard)
		}
		r.Command = ""
	}
	if r.Service {
		if v := f.value.field("wait"); v != nil && f.key == Evaluator {
			d.fail(v.at, join(key, "wait"), "the evaluator is a service, which is stopped once the training has ended: leave one of the two out")
		}
		r.Wait = 0
	}
	return r
}

// whole checks what no key shows alone, and derives what the file leaves to tfos.
func (d *decoder) whole(j *Job, root *value) {
	at := func(keys ...string) place { // of the key, or of the nearest thing around it
		p := place{file: root.at.file}
		for v := root; len(keys) > 0; keys = keys[1:] {
			i := indexField(v.fields, keys[0])
			if i < 0 {
				break
			}
			p, v = v.fields[i].at, v.fields[i].value
		}
		return p
	}
	if len(j.Roles) == 0 {
		d.fail(at("roles"), "roles", "the job has no role: write roles: {worker: {instances: 2}}, or give --workers 2")
		return
	}
	for _, r := range j.Roles {
		if n := stringsOf(*j, r); n > maxStrings {
			d.fail(at("roles", r.Name), "roles."+r.Name, "its command and environment are %d bytes long together: Linux starts no program with so many (tfos allows %d): put them into a file, under files:", n, maxStrings)
		}
	}
	total, ps, commandless := 0, false, false
	services := true
	for _, r := range j.Roles {
		total += r.Instances
		services = services && r.Service
		ps = ps || r.Name == ParameterServer
		commandless = commandless || r.Command == "" && r.Builtin == ""
	}
	if v := root.field("command"); commandless && (v == nil || v.kind == null) {
		d.fail(at("command"), "command", "the job has no command: write command: python train.py, or give it after --")
	}
	if j.Checkpoint.Local && j.Checkpoint.Dir == "" {
		d.fail(at("checkpoint", "local"), "checkpoint.local", "there is no checkpoint.dir to keep the local directories in: write checkpoint: {dir: hdfs://…, local: true}")
	}
	if total > maxTasks {
		d.fail(at("roles"), "roles", "the job has %d tasks: at most %d", total, maxTasks)
	}
	for _, r := range j.Roles {
		if Alone(r.Name) && r.Instances > 1 {
			d.fail(at("roles", r.Name, "instances"), join("roles."+r.Name, "instances"), "%d: there can be one %s", r.Instances, r.Name)
		}
	}
	d.checkBoard(j, at)
	if services {
		d.fail(at("roles"), "roles", "every role is a service, so the job would never end: one role must not be")
	}
	if chief, _ := j.ChiefRole(); chief.Name == Chief && slices.ContainsFunc(j.Roles, func(r Role) bool { return r.Name == Master }) {
		d.fail(at("roles", Master), "roles."+Master, "is TensorFlow's other word for the chief, and there is a role chief: leave one of the two out")
	}
	d.success(j, at("success"))
	switch {
	case j.Strategy == StrategyAuto && ps:
		j.Strategy = StrategyParameterServer
	case j.Strategy == StrategyAuto && j.Trainers() > 1:
		j.Strategy = StrategyMirrored
	case j.Strategy == StrategyAuto:
		j.Strategy = StrategyNone
	case j.Strategy == StrategyParameterServer && !ps:
		d.fail(at("strategy"), "strategy", "is parameter-server, but there is no role ps")
	}
}

// What the key tensorboard may say besides false.
const (
	boardOfItsOwn  = "true" // a task of its own is TensorBoard
	boardOfProgram = "program"
)

func parseBoard(s string) (string, error) {
	switch s = strings.ToLower(s); s {
	case boardOfItsOwn, boardOfProgram:
		return s, nil
	case "false":
		return "", nil
	}
	return "", fmt.Errorf("%q: want true, false, or %s if the leading task's program runs one", s, boardOfProgram)
}

// checkBoard checks that TensorBoard has something to show.
func (d *decoder) checkBoard(j *Job, at func(...string) place) {
	r, ok := j.Role(TensorBoard)
	logs := cmp.Or(r.Env[EnvBoardLogs], j.Env[EnvBoardLogs], j.Checkpoint.Dir)
	switch {
	case !ok:
	case j.OwnBoard:
		d.fail(at("tensorboard"), "tensorboard", "the program runs one, and there is a role %s too: leave one of the two out", TensorBoard)
	case r.Builtin == "":
	case !r.Service:
		d.fail(at("roles", TensorBoard, "service"), "roles."+TensorBoard+".service", "TensorBoard never ends by itself")
	case logs == redacted:
	case logs == "":
		d.fail(at("tensorboard"), "tensorboard", "where its events are is not said: write checkpoint: {dir: …}, or env: {%s: hdfs:///…}", EnvBoardLogs)
	default:
		if err := checkDir(logs); err != nil {
			d.fail(at("env"), "env."+EnvBoardLogs, "%s", err)
		}
	}
}

// isService reports whether a role is one that says nothing of it.
func isService(role string) bool { return role == ParameterServer || role == TensorBoard }

// stringsOf is how many bytes a role's programs are started with, as far as the job says, each
// string with its end and the pointer to it.
func stringsOf(j Job, r Role) int {
	const each = 1 + 8
	n := len(r.Command) + each
	for name, value := range j.Env {
		if _, own := r.Env[name]; !own {
			n += len(name) + 1 + len(value) + each
		}
	}
	for name, value := range r.Env {
		n += len(name) + 1 + len(value) + each
	}
	return n
}

// success derives whose clean exit ends the job well, or checks what the file says of it.
func (d *decoder) success(j *Job, at place) {
	chief, has := j.ChiefRole()
	names := []string{string(SuccessChief), string(SuccessAll)}
	for _, r := range j.Roles {
		names = append(names, r.Name)
	}
	role, known := j.Role(string(j.Success))
	switch {
	case j.Success == "" && has && !chief.Service:
		j.Success = SuccessChief
	case j.Success == "":
		j.Success = SuccessAll
	case j.Success == SuccessAll:
	case j.Success == SuccessChief && !has:
		d.fail(at, "success", "waits for the chief, but there is no role chief: add one, or write success: all")
	case j.Success == SuccessChief && chief.Service:
		d.fail(at, "success", "waits for the chief, but the role %s is a service, which never ends", chief.Name)
	case j.Success == SuccessChief:
	case !known && suggest(string(j.Success), names) != "":
		d.fail(at, "success", "%q is no role of the job: did you mean %s?", j.Success, suggest(string(j.Success), names))
	case !known:
		d.fail(at, "success", "%q is no role of the job: want chief, all, or one of its roles", j.Success)
	case role.Service:
		d.fail(at, "success", "waits for the role %s, but that is a service, which never ends", role.Name)
	}
}

// files adds a file for each item. Two of one name would be the same file in the container.
func (d *decoder) files(dst *[]File, dir string) func(string, place, string) {
	return func(text string, at place, key string) {
		from := dir
		if at.flag != "" {
			from = "" // from where the user stands, not from where the job file lies
		}
		f, err := parseFile(text, from)
		if err != nil {
			d.fail(at, key, "%s", err)
			return
		}
		if first, ok := d.named[f.Name]; ok {
			d.fail(at, key, "%s and %s would both be %q in the container: give one another name, as in path#name", first, f.Source, f.Name)
			return
		}
		d.named[f.Name] = f.Source
		*dst = append(*dst, f)
	}
}

// checkImage wants what Docker takes for the name of an image. An empty one is none.
func checkImage(s string) error {
	if s != "" && (!isWord(s[:1]) || strings.ContainsFunc(s, func(r rune) bool { return !isWord(string(r)) && !strings.ContainsRune("./:@-", r) })) {
		return fmt.Errorf("%q is not the name of an image: want one as in registry:5000/team/tensorflow:2.21", s)
	}
	return nil
}

// mount adds a directory of the node that tasks see in their image: FROM:TO[:ro|:rw].
func (d *decoder) mount(dst *[]string) func(string, place, string) {
	return func(text string, at place, key string) {
		parts := strings.Split(text, ":")
		if len(parts) == 2 {
			parts = append(parts, "ro")
		}
		plain := !strings.ContainsFunc(text, func(r rune) bool { return !isWord(string(r)) && !strings.ContainsRune("/.-:", r) })
		if len(parts) != 3 || !path.IsAbs(parts[0]) || !path.IsAbs(parts[1]) || parts[2] != "ro" && parts[2] != "rw" || !plain {
			d.fail(at, key, "%q: want /FROM:/TO, or /FROM:/TO:rw, with letters, digits and any of _ - . / in the paths", text)
			return
		}
		*dst = append(slices.Clip(*dst), strings.Join(parts, ":"))
	}
}

// What packed environments are called in the container.
const (
	VenvName  = "venv"
	CondaName = "conda"
)

// environmentOf is a path of this machine to what an environment is made of, which becomes an
// archive of that name.
func (d *decoder) environmentOf(dst *string, what, name, dir string) setter {
	return func(v *value, key string) {
		var s string
		d.text(&s, nil)(v, key)
		switch {
		case v.kind != scalar:
		case strings.TrimSpace(s) == "":
			d.fail(v.at, key, "is empty: want %s", what)
		case strings.Contains(s, "://"):
			d.fail(v.at, key, "%q: want the path on this machine of %s; an environment that is packed already goes under archives", s, what)
		case d.named[name] != "":
			d.fail(v.at, key, "%s and %s would both be %q in the container: take one environment, or give an archive another name, as in path#name", d.named[name], s, name)
		default:
			if s = path.Clean(s); !path.IsAbs(s) && v.at.flag == "" {
				s = path.Join(dir, s)
			}
			d.named[name] = s
			*dst = s
		}
	}
}

// tag adds a tag for each item.
func (d *decoder) tag(dst *[]string) func(string, place, string) {
	return func(text string, at place, key string) {
		if err := checkTag(*dst, text); err != nil {
			d.fail(at, key, "%s", err)
			return
		}
		*dst = append(*dst, text)
	}
}

// checkTag says why there cannot be another tag beside these. YARN's limits:
// ApplicationSubmissionContext refuses more, longer and non-ASCII ones.
func checkTag(beside []string, tag string) error {
	switch {
	case len(beside) >= MaxTags:
		return fmt.Errorf("%q is one too many: YARN takes %d", tag, MaxTags)
	case tag == "" || len(tag) > maxTagLen || strings.ContainsFunc(tag, func(r rune) bool { return r < ' ' || r > '~' || r == ',' }):
		return fmt.Errorf("%q: want up to %d plain ASCII characters without a comma", tag, maxTagLen)
	}
	return nil
}

// Tagged is the job with more tags, which a scheduler gives it: a list with commas, which may be
// empty.
func (j Job) Tagged(tags string) (Job, error) {
	j.Tags = slices.Clone(j.Tags)
	for tag := range strings.SplitSeq(tags, ",") {
		if tag = strings.TrimSpace(tag); tag == "" || slices.Contains(j.Tags, tag) {
			continue
		}
		if err := checkTag(j.Tags, tag); err != nil {
			return j, err
		}
		j.Tags = append(j.Tags, tag)
	}
	return j, nil
}

// defaultName is the job file's name without directory and extension.
func defaultName(file string) string {
	name := strings.TrimSuffix(path.Base(file), path.Ext(file))
	if checkName(name) != nil || file == "" || name == "." || name == "/" {
		return "tfos"
	}
	return name
}

func checkName(s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return errors.New("is empty")
	case len(s) > maxNameLen:
		return fmt.Errorf("is longer than %d bytes", maxNameLen)
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%q holds characters that cannot be printed", s)
	}
	return nil
}

func checkCommand(s string) error {
	if strings.TrimSpace(s) == "" {
		return errors.New("is empty")
	}
	return checkString(len(s))
}

// maxResubmit bounds how often a job is submitted again: a cluster that ends it more often has to
// be looked at.
const maxResubmit = 1000

// What Linux lets a program be started with, in bytes: one string, and all of them together where
// the stack may have 8 MiB, of which a quarter is for them. tfos and the node have variables of
// their own, TF_CONFIG with all addresses among them.
const (
	maxString  = 128<<10 - 1 // the zero behind it aside
	maxStrings = 2<<20 - 512<<10
)

// checkString looks at the length of a command, or of NAME=value.
func checkString(n int) error {
	if n > maxString {
		return fmt.Errorf("is %d bytes long: Linux starts no program with more than %d in one piece; put it into a file, and name that under files", n, maxString)
	}
	return nil
}

func checkQueue(s string) error {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return fmt.Errorf("%q is not the name of a queue", s)
	}
	return nil
}

func checkLabel(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool {
		return !isWord(string(r)) && !strings.ContainsRune("-./", r)
	}) {
		return fmt.Errorf("%q is not a node label: want letters, digits, and any of - _ . /", s)
	}
	return nil
}

// checkDir wants a directory that means the same in every container.
func checkDir(s string) error {
	if scheme(s) == "" && !path.IsAbs(s) && !strings.Contains(s, "://") {
		return fmt.Errorf("%q is relative, and each container has a directory of its own: want hdfs://… or an absolute path", s)
	}
	return checkScheme(s)
}

// checkRoleName wants what TensorFlow takes for a job's name in a device ("/job:worker/task:0").
func checkRoleName(s string) error {
	if len(s) > maxRoleLen || !isEnvName(s) || s[0] == '_' {
		return fmt.Errorf("%q is not the name of a role: want up to %d letters, digits and _, a letter first", s, maxRoleLen)
	}
	return nil
}

func parseSuccess(s string) (Success, error) {
	if s == "" {
		return "", errors.New("is empty: want chief, all, or the name of a role")
	}
	return Success(s), nil
}

func checkNoticeSignal(s string) error {
	switch s {
	case NoSignal, "SIGUSR1", "SIGUSR2":
		return nil
	}
	return fmt.Errorf("%q: want SIGUSR1, SIGUSR2 or none", s)
}

func parseBuiltin(s string) (Builtin, error) {
	switch b := Builtin(s); b {
	case BuiltinPS, BuiltinPredict, BuiltinTensorBoard:
		return b, nil
	}
	return "", fmt.Errorf("%q is no program of tfos: want ps", s)
}

func parseStrategy(s string) (Strategy, error) {
	known := []Strategy{StrategyParameterServer, StrategyMirrored, StrategyV1, StrategyNone}
	switch {
	case s == "auto":
		return StrategyAuto, nil
	case slices.Contains(known, Strategy(s)):
		return Strategy(s), nil
	}
	return "", fmt.Errorf("%q: want parameter-server, mirrored, v1, none or auto", s)
}

func parseEndpoints(s string) (Endpoints, error) {
	switch e := Endpoints(s); e {
	case EndpointsRedirect, EndpointsForward, EndpointsDirect:
		return e, nil
	}
	return "", fmt.Errorf("%q: want redirect, forward or direct", s)
}
