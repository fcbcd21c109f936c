package agent

import (
	"cmp"
	"net"
	"strings"

	"tfos/internal/clusterspec"
)

// Names of the variables that list what a program reaches without a proxy. TensorFlow's gRPC takes
// no_grpc_proxy if there is one, and no_proxy otherwise; Python and curl look for either spelling.
const (
	noProxy      = "no_proxy"
	noProxyUpper = "NO_PROXY"
	noGRPCProxy  = "no_grpc_proxy"
)

// loopbackNet stands for all addresses of redirect, those of tasks yet to come too, with whoever
// understands it. gRPC in TensorFlow before 2.16 compares ends of names.
const loopbackNet = "127.0.0.0/8"

// maxNoProxy bounds a list, in bytes: the kernel takes no variable of more than 128 KiB.
const maxNoProxy = 100 << 10

// withoutProxy has a program reach its peers without a proxy: no proxy knows the addresses that we
// make up. What a list holds already stays. The variables are set even where the environment names
// no proxy, for a command may read that from a file.
func withoutProxy(env map[string]string, s clusterspec.Spec) {
	hosts, known := []string{loopbackNet}, make(map[string]bool)
	for _, m := range s.Members {
		if host, _, err := net.SplitHostPort(m.Address); err == nil && !known[host] {
			known[host] = true
			hosts = append(hosts, host)
		}
	}
	lower := cmp.Or(env[noProxy], env[noProxyUpper])
	upper := cmp.Or(env[noProxyUpper], lower)
	if grpc := env[noGRPCProxy]; grpc != "" || everything(lower) { // gRPC does not know that word
		env[noGRPCProxy] = exempt(grpc, hosts)
	}
	env[noProxy], env[noProxyUpper] = exempt(lower, hosts), exempt(upper, hosts)
}

// everything reports whether a list is the word that stands for all hosts, which it does alone
// only.
func everything(list string) bool { return strings.TrimSpace(list) == "*" }

// exempt adds to a list what it lacks of hosts.
func exempt(list string, hosts []string) string {
	if everything(list) {
		return list
	}
	there := make(map[string]bool)
	for host := range strings.SplitSeq(list, ",") {
		there[strings.TrimSpace(host)] = true
	}
	var b strings.Builder
	b.WriteString(list)
	for _, host := range hosts {
		if there[host] || b.Len()+len(host) >= maxNoProxy {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(host)
	}
	return b.String()
}
