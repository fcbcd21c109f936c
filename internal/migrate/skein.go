package migrate

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"tfos/internal/job"
)

// spec is a conversion of skein's specification at work.
type spec struct {
	Result
	s        Source
	files    files
	restarts map[string]int // of each service; -1: any number
}

// driver is the role of the program that skein runs in its master's container.
const driver = "driver"

// skein reads an application's specification.
func skein(s Source, top *yaml.Node) Result {
	c := &spec{s: s, restarts: map[string]int{}}
	c.From = "skein"
	c.files.r = &c.Result
	c.walk(top, "", c.top())
	if !c.Draft.Has("name") {
		c.Draft.Text(strings.TrimSuffix(path.Base(s.Name), path.Ext(s.Name)), "name")
	}
	if c.Draft.Has("roles") {
		c.budget()
	} else {
		c.note(Dropped, "services", "no service has instances, so there is no job yet: write roles:, or give --workers NUMBER")
	}
	return c.Result
}

func (c *spec) top() []key {
	return []key{
		{"name", func(f field) { c.Draft.Text(f.value.Value, "name") }},
		{"queue", func(f field) { c.Draft.Text(f.value.Value, "queue") }},
		{"user", c.drop("set HADOOP_PROXY_USER to submit in another's name")},
		{"node_label", func(f field) { c.Draft.Text(f.value.Value, "node-label") }},
		{"max_attempts", c.needless("a master that dies is replaced, up to the cluster's limit, and training goes on meanwhile")},
		{"tags", func(f field) {
			for _, n := range items(f.value) {
				c.Draft.Item(n.Value, "tags")
			}
		}},
		{"file_systems", c.drop("tfos gets a token of fs.defaultFS; others are reached without")},
		{"acls", c.drop("YARN's and the queue's own lists say who sees and stops the job; nobody but its submitter reaches its processes")},
		{"master", func(f field) { c.walk(f.value, f.at, c.master(hasKey(f.value, "script"))) }},
		{"services", func(f field) {
			for _, s := range fields(f.value, f.at) {
				c.service(s)
			}
		}},
	}
}

func hasKey(n *yaml.Node, name string) bool {
	return slices.ContainsFunc(fields(n, ""), func(f field) bool { return f.key == name && !empty(f.value) })
}

// master is skein's: its process, and with a script the program whose end is the application's.
func (c *spec) master(script bool) []key {
	keys := []key{
		{"log_level", c.drop("give --log-level")},
		{"log_config", c.drop("tfos' master has no log4j: give --log-level")},
		{"security", c.needless("each job has keys of its own")},
	}
	if !script {
		return append(keys,
			key{"script", func(field) {}},
			key{"resources", c.needless("tfos' master is no JVM: master.memory is 512MiB and grows with the tasks")},
			key{"files", c.needless("no program of the user's runs in the master")},
			key{"env", c.needless("no program of the user's runs in the master")})
	}
	c.Draft.Plain("1", "roles", driver, "instances")
	c.Draft.Text(driver, "success")
	c.note(Changed, "master.script", "it is a task of the role %s, in a container of master.resources; its end is the job's", driver)
	return append(keys, c.container(driver)...)
}

// container has the keys that a service shares with the program of the master.
func (c *spec) container(role string) []key {
	return []key{
		{"script", func(f field) { c.script(f, f.value.Value, role) }},
		{"commands", func(f field) { // before skein 0.5: one after the other, up to the first that fails
			script := "set -e"
			for _, n := range items(f.value) {
				script += "\n" + n.Value
			}
			c.script(f, script, role)
		}},
		{"resources", func(f field) { c.walk(f.value, f.at, c.resources(role)) }},
		{"files", func(f field) {
			for _, file := range fields(f.value, f.at) {
				c.file(file)
			}
			for i, n := range items(f.value) {
				c.oldFile(n, f.at+"["+strconv.Itoa(i)+"]")
			}
		}},
		{"env", func(f field) {
			for _, v := range fields(f.value, f.at) {
				if job.SetByTfos(v.key) {
					c.note(Needless, v.at, "it is set by tfos for each task")
					continue
				}
				c.Draft.Text(v.value.Value, "roles", role, "env", v.key)
			}
		}},
	}
}

func (c *spec) service(s field) {
	for _, f := range fields(s.value, s.at) {
		if f.key == "instances" && f.value.Value == "0" {
			c.note(Dropped, s.at, "it has no instances, and a role has at least one; tfos scale does not add roles")
			return
		}
	}
	role := c.roleName(s.at, s.key)
	c.Draft.Plain("1", "roles", role, "instances")
	c.restarts[s.key] = 0
	c.walk(s.value, s.at, append(c.container(role),
		key{"instances", func(f field) { c.Draft.Plain(f.value.Value, "roles", role, "instances") }},
		key{"depends", c.drop("all tasks start together, as soon as each has its container")},
		key{"max_restarts", func(f field) {
			n, err := strconv.Atoi(f.value.Value)
			if err != nil {
				c.note(Dropped, f.at, "%q is no number", f.value.Value)
				return
			}
			c.restarts[s.key] = n
		}},
		key{"allow_failures", c.drop("a task that fails more often than recovery.user-failures forgives ends the job")},
		key{"node_label", func(f field) { c.Draft.Text(f.value.Value, "roles", role, "node-label") }},
		key{"nodes", c.drop("tfos asks for no nodes by name; node-label chooses nodes")},
		key{"racks", c.drop("tfos asks for no racks; node-label chooses nodes")},
		key{"relax_locality", c.drop("tfos asks for no nodes or racks")},
	))
}

// ofSkein finds what of skein's own a script uses.
var ofSkein = regexp.MustCompile(`\bskein (kv|application|config|driver)\b|\bSKEIN_[A-Z_]+|\bimport skein\b`)

func (c *spec) script(f field, script, role string) {
	c.Draft.Text(script, "roles", role, "command")
	if found := ofSkein.FindAllString(script, -1); len(found) > 0 {
		slices.Sort(found)
		c.note(Dropped, f.at, "it uses %s, which is skein's: tasks find each other by TF_CONFIG, and who they are in TFOS_ROLE and TFOS_INDEX", strings.Join(slices.Compact(found), ", "))
	}
}

func (c *spec) resources(role string) []key {
	return []key{
		{"memory", func(f field) {
			text, err := memory(f.value.Value, mixedUnits, 1<<20)
			if err != nil {
				c.note(Dropped, f.at, "%s", err)
				return
			}
			c.Draft.Plain(text, "roles", role, "memory")
		}},
		{"vcores", func(f field) { c.Draft.Plain(f.value.Value, "roles", role, "vcores") }},
		{"gpus", func(f field) {
			if !empty(f.value) {
				c.Draft.Plain(f.value.Value, "roles", role, "gpus")
			}
		}},
		{"fpgas", func(f field) {
			if !empty(f.value) {
				c.Draft.Plain(f.value.Value, "roles", role, "resources", "yarn.io/fpga")
			}
		}},
	}
}

// unpacks are the endings by which skein knows an archive.
var unpacks = []string{".zip", ".tar.gz", ".tgz"}

// file is a name in the container, and a path or a mapping that says where the file is.
func (c *spec) file(f field) {
	source, archive := f.value.Value, false
	isArchive := func(s string) bool {
		return slices.ContainsFunc(unpacks, func(suffix string) bool { return strings.HasSuffix(s, suffix) })
	}
	archive = isArchive(source)
	if f.value.Kind == yaml.MappingNode {
		kind := ""
		c.walk(f.value, f.at, []key{
			{"source", func(f field) { source = f.value.Value }},
			{"type", func(f field) { kind = strings.ToLower(f.value.Value) }},
			{"visibility", c.needless("files are kept once for all jobs of a user, and no other can read them")},
			{"size", c.needless("tfos finds it out")},
			{"timestamp", c.needless("tfos finds it out")},
		})
		archive = kind == "archive" || kind == "" && isArchive(source)
	}
	c.files.add(f.at, job.File{Source: from(c.s.Beside, source), Name: f.key}, archive)
}

// oldFile is an item of the list that files was before skein 0.5.
func (c *spec) oldFile(n *yaml.Node, at string) {
	var f job.File
	archive := false
	c.walk(n, at, []key{
		{"file", func(f2 field) { f.Source = f2.value.Value }},
		{"archive", func(f2 field) { f.Source, archive = f2.value.Value, true }},
		{"dest", func(f2 field) { f.Name = f2.value.Value }},
	})
	f.Source = from(c.s.Beside, f.Source)
	c.files.add(at, f, archive)
}

// budget is the job's one, where skein counts the restarts of each service.
func (c *spec) budget() {
	if len(c.restarts) == 0 {
		return
	}
	names := slices.Sorted(maps.Keys(c.restarts))
	most, alike, endless := 0, true, false
	for _, name := range names {
		n := c.restarts[name]
		alike = alike && n == c.restarts[names[0]]
		endless = endless || n < 0
		most = max(most, n)
	}
	if endless {
		most = 1000000
	}
	c.Draft.Plain(strconv.Itoa(most), "recovery", "user-failures")
	key := "services.*.max_restarts"
	switch {
	case most == 0:
		c.note(Changed, key, "the first failure of any task ends the job, as it does in skein; without recovery.user-failures: 0 three an hour are forgiven")
	case alike && len(names) == 1:
		c.note(Changed, key, "it is counted within recovery.window, an hour")
	default:
		c.note(Changed, key, "failures are counted for all tasks together, within recovery.window: the largest number is taken")
	}
}
