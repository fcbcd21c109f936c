//go:build hadoop

package yarntest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestHadoop(t *testing.T) {
	c := Cluster{
		Client: strings.Split(os.Getenv("RM"), ","), Scheduler: strings.Split(os.Getenv("SCHED"), ","),
		User: "root", Queue: "default", Dir: t.TempDir(), Custom: os.Getenv("CUSTOM"), Protection: []string{os.Getenv("PROT")},
	}
	if cmd := os.Getenv("RESTART"); cmd != "" {
		c.Restart = func(t *testing.T) {
			if out, err := exec.Command("bash", "-c", cmd).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", cmd, err, out)
			}
		}
	}
	Run(t, c)
}
