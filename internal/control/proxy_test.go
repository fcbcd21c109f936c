package control_test

import (
	"os"
	"testing"
)

// TestMain runs every test of the package where a proxy is set, and hosts have names: no connection
// may go through it. gRPC reads the variables once, so that they have to be there from the start.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "grpc_proxy"} {
		os.Setenv(name, "http://proxy.invalid:9")
	}
	for _, name := range []string{"NO_PROXY", "no_proxy", "no_grpc_proxy"} {
		os.Unsetenv(name)
	}
	if text, ok := os.LookupEnv(envAgents); ok {
		os.Exit(agents(text))
	}
	os.Exit(m.Run())
}
