//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// deadProxy is a proxy where nobody answers, for everything but what a site would exempt.
var deadProxy = []string{"http_proxy=http://127.0.0.1:9", "https_proxy=http://127.0.0.1:9", "HTTPS_PROXY=http://127.0.0.1:9", "all_proxy=http://127.0.0.1:9", "no_proxy=.example.com"}

// TestAProxyInTheEnvironment of the client and of the program: neither tfos nor TensorFlow goes
// through it to the job's own processes.
func TestAProxyInTheEnvironment(t *testing.T) {
	t.Parallel()
	for _, endpoints := range []string{"redirect", "forward"} {
		t.Run(endpoints, func(t *testing.T) {
			var env strings.Builder
			for _, kv := range deadProxy {
				name, value, _ := strings.Cut(kv, "=")
				fmt.Fprintf(&env, "  %s: %q\n", name, value)
			}
			file := jobFile(t, fmt.Sprintf("name: proxy\ncommand: %s remote_op.py\nfiles: [%s]\nendpoints: %s\nstrategy: none\nenv:\n%s"+
				"recovery: {user-failures: 0}\nroles:\n  chief: {memory: 1GiB}\n  worker: {memory: 1GiB}\n", python(t), program("remote_op.py"), endpoints, env.String()))
			r := tfos(t, deadProxy, "run", "--master", "local", file).want(t, 0)
			if !strings.Contains(r.stdout, "remote says 42") {
				t.Errorf("it printed:\n%s", r.stdout)
			}
		})
	}
}
