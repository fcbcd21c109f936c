package job

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// Marshal writes a job as a job file with everything spelled out. Parse reads back an equal one,
// given a file name without a directory, under which relative paths stay as they are.
func Marshal(j Job) []byte {
	var doc tree
	doc.text("name", j.Name)
	doc.optional("command", j.Command)
	doc.optional("queue", j.Queue)
	doc.files("files", j.Files)
	doc.files("archives", j.Archives)
	doc.optional("image", j.Image)
	if len(j.Mounts) > 0 {
		doc.list("mounts", j.Mounts)
	}
	doc.optional("venv", j.Venv)
	doc.optional("conda", j.Conda)
	doc.optional("requirements", j.Packages)
	doc.texts("env", j.Env)
	var roles tree
	for _, r := range j.Roles {
		roles.child(r.Name, r.tree(j))
	}
	doc.child("roles", roles)
	var checkpoint tree
	checkpoint.optional("dir", j.Checkpoint.Dir)
	checkpoint.count("keep", int64(j.Checkpoint.Keep))
	if j.Checkpoint.KeepEvery != 0 {
		checkpoint.plain("keep-every", formatDuration(j.Checkpoint.KeepEvery))
	}
	if j.Checkpoint.Local {
		checkpoint.plain("local", "true")
	}
	doc.child("checkpoint", checkpoint)
	doc.text("success", string(j.Success))
	doc.text("strategy", string(j.Strategy))
	doc.text("endpoints", string(j.Endpoints))
	var recovery tree
	recovery.plain("user-failures", strconv.Itoa(j.Recovery.UserFailures))
	recovery.plain("window", formatDuration(j.Recovery.Window))
	recovery.count("resubmit", int64(j.Recovery.Resubmit))
	doc.child("recovery", recovery)
	var gang tree
	gang.plain("timeout", formatDuration(j.Gang.Timeout))
	doc.child("gang", gang)
	var stop tree
	stop.plain("grace", formatDuration(j.Stop.Grace))
	doc.child("stop", stop)
	if j.Logs != (Logs{}) {
		var logs tree
		logs.plain("limit", formatMiB(j.Logs.LimitMiB))
		logs.plain("keep", strconv.Itoa(j.Logs.Keep))
		doc.child("logs", logs)
	}
	var notice tree
	notice.text("signal", j.Notice.Signal)
	notice.plain("wait", formatDuration(j.Notice.Wait))
	doc.child("notice", notice)
	var stall tree
	stall.plain("after", strconv.Itoa(j.Stall.After))
	stall.plain("least", formatDuration(j.Stall.Least))
	stall.plain("restart", strconv.FormatBool(j.Stall.Restart))
	doc.child("stall", stall)
	if len(j.Notify) > 0 {
		var notify tree
		for _, t := range j.Notify {
			notify.child(t.Name, t.tree())
		}
		doc.child("notify", notify)
	}
	doc.optional("deadline", j.Deadline.String())
	if j.OwnBoard {
		doc.text("tensorboard", boardOfProgram)
	}
	doc.count("priority", int64(j.Priority))
	if len(j.Tags) > 0 {
		doc.list("tags", j.Tags)
	}
	if j.Lifetime > 0 {
		doc.plain("lifetime", formatDuration(j.Lifetime))
	}
	doc.optional("once", j.Once)
	if j.Timeout > 0 {
		doc.plain("timeout", formatDuration(j.Timeout))
	}
	doc.count("retries", int64(j.Retries))
	if j.Attended > 0 {
		doc.plain("attended", formatDuration(j.Attended))
	}
	doc.optional("node-label", j.NodeLabel)
	var master tree
	master.plain("memory", formatMiB(j.Master.MemoryMiB))
	master.plain("vcores", strconv.Itoa(int(j.Master.VCores)))
	doc.child("master", master)

	return encode(&doc.Node)
}

func (r Role) tree(j Job) tree {
	var t tree
	t.plain("instances", strconv.Itoa(r.Instances))
	t.plain("memory", formatMiB(r.MemoryMiB))
	t.plain("vcores", strconv.Itoa(int(r.VCores)))
	t.count("gpus", r.GPUs)
	if len(r.Custom) > 0 {
		var custom tree
		for _, name := range slices.Sorted(maps.Keys(r.Custom)) {
			custom.plain(name, strconv.FormatInt(r.Custom[name], 10))
		}
		t.child("resources", custom)
	}
	switch {
	case r.Builtin != "":
		t.text("builtin", string(r.Builtin))
	case r.Command != j.Command:
		t.text("command", r.Command)
	}
	t.texts("env", r.Env)
	if r.Service != isService(r.Name) {
		t.plain("service", strconv.FormatBool(r.Service))
	}
	if r.Name == Evaluator && !r.Service && r.Wait != DefaultEvaluatorWait {
		t.plain("wait", formatDuration(r.Wait))
	}
	if r.NodeLabel != j.NodeLabel {
		t.text("node-label", r.NodeLabel)
	}
	if r.Image != j.Image {
		t.text("image", r.Image)
	}
	if !slices.Equal(r.Mounts, j.Mounts) {
		t.list("mounts", r.Mounts)
	}
	return t
}

func (n Target) tree() tree {
	var t tree
	t.optional("webhook", n.Webhook)
	if n.Webhook != "" {
		t.text("format", string(n.Format))
	}
	t.optional("command", n.Command)
	on := make([]string, len(n.On))
	for i, e := range n.On {
		on[i] = string(e)
	}
	t.list("on", on)
	return t
}

// tree is a YAML mapping under construction.
type tree struct{ yaml.Node }

func (t *tree) put(key string, v *yaml.Node) {
	t.Kind = yaml.MappingNode
	t.Content = append(t.Content, text(key), v)
}

// plain adds a number, a truth value or a unit: text that needs no quotes.
func (t *tree) plain(key, s string) { t.put(key, &yaml.Node{Kind: yaml.ScalarNode, Value: s}) }

// text adds a text, quoted where YAML would take it for something else.
func (t *tree) text(key, s string) { t.put(key, text(s)) }

// optional adds a text unless it is empty.
func (t *tree) optional(key, s string) {
	if s != "" {
		t.text(key, s)
	}
}

// count adds a number unless it is zero.
func (t *tree) count(key string, n int64) {
	if n != 0 {
		t.plain(key, strconv.FormatInt(n, 10))
	}
}

// child adds a mapping unless it is empty.
func (t *tree) child(key string, c tree) {
	if len(c.Content) > 0 {
		t.put(key, &c.Node)
	}
}

func (t *tree) texts(key string, m map[string]string) {
	var c tree
	for _, k := range slices.Sorted(maps.Keys(m)) {
		c.text(k, m[k])
	}
	t.child(key, c)
}

func (t *tree) list(key string, items []string) {
	seq := &yaml.Node{Kind: yaml.SequenceNode}
	for _, s := range items {
		seq.Content = append(seq.Content, text(s))
	}
	t.put(key, seq)
}

func (t *tree) files(key string, files []File) {
	if len(files) == 0 {
		return
	}
	items := make([]string, len(files))
	for i, f := range files {
		items[i] = f.text()
	}
	t.list(key, items)
}

// text is a string: a script as a block, and others that hold what cannot be printed in quotes.
func text(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	switch {
	case block(s):
		n.Style = yaml.LiteralStyle
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}
