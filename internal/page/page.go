// Package page is the web page of a job: what the browser gets, and the documents that the page
// shows.
//
// The page is one file without outside resources: markup, style and script in assets, which need no
// build. While the job runs its master serves the file, and the script polls updates. Afterwards
// the same file holds the job's last document itself. The package makes bytes of values; it serves
// nothing and reads no clock.
package page

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"strings"
	"time"

	"tfos/internal/status"
)

//go:embed assets/page.html
var markup string

//go:embed assets/page.css
var style string

//go:embed assets/page.js
var script string

// Document is a job as its page shows it.
type Document struct {
	Job     status.View `json:"job"`
	History History     `json:"history"`
}

// History is what happened to a job since its master started, as far as a status.View does not
// tell.
type History struct {
	Generations []Generation `json:"generations"` // the oldest first
	Curve       []Point      `json:"curve"`       // the oldest first
}

// Generation is when a cluster_spec was published.
type Generation struct {
	Generation int64     `json:"generation"`
	At         time.Time `json:"at"`
}

// Point is where the training was at one moment.
type Point struct {
	At   time.Time `json:"at"`
	Step int64     `json:"step"`
	Loss *float64  `json:"loss"` // null: not reported
}

// policy forbids the browser everything but this file's own style and script, so that no markup
// which a task's name or output might bring in does anything. Connect is where the script may poll.
func policy(connect string) string {
	return fmt.Sprintf("default-src 'none'; script-src %s; style-src %s; connect-src %s; img-src data:; base-uri 'none'; form-action 'none'",
		digest(script), digest(style), connect)
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Policy is the Content-Security-Policy of the page that a master serves.
func Policy() string { return policy("'self'") + "; frame-ancestors 'self'" }

// Live is the page that polls.
func Live() []byte { return assemble(policy("'self'"), "tfos", "") }

// Saved is the page of a job that has ended, with the document in it. The file needs nothing else.
func Saved(d Document) ([]byte, error) {
	b, err := json.Marshal(fullUpdate(d)) // which writes < and > as escapes: nothing in it ends the element
	if err != nil {
		return nil, fmt.Errorf("make the page of %s: %w", d.Job.ID, err)
	}
	data := `<script type="application/json" id="document">` + string(b) + "</script>"
	return assemble(policy("'none'"), d.Job.Name+" - tfos", data), nil
}

// Index is a list of jobs: rows of a table, of the columns application, name, state, queue, time of
// submission, duration, exit code and diagnostics. The rows are markup, whose text is escaped.
func Index(user, rows string) []byte {
	return fmt.Appendf(nil, `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="%s">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>jobs of %[2]s - tfos</title>
<style>%[3]s</style>
</head>
<body>
<h1>Jobs of %[2]s</h1>
<p>Those that have ended, the newest first.</p>
<div class="table"><table>
<thead><tr><th scope="col">Application</th><th scope="col">Name</th><th scope="col">State</th><th scope="col">Queue</th><th scope="col">Submitted (UTC)</th><th scope="col">Took</th><th scope="col" class="num">Exit code</th><th scope="col">How it ended</th></tr></thead>
<tbody>
%[4]s</tbody>
</table></div>
</body>
</html>
`, html.EscapeString("default-src 'none'; style-src "+digest(style)+"; img-src data:; base-uri 'none'; form-action 'none'"), html.EscapeString(user), style, rows)
}

func assemble(policy, title, data string) []byte {
	return []byte(strings.NewReplacer(
		"{{policy}}", html.EscapeString(policy), "{{title}}", html.EscapeString(title), "{{style}}", style, "{{data}}", data, "{{script}}", script,
	).Replace(markup))
}
