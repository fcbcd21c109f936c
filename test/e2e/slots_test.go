//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// driver is a session whose tasks are in slots that this test holds, as Spark's executors do.
type driver struct {
	t      *testing.T
	in     io.WriteCloser
	events chan map[string]any
	offer  map[string]any
}

func startDriver(t *testing.T, job string) *driver {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "bin", "tfos"), "--master", "executors", "session", jobFile(t, job), "--host", "127.0.0.1")
	cmd.Env, cmd.Dir, cmd.Stderr = cleanEnv(), t.TempDir(), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d := &driver{t: t, in: in, events: make(chan map[string]any, 1000)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var e map[string]any
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				d.events <- e
			}
		}
		close(d.events)
	}()
	t.Cleanup(func() {
		in.Close()
		<-read
		cmd.Wait()
	})
	d.offer = d.next("slots")
	return d
}

// next waits for an event.
func (d *driver) next(name string) map[string]any {
	d.t.Helper()
	for e := range d.events {
		if e["event"] == name {
			return e
		}
		if e["event"] == "ended" {
			d.t.Fatalf("the job has ended, without %s: %v", name, e)
		}
	}
	d.t.Fatalf("no %s", name)
	return nil
}

// hold offers a slot, in an executor of its own.
func (d *driver) hold(slot int, executor string) *exec.Cmd {
	d.t.Helper()
	cmd := exec.Command(filepath.Join(root, "bin", "tfos-agent"), "hold")
	dir := d.t.TempDir()
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { in.Close(); cmd.Wait() })
	err = json.NewEncoder(in).Encode(map[string]any{
		"address": d.offer["address"], "identity": d.offer["identity"], "offer": map[string]any{"slot": slot, "executor": executor, "held": true},
		"dir": filepath.Join(dir, "scratch"), "logs": filepath.Join(dir, "logs"), "cache": filepath.Join(dir, "cache"), "parent": os.Getpid(),
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return cmd
}

// TestSlots runs a job in two slots. The master is killed, and finds its tasks again; a slot is
// killed, and its task comes back in the next one. Nobody else is started again.
func TestSlots(t *testing.T) {
	dir := t.TempDir()
	d := startDriver(t, fmt.Sprintf(`{"name": "slots", "attended": "30s", "success": "all", "roles": {"worker": {"instances": 2}},
		"command": "touch %[1]s/$TFOS_ROLE-$TFOS_INDEX-$TFOS_INCARNATION; until test -e %[1]s/done; do sleep 0.2; done"}`, dir))
	is := func(name string) func() bool {
		return func() bool { _, err := os.Stat(filepath.Join(dir, name)); return err == nil }
	}
	d.hold(0, "a")
	second := d.hold(1, "b")
	id := d.next("submitted")["application"].(string)
	eventually(t, "both programs", func() bool { return is("worker-0-1")() && is("worker-1-1")() })

	master := masterPID(t, id)
	if m := hwm(fmt.Sprintf("/proc/%d", master)); m > 30 {
		t.Errorf("the master has %.1f MiB of memory, want at most 30", m)
	}
	if err := syscall.Kill(master, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the next master to have all agents", func() bool {
		r := tfos(t, nil, "--master", "local", "status", id, "--json")
		v, err := parseStatus(r.stdout)
		return r.code == 0 && err == nil && v.Attempt == 2 && v.Diagnostics == "" && len(v.Tasks) == 2
	})

	if err := second.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if e := d.next("slot"); e["slot"] != 1.0 {
		t.Errorf("lost: %v", e)
	}
	d.hold(1, "c")
	eventually(t, "the lost task", func() bool { // either: slots have no tasks of their own, and a master that takes over leaves out numbers
		started, err := filepath.Glob(filepath.Join(dir, "worker-*"))
		return err == nil && len(started) == 3
	})
	if err := os.WriteFile(filepath.Join(dir, "done"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for e := range d.events {
		if e["event"] == "ended" {
			if e["code"] != 0.0 {
				t.Errorf("ended: %v", e)
			}
			break
		}
	}
	gone(t, id)
	started, err := filepath.Glob(filepath.Join(dir, "worker-*"))
	if err != nil || len(started) != 3 {
		t.Errorf("started: %q, %v", started, err)
	}
}

// TestSlotsEndWithTheirDriver kills a session: nothing is left where its slots were.
func TestSlotsEndWithTheirDriver(t *testing.T) {
	dir := t.TempDir()
	d := startDriver(t, fmt.Sprintf(`{"name": "slots", "attended": "30s", "roles": {"worker": {"instances": 1}}, "command": "touch %s/started; exec sleep 1000000"}`, dir))
	slot := d.hold(0, "a")
	id := d.next("submitted")["application"].(string)
	eventually(t, "the program", func() bool { _, err := os.Stat(filepath.Join(dir, "started")); return err == nil })
	if err := d.in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := slot.Wait(); err != nil {
		t.Errorf("who holds the slot: %v", err)
	}
	gone(t, id)
}
