package endpoint

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"tfos/internal/clusterspec"
	"tfos/internal/job"
)

//go:generate ./build

// What a process with the library is told by.
const (
	envPreload = "LD_PRELOAD"
	envTable   = "TFOS_ENDPOINTS"
)

// defaultTasks are as many as fit into 256 KiB.
const defaultTasks = 4095

// redirect leads the connections of processes by a library in them. It shares their table with
// them.
type redirect struct {
	roles   []string
	proof   func(job.Task) Proof
	dir     string
	library string
	table   *table
}

func newRedirect(ctx context.Context, o Options) (_ *redirect, err error) {
	if len(library) == 0 {
		return nil, fmt.Errorf("%w: there is no library to preload for %s machines", ErrUnavailable, runtime.GOARCH)
	}
	self, err := Virtual(o.Roles, o.Self)
	if err != nil {
		return nil, err
	}
	if o.Tasks == 0 {
		o.Tasks = defaultTasks
	}
	parent, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(parent, " :") {
		return nil, fmt.Errorf("%w: nothing can be preloaded from below %q, as %s is a list divided by spaces and colons", ErrUnavailable, parent, envPreload)
	}
	r := &redirect{roles: o.Roles, proof: o.Proof}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.dir, err = os.MkdirTemp(parent, "endpoints-"); err != nil {
		return nil, err
	}
	r.library = filepath.Join(r.dir, "endpoint.so")
	if err = os.WriteFile(r.library, library, 0o500); err != nil {
		return nil, err
	}
	if r.table, err = newTable(filepath.Join(r.dir, "table"), o.Tasks+1); err != nil { // one for the probe
		return nil, err
	}
	if o.Port != 0 {
		r.table.bind(self, o.Port)
	}
	if err = r.probe(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *redirect) add(t job.Task) (int, string, error) {
	v, err := Virtual(r.roles, t)
	if err != nil {
		return 0, "", err
	}
	slot, err := r.table.add(v, r.proof(t))
	return slot, v.String(), err
}

func (r *redirect) retarget(slot int, to target) { r.table.retarget(slot, to) }

// env puts our library before those that the environment preloads already.
func (r *redirect) env(environ []string) []string {
	preload := r.library
	var env []string
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		switch {
		case name == envTable:
		case name == envPreload:
			if value != "" {
				preload = r.library + ":" + value
			}
		default:
			env = append(env, e)
		}
	}
	return append(env, envPreload+"="+preload, envTable+"="+r.table.path)
}

func (r *redirect) count(slot int, c *clusterspec.Counters) { r.table.read(slot, c) }

func (r *redirect) close() error {
	var err error
	if r.table != nil {
		err = r.table.close()
	}
	if r.dir != "" {
		err = errors.Join(err, os.RemoveAll(r.dir))
	}
	return err
}

// The probe is a program of which only the C library and the dynamic linker matter: it connects to
// an address and prints a line that comes from there. Bash is what programs are started by (package
// supervise).
const (
	probeShell  = "/bin/bash"
	probeScript = `exec 3<>"/dev/tcp/$0/$1" && read -r line <&3 && echo "$line"`
	probeWait   = 20 * time.Second // for an overloaded node; it takes milliseconds
	probeErrors = 300              // bytes of what it says, at most
)

// probe sees whether a program reaches us at a virtual address. An error is ErrUnavailable.
func (r *redirect) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	at := virtual(probeRole, 0)
	slot, err := r.table.add(at, Proof{})
	if err != nil {
		return err
	}
	r.table.retarget(slot, target{AddrPort: l.Addr().(*net.TCPAddr).AddrPort()})
	defer r.table.retarget(slot, target{})

	token := r.dir // nobody else would answer with it
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w := bufio.NewWriter(c)
			fmt.Fprintln(w, token)
			_ = w.Flush() // what the program reads is what counts
			c.Close()
		}
	}()
	defer func() { l.Close(); <-served }()

	cmd := exec.CommandContext(ctx, probeShell, "-c", probeScript, at.Addr().String(), strconv.Itoa(int(at.Port())))
	cmd.Env = r.env(os.Environ())
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if err == nil && strings.TrimSpace(stdout.String()) == token {
		return nil
	}
	why := "it loaded the library, but was not redirected"
	if r.table.processes() == 0 {
		why = "it did not take the library: the kernel is older than Linux 4.14, or files may not be executed here"
	}
	if said := strings.TrimSpace(stderr.String()); said != "" {
		why += "; it said: " + said[:min(len(said), probeErrors)]
	}
	if err != nil {
		why += "; " + err.Error()
	}
	return fmt.Errorf("%w: a test program did not reach a virtual address: %s", ErrUnavailable, why)
}
