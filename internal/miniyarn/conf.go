package miniyarn

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"

	"tfos/internal/hadoop/token"
	"tfos/internal/yarn/yarnrpc"
)

// property is an entry of Hadoop's configuration files.
type property struct {
	Name  string `xml:"name"`
	Value string `xml:"value"`
}

// TokenFile is where WriteConf puts the token that the ResourceManager wants from clients, as
// Hadoop credentials.
const TokenFile = "credentials"

// WriteConf writes core-site.xml and yarn-site.xml of the running cluster into dir, which it makes:
// a configuration directory by which any Hadoop client of user finds it, and is let in. The default
// filesystem is the local one. Nobody but the owner of this process can read any of it.
func (c *Cluster) WriteConf(dir, user string) error {
	if err := c.writeConf(dir, user); err != nil {
		return fmt.Errorf("write the configuration of the embedded YARN: %w", err)
	}
	return nil
}

func (c *Cluster) writeConf(dir, user string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	creds, t := new(token.Credentials), c.Token(user)
	creds.Add(t.Service, t)
	tokens := filepath.Join(dir, TokenFile)
	nodes := ""
	if c.apart {
		nodes = loopback
	}
	if err := os.WriteFile(tokens, creds.Encode(), 0o600); err != nil {
		return err
	}
	for name, properties := range map[string][]property{
		"core-site.xml": {
			{"fs.defaultFS", "file:///"},
			{"hadoop.security.authentication", "simple"},
			{"hadoop.token.files", tokens},
		},
		"yarn-site.xml": {
			{"yarn.resourcemanager.address", c.Addr()},
			{"yarn.resourcemanager.scheduler.address", c.SchedulerAddr()},
			{"yarn.resourcemanager.am.max-attempts", fmt.Sprint(c.maxAttempts)},
			{"yarn.nodemanager.log-dirs", c.at.logs},
			{"yarn.nodemanager.vmem-check-enabled", "false"},
			{"yarn.log-aggregation-enable", "false"},
			{yarnrpc.NodesAt, nodes},
		},
	} {
		if err := writeSite(filepath.Join(dir, name), properties); err != nil {
			return err
		}
	}
	return nil
}

func writeSite(name string, properties []property) error {
	b, err := xml.MarshalIndent(struct {
		XMLName    xml.Name   `xml:"configuration"`
		Properties []property `xml:"property"`
	}{Properties: properties}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append([]byte(xml.Header), append(b, '\n')...), 0o600)
}
