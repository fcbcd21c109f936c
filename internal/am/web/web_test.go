package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"tfos/internal/control"
	"tfos/internal/hadoop/conf"
	"tfos/internal/page"
	"tfos/internal/status"
)

const base = "/proxy/application_1_7"

// world is a server, and how often it asked how the job stands.
type world struct {
	*Server
	asked int
	doc   page.Document
	log   string
	board string
}

func newWorld(p Proxies) *world {
	w := &world{doc: page.Document{Job: status.View{ID: "application_1_7", Tasks: []status.Task{{Role: "worker", Agent: "n1:1"}, {Role: "worker", Index: 1}}}}}
	w.Server = New(Options{
		Proxies: p, Logger: zap.NewNop(), Source: func(context.Context) (page.Document, error) { w.asked++; return w.doc, nil },
		Board:   func() string { return w.board },
		Metrics: func(w http.ResponseWriter, _ *http.Request, d page.Document) { io.WriteString(w, d.Job.ID) },
		ReadLog: func(_ context.Context, _ string, r control.LogsRequest, chunk func(control.LogChunk) error) error {
			at := r.Offset
			if at < 0 {
				at = max(0, int64(len(w.log))+at)
			}
			for part := range slices.Chunk([]byte(w.log)[at:], 1000) {
				if err := chunk(control.LogChunk{Data: part, Offset: at}); err != nil {
					return err
				}
				at += int64(len(part))
			}
			return nil
		},
	})
	g := w.server.Handler.(*gate)
	g.resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
		if host == "gone" {
			return nil, errors.New("no such host")
		}
		return []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::ffff:10.0.0.2")}, nil
	}
	g.works = func(_ context.Context, url string) bool { return strings.HasPrefix(url, "http://rm2") }
	return w
}

func (w *world) get(peer, path string, cookies ...*http.Cookie) *http.Response {
	r := httptest.NewRequest("GET", path, nil)
	r.RemoteAddr = peer
	for _, c := range cookies {
		r.AddCookie(c)
	}
	rec := httptest.NewRecorder()
	w.server.Handler.ServeHTTP(rec, r)
	return rec.Result()
}

func TestOnlyTheProxyIsLetIn(t *testing.T) {
	one := Proxies{Base: base, Scheme: "http", Addresses: []string{"rm:8088"}}
	guarded := one
	guarded.Viewers = []string{"yarn", "ann"}
	scraped := one
	scraped.Viewers, scraped.Scrapers = guarded.Viewers, []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}
	pair := Proxies{Base: base, Scheme: "http", Addresses: []string{"rm1:8088", "rm2:8088"}}
	as := func(user string) []*http.Cookie { return []*http.Cookie{{Name: "proxy-user", Value: user}} }
	for _, c := range []struct {
		name, peer, path string
		p                Proxies
		cookies          []*http.Cookie
		code             int
		location         string
	}{
		{name: "the proxy", peer: "10.0.0.1:5", path: "/", p: one, code: 200},
		{name: "the proxy over IPv6", peer: "[::ffff:10.0.0.2]:5", path: "/data", p: one, code: 200},
		{name: "a stranger", peer: "10.0.0.9:5", path: "/", p: one, code: 302, location: "http://rm:8088/proxy/redirect/application_1_7/"},
		{name: "a stranger's query", peer: "10.0.0.9:5", path: "/logs?task=a/0", p: one, code: 302, location: "http://rm:8088/proxy/redirect/application_1_7/logs?task=a/0"},
		{name: "a stranger with a cookie", peer: "10.0.0.9:5", path: "/", p: guarded, cookies: as("ann"), code: 302, location: "http://rm:8088/proxy/redirect/application_1_7/"},
		{name: "the ResourceManager that works", peer: "10.0.0.9:5", path: "/", p: pair, code: 302, location: "http://rm2:8088/proxy/redirect/application_1_7/"},
		{name: "the owner", peer: "10.0.0.1:5", path: "/", p: guarded, cookies: as("ann"), code: 200},
		{name: "another user", peer: "10.0.0.1:5", path: "/data", p: guarded, cookies: as("bob"), code: 403},
		{name: "nobody", peer: "10.0.0.1:5", path: "/data", p: guarded, code: 403},
		{name: "a proxy that cannot be found", peer: "10.0.0.1:5", path: "/", p: Proxies{Base: base, Scheme: "https", Addresses: []string{"gone:1"}}, code: 302,
			location: "https://gone:1/proxy/redirect/application_1_7/"},
		{name: "who may read metrics", peer: "[::ffff:10.1.0.77]:5", path: "/metrics", p: scraped, code: 200},
		{name: "who may read metrics, at the page", peer: "10.1.0.77:5", path: "/", p: scraped, code: 302, location: "http://rm:8088/proxy/redirect/application_1_7/"},
		{name: "another host at the metrics", peer: "10.1.1.77:5", path: "/metrics", p: scraped, code: 302, location: "http://rm:8088/proxy/redirect/application_1_7/metrics"},
		{name: "metrics through the proxy", peer: "10.0.0.1:5", path: "/metrics", p: one, code: 200},
		{name: "metrics of another's job through the proxy", peer: "10.0.0.1:5", path: "/metrics", p: guarded, cookies: as("dr.who"), code: 403},
		{name: "a wrong path", peer: "10.0.0.1:5", path: "/etc/passwd", p: one, code: 404},
	} {
		r := newWorld(c.p).get(c.peer, c.path, c.cookies...)
		if r.StatusCode != c.code || r.Header.Get("Location") != c.location {
			t.Errorf("%s: %d to %q, want %d to %q", c.name, r.StatusCode, r.Header.Get("Location"), c.code, c.location)
		}
	}
}

func TestProxyURL(t *testing.T) {
	for address, want := range map[string]string{"rm:8088": "https://rm:8088/proxy/application_1_7/", "0.0.0.0:8088": ""} {
		if got := (Proxies{Base: base, Scheme: "https", Addresses: []string{address}}).URL(); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

func TestScrapers(t *testing.T) {
	got, err := ParseScrapers(" 10.0.0.5,fd00::/8\n10.1.0.0/16 ")
	if want := []netip.Prefix{netip.MustParsePrefix("10.0.0.5/32"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("10.1.0.0/16")}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	if _, err := ParseScrapers("prometheus.example"); err == nil || !strings.Contains(err.Error(), "tfos.metrics.scrapers") {
		t.Errorf("a name: %v", err)
	}
}

func TestFindProxies(t *testing.T) {
	for _, c := range []struct {
		name      string
		set       map[string]string
		addresses []string
		scheme    string
		viewers   []string
	}{
		{name: "in the ResourceManager", set: map[string]string{"yarn.resourcemanager.hostname": "rm"}, addresses: []string{"rm:8088"}, scheme: "http"},
		{name: "two ResourceManagers", set: map[string]string{
			"yarn.resourcemanager.ha.enabled": "true", "yarn.resourcemanager.ha.rm-ids": "a,b",
			"yarn.resourcemanager.hostname.a": "one", "yarn.resourcemanager.hostname.b": "two",
		}, addresses: []string{"one:8088", "two:8088"}, scheme: "http"},
		{name: "TLS", set: map[string]string{"yarn.resourcemanager.hostname": "rm", "yarn.http.policy": "HTTPS_ONLY"}, addresses: []string{"rm:8090"}, scheme: "https"},
		{name: "of its own", set: map[string]string{"yarn.web-proxy.address": "proxy:9099"}, addresses: []string{"proxy:9099"}, scheme: "http"},
		{name: "with ACLs", set: map[string]string{"yarn.resourcemanager.hostname": "rm", "yarn.acl.enable": "true", "yarn.admin.acl": "yarn,root admins"},
			addresses: []string{"rm:8088"}, scheme: "http", viewers: []string{"yarn", "root", "ann"}},
		{name: "with ACLs for all", set: map[string]string{"yarn.resourcemanager.hostname": "rm", "yarn.acl.enable": "true", "yarn.admin.acl": "*"},
			addresses: []string{"rm:8088"}, scheme: "http"},
	} {
		k := conf.New(conf.Environment{Env: func(string) (string, bool) { return "", false }})
		for key, value := range c.set {
			k.Set(key, value)
		}
		p, err := FindProxies(k, func(string) string { return base }, "ann")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if p.Base != base || !slices.Equal(p.Addresses, c.addresses) || p.Scheme != c.scheme || !slices.Equal(p.Viewers, c.viewers) {
			t.Errorf("%s: %+v", c.name, p)
		}
	}
}

var rm = Proxies{Base: base, Scheme: "http", Addresses: []string{"rm:8088"}}

// TestDocumentsAreMadeWhenSomebodyLooks, once for all who look at about the same time, and
// forgotten when nobody does any more.
func TestDocumentsAreMadeWhenSomebodyLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(rm)
		w.get("10.0.0.1:5", "/")
		if w.asked != 0 {
			t.Errorf("the page itself had %d documents made", w.asked)
		}
		for range 50 {
			w.get("10.0.0.1:5", "/data")
		}
		if w.asked != 1 {
			t.Errorf("fifty looks at once had %d documents made", w.asked)
		}
		time.Sleep(time.Second)
		w.get("10.0.0.1:5", "/data")
		if w.asked != 2 || w.now == nil {
			t.Errorf("after a second: %d documents made, kept %v", w.asked, w.now != nil)
		}
		time.Sleep(2 * keptFor)
		synctest.Wait()
		if w.now != nil {
			t.Error("a document is kept that nobody looks at")
		}
	})
}

func TestPageAndDataBehindTheProxy(t *testing.T) {
	w := newWorld(rm)
	r := w.get("10.0.0.1:5", "/")
	body, _ := io.ReadAll(r.Body)
	if r.Header.Get("Content-Security-Policy") != page.Policy() || !strings.Contains(string(body), "<title>") {
		t.Errorf("page: %v", r.Header)
	}
	// The proxy makes an error of 304.
	req := httptest.NewRequest("GET", "/data", nil)
	req.RemoteAddr = "10.0.0.1:5"
	req.Header.Set("If-None-Match", "*")
	req.Header.Set("If-Modified-Since", "Mon, 30 Nov 2099 00:00:00 GMT")
	rec := httptest.NewRecorder()
	w.server.Handler.ServeHTTP(rec, req)
	var u page.Update
	if err := json.Unmarshal(rec.Body.Bytes(), &u); err != nil || rec.Code != 200 || len(u.Tasks) != 2 {
		t.Errorf("data: %d, %v, %s", rec.Code, err, rec.Body)
	}
}

func TestLogsArePolled(t *testing.T) {
	w := newWorld(rm)
	look := func(query string) (p piece, code int) {
		r := w.get("10.0.0.1:5", "/logs?"+query)
		if r.StatusCode == 200 {
			if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
				t.Fatal(err)
			}
		}
		return p, r.StatusCode
	}
	for _, bad := range []string{"", "task=worker/0&stream=stdout", "task=worker&stream=stdout&offset=0", "task=worker/0&stream=../x&offset=0"} {
		if _, code := look(bad); code != 400 {
			t.Errorf("%q: %d", bad, code)
		}
	}
	w.log = strings.Repeat("0123456789", 20_000)
	p, _ := look("task=worker/0&stream=stdout&offset=-1")
	if len(p.Text) != tailBytes || p.Next != 200_000 || p.More {
		t.Errorf("the end: %d bytes to %d", len(p.Text), p.Next)
	}
	p, _ = look("task=worker/0&stream=stdout&offset=5")
	if len(p.Text) != logBytes || p.Next != 5+logBytes || !p.More || !strings.HasPrefix(p.Text, "567") {
		t.Errorf("from 5: %d bytes to %d, more %v", len(p.Text), p.Next, p.More)
	}
	w.log = "half a character: €"[:20]
	p, _ = look("task=worker/0&stream=stdout&offset=0")
	if p.Text != "half a character: " || p.Next != 18 {
		t.Errorf("%q to %d", p.Text, p.Next)
	}
	w.log = "half a character: €"
	if p, _ = look("task=worker/0&stream=stdout&offset=18"); p.Text != "€" {
		t.Errorf("the rest: %q", p.Text)
	}
	w.log = "\xff\xfe\xfd\xfc"
	if p, _ = look("task=worker/0&stream=stdout&offset=0"); p.Next != 4 {
		t.Errorf("what is no text holds up the log at %d", p.Next)
	}
	if p, _ := look("task=worker/1&stream=stdout&offset=0"); !strings.Contains(p.Error, "no agent now") {
		t.Errorf("a task without an agent: %+v", p)
	}
	if p, _ := look("task=worker/9&stream=stdout&offset=0"); !strings.Contains(p.Error, "no task worker/9") {
		t.Errorf("no such task: %+v", p)
	}
}

// TestBoard: what a browser asks of the job's TensorBoard goes there under the path that it was
// started with, by GET, and never conditionally.
func TestBoard(t *testing.T) {
	var asked []string
	board := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path+"?"+r.URL.RawQuery)
		if r.URL.Path == base+"/tensorboard/" {
			io.WriteString(w, "<head></head>")
			return
		}
		if r.Header.Get("If-None-Match") != "" || r.Header.Get("Cookie") != "" {
			t.Errorf("it is asked with %v", r.Header)
		}
		w.Header().Set("Set-Cookie", "a=b")
		io.WriteString(w, "scalars")
	}))
	w := newWorld(Proxies{Base: base, Scheme: "http", Addresses: []string{"rm:8088"}, Viewers: []string{"ann"}})
	ann := &http.Cookie{Name: "proxy-user", Value: "ann"}
	body := func(path string, code int) string {
		t.Helper()
		r := w.get("10.0.0.1:5", path, ann)
		b, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != code || r.Header.Get("Set-Cookie") != "" {
			t.Errorf("GET %s: %d, %v, want %d: %s", path, r.StatusCode, err, code, b)
		}
		return string(b)
	}
	if got := body("/tensorboard/", 404); !strings.Contains(got, "tensorboard: true") {
		t.Errorf("without one: %s", got)
	}
	w.board = strings.TrimPrefix(board.URL, "http://")
	for path, to := range map[string]string{"/tensorboard": "url=tensorboard/?tensorboardColab=true", "/tensorboard/": "url=?tensorboardColab=true"} {
		if got := body(path, 200); !strings.Contains(got, to) {
			t.Errorf("GET %s leads not to %s: %s", path, to, got)
		}
	}
	if len(asked) > 0 {
		t.Errorf("TensorBoard was asked %q", asked)
	}
	if got, want := body("/tensorboard/?tensorboardColab=true", 200), `<head><script src="tfos-braces.js"></script></head>`; got != want {
		t.Errorf("its page is %s, want %s", got, want)
	}
	if got := body("/tensorboard/tfos-braces.js", 200); got != braces {
		t.Errorf("the script in it is %s", got)
	}
	if got := body("/tensorboard/data/plugin/scalars/scalars?tag=a%2Fb&run=x", 200); got != "scalars" {
		t.Errorf("scalars: %q", got)
	}
	for _, braces := range []string{"%257B%257D", "%7B%7D"} { // as YARN's proxy leaves them
		body("/tensorboard/data/plugin/timeseries/timeSeries?requests="+braces, 200)
	}
	series := "GET " + base + "/tensorboard/data/plugin/timeseries/timeSeries?requests=%7B%7D"
	if want := []string{"GET " + base + "/tensorboard/?tensorboardColab=true", "GET " + base + "/tensorboard/data/plugin/scalars/scalars?tag=a%2Fb&run=x", series, series}; !slices.Equal(asked, want) {
		t.Errorf("TensorBoard was asked %q, want %q", asked, want)
	}
	if r := w.get("10.0.0.1:5", "/tensorboard/"); r.StatusCode != 403 {
		t.Errorf("another user: %d", r.StatusCode)
	}
	if r := w.get("10.0.0.9:5", "/tensorboard/x"); r.StatusCode != 302 {
		t.Errorf("not through the proxy: %d", r.StatusCode)
	}
	board.Close()
	if got := body("/tensorboard/x", 502); !strings.Contains(got, "does not answer") {
		t.Errorf("of one that is gone: %s", got)
	}
}
