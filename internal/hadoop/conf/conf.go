// Package conf reads Hadoop's configuration: *-site.xml resources in order, with final values, ${…}
// and overrides.
//
// It keeps the rules of org.apache.hadoop.conf.Configuration where tfos meets them and knows the
// defaults of the keys that tfos reads, since Hadoop's jars are not there to ask. It opens nothing
// by itself: resources are bytes, or come through an open function, and what the environment says
// is given. A Conf is not changed by reading it, so readers may share it.
package conf

import (
	"fmt"
	"slices"
	"strings"
)

// Conf is a configuration. New makes one; later resources win over earlier ones.
type Conf struct {
	values map[string]value // by the canonical key
	env    func(name string) (string, bool)
	system map[string]string
}

// value is what a key has, and from where.
type value struct {
	text   string // as it stands in the file, with its ${…}
	source string // "/etc/hadoop/core-site.xml:12", "default", "-D"
	final  bool
}

// Environment is what ${…} can reach besides the configuration itself.
type Environment struct {
	Env    func(name string) (string, bool) // for ${env.NAME}; nil: no variable is set
	System map[string]string                // Java's system properties: "user.name", "java.io.tmpdir"
}

// New returns a configuration that holds the defaults alone.
func New(e Environment) *Conf {
	c := &Conf{values: map[string]value{}, env: e.Env, system: e.System}
	if c.env == nil {
		c.env = func(string) (string, bool) { return "", false }
	}
	for k, v := range defaults {
		c.values[k] = value{text: v, source: sourceDefault}
	}
	return c
}

// Sources that are no file.
const (
	sourceDefault  = "default"
	sourceOverride = "-D"
)

// AddResource reads a *-site.xml. The name stands in error messages. A value that an earlier
// property made final stays, and so does one that Set was given. Open is called with the href of an
// xi:include as it stands; nil fails like a file that is not there.
func (c *Conf) AddResource(name string, data []byte, open func(href string) ([]byte, error)) error {
	props, err := parse(name, data, open)
	if err != nil {
		return err
	}
	for _, p := range props {
		key := canonical(p.name)
		if old := c.values[key]; old.final || old.source == sourceOverride {
			continue
		}
		c.values[key] = value{text: p.value, source: p.source, final: p.final}
	}
	return nil
}

// Set gives a key a value that wins over every resource, final ones included, as -D does.
func (c *Conf) Set(key, text string) {
	c.values[canonical(key)] = value{text: text, source: sourceOverride}
}

// SetOverrides sets what -D flags say: key=value each.
func (c *Conf) SetOverrides(pairs []string) error {
	for _, p := range pairs {
		k, v, ok := strings.Cut(p, "=")
		if !ok || strings.TrimSpace(k) == "" {
			return fmt.Errorf("-D %s: want key=value", p)
		}
		c.Set(strings.TrimSpace(k), v)
	}
	return nil
}

// Has tells whether a key has a value, be it the default.
func (c *Conf) Has(key string) bool {
	_, ok := c.values[canonical(key)]
	return ok
}

// IsDefault tells whether no resource and no override gives the key a value.
func (c *Conf) IsDefault(key string) bool {
	v, ok := c.values[canonical(key)]
	return !ok || v.source == sourceDefault
}

// Source tells where a key's value stands: "/etc/hadoop/core-site.xml:12", "default", "-D"; empty
// if it has none.
func (c *Conf) Source(key string) string { return c.values[canonical(key)].source }

// Keys returns all keys with a value, sorted.
func (c *Conf) Keys() []string {
	keys := make([]string, 0, len(c.values))
	for k := range c.values {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
