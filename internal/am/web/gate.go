package web

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"tfos/internal/hadoop/conf"
)

// Proxies are where YARN's web proxy is: what Hadoop's AmIpFilter is configured with.
type Proxies struct {
	Base      string   // the path of the application there: "/proxy/application_…"
	Addresses []string // host:port of each proxy that there may be
	Scheme    string   // http or https
	// Viewers may look, by the names that the proxy tells; nil: everybody.
	Viewers []string
	// Scrapers may read the metrics, and nothing else, from the master itself.
	Scrapers []netip.Prefix
}

// URL is the application's address at the first proxy; empty: none is known.
func (p Proxies) URL() string {
	if len(p.Addresses) == 0 || strings.HasPrefix(p.Addresses[0], "0.0.0.0:") { // as Hadoop's defaults say
		return ""
	}
	return p.Scheme + "://" + p.Addresses[0] + p.Base + "/"
}

// proxyBase is the variable in which YARN tells a master its path at the proxy.
const proxyBase = "APPLICATION_WEB_PROXY_BASE"

// FindProxies reads a configuration as Hadoop's WebAppUtils.getProxyHostsAndPortsForAmFilter does:
// a proxy of its own, or else one in each ResourceManager.
func FindProxies(c *conf.Conf, getenv func(string) string, user string) (Proxies, error) {
	p := Proxies{Base: getenv(proxyBase), Scheme: "http"}
	service := conf.RMWeb
	if c.String("yarn.http.policy") == "HTTPS_ONLY" {
		p.Scheme, service = "https", conf.RMWebTLS
	}
	if own := c.String("yarn.web-proxy.address"); own != "" {
		p.Addresses = []string{own}
	} else {
		var err error
		if p.Addresses, err = c.ResourceManagers(service); err != nil {
			return Proxies{}, err
		}
	}
	guarded, err := c.Bool("yarn.acl.enable", false)
	if err != nil {
		return Proxies{}, err
	}
	if guarded {
		users, _, _ := strings.Cut(c.String("yarn.admin.acl"), " ") // groups come behind; who is in one cannot be told here
		if users != "*" {
			p.Viewers = append(strings.Split(users, ","), user)
		}
	}
	return p, nil
}

// ScrapersKey is the property that names who may read metrics from the masters themselves:
// addresses and networks, with commas between.
const ScrapersKey = "tfos.metrics.scrapers"

// ParseScrapers reads the value of ScrapersKey.
func ParseScrapers(text string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, one := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' }) {
		p, err := netip.ParsePrefix(one)
		if err != nil {
			address, wrong := netip.ParseAddr(one)
			if wrong != nil {
				return nil, fmt.Errorf("%s: %q is neither an address nor a network: want 10.0.0.5 or 10.0.0.0/24", ScrapersKey, one)
			}
			p = netip.PrefixFrom(address, address.BitLen())
		}
		all = append(all, p)
	}
	return all, nil
}

// metricsPath is where the metrics are.
const metricsPath = "/metrics"

// scrapes reports whether a request is one for metrics by somebody who may have them without the
// proxy.
func (g *gate) scrapes(r *http.Request, peer netip.Addr) bool {
	return r.Method == http.MethodGet && r.URL.Path == metricsPath && slices.ContainsFunc(g.p.Scrapers, func(p netip.Prefix) bool { return p.Contains(peer) })
}

// How long the addresses of the proxies are good, as with AmIpFilter, and how long a look for the
// proxy that works may take.
const (
	addressesFor = 5 * time.Minute
	probeTimeout = 2 * time.Second
)

// gate lets in who comes through the proxy, and sends everybody else there: the proxy is what knows
// users, so a page that anybody could open directly would go round it.
type gate struct {
	p       Proxies
	resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	works   func(ctx context.Context, url string) bool // whether a proxy answers
	next    http.Handler

	mu    sync.Mutex
	peers []netip.Addr // guarded by mu: of the proxies
	until time.Time    // guarded by mu: when to look again
}

func newGate(p Proxies, next http.Handler) *gate {
	return &gate{p: p, next: next, works: answers, resolve: func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}}
}

// ServeHTTP implements http.Handler.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err == nil && g.scrapes(r, peer.Addr().Unmap()) {
		g.next.ServeHTTP(w, r)
		return
	}
	if err != nil || !slices.Contains(g.proxies(r.Context()), peer.Addr().Unmap()) {
		http.Redirect(w, r, g.at(r.Context(), r.URL), http.StatusFound)
		return
	}
	if !g.admits(r) {
		http.Error(w, "this job is another user's, and the cluster shows jobs to their owners and its administrators only (yarn.acl.enable)", http.StatusForbidden)
		return
	}
	g.next.ServeHTTP(w, r)
}

// admits reports whether the user that the proxy names may look.
func (g *gate) admits(r *http.Request) bool {
	if g.p.Viewers == nil {
		return true
	}
	c, err := r.Cookie("proxy-user")
	return err == nil && c.Value != "" && slices.Contains(g.p.Viewers, c.Value)
}

// proxies are the addresses from which the proxies may come. Those that cannot be found now may
// still be known from before.
func (g *gate) proxies(ctx context.Context) []netip.Addr {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if now.Before(g.until) {
		return g.peers
	}
	g.until = now.Add(addressesFor)
	var found []netip.Addr
	for _, address := range g.p.Addresses {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			continue
		}
		ips, err := g.resolve(ctx, host)
		if err != nil {
			g.until = now.Add(probeTimeout)
			ips = nil
		}
		for _, ip := range ips {
			found = append(found, ip.Unmap())
		}
	}
	if len(found) > 0 {
		g.peers = found
	}
	return g.peers
}

// at is a page's address at the proxy. "redirect" tells the proxy that this comes from a master:
// should the proxy be one that the master does not know, it would be sent back without end.
func (g *gate) at(ctx context.Context, page *url.URL) string {
	path := "/proxy/redirect" + strings.TrimPrefix(g.p.Base, "/proxy") + page.RequestURI()
	chosen := ""
	for _, address := range g.p.Addresses {
		base := g.p.Scheme + "://" + address
		if chosen == "" {
			chosen = base
		}
		if len(g.p.Addresses) > 1 && g.works(ctx, base+g.p.Base) { // of two ResourceManagers one stands by
			chosen = base
			break
		}
	}
	return chosen + path
}

// answers asks a proxy.
func answers(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return false
	}
	c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := c.Do(r)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}
