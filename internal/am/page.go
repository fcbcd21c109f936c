package am

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"

	"tfos/internal/am/web"
	"tfos/internal/control"
	"tfos/internal/listen"
	"tfos/internal/page"
	"tfos/internal/yarn"
)

// web makes the server of the job's page.
func (m *Master) web(agents *web.Agents, server *control.Master) *web.Server {
	return web.New(web.Options{
		Listener: m.o.Web, Proxies: m.o.Proxies, Epoch: uint64(m.o.Container.Attempt.Attempt) << 32, Source: m.document, ReadLog: agents.Read,
		Board:   m.boardAddress,
		Metrics: func(w http.ResponseWriter, r *http.Request, d page.Document) { m.metrics.Serve(w, r, d, server.Agents) },
		Logger:  m.log.Named("web"),
	})
}

// document is the job as it stands, for its page.
func (m *Master) document(ctx context.Context) (page.Document, error) {
	d, err := ask(ctx, m, func(answer chan<- page.Document) any {
		return question(func(o *owner) { answer <- o.page() })
	})
	if errors.Is(err, errEnding) && m.ended != nil {
		return *m.ended, nil
	}
	return d, err
}

// boardAddress is where the job's TensorBoard is, or will be; empty: nowhere.
func (m *Master) boardAddress() string {
	if at := m.board.Load(); at != nil {
		return *at
	}
	return ""
}

// boardURL is where browsers find it, through the proxy if there is one; empty: nowhere.
func (m *Master) boardURL() string {
	address := m.boardAddress()
	switch {
	case address == "":
		return ""
	case m.o.Proxies.Base == "":
		return "http://" + address + "/"
	case m.o.Web == nil || m.o.Proxies.URL() == "":
		return "http://" + address + m.o.Proxies.Base + web.BoardPath + "/"
	}
	return m.o.Proxies.URL() + web.BoardPath[1:] + "/" + web.BoardQuery
}

// trackingURL is where the proxy finds the page; empty: nowhere.
func (m *Master) trackingURL() string {
	if m.o.Web == nil {
		return ""
	}
	address, err := listen.Address(m.o.Host, m.o.Web.Addr())
	if err != nil {
		return ""
	}
	return "http://" + address + "/"
}

// finalURL is where YARN sends browsers once the job has ended; empty: it shows a page of its own.
func (m *Master) finalURL() string {
	if m.o.History == "" {
		return ""
	}
	return strings.TrimRight(m.o.History, "/") + "/" + m.o.Container.Attempt.Application.String() + "/"
}

// logURL is where a node shows the logs of a container of its own.
func (o *owner) logURL(c yarn.Container) string {
	if c.NodeHTTP == "" {
		return ""
	}
	return cmp.Or(o.m.o.Proxies.Scheme, "http") + "://" + c.NodeHTTP + "/node/containerlogs/" + c.ID.String() + "/" + o.m.o.Manifest.User
}
