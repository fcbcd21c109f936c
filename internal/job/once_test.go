package job

import (
	"strings"
	"testing"
	"time"
)

func TestDated(t *testing.T) {
	for _, c := range []struct{ once, date, want string }{
		{"nightly-{date}", "2026-11-30", "nightly-2026-11-30"},
		{"nightly-{date}", "20261130", "nightly-2026-11-30"},
		{"{name}/{date}T{hour}", "2026-11-30T05:00:00+00:00", "digits (v2)/2026-11-30T05"},
		{"{date} {hour}", "2026-11-30T23:30-08:00", "2026-11-30 23"}, // the hour that it is there
		{"{date} {hour}", "2026-11-30T05:00Z", "2026-11-30 05"},      // Oozie's nominal time
		{"plain", "2026-11-30", "plain"},
		{"", "2026-11-30", ""},
		{"{hour}", "2026-11-30", "error: wants the hour"},
		{strings.Repeat("{date}", 30), "2026-11-30", "error: is longer than 200 bytes"},
	} {
		d, err := ParseDate(c.date)
		if err != nil {
			t.Fatal(err)
		}
		j, err := Job{Name: "digits {v2}", Once: c.once}.Dated(d)
		if fault, wanted := strings.CutPrefix(c.want, "error: "); wanted {
			if err == nil || !strings.Contains(err.Error(), fault) {
				t.Errorf("%s on %s: %v, want %s", c.once, c.date, err, fault)
			}
			continue
		}
		if err != nil || j.Once != c.want {
			t.Errorf("%s on %s: %q, %v; want %q", c.once, c.date, j.Once, err, c.want)
		}
	}
	for _, bad := range []string{"", "today", "30.11.2026", "2026-13-01", "2026-11-31"} {
		if _, err := ParseDate(bad); err == nil {
			t.Errorf("%q is a date", bad)
		}
	}
	if got := DateOf(time.Date(2026, 11, 30, 4, 59, 0, 0, time.UTC)); got != (Date{"2026-11-30", "04"}) {
		t.Errorf("DateOf: %+v", got)
	}
}
