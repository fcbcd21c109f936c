// Package sasl is DIGEST-MD5 (RFC 2831), both sides, as Hadoop uses it to check tokens and protect
// what follows.
//
// It takes challenges and responses as bytes and returns bytes; sending them, choosing the token
// and drawing nonces is the caller's. A Client, a Server and a Protector belong to one connection
// and are not safe for concurrent use, except that a Protector's Wrap and Unwrap may run beside
// each other.
package sasl

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Mechanism is the name SASL knows this package's one mechanism by.
const Mechanism = "DIGEST-MD5"

// ErrAuthentication is any refusal: a wrong password, a proof that does not fit, a malformed
// message.
var ErrAuthentication = errors.New("authentication failed")

// A QOP says what protects the bytes after authentication. Stronger is greater.
type QOP int

// The qualities of protection.
const (
	Auth     QOP = iota + 1 // nothing
	AuthInt                 // integrity
	AuthConf                // integrity and privacy
)

var qopNames = map[QOP]string{Auth: "auth", AuthInt: "auth-int", AuthConf: "auth-conf"}

// String is the name RFC 2831 gives it.
func (q QOP) String() string { return qopNames[q] }

var protections = map[string]QOP{"authentication": Auth, "integrity": AuthInt, "privacy": AuthConf}

// ParseProtection understands the values of hadoop.rpc.protection: authentication, integrity,
// privacy. None means authentication. The result is ordered from the strongest down.
func ParseProtection(values []string) ([]QOP, error) {
	if len(values) == 0 {
		return []QOP{Auth}, nil
	}
	var qops []QOP
	for _, v := range values {
		q, ok := protections[strings.ToLower(strings.TrimSpace(v))]
		if !ok {
			return nil, fmt.Errorf("hadoop.rpc.protection %q: want authentication, integrity or privacy", v)
		}
		if !slices.Contains(qops, q) {
			qops = append(qops, q)
		}
	}
	slices.SortFunc(qops, func(a, b QOP) int { return int(b - a) })
	return qops, nil
}

// parseQOPs reads a challenge's list. Names that are not ours are left out, as the RFC wants.
func parseQOPs(list string) []QOP {
	if list == "" {
		return []QOP{Auth}
	}
	var qops []QOP
	for name := range strings.SplitSeq(list, ",") {
		for q, known := range qopNames { // any order: no two have one name
			if known == strings.TrimSpace(name) {
				qops = append(qops, q)
			}
		}
	}
	return qops
}

func joinQOPs(qops []QOP) string {
	names := make([]string, len(qops))
	for i, q := range qops {
		names[i] = q.String()
	}
	return strings.Join(names, ",")
}
