package listen

import "net"

// Address is how others reach what listens at a here: by the name that they know this host by.
func Address(host string, a net.Addr) (string, error) {
	_, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(host, port), nil
}
