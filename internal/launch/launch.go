// Package launch is the contract between the client that submits a job, the application master that
// it starts, and the agents that the master starts: names of files, environment variables and
// secrets, and the manifest.
//
// It holds names and values only.
package launch

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"tfos/internal/hadoop/uri"
	"tfos/internal/yarn"
)

// Names of files in the directory of the master's container.
const (
	MasterBinary = "tfos-am"
	JobFile      = "job.yaml"        // the job with flags and defaults applied
	ManifestFile = "manifest.json"   // a Manifest
	ConfFile     = "hadoop-conf.xml" // the client's Hadoop configuration, merged
)

// AgentBinary is the agent's file beside MasterBinary on the client's disk.
const AgentBinary = "tfos-agent"

// BuiltinBinary is the file beside them of the programs that a role names by "builtin".
const BuiltinBinary = "tfos-builtin"

// LogsFormat is of EnvLogs: bytes, and how many parts of the newest output are kept.
const LogsFormat = "%d/%d"

// TaskDir is the directory, in that of a task's container, of everything that is ours there. A
// program that empties its working directory (rm -rf ./*) leaves it alone. The rest of the
// container's directory is the job's own.
const TaskDir = ".tfos"

// Names of files in the directory of a task's container.
const (
	TaskAgent = TaskDir + "/" + AgentBinary
	// TaskBuiltin is in the containers of a job that has a role with a built-in program.
	TaskBuiltin = TaskDir + "/" + BuiltinBinary

	TaskConf   = TaskDir + "/" + ConfFile
	TaskPython = TaskDir + "/python" // the modules that go on PYTHONPATH
	// TaskCheckpoints is where a task writes checkpoints that its agent keeps elsewhere.
	TaskCheckpoints = TaskDir + "/checkpoints"
)

// Names of files in a job's staging directory, beside JobFile and ManifestFile.
const (
	ClientKeyFile = "client.pem"    // the client's identity, mode 0600
	MasterFile    = "master.json"   // a Master: where the current master listens
	ResultFile    = "result.json"   // the last status document
	EventsFile    = "events.ndjson" // the event log
	PageFile      = "page.html"     // the job's page, as it was in the end
	// TicketFile is a submission that waits to be handed in, by whoever finds it, mode 0600. It
	// goes once YARN has it.
	TicketFile = "submission.json"
)

// AddressSpaceMiB is what a master or an agent with its guard may reserve of address space. Go's
// runtime takes 1.2 GB of it when it starts, whatever the program uses: see
// docs/decisions/0010-virtual-memory.md. The rest is two arenas of heap.
const AddressSpaceMiB = 1408

// MasterAttempts is how many masters a job may have whose deaths lie within MasterWindow: the last
// one's ends the job. A cluster may grant fewer: see Granted.
const (
	MasterAttempts = 10
	MasterWindow   = 10 * time.Minute
)

// Granted is how many masters YARN grants a job within MasterWindow, by the value of a
// configuration's key (RMAppImpl): the global limit, or where there is none that of an application,
// which is 2 by default and so makes no more.
func Granted(limit func(key string, otherwise int64) (int64, error)) (int, error) {
	n, err := limit("yarn.resourcemanager.am.max-attempts", 2)
	if err == nil {
		n, err = limit("yarn.resourcemanager.am.global.max-attempts", n)
	}
	return int(min(max(n, 1), MasterAttempts)), err
}

// JournalFile is the name of the journal that an attempt of the master keeps there for the next
// one.
func JournalFile(attempt int32) string { return fmt.Sprintf("journal.%d.json", attempt) }

// HistoryURL is the property of the Hadoop configuration that tells where pages of jobs that have
// ended are served: tfos history serve.
const HistoryURL = "tfos.history.url"

// Aliases of the secrets in a container's credentials file.
const (
	SecretAuthority = "tfos.authority" // PEM: the job's certificate authority with its key; the master's alone
	SecretIdentity  = "tfos.identity"  // PEM: authority's certificate, the holder's certificate and key
)

// Environment of the master and of the agents.
const (
	EnvApplication = "TFOS_APPLICATION" // application_…
	EnvMaster      = "TFOS_MASTER"      // agents: host:port of the master
	EnvTask        = "TFOS_TASK"        // agents: role/index
	EnvIncarnation = "TFOS_INCARNATION" // agents: the task's first in this container
	EnvEndpoints   = "TFOS_CARRIER"     // agents: how tasks reach each other, the job's "endpoints"
	EnvRoles       = "TFOS_ROLES"       // agents: the job's roles in the order of its file, divided by commas
	EnvLogs        = "TFOS_LOGS"        // agents: the limits of a task's logs, as in LogsFormat
	EnvFed         = "TFOS_FED"         // agents: "true" if Spark's tasks may feed the program
	EnvStaging     = "TFOS_STAGING"     // URI of the job's staging directory, by EscapeEnv
	EnvLogLevel    = "TFOS_LOG_LEVEL"
	EnvPort        = "TFOS_PORT" // the master: where it listens for agents if that is free, so that a later one is found by those who cannot read EnvStaging
	// programs: the path below which browsers see a TensorBoard of theirs, for its --path_prefix
	EnvTensorBoardPath = "TFOS_TENSORBOARD_PATH"
	EnvNoticeFile      = "TFOS_NOTICE_FILE" // programs: where the agent leaves word that the container will be taken away
)

// Environment of a task's process that goes on from a checkpoint; see StartPoint.
const (
	EnvResumedFrom      = "TFOS_RESUMED_FROM"
	EnvResumeStep       = "TFOS_RESUME_STEP"
	EnvResumeCheckpoint = "TFOS_RESUME_CHECKPOINT"
)

// ApplicationType marks our applications in the ResourceManager's lists.
const ApplicationType = "TFOS"

// Root is the directory under a user's home that tfos keeps its files in.
const Root = ".tfos"

// CacheDir holds content-addressed files, named by their SHA-256.
func CacheDir(home string) string { return path.Join(home, Root, "cache") }

// JobsDir holds the staging directories of a user's applications.
func JobsDir(home string) string { return path.Join(home, Root, "jobs") }

// OnceDir holds what is known of keys, as package once keeps it.
func OnceDir(home string) string { return path.Join(home, Root, "once") }

// JobDir is the staging directory of one application.
func JobDir(home string, id yarn.ApplicationID) string {
	return path.Join(JobsDir(home), id.String())
}

// Manifest tells the master what the client staged.
type Manifest struct {
	Version string      `json:"version"` // of tfos
	User    string      `json:"user"`    // who submitted
	Staging string      `json:"staging"` // the job's directory, a name in the default filesystem
	Agent   Resource    `json:"agent"`
	Files   []Resource  `json:"files"`             // for every task's container
	Forgets bool        `json:"forgets,omitempty"` // a container ends with the master that started it
	VCores  string      `json:"vcores,omitempty"`  // why the cluster can never hold the job if its scheduler counts vcores
	Resume  *StartPoint `json:"resume,omitempty"`  // nil: the job starts from nothing
	// Deadline is when the job should have ended; zero: there is none.
	Deadline time.Time `json:"deadline,omitzero"`
}

// StartPoint is the checkpoint that a job which tfos resume submits, or one of its processes, goes
// on from.
type StartPoint struct {
	From       string `json:"from,omitempty"` // application_…; empty: resumed by its job file
	Checkpoint string `json:"checkpoint"`     // below the job's checkpoint.dir, and written as that is
	Step       int64  `json:"step"`           // that it was saved at; -1: not known
}

// Env tells a task's process where it goes on. A nil StartPoint tells nothing.
func (p *StartPoint) Env() map[string]string {
	if p == nil {
		return nil
	}
	env := map[string]string{EnvResumeCheckpoint: p.Checkpoint}
	if p.Step >= 0 {
		env[EnvResumeStep] = strconv.FormatInt(p.Step, 10)
	}
	if p.From != "" {
		env[EnvResumedFrom] = p.From
	}
	return env
}

// Resource is a staged file that NodeManagers localize.
type Resource struct {
	Name    string `json:"name"` // in the container
	URI     string `json:"uri"`
	Size    int64  `json:"size"`     // bytes
	ModTime int64  `json:"mod_time"` // ms since the epoch, as the filesystem tells it
	Archive bool   `json:"archive"`  // unpacked into a directory
}

// Local is the resource as YARN wants it, shared by the applications of one user.
func (r Resource) Local() yarn.LocalResource {
	return yarn.LocalResource{
		URI: r.URI, Size: r.Size, ModTime: time.UnixMilli(r.ModTime), Archive: r.Archive && !r.byAgent(), Visibility: yarn.Private,
	}
}

// Files that a NodeManager cannot be given as they are lie in the container under a link of another
// name, until their agent gives them their own: a NodeManager in the C locale unpacks no archive
// with names beyond ASCII, and puts the name of a link into a shell script.
const (
	// AgentArchive is in the names, in the cache, of archives that the agent unpacks.
	AgentArchive = ".by-agent"

	agentFile   = ".tfos-file-" // and the name, by base64
	agentUnpack = ".tfos-unpack-"
)

// byAgent reports whether the agent unpacks the resource.
func (r Resource) byAgent() bool {
	return r.Archive && strings.Contains(path.Base(r.URI), AgentArchive+".")
}

// Link is what the NodeManager calls the resource in the container.
func (r Resource) Link() string {
	switch encoded := base64.RawURLEncoding.EncodeToString([]byte(r.Name)); {
	case r.byAgent():
		_, suffix, _ := strings.Cut(path.Base(r.URI), AgentArchive)
		return agentUnpack + encoded + suffix
	case !plainName(r.Name):
		return agentFile + encoded
	}
	return r.Name
}

// ParseLink reads a name that Link made for the agent: what the file is to be called, and whether
// the agent unpacks it; ok is false for any other name.
func ParseLink(link string) (name string, unpack, ok bool) {
	encoded, ok := strings.CutPrefix(link, agentFile)
	if !ok {
		if encoded, ok = strings.CutPrefix(link, agentUnpack); !ok {
			return "", false, false
		}
		encoded, _, _ = strings.Cut(encoded, ".")
		unpack = true
	}
	b, err := base64.RawURLEncoding.DecodeString(encoded)
	return string(b), unpack, err == nil
}

// maxLink bounds a file's name on Linux.
const maxLink = 255

// CheckLink refuses a name that is too long for a link.
func (r Resource) CheckLink() error {
	if n := len(r.Link()); n > maxLink {
		return fmt.Errorf("the name %q in the container is too long by %d bytes", r.Name, (n-maxLink)*3/4+1)
	}
	return nil
}

// plainName reports whether a NodeManager can make a link of this name: in ASCII, without what a
// shell looks for between double quotes, and without the colon that makes a scheme of what is
// before it (org.apache.hadoop.fs.Path).
func plainName(name string) bool {
	return Plain(name) && !strings.ContainsAny(name, "$`\"\\:")
}

// Plain reports whether a name is printable ASCII, which means the same in every locale.
func Plain(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' })
}

// Encode is the manifest's file content.
func (m Manifest) Encode() ([]byte, error) { return json.MarshalIndent(m, "", "  ") }

// ParseManifest reads what Encode wrote.
func ParseManifest(b []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return Manifest{}, fmt.Errorf("parse manifest: %w", err)
	}
	return m, nil
}

// Master is where a job's current master listens.
type Master struct {
	Address string `json:"address"` // host:port of its gRPC server
	Attempt int32  `json:"attempt"`
}

// Encode is the file's content.
func (m Master) Encode() ([]byte, error) { return json.Marshal(m) }

// ParseMaster reads what Encode wrote.
func ParseMaster(b []byte) (Master, error) {
	var m Master
	if err := json.Unmarshal(b, &m); err != nil {
		return Master{}, fmt.Errorf("parse %s: %w", MasterFile, err)
	}
	if m.Address == "" {
		return Master{}, fmt.Errorf("parse %s: it names no address", MasterFile)
	}
	return m, nil
}

// plainEnv are the characters besides letters and digits that mean nothing to the shell script
// which sets a container's environment.
const plainEnv = "/:._-,=@+"

// EscapeEnv writes a text so that a container's environment can carry it: a NodeManager puts
// variables between double quotes into a shell script, and a user's home may be named svc$ml.
func EscapeEnv(text string) string {
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte(plainEnv, c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// UnescapeEnv reads what EscapeEnv wrote.
func UnescapeEnv(text string) (string, error) { return url.PathUnescape(text) }

// CheckpointURI is a job's checkpoint.dir as a URI. A plain path is the local disk's of whatever
// machine it is used on, as it is to the program, whatever the cluster's default filesystem is.
func CheckpointURI(dir string) string {
	if strings.HasPrefix(dir, "/") {
		return uri.URI{Scheme: "file", Path: dir}.String()
	}
	return dir
}
