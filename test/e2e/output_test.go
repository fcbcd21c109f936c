//go:build e2e

package e2e

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestAChattyProgram prints many times what its log may hold: the beginning and the end are kept,
// and who follows hears of what it misses.
func TestAChattyProgram(t *testing.T) {
	file := jobFile(t, `name: chatty
logs: {limit: 1MiB}
recovery: {user-failures: 0}
command: |
  python3 -c 'for i in range(200000): print("step %d/200000 and a few words that make it longer" % (i + 1))'; exit 3
roles: {worker: {memory: 128MiB}}
`)
	r := tfos(t, nil, "run", "--master", "local", file).want(t, 1) // so that it says where its logs are
	if n := strings.Count(r.stdout, "\n"); n != 200000 && !strings.Contains(r.stdout, "left out here") || !strings.Contains(r.stdout, "step 200000/200000") {
		t.Errorf("%d lines were heard, and no word of the others", n)
	}
	logs, err := filepath.Glob(filepath.Join(regexp.MustCompile(`its logs are in (\S+)`).FindStringSubmatch(r.stderr)[1], "*", "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	kept := ""
	for _, name := range logs { // the master's too
		kept += read(t, name)
	}
	if !strings.HasPrefix(kept, "step 1/200000") || !strings.Contains(kept, "bytes of this log are left out here") || !strings.Contains(kept, "step 200000/200000") {
		t.Errorf("of %d bytes the log shows %.200q", len(kept), kept)
	}
	if len(kept) > 1<<20 {
		t.Errorf("%d bytes are kept", len(kept))
	}
}

// TestAProgramThatEmptiesItsLog is heard on.
func TestAProgramThatEmptiesItsLog(t *testing.T) {
	file := jobFile(t, `name: truncates
command: |
  for i in $(seq 1 40); do echo "step $i/100 of a long line that makes the log grow ............................."; done; sleep 1
  : > ${LOG_DIRS%%,*}/stdout; sleep 1
  for i in $(seq 41 45); do echo "step $i/100 after the log was cut"; sleep 0.2; done
roles: {worker: {memory: 128MiB}}
`)
	r := tfos(t, nil, "run", "--master", "local", file).want(t, 0)
	if n := strings.Count(r.stdout, "after the log was cut"); n != 5 || !strings.Contains(r.stdout, "step 40/100 of") {
		t.Errorf("heard:\n%s", r.stdout)
	}
}

// TestALogThatCannotBeWritten ends no task, and says what it lacks when it can be written again.
func TestALogThatCannotBeWritten(t *testing.T) {
	file := jobFile(t, `name: full
recovery: {user-failures: 0}
command: |
  log=${LOG_DIRS%%,*}; echo before; sleep 1; rm $log/stdout; mkdir $log/stdout
  python3 -c 'for i in range(1000): print("lost", i, flush=True)'
  rmdir $log/stdout; echo after
roles: {worker: {memory: 128MiB}}
`)
	r := tfos(t, nil, "run", "--master", "local", file).want(t, 0)
	if !strings.Contains(r.stdout, "before\n") || !strings.Contains(r.stdout, "bytes of this log are missing here, they could not be written") || !strings.Contains(r.stdout, "after\n") {
		t.Errorf("heard:\n%s", r.stdout)
	}
}
