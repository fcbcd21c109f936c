package web

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

// BoardPath is where the job's TensorBoard is, below the job's own path at the proxy.
const BoardPath = "/tensorboard"

// BoardQuery has TensorBoard's page ask by GET what it asks by POST else, which YARN's proxy
// refuses.
const BoardQuery = "?tensorboardColab=true"

// boardTimeout bounds how long TensorBoard may take to begin an answer.
const boardTimeout = 30 * time.Second

// board passes requests on to the job's TensorBoard, which was started with the path that the
// browser knows (--path_prefix).
func (s *Server) board() http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", r.In.Context().Value(boardAddress{}).(string)
			r.Out.URL.Path, r.Out.URL.RawPath = s.o.Proxies.Base+r.In.URL.Path, ""
			r.Out.Host = r.Out.URL.Host
			for _, conditional := range []string{"If-None-Match", "If-Modified-Since", "Cookie"} { // the proxy makes a 500 of a 304; the cookie is ours
				r.Out.Header.Del(conditional)
			}
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Del("Set-Cookie")
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "The job's TensorBoard does not answer: it has not started yet, or has ended. Its log says more: tfos logs APP tensorboard. "+err.Error(), http.StatusBadGateway)
		},
		Transport: &http.Transport{DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, ResponseHeaderTimeout: boardTimeout, MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second},
		ErrorLog:  s.server.ErrorLog,
	}
}

// boardAddress is the key of a context's host:port.
type boardAddress struct{}

// boards finds the TensorBoard of a request, and has its page ask by GET.
func (s *Server) boards(pass http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		address := s.o.Board()
		if address == "" {
			http.Error(w, "The job has no TensorBoard: tensorboard: true in its job file starts one.", http.StatusNotFound)
			return
		}
		path := strings.TrimPrefix(r.URL.Path, BoardPath)
		if want, _ := url.ParseQuery(BoardQuery[1:]); (path == "" || path == "/") && r.URL.Query().Encode() != want.Encode() {
			to := BoardQuery
			if path == "" { // relative to where the browser is
				to = BoardPath[1:] + "/" + BoardQuery
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(w, fmt.Sprintf(`<!DOCTYPE html><meta http-equiv="refresh" content="0; url=%s"><a href="%[1]s">TensorBoard</a>`, to))
			return
		}
		pass.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), boardAddress{}, address)))
	}
}
