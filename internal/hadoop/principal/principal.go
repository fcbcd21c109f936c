// Package principal makes of a user's full name, jane@EXAMPLE.COM or jane/host@EXAMPLE.COM, the
// short one that Hadoop's daemons know them by: owner of files, home directory, queue. It is that
// of org.apache.hadoop.security.authentication.util.KerberosName.
package principal

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// simple are the rules of a cluster without Kerberos that configures none
// (HadoopKerberosName#setConfiguration).
const simple = "RULE:[1:$1] RULE:[2:$1]"

// full is a name taken apart: service, host, realm.
var full = regexp.MustCompile(`^([^/@]+)(?:/([^/@]+))?(?:@([^/@]+))?$`)

// rule is one rule of hadoop.security.auth_to_local: RULE:[2:$1@$0](regular
// expression)s/from/to/g/L, or DEFAULT.
var rule = regexp.MustCompile(`^\s*(?:(DEFAULT)|RULE:\[(\d*):([^\]]*)\](?:\(([^)]*)\))?(?:s/([^/]*)/([^/]*)/(g)?)?/?(L)?)`)

// parameter is what a rule's format is filled with.
var parameter = regexp.MustCompile(`\$(\d)`)

// Short is the short name by the rules, hadoop.security.auth_to_local, on a cluster without
// Kerberos. mit says that hadoop.security.auth_to_local.mechanism is MIT: a name that no rule fits
// is its own then.
func Short(name, rules string, mit bool) (string, error) {
	parts := full.FindStringSubmatch(name)
	switch {
	case parts == nil && strings.Contains(name, "@"):
		return "", fmt.Errorf("%q is no name of a user: want NAME, NAME@REALM or NAME/HOST@REALM", name)
	case parts == nil:
		return name, nil
	case parts[2] == "" && parts[3] == "" && !mit:
		return name, nil
	}
	if strings.TrimSpace(rules) == "" {
		rules = simple
	}
	params := []string{parts[3], parts[1]}
	if parts[2] != "" {
		params = append(params, parts[2])
	}
	for rest := rules; strings.TrimSpace(rest) != ""; {
		at := rule.FindStringSubmatch(rest)
		if at == nil {
			return "", fmt.Errorf("hadoop.security.auth_to_local: %q is no rule", strings.TrimSpace(rest))
		}
		rest = rest[len(at[0]):]
		short, fits, err := apply(at, params)
		if err != nil {
			return "", fmt.Errorf("hadoop.security.auth_to_local: %w", err)
		}
		if fits && !mit && strings.ContainsAny(short, "/@") {
			return "", fmt.Errorf("hadoop.security.auth_to_local makes %q of the user %q, which is no short name", short, name)
		}
		if fits {
			return short, nil
		}
	}
	if mit {
		return name, nil
	}
	return "", fmt.Errorf("no rule of hadoop.security.auth_to_local, %q, fits the user %q", rules, name)
}

// apply applies a rule, matched by rule, to realm, service and host. DEFAULT is for the realm of
// krb5.conf, which a cluster without Kerberos has none of.
func apply(at, params []string) (short string, fits bool, err error) {
	if at[1] != "" {
		return "", false, nil
	}
	if n, err := strconv.Atoi(at[2]); err != nil || n != len(params)-1 {
		return "", false, nil
	}
	base := parameter.ReplaceAllStringFunc(at[3], func(s string) string {
		n := int(s[1] - '0')
		if n >= len(params) {
			err = fmt.Errorf("[%s:%s] wants part %d of a name", at[2], at[3], n)
			return ""
		}
		return params[n]
	})
	if err != nil {
		return "", false, err
	}
	if at[4] != "" {
		whole, err := regexp.Compile("^(?:" + at[4] + ")$")
		if err != nil || !whole.MatchString(base) {
			return "", false, err
		}
	}
	if at[5] != "" {
		from, err := regexp.Compile(at[5])
		if err != nil {
			return "", false, err
		}
		first := true
		base = from.ReplaceAllStringFunc(base, func(s string) string {
			if !first && at[7] == "" {
				return s
			}
			first = false
			return from.ReplaceAllString(s, strings.ReplaceAll(at[6], "$", "$$"))
		})
	}
	if at[8] != "" {
		base = strings.ToLower(base)
	}
	return base, true, nil
}
