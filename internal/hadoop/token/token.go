// Package token holds Hadoop's tokens and the credentials file that carries them.
//
// It reads and writes bytes and looks into no token: an identifier is meaningful to the service
// that issued it alone.
package token

import "errors"

// The kinds that tfos meets, as the services that issue them name them.
const (
	KindAMRM    = "YARN_AM_RM_TOKEN"
	KindNM      = "NMToken"
	KindHDFS    = "HDFS_DELEGATION_TOKEN"
	KindRM      = "RM_DELEGATION_TOKEN"
	KindBlock   = "HDFS_BLOCK_TOKEN"
	KindContain = "ContainerToken"
)

// Token is what a Hadoop service accepts in place of a Kerberos ticket: an identifier that says
// who, and the password that the service derived from it. The password never prints.
type Token struct {
	Kind       string
	Service    string // "ip:port", or "ha-hdfs:<nameservice>"; empty in an AMRMToken
	Identifier []byte
	Password   Secret
}

// IsZero reports whether t is no token at all.
func (t Token) IsZero() bool { return t.Kind == "" && len(t.Identifier) == 0 }

// Secret is bytes that no log, error or %v shows.
type Secret []byte

// String hides the secret.
func (Secret) String() string { return "[secret]" }

// GoString hides the secret from %#v.
func (Secret) GoString() string { return "[secret]" }

// MarshalText hides the secret from JSON and its kin.
func (Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// UnmarshalText refuses: what MarshalText wrote is no secret.
func (*Secret) UnmarshalText([]byte) error { return errors.New("a secret does not travel as text") }
