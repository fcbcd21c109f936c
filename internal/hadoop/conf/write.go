package conf

import (
	"bytes"
	"encoding/xml"
	"strings"
)

// EncodeXML writes what differs from the defaults as a *-site.xml, with ${…} replaced, so that
// another process on another machine reads the same values. Passwords and the like are left out:
// tfos needs none of them.
func (c *Conf) EncodeXML() []byte {
	var b bytes.Buffer
	b.WriteString(xml.Header + "<configuration>\n")
	for _, key := range c.Keys() {
		if c.IsDefault(key) || sensitive(key) {
			continue
		}
		b.WriteString("  <property><name>")
		_ = xml.EscapeText(&b, []byte(key)) // a buffer's Write does not fail
		b.WriteString("</name><value>")
		_ = xml.EscapeText(&b, []byte(c.String(key)))
		b.WriteString("</value></property>\n")
	}
	b.WriteString("</configuration>\n")
	return b.Bytes()
}

// sensitive tells by its name whether a key's value is a secret (compare
// hadoop.security.sensitive-config-keys).
func sensitive(key string) bool {
	k := strings.ToLower(key)
	for _, word := range []string{"secret", "password", "access.key", "account.key", "credential", "oauth", "session.token", "encryption.key"} {
		if strings.Contains(k, word) {
			return true
		}
	}
	return strings.HasSuffix(k, ".pass") || strings.HasSuffix(k, "keypassword")
}
