//go:build e2e && pages

package e2e

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"tfos/internal/status"
)

// TestPagesTensorBoard looks at the TensorBoard of a job, through the cluster's own web proxy: by
// way of the job's page, at a chart with the job's points.
func TestPagesTensorBoard(t *testing.T) {
	c := hadoop(t)
	for name, keys := range map[string]string{
		"program": "tensorboard: program\n",
		"task":    "tensorboard: true\ncheckpoint: {local: true, dir: hdfs:///models/board}\n",
	} {
		t.Run(name, func(t *testing.T) { looksAtTheBoard(t, c, name, keys) })
	}
}

func looksAtTheBoard(t *testing.T, c *cluster, name, keys string) {
	python := filepath.Join(root, "build", "venv-tensorboard", "bin", "python")
	id := strings.TrimSpace(tfos(t, c.env, "submit", jobFile(t, `
name: board
command: exec `+python+" "+program("board.py")+`
env: {PYTHON: `+python+`}
roles: {worker: {memory: 1GiB}}
`+keys)).want(t, 0).stdout)
	var v status.View
	eventually(t, "TensorBoard to answer", func() bool {
		if v = jobStatus(t, c.env, id); v.TensorBoard == "" {
			return false
		}
		r, err := http.Get(strings.Split(v.TensorBoard, "?")[0] + "data/plugin/scalars/tags")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		return err == nil && strings.Contains(string(b), `"loss"`)
	})
	b := chromium(t)
	b.run(chromedp.Navigate(c.rmWeb(t) + "/proxy/" + id)) // without the slash at the end
	b.sees("a link to TensorBoard", `document.querySelector('#board:not([hidden]) a') !== null`)
	b.run(chromedp.Navigate(ask[string](b, `document.querySelector('#board a').href`)))
	b.sees("the loss of twenty steps, in a chart", `/loss/.test(document.body.innerText) && [...document.querySelectorAll('line-chart text')].some(t => +t.textContent >= 15)`)
	b.shoot("tensorboard-" + name)
	tfos(t, c.env, "kill", id).want(t, 0)
	gone(t, id)
}
