package web

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
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
			r.Out.URL.RawQuery = onceEncoded.Replace(r.Out.URL.RawQuery)
			if r.In.URL.Path == BoardPath+"/" {
				r.Out.Header.Del("Accept-Encoding") // something is put into it
			}
			for _, conditional := range []string{"If-None-Match", "If-Modified-Since", "Cookie"} { // the proxy makes a 500 of a 304; the cookie is ours
				r.Out.Header.Del(conditional)
			}
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Del("Set-Cookie")
			if !strings.HasSuffix(r.Request.URL.Path, BoardPath+"/") {
				return nil
			}
			return withBraces(r)
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "The job's TensorBoard does not answer: it has not started yet, or has ended. Its log says more: tfos logs APP tensorboard. "+err.Error(), http.StatusBadGateway)
		},
		Transport: &http.Transport{DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, ResponseHeaderTimeout: boardTimeout, MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second},
		ErrorLog:  s.server.ErrorLog,
	}
}

// braces is a script of ours in TensorBoard's page. YARN's proxy takes braces in a query for places
// to be filled in, and answers with an error; TensorBoard asks for time series in JSON. Braces that
// are encoded twice get through: what is asked is put right here, whether the proxy has decoded it
// once or not.
const braces = `(() => {
  const twice = (url) => String(url).replace(/%7B|{/gi, "%257B").replace(/%7D|}/gi, "%257D");
  const open = XMLHttpRequest.prototype.open;
  XMLHttpRequest.prototype.open = function (method, url, ...rest) {
    return open.call(this, method, twice(url), ...rest);
  };
  const plain = window.fetch;
  window.fetch = (what, ...rest) => plain(typeof what === "string" ? twice(what) : what, ...rest);
})();
`

var onceEncoded = strings.NewReplacer("%257B", "%7B", "%257D", "%7D")

// bracesPath is where the script is, below BoardPath.
const bracesPath = "/tfos-braces.js"

// maxBoardPage bounds how large TensorBoard's page may be; it is some KiB.
const maxBoardPage = 1 << 20

// withBraces puts the script into TensorBoard's page.
func withBraces(r *http.Response) error {
	page, err := io.ReadAll(io.LimitReader(r.Body, maxBoardPage))
	if err != nil {
		return err
	}
	r.Body.Close()
	page = bytes.Replace(page, []byte("<head>"), []byte(`<head><script src="`+bracesPath[1:]+`"></script>`), 1)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(page)), int64(len(page))
	r.Header.Set("Content-Length", strconv.Itoa(len(page)))
	return nil
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
		if path == bracesPath {
			w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
			io.WriteString(w, braces)
			return
		}
		pass.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), boardAddress{}, address)))
	}
}
