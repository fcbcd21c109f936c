//go:build hadoop

package yarntest

import (
	"os"
	"strings"
	"testing"
)

func TestHadoop(t *testing.T) {
	Run(t, Cluster{
		Client: strings.Split(os.Getenv("RM"), ","), Scheduler: strings.Split(os.Getenv("SCHED"), ","),
		User: "root", Queue: "default", Dir: t.TempDir(),
	})
}
