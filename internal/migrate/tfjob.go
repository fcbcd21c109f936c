package migrate

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"tfos/internal/job"
)

// tfJob is a conversion of a TFJob of Kubernetes' training operator at work.
type tfJob struct {
	Result
	never, others int // replica specs by their restartPolicy
	budget        string
	replicas      []string // roles, in the order of the file
}

// tfjob reads a TFJob.
func tfjob(s Source, top *yaml.Node) Result {
	c := &tfJob{}
	c.From = "TFJob"
	c.walk(top, "", []key{
		{"apiVersion", func(field) {}},
		{"kind", func(field) {}},
		{"metadata", func(f field) { c.walk(f.value, f.at, c.metadata()) }},
		{"spec", func(f field) { c.walk(f.value, f.at, c.spec()) }},
		{"status", c.needless("it is what Kubernetes made of the job")},
	})
	if !c.Draft.Has("name") {
		c.Draft.Text(strings.TrimSuffix(path.Base(s.Name), path.Ext(s.Name)), "name")
	}
	if !c.Draft.Has("roles") {
		c.note(Dropped, "spec.tfReplicaSpecs", "there is none with replicas, so there is no job yet: write roles:, or give --workers NUMBER")
		return c.Result
	}
	c.finish()
	return c.Result
}

func (c *tfJob) metadata() []key {
	return []key{
		{"name", func(f field) { c.Draft.Text(f.value.Value, "name") }},
		{"generateName", func(f field) { c.Draft.Text(strings.TrimRight(f.value.Value, "-"), "name") }},
		{"namespace", c.drop("YARN has queues: give --queue")},
		{"labels", func(f field) {
			for _, l := range fields(f.value, f.at) {
				c.Draft.Item(l.key+"="+l.value.Value, "tags")
			}
		}},
		{"annotations", c.drop("YARN has nothing like it")},
		{"uid", c.needless("Kubernetes made it")},
		{"resourceVersion", c.needless("Kubernetes made it")},
		{"creationTimestamp", c.needless("Kubernetes made it")},
		{"generation", c.needless("Kubernetes made it")},
		{"managedFields", c.needless("Kubernetes made it")},
		{"selfLink", c.needless("Kubernetes made it")},
	}
}

func (c *tfJob) spec() []key {
	policy := c.policy()
	return append(policy,
		key{"runPolicy", func(f field) { c.walk(f.value, f.at, policy) }},
		key{"tfReplicaSpecs", func(f field) {
			for _, r := range fields(f.value, f.at) {
				c.replica(r)
			}
		}},
		key{"successPolicy", func(f field) {
			switch f.value.Value {
			case "":
			case "AllWorkers":
				c.Draft.Text(job.Worker, "success")
			default:
				c.note(Dropped, f.at, "%q: want success: chief, all, or the name of a role", f.value.Value)
			}
		}},
		key{"enableDynamicWorker", c.needless("tfos scale changes the number of workers of any job that runs")},
	)
}

// policy is of runPolicy, and was of the specification itself in older versions.
func (c *tfJob) policy() []key {
	return []key{
		{"cleanPodPolicy", func(f field) {
			if f.value.Value != "All" {
				c.note(Changed, f.at, "all containers end with the job; their logs stay, as the cluster keeps them")
			}
		}},
		{"ttlSecondsAfterFinished", c.drop("what a job leaves on HDFS is kept for 30 days")},
		{"activeDeadlineSeconds", func(f field) {
			switch text, none, err := length(f.value.Value, time.Second); {
			case err != nil:
				c.note(Dropped, f.at, "%s", err)
			case !none:
				c.Draft.Plain(text, "timeout")
			}
		}},
		{"backoffLimit", func(f field) { c.budget = f.value.Value }},
		{"suspend", c.drop("a job that is submitted starts as soon as there is room")},
		{"managedBy", c.drop("tfos is who runs it")},
		{"schedulingPolicy", func(f field) {
			c.walk(f.value, f.at, []key{
				{"queue", func(f field) { c.Draft.Text(f.value.Value, "queue") }},
				{"minAvailable", c.drop("a job starts when all of its containers are there")},
				{"minResources", c.drop("a job starts when all of its containers are there")},
				{"priorityClass", c.drop("priority: N is YARN's, a number within the queue")},
				{"scheduleTimeoutSeconds", c.drop("a gang that is not complete gives its containers back after gang.timeout, and asks again; timeout ends the job")},
			})
		}},
	}
}

// replica is one kind of task.
func (c *tfJob) replica(r field) {
	role := strings.ToLower(r.key)
	if role == "eval" {
		role = job.Evaluator
	}
	role = c.roleName(r.at, role)
	replicas := "1"
	for _, f := range fields(r.value, r.at) {
		if f.key == "replicas" {
			replicas = f.value.Value
		}
	}
	if replicas == "0" {
		c.note(Dropped, r.at, "it has no replicas, and a role has at least one")
		return
	}
	c.replicas = append(c.replicas, role)
	c.Draft.Plain(replicas, "roles", role, "instances")
	c.walk(r.value, r.at, []key{
		{"replicas", func(field) {}},
		{"restartPolicy", func(f field) {
			switch f.value.Value {
			case "Never":
				c.never++
				return
			case "ExitCode":
				c.note(Changed, f.at, "any failure is forgiven, within recovery.user-failures, whatever its exit code")
			case "Always":
				c.note(Changed, f.at, "a task that ends well is not started again")
			}
			c.others++
		}},
		{"template", func(f field) {
			c.walk(f.value, f.at, []key{
				{"metadata", c.drop("YARN's containers have no labels and annotations")},
				{"spec", func(f field) { c.pod(f, role) }},
			})
		}},
	})
}

// noPod are keys of a pod that mean nothing to YARN.
var noPod = []string{"volumes", "tolerations", "affinity", "topologySpreadConstraints", "serviceAccountName", "serviceAccount", "automountServiceAccountToken",
	"imagePullSecrets", "securityContext", "hostNetwork", "hostPID", "hostIPC", "dnsPolicy", "dnsConfig", "hostAliases", "hostname", "subdomain",
	"schedulerName", "priorityClassName", "priority", "nodeName", "runtimeClassName", "shareProcessNamespace", "enableServiceLinks", "overhead", "activeDeadlineSeconds"}

func (c *tfJob) pod(f field, role string) {
	keys := []key{
		{"containers", func(f field) { c.containers(f, role) }},
		{"initContainers", c.drop("do its work at the beginning of the command")},
		{"nodeSelector", c.drop("YARN's nodes have labels of their own: node-label")},
		{"restartPolicy", c.needless("that of the replicas counts")},
		{"terminationGracePeriodSeconds", func(f field) {
			text, none, err := length(f.value.Value, time.Second)
			if err != nil {
				c.note(Dropped, f.at, "%s", err)
				return
			}
			if none {
				text = "0s"
			}
			c.Draft.Plain(text, "stop", "grace")
		}},
	}
	for _, name := range noPod {
		keys = append(keys, key{name, c.drop("YARN's containers have nothing like it")})
	}
	c.walk(f.value, f.at, keys)
}

// containers takes the one that is named tensorflow, or else the first: the operator knows its own
// by that name.
func (c *tfJob) containers(f field, role string) {
	all := items(f.value)
	at := max(0, slices.IndexFunc(all, func(n *yaml.Node) bool { return value(n, "name") == "tensorflow" }))
	for i, n := range all {
		where := f.at + "[" + strconv.Itoa(i) + "]"
		if i != at {
			c.note(Dropped, where, "a task has one container: start %q from the command, or give it a role", value(n, "name"))
			continue
		}
		c.container(n, where, role)
	}
}

// value is the text of a mapping's key; empty: it has none.
func value(n *yaml.Node, key string) string {
	for _, f := range fields(n, "") {
		if f.key == key && f.value.Kind == yaml.ScalarNode {
			return f.value.Value
		}
	}
	return ""
}

func (c *tfJob) container(n *yaml.Node, at, role string) {
	var argv []string
	given := map[string]string{} // variables whose values are known
	command := false
	for _, f := range fields(n, at) { // in Kubernetes' order, not the file's
		if f.key == "env" {
			c.env(f, role, given)
		}
	}
	for _, name := range []string{"command", "args"} {
		for _, f := range fields(n, at) {
			if f.key != name {
				continue
			}
			command = command || name == "command" && len(items(f.value)) > 0
			for _, word := range items(f.value) {
				argv = append(argv, refer(word.Value, given))
			}
		}
	}
	line := commandLine(argv)
	if dir := value(n, "workingDir"); dir != "" {
		line = "cd " + job.Quote(dir) + " || exit; " + line
	}
	switch {
	case command:
		c.Draft.Text(line, "roles", role, "command")
	case len(argv) > 0:
		c.Draft.Text(line, "roles", role, "command")
		c.note(Changed, at+".args", "the image's own entry point is not known here, and args alone are the command: write what it runs before them")
	default:
		c.note(Dropped, at+".command", "there is none, and the image's own is not known here: give it after --, as in -- python train.py")
	}
	nothing := c.drop("YARN's containers have nothing like it")
	c.walk(n, at, []key{
		{"name", func(field) {}},
		{"command", func(field) {}},
		{"args", func(field) {}},
		{"env", func(field) {}},
		{"image", func(f field) { c.image(f, role) }},
		{"imagePullPolicy", c.needless("each node's container runtime has its own")},
		{"resources", func(f field) { c.resources(f, role) }},
		{"ports", c.needless("tfos keeps a port for each task, and tells it in TF_CONFIG")},
		{"workingDir", func(field) {}},
		{"envFrom", c.drop("YARN has no ConfigMaps and Secrets: write env")},
		{"volumeMounts", c.drop("YARN has no volumes: read and write HDFS, or a path that all nodes have")},
		{"volumeDevices", nothing}, {"livenessProbe", nothing}, {"readinessProbe", nothing}, {"startupProbe", nothing}, {"lifecycle", nothing},
		{"securityContext", nothing}, {"stdin", nothing}, {"stdinOnce", nothing}, {"tty", nothing},
		{"terminationMessagePath", nothing}, {"terminationMessagePolicy", nothing},
	})
}

func (c *tfJob) image(f field, role string) {
	c.Draft.Text(f.value.Value, "roles", role, "image")
	c.note(Changed, f.at, "the cluster's NodeManagers must start images, and trust its registry")
}

// reference is $(NAME), or $$(NAME), which stands for itself.
var reference = regexp.MustCompile(`\$?\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)`)

// refer replaces references to variables that are known, as Kubernetes does: others stay.
func refer(s string, given map[string]string) string {
	return reference.ReplaceAllStringFunc(s, func(found string) string {
		if strings.HasPrefix(found, "$$") {
			return found[1:]
		}
		if v, ok := given[found[2:len(found)-1]]; ok {
			return v
		}
		return found
	})
}

// commandLine runs just these words. A command of tfos is run by bash anyway.
func commandLine(argv []string) string {
	if len(argv) == 3 && slices.Contains([]string{"bash", "/bin/bash"}, argv[0]) && argv[1] == "-c" {
		return argv[2]
	}
	if len(argv) == 1 {
		return job.Quote(argv[0])
	}
	return job.CommandLine(argv)
}

func (c *tfJob) env(f field, role string, given map[string]string) {
	for i, n := range items(f.value) {
		at := f.at + "[" + strconv.Itoa(i) + "]"
		name, text, known := value(n, "name"), "", true
		c.walk(n, at, []key{
			{"name", func(field) {}},
			{"value", func(f field) { text = refer(f.value.Value, given) }},
			{"valueFrom", func(f field) {
				known = false
				c.note(Dropped, f.at, "%s: YARN has no ConfigMaps, Secrets and fields of pods: give its value with --env", name)
			}},
		})
		switch {
		case !known:
		case job.SetByTfos(name):
			c.note(Needless, at, "%s is set by tfos for each task", name)
		default:
			given[name] = text
			c.Draft.Text(text, "roles", role, "env", name)
		}
	}
}

// resources are what a container may use at most, or where there is no such limit what it asks for:
// YARN has one amount.
func (c *tfJob) resources(f field, role string) {
	amounts := map[string]field{}
	take := func(f field) {
		for _, a := range fields(f.value, f.at) {
			if other, ok := amounts[a.key]; ok && other.value.Value != a.value.Value {
				c.note(Changed, f.at+"."+a.key, "YARN has one amount, which is the limit")
			}
			amounts[a.key] = a
		}
	}
	for _, name := range []string{"requests", "limits"} { // the limits go over the requests
		for _, f := range fields(f.value, f.at) {
			if f.key == name {
				take(f)
			}
		}
	}
	c.walk(f.value, f.at, []key{{"requests", func(field) {}}, {"limits", func(field) {}}, {"claims", c.drop("YARN's containers have nothing like it")}})
	for _, name := range []string{"memory", "cpu", "nvidia.com/gpu"} {
		a, ok := amounts[name]
		if !ok {
			continue
		}
		delete(amounts, name)
		to, text, err := "memory", "", error(nil)
		switch name {
		case "memory":
			text, err = memory(a.value.Value, mixedUnits, 1)
		case "cpu":
			to = "vcores"
			text, err = cores(a.value.Value)
		default:
			to, text = "gpus", a.value.Value
		}
		if err != nil {
			c.note(Dropped, a.at, "%s", err)
			continue
		}
		c.Draft.Plain(text, "roles", role, to)
	}
	for _, name := range slices.Sorted(maps.Keys(amounts)) {
		c.note(Dropped, amounts[name].at, "YARN counts other resources, by names of its own: resources: {yarn.io/fpga: 1}")
	}
}

// finish writes what follows from the whole.
func (c *tfJob) finish() {
	switch {
	case c.budget != "":
		c.Draft.Plain(c.budget, "recovery", "user-failures")
		c.note(Changed, "backoffLimit", "failures are counted for all tasks together, within recovery.window, an hour")
	case c.never > 0 && c.others == 0:
		c.Draft.Plain("0", "recovery", "user-failures")
	case c.never > 0:
		c.note(Changed, "restartPolicy", "failures are counted for all tasks together (recovery.user-failures): none of them is for one role alone")
	}
	if !c.Draft.Has("success") && !slices.Contains(c.replicas, job.Chief) && !slices.Contains(c.replicas, job.Master) && slices.Contains(c.replicas, job.Worker) {
		c.note(Changed, "successPolicy", "all workers have to end well, not worker 0 alone, as there is no chief")
	}
}
