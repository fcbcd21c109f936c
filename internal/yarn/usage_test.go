package yarn

import (
	"strings"
	"testing"
)

// beyond is what Hadoop 2.10 says of a container that it kills.
const beyond = `[2026-11-29 21:14:05.113]Container [pid=4711,containerID=container_1764450000000_0001_01_000002] is running beyond physical memory limits. Current usage: 300.1 MB of 256 MB physical memory used; 1.3 GB of 537.6 MB virtual memory used. Killing container.
Dump of the process-tree for container_1764450000000_0001_01_000002 :
	|- PID PPID PGRPID SESSID CMD_NAME USER_MODE_TIME(MILLIS) SYSTEM_TIME(MILLIS) VMEM_USAGE(BYTES) RSSMEM_USAGE(PAGES) FULL_CMD_LINE
	|- 4711 4700 4711 4711 (bash) 0 0 7131136 700 /bin/bash -c ./tfos-agent 1>/logs/stdout 2>/logs/stderr 
	|- 4713 4711 4711 4711 (tfos-agent) 310 40 1304088576 70000 ./tfos-agent 
	|- 4720 4713 4720 4720 (tfos-guard) 0 0 172032 3 tfos-guard /bin/bash -c x (y) 1 2 3 900000 z
	|- 4721 4720 4721 4720 (python (3)) 10 0 9131136 6100 python3 train.py
`

func TestHeaviest(t *testing.T) {
	for text, want := range map[string]string{
		beyond: "tfos-agent",
		strings.Replace(beyond, " 6100 ", " 610000 ", 1): "python (3)",
		strings.Replace(beyond, " 6100 ", " 69400 ", 1):  "", // nobody has half
		"Container killed on request. Exit code is 143":  "",
		"": "",
	} {
		if got := Heaviest(text); got != want {
			t.Errorf("heaviest %q, want %q, of %s", got, want, text)
		}
	}
}

func TestMasterExit(t *testing.T) {
	for text, want := range map[string]ExitStatus{
		"Application application_1764450000000_0001 failed 2 times due to AM Container for appattempt_1764450000000_0001_000002 exited with  exitCode: -103\nFailing this attempt.Diagnostics: [x]Container is running beyond virtual memory limits": ExitVMemExceeded,
		"Application application_1764450000000_0001 failed 1 times (global limit =2; local limit is =1) due to AM Container for appattempt_1764450000000_0001_000001 exited with exitCode: 1":                                                        1,
		"killed by ann": 0,
	} {
		if got, ok := MasterExit(text); got != want || ok != (want != 0) {
			t.Errorf("%v, %v, want %v, of %s", got, ok, want, text)
		}
	}
}
