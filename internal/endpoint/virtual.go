package endpoint

import (
	"fmt"
	"net/netip"
	"slices"

	"tfos/internal/job"
)

// Virtual addresses are loopback ones with a port below 1024. A program that the library does not
// reach is then refused: its connections by its own machine, its bind for want of privilege. No
// service is registered for this port.
const (
	virtualPort  = 4
	firstRole    = 100 // second byte of the first role's addresses
	maxRoles     = 100
	maxInstances = 1 << 16
	probeRole    = firstRole + maxRoles // for the test of the library itself
)

// Virtual is the address by which every process knows a task under Redirect. It follows from the
// task's name and the job's roles in the order of the job file, so that it is the same everywhere
// and no change of a role's size moves it: the first role's tasks are 127.100.0.0:4, 127.100.0.1:4
// and so on, the second's 127.101.0.0:4.
func Virtual(roles []string, t job.Task) (netip.AddrPort, error) {
	role := slices.Index(roles, t.Role)
	switch {
	case role < 0:
		return netip.AddrPort{}, fmt.Errorf("%s has no virtual address: the job's roles are %v", t, roles)
	case role >= maxRoles:
		return netip.AddrPort{}, fmt.Errorf("%s has no virtual address: only the first %d roles have", t, maxRoles)
	case t.Index < 0 || t.Index >= maxInstances:
		return netip.AddrPort{}, fmt.Errorf("%s has no virtual address: a role has them for %d tasks", t, maxInstances)
	}
	return virtual(firstRole+role, t.Index), nil
}

func virtual(role, index int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(role), byte(index >> 8), byte(index)}), virtualPort)
}
