package membership

import "testing"

// TestTheLastWordsOfAContainer are what its program wrote, not what a NodeManager says around that.
func TestTheLastWordsOfAContainer(t *testing.T) {
	const around = "[2026-11-30 01:28:08.528]Exception from container-launch.\nContainer id: container_1_0001_01_000005\nExit code: 1\n\n" +
		"[2026-11-30 01:28:08.528]Container exited with a non-zero exit code 1. Error file: prelaunch.err.\nLast 4096 bytes of prelaunch.err :\n"
	for _, c := range []struct{ diagnostics, want string }{
		{around + "Last 4096 bytes of agent.stderr :\ntfos-agent: hold a port: address already in use\n\n\n", "ended: tfos-agent: hold a port: address already in use"},
		// Hadoop says it twice.
		{around + "Last 4096 bytes of agent.stderr :\ntfos-agent: one\ntwo\n\n\n" + around + "Last 4096 bytes of agent.stderr :\ntfos-agent: one\ntwo\n\n\n",
			"ended: tfos-agent: one two"},
		{around + "ln: failed to create symbolic link\n", "ended: ln: failed to create symbolic link"},
		{around + "Last 4096 bytes of agent.stderr :\n\n", "ended: [2026-11-30 01:28:08.528]Exception from container-launch. Container id: container_1_0001_01_000005 Exit code: 1 " +
			"[2026-11-30 01:28:08.528]Container exited with a non-zero exit code 1. Error file: prelaunch.err. Last 4096 bytes of prelaunch.err : Last 4096 bytes of agent.stderr :"},
		{"preempted by the scheduler", "ended: preempted by the scheduler"},
	} {
		if got := explain("ended", c.diagnostics); got != c.want {
			t.Errorf("of %q:\n%q, want\n%q", c.diagnostics, got, c.want)
		}
	}
}
