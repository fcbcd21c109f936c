package notify

import (
	"testing"
	"time"

	"tfos/internal/job"
)

func TestBody(t *testing.T) {
	code := 1
	m := Message{Event: job.EventFailure, Text: `failed: worker/0: <b> & "x"`, Application: "application_1_7", Attempt: 2, Name: "night <1>", User: "ann", Queue: "q", State: "failed",
		Step: 12, ExitCode: &code, At: time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC), URL: "http://rm:8088/proxy/application_1_7/"}
	for format, want := range map[job.Format]string{
		job.FormatJSON: `{"event":"failure","text":"failed: worker/0: \u003cb\u003e \u0026 \"x\"","application":"application_1_7","attempt":2,"name":"night \u003c1\u003e","user":"ann","queue":"q","state":"failed",` +
			`"step":12,"exit_code":1,"at":"2026-03-01T06:00:00Z","url":"http://rm:8088/proxy/application_1_7/"}`,
		job.FormatSlack: `{"text":":x: *night \u0026lt;1\u0026gt;* failed: worker/0: \u0026lt;b\u0026gt; \u0026amp; \"x\" (\u003chttp://rm:8088/proxy/application_1_7/|application_1_7\u003e)"}`,
	} {
		if got := string(m.Body(format)); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", format, got, want)
		}
	}
	for _, e := range job.Events {
		if icons[e] == "" {
			t.Errorf("%s has no icon", e)
		}
	}
}
