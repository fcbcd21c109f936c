//go:build e2e && pages

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"golang.org/x/sys/unix"

	"tfos/internal/hadoop/conf"
	"tfos/internal/hadoop/token"
	"tfos/internal/status"
	"tfos/internal/yarn"
	"tfos/internal/yarn/yarnrpc"
)

// browser is a Chromium that looks at one page, and what went wrong in it.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string // guarded by mu
}

// chromium starts a browser. Debian's package has it: `make pages`.
func chromium(t *testing.T) *browser {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 900),
		chromedp.Flag("no-proxy-server", true), chromedp.WSURLReadTimeout(patience))
	ctx, cancel := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Error(err)
		}
		cancel()
	})
	b := &browser{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, cdplog.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	return b
}

// hear notes everything that a person would find in the console, but for answers that the network
// did not bring: those the page has to live with, while a master is replaced say.
func (b *browser) hear(event any) {
	problem := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		problem = fmt.Sprintf("%s (line %d): %+v", e.ExceptionDetails.Text, e.ExceptionDetails.LineNumber, e.ExceptionDetails.Exception)
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" {
			problem = fmt.Sprint("console: ", e.Args)
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError && e.Entry.Source != cdplog.EntrySourceNetwork {
			problem = fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	}
	if problem != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.problems = append(b.problems, problem)
	}
}

// run carries an action out in the page.
func (b *browser) run(action chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	in(b, action)
}

// in is what an action in the page brings.
func in[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// ask evaluates an expression in the page.
func ask[T any](b *browser, expression string) T {
	b.t.Helper()
	return in(b, chromedp.Evaluate[T](expression))
}

// sees waits until an expression is true in the page.
func (b *browser) sees(what, expression string) {
	b.t.Helper()
	for began := time.Now(); !ask[bool](b, expression); time.Sleep(100 * time.Millisecond) {
		if time.Since(began) > patience/2 {
			b.shoot("in-vain")
			b.t.Fatalf("the page does not come to show %s:\n%s", what, b.text())
		}
	}
}

func (b *browser) text() string { return ask[string](b, `document.body.innerText`) }

// shoot keeps a picture of the page in build/pages.
func (b *browser) shoot(name string) {
	b.t.Helper()
	png := in(b, chromedp.FullScreenshot(100))
	dir := filepath.Join(root, "build", "pages")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// clean fails the test if something went wrong in the page, or something foreign ran in it.
func (b *browser) clean() {
	b.t.Helper()
	b.mu.Lock()
	for _, p := range b.problems {
		b.t.Errorf("in the browser: %s", p)
	}
	b.problems = nil
	b.mu.Unlock()
	if ask[bool](b, `'pwned' in window || document.querySelector('main img, main script, header img') !== null`) {
		b.t.Error("something that a job printed became markup")
	}
}

// phone makes the window as narrow as a phone's, and looks whether the page fits.
func (b *browser) phone(name string) {
	b.t.Helper()
	b.run(chromedp.EmulateViewport(390, 844))
	if over := ask[float64](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
		b.t.Errorf("on a phone the page is %v pixels too wide", over)
	}
	b.shoot(name)
	b.run(chromedp.EmulateViewport(1280, 900))
}

// scheme makes the page dark or light.
func (b *browser) scheme(dark string) {
	b.t.Helper()
	p := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: dark}}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, p); err != nil {
		b.t.Fatal(err)
	}
}

// hostile is what a program may print that wants to be markup.
const hostile = `<img src=x onerror=window.pwned=1><script>window.pwned=1</script></pre>`

// watched is a job that somebody looks at: its workers train until a file says that they shall
// fail.
const watched = `name: "watched <b>job</b>"
roles:
  worker:
    instances: 2
    memory: 256MiB
    command: |
      echo '%[2]s'
      for i in $(seq 1 100000); do
        [ -e %[1]s ] && { echo '%[2]s' >&2; exit 3; }
        echo "step $i/2000 - loss: 0.$((1000 - i %% 900))"
        sleep 0.2
      done
  ps: {instances: 1, memory: 256MiB, command: "exec sleep 100000"}
recovery: {user-failures: 1}
`

// TestPagesOfAJob looks at a job through the cluster's own web proxy: while it trains, recovers
// from a killed worker, fails and has ended.
func TestPagesOfAJob(t *testing.T) {
	c := hadoop(t)
	fail := filepath.Join(t.TempDir(), "fail")
	c = c.withHistory(t)
	id := strings.TrimSpace(tfos(t, c.env, "submit", jobFile(t, fmt.Sprintf(watched, fail, hostile))).want(t, 0).stdout)
	var v status.View
	eventually(t, "the workers to train", func() bool {
		v = jobStatus(t, c.env, id)
		return len(v.Tasks) == 3 && v.Tasks[0].Step > 0 && v.Tasks[1].Step > 0
	})
	if !strings.Contains(v.TrackingURL, "/proxy/"+id) {
		t.Errorf("tracking URL %q is not the proxy's", v.TrackingURL)
	}

	b := chromium(t)
	proxy := c.rmWeb(t) + "/proxy/" + id
	b.run(chromedp.Navigate(proxy)) // without the slash at the end
	b.sees("the workers training", `[...document.querySelectorAll('#rows tbody tr')].filter(r => /worker\/\d/.test(r.innerText) && /running/.test(r.innerText) && /\d+ \/ 2000/.test(r.innerText)).length === 2`)
	b.sees("a curve", `document.querySelector('#curve polyline.step') !== null`)
	b.sees("the rate of the steps", `/\d/.test(document.querySelector('#rows tbody tr:nth-child(2) td:nth-child(6)').innerText)`)
	b.sees("the loss, memory and processors", `[5, 6, 7, 8, 9].every(n => /\d/.test(document.querySelector('#rows tbody tr:nth-child(2)').children[n - 1].innerText))`)
	b.sees("the timeline", `document.querySelectorAll('#spans rect.running').length >= 3`)
	if spec := ask[string](b, `document.getElementById('spec').textContent`); !strings.Contains(spec, v.Tasks[0].Address) {
		t.Errorf("cluster_spec: %s", spec)
	}
	b.clean()

	// A log, by the keyboard.
	b.run(chromedp.Focus(chromedp.CSS(`button[data-task="worker/1"]`)))
	b.run(chromedp.KeyEvent("\r"))
	b.sees("the log of worker/1", `document.getElementById('log-text').textContent.includes('<img src=x') && document.getElementById('log-text').textContent.includes('step 3/2000')`)
	b.shoot("training")
	b.scheme("dark")
	b.shoot("training-dark")
	b.scheme("light")
	b.phone("training-phone")
	b.run(chromedp.KeyEvent("\u001b"))
	b.sees("no log any more", `document.getElementById('log').hidden`)
	b.clean()

	if err := unix.Kill(v.Tasks[1].PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	b.sees("that a worker was replaced", `/worker\/1/.test(document.getElementById('failed').innerText)`)
	b.sees("the gap in its timeline", `document.querySelector('#spans rect.gap') !== null`)
	b.sees("that it trains again", `[...document.querySelectorAll('#rows tbody tr')].some(r => /worker\/1/.test(r.innerText) && /running/.test(r.innerText) && r.children[3].innerText === '2')`)
	b.shoot("recovered")
	b.clean()

	notThroughTheProxy(t, c, id)

	if err := os.WriteFile(fail, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the job to fail", func() bool { return jobStatus(t, c.env, id).State == status.Failed })
	b.sees("that the job has ended, or that there is no news", `/failed/.test(document.getElementById('state').innerText) || document.getElementById('link').innerText !== ''`)
	b.shoot("ended")
	b.clean()

	// YARN sends the browser to the page that was left.
	gone(t, id)
	b.run(chromedp.Navigate(proxy))
	b.sees("the page that was left", `/failed/.test(document.getElementById('state')?.innerText) && document.getElementById('document') !== null`)
	if at := ask[string](b, `location.pathname`); at != "/"+id+"/" {
		t.Errorf("the browser ended at %s", at)
	}
	b.sees("both failures with their causes", `/SIGKILL/.test(document.getElementById('failed').innerText) && document.getElementById('failed').innerText.includes('<img src=x')`)
	b.sees("the curve with the loss", `document.querySelector('#curve polyline.loss') !== null`)
	b.sees("the last lines of the failure, unasked", `document.getElementById('last').innerText.includes('<img src=x')`)
	b.shoot("history")
	b.phone("history-phone")
	b.clean()
	b.run(chromedp.Navigate(ask[string](b, `location.origin`)))
	b.sees("the list of jobs", fmt.Sprintf(`[...document.querySelectorAll('tbody tr')].some(r => r.innerText.includes(%q) && /failed/.test(r.innerText) && r.innerText.includes('<b>job</b>'))`, id))
	b.shoot("history-list")
	b.clean()
}

// withHistory is the cluster for somebody whose configuration names a server of ended jobs' pages,
// which runs.
func (c *cluster) withHistory(t *testing.T) *cluster {
	t.Helper()
	serve := exec.CommandContext(t.Context(), filepath.Join(root, "bin", "tfos"), "history", "serve", "--listen", "127.0.0.1:0")
	serve.Env = append(cleanEnv(), c.env...)
	serve.Cancel = func() error { return serve.Process.Signal(os.Interrupt) }
	out, err := serve.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = serve.Wait() }) // by the interrupt
	line, err := bufio.NewReader(out).ReadString('\n')
	address := regexp.MustCompile(`http://\S+`).FindString(line)
	if err != nil || address == "" {
		t.Fatalf("tfos history serve: %v, %q", err, line)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(c.conf)); err != nil {
		t.Fatal(err)
	}
	site := filepath.Join(dir, "yarn-site.xml")
	b, err := os.ReadFile(site)
	if err != nil {
		t.Fatal(err)
	}
	property := "<property><name>tfos.history.url</name><value>" + address + "</value></property></configuration>"
	if err := os.WriteFile(site, []byte(strings.Replace(string(b), "</configuration>", property, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	return &cluster{name: c.name, conf: dir, env: []string{"HADOOP_CONF_DIR=" + dir, "HADOOP_USER_NAME=root"}, rm: c.rmWeb(t)}
}

// notThroughTheProxy: who opens the master's port directly is sent to the proxy.
func notThroughTheProxy(t *testing.T, c *cluster, id string) {
	t.Helper()
	direct := c.originalURL(t, id)
	stranger := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.77.0.1")}}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: stranger.DialContext},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, path := range []string{"", "data", "logs?task=worker/0&stream=stdout&offset=0"} {
		r, err := client.Get(direct + path)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if want := c.rmWeb(t) + "/proxy/redirect/" + id + "/" + path; r.StatusCode != http.StatusFound || r.Header.Get("Location") != want {
			t.Errorf("GET %s%s: %d to %q, want %q", direct, path, r.StatusCode, r.Header.Get("Location"), want)
		}
	}
}

// originalURL is where the proxy finds an application's page.
func (c *cluster) originalURL(t *testing.T, id string) string {
	t.Helper()
	k, err := conf.Load([]string{c.conf}, os.ReadFile, conf.Environment{Env: os.LookupEnv})
	if err != nil {
		t.Fatal(err)
	}
	o, err := yarnrpc.ClientOptions(k)
	if err != nil {
		t.Fatal(err)
	}
	o.User = "root"
	rm := yarnrpc.NewClient(o, func() (token.Token, bool) { return token.Token{}, false })
	defer rm.Close()
	app, err := yarn.ParseApplicationID(id)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rm.Report(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	return r.OriginalURL
}
