//go:build e2e && bench

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBenchFollowers counts what a hundred clients that follow one job ask of the ResourceManager.
// How that falls with the hours is in internal/client, where hours pass quickly.
func TestBenchFollowers(t *testing.T) {
	const followers, during = 100, time.Minute
	c := hadoop(t)
	id := strings.TrimSpace(tfos(t, c.env, "submit", jobFile(t, serving)).want(t, 0).stdout)
	defer tfos(t, c.env, "kill", id)
	first := make(chan error, followers)
	for range followers {
		cmd := exec.CommandContext(t.Context(), filepath.Join(root, "bin", "tfos"), "attach", id)
		cmd.Env = append(cleanEnv(), c.env...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := out.Read(make([]byte, 1))
			first <- err
			_, _ = io.Copy(io.Discard, out)
			_ = cmd.Wait()
		}()
	}
	for range followers {
		if err := <-first; err != nil {
			t.Fatal(err)
		}
	}
	for part := range 3 {
		before, began := c.reports(t), time.Now()
		time.Sleep(during)
		fmt.Printf("%d clients follow a job, minute %d: %.1f application reports a second\n", followers, part+1, float64(c.reports(t)-before)/time.Since(began).Seconds())
	}
}

// reports is how many application reports the ResourceManager has given so far.
func (c *cluster) reports(t *testing.T) int64 {
	t.Helper()
	resp, err := http.Get(c.rmWeb(t) + "/jmx?qry=Hadoop:service=ResourceManager,name=RpcDetailedActivityForPort*")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Beans []struct{ GetApplicationReportNumOps int64 }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for _, bean := range answer.Beans {
		n += bean.GetApplicationReportNumOps
	}
	return n
}
