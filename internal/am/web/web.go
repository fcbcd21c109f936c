// Package web serves a job's page: the HTTP side of an application master, behind YARN's web proxy.
//
// It knows the proxy's habits: GET only, no streaming, never 304, and the path under which the
// browser knows us. Who does not come through the proxy is sent there. It shows what its Source
// says, when somebody looks and a few times a second at most, and keeps nothing when nobody does.
// It never shows a secret, since it has none but the identity by which agents give it their logs.
package web

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/netutil"

	"tfos/internal/listen"
	"tfos/internal/page"
)

// Options are what a Server is made of.
type Options struct {
	Listener net.Listener // the Server closes it
	Proxies  Proxies
	Epoch    uint64 // differs between the masters of a job
	// Source says how the job stands. It is asked when somebody looks.
	Source  func(ctx context.Context) (page.Document, error)
	ReadLog ReadLog
	// Board is host:port of the job's TensorBoard; empty: it has none, or none yet.
	Board func() string
	// Metrics answers with a document as metrics.
	Metrics func(w http.ResponseWriter, r *http.Request, d page.Document)
	Logger  *zap.Logger
}

// How many connections there may be, how long a document is good, and how long it is kept for the
// next one who looks.
const (
	connections = 64
	freshFor    = 300 * time.Millisecond
	keptFor     = 3 * time.Second
)

// Server serves the page of one master.
type Server struct {
	o      Options
	live   []byte
	server *http.Server
	looks  chan struct{} // capacity logLooks: who has put something in reads a log
	making chan struct{} // capacity 1: who has put something in has the document made

	mu   sync.Mutex
	feed *page.Feed     // guarded by mu
	now  *page.Document // guarded by mu: the newest; nil: nobody has looked for a while
	made time.Time      // guarded by mu: when it was
	drop *time.Timer    // guarded by mu: forgets it
}

// New makes a Server. It serves from Run on.
func New(o Options) *Server {
	s := &Server{o: o, live: page.Live(), looks: make(chan struct{}, logLooks), making: make(chan struct{}, 1), feed: page.NewFeed(o.Epoch)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page)
	mux.HandleFunc("GET /data", s.data)
	mux.HandleFunc("GET /logs", s.logs)
	mux.HandleFunc("GET "+metricsPath, s.metrics)
	s.server = &http.Server{
		Handler: newGate(o.Proxies, mux), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: zap.NewStdLog(o.Logger),
	}
	board := s.boards(s.board())
	mux.HandleFunc("GET "+BoardPath, board)
	mux.HandleFunc("GET "+BoardPath+"/", board)
	return s
}

// Run serves until Close.
func (s *Server) Run() error {
	err := s.server.Serve(netutil.LimitListener(listen.Patient(s.o.Listener, s.o.Logger), connections))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close ends Run. Answers that are under way are cut off.
func (s *Server) Close() {
	s.server.Close()
	s.o.Listener.Close() // of one that was never served
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drop != nil {
		s.drop.Stop()
	}
}

func (s *Server) page(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", page.Policy())
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.Write(s.live)
}

// data answers with an update: /data?epoch=E&version=V has what is newer.
func (s *Server) data(w http.ResponseWriter, r *http.Request) {
	epoch, _ := strconv.ParseUint(r.URL.Query().Get("epoch"), 10, 64) // without: of none
	version, _ := strconv.ParseInt(r.URL.Query().Get("version"), 10, 64)
	d, err := s.current(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	reply(w, s.since(d, epoch, version))
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	d, err := s.current(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	s.o.Metrics(w, r, *d)
}

// since is the update of a document, or of a newer one that the feed has seen meanwhile.
func (s *Server) since(d *page.Document, epoch uint64, version int64) page.Update {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil {
		d = s.now
	}
	return s.feed.Since(*d, epoch, version, time.Now())
}

// reply answers with JSON.
func reply(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(body) // an error is the browser's, which went away
}

// current is how the job stands: made now, unless it was a moment ago.
func (s *Server) current(ctx context.Context) (*page.Document, error) {
	select {
	case s.making <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.making }()
	if d := s.fresh(); d != nil {
		return d, nil
	}
	made := time.Now()
	d, err := s.o.Source(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.feed.Look(d); err != nil {
		return nil, err
	}
	s.now, s.made = &d, made
	if s.drop == nil {
		s.drop = time.AfterFunc(keptFor, s.forget)
	}
	s.drop.Reset(keptFor)
	return s.now, nil
}

func (s *Server) fresh() *page.Document {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.made) < freshFor {
		return s.now
	}
	return nil
}

// forget drops the document, which takes memory.
func (s *Server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = nil
}
