package job

import (
	"fmt"
	"strings"
	"time"
)

// maxOnceLen bounds a key, in bytes: people read it.
const maxOnceLen = 200

// checkOnce wants a key that a person can read, with no braces but those of what Dated replaces.
func checkOnce(s string) error {
	if err := checkName(s); err != nil {
		return err
	}
	rest := s
	for _, p := range []string{"{date}", "{hour}", "{name}"} {
		rest = strings.ReplaceAll(rest, p, "")
	}
	if strings.ContainsAny(rest, "{}") {
		return fmt.Errorf("%q: only {date}, {hour} and {name} stand for something else", s)
	}
	return nil
}

// Date is what the {date} and {hour} of a key stand for.
type Date struct {
	date, hour string // an empty hour is not known
}

// DateOf is the date and hour of a moment, in its zone.
func DateOf(t time.Time) Date { return Date{t.Format(time.DateOnly), t.Format("15")} }

// dateLayouts are the forms in which schedulers write for when a task is meant.
var dateLayouts = []string{
	"2006-01-02T15", "2006-01-02T15:04", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", time.RFC3339Nano,
	"2006-01-02 15:04", "2006-01-02 15:04:05", "20060102T150405", "20060102T150405Z0700",
}

// ParseDate reads a date, with or without a time of day. The zone of a time only says which hour it
// is there: nothing is converted.
func ParseDate(s string) (Date, error) {
	for _, layout := range []string{time.DateOnly, "20060102"} {
		if t, err := time.Parse(layout, s); err == nil {
			return Date{date: t.Format(time.DateOnly)}, nil
		}
	}
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return DateOf(t), nil
		}
	}
	return Date{}, fmt.Errorf("%q is no date: want 2026-11-30, or with a time 2026-11-30T05:00", s)
}

// Dated is the job with its key spelled out.
func (j Job) Dated(d Date) (Job, error) {
	if d.hour == "" && strings.Contains(j.Once, "{hour}") {
		return j, fmt.Errorf("once: %s wants the hour, and the date %s has none: give it as in --date %[2]sT05:00", j.Once, d.date)
	}
	j.Once = strings.NewReplacer("{date}", d.date, "{hour}", d.hour, "{name}", strings.NewReplacer("{", "(", "}", ")").Replace(j.Name)).Replace(j.Once)
	if len(j.Once) > maxOnceLen {
		return j, fmt.Errorf("once: %q is longer than %d bytes", j.Once, maxOnceLen)
	}
	return j, nil
}
