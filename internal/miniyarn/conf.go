package miniyarn

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
)

// property is an entry of Hadoop's configuration files.
type property struct {
	Name  string `xml:"name"`
	Value string `xml:"value"`
}

// WriteConf writes core-site.xml and yarn-site.xml of the running cluster into dir, which it makes: a configuration directory
// by which any Hadoop client finds it. The default filesystem is the local one.
func (c *Cluster) WriteConf(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write the configuration of the embedded YARN: %w", err)
	}
	for name, properties := range map[string][]property{
		"core-site.xml": {
			{"fs.defaultFS", "file:///"},
			{"hadoop.security.authentication", "simple"},
		},
		"yarn-site.xml": {
			{"yarn.resourcemanager.address", c.Addr()},
			{"yarn.resourcemanager.scheduler.address", c.SchedulerAddr()},
			{"yarn.resourcemanager.am.max-attempts", fmt.Sprint(c.maxAttempts)},
			{"yarn.nodemanager.log-dirs", c.at.logs},
			{"yarn.log-aggregation-enable", "false"},
		},
	} {
		if err := writeSite(filepath.Join(dir, name), properties); err != nil {
			return fmt.Errorf("write the configuration of the embedded YARN: %w", err)
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
	return os.WriteFile(name, append([]byte(xml.Header), append(b, '\n')...), 0o644)
}
