package membership

import (
	"testing"
	"time"
)

// moment is so many seconds after a test's beginning.
func moment(s int) time.Time { return time.Unix(10000, 0).UTC().Add(time.Duration(s) * time.Second) }

func TestNoticeHears(t *testing.T) {
	type told struct {
		at, deadline int
		cause        Cause
		news         bool
	}
	for name, c := range map[string]struct {
		told            []told
		since, deadline int
	}{
		"the first":                             {[]told{{0, 60, CausePreempted, true}}, 0, 60},
		"told again":                            {[]told{{0, 60, CauseDraining, true}, {5, 60, CauseDraining, false}}, 0, 60},
		"preemption moves no deadline back":     {[]told{{0, 60, CausePreempted, true}, {5, 65, CausePreempted, false}}, 0, 60},
		"a drain that takes longer than before": {[]told{{0, 60, CauseDraining, true}, {5, 90, CauseDraining, true}}, 0, 90},
		"a sooner end counts":                   {[]told{{0, 60, CauseDraining, true}, {5, 30, CausePreempted, true}}, 0, 30},
		"a later end of another kind does not":  {[]told{{0, 60, CausePreempted, true}, {5, 90, CauseDraining, false}}, 0, 60},
		"one whose deadline has passed gives way": {
			[]told{{0, 60, CausePreempted, true}, {61, 90, CauseDraining, true}}, 0, 90},
	} {
		t.Run(name, func(t *testing.T) {
			var n *notice
			for i, w := range c.told {
				var news bool
				if n, news = n.hear(moment(w.at), Warned{Cause: w.cause, Deadline: moment(w.deadline)}); news != w.news {
					t.Errorf("warning %d is news: %v, want %v", i, news, w.news)
				}
			}
			if !n.Since.Equal(moment(c.since)) || !n.Deadline.Equal(moment(c.deadline)) {
				t.Errorf("it stands since %v until %v", n.Since, n.Deadline)
			}
		})
	}
}

func TestNoticeTimes(t *testing.T) {
	n := &notice{Cause: CausePreempted, Since: moment(0), Deadline: moment(60)}
	for _, c := range []struct {
		what      string
		got, want time.Time
	}{
		{"a process leaves after its wait", n.departure(20*time.Second, 10*time.Second), moment(20)},
		{"a process with a long grace period leaves sooner", n.departure(20*time.Second, 50*time.Second), moment(8)},
		{"a task aside waits a second longer than the deadline", n.aside(moment(10)), moment(61)},
		{"a task aside waits a minute at most", (&notice{Deadline: moment(600)}).aside(moment(10)), moment(70)},
		{"a task aside waits a second after the deadline", n.aside(moment(65)), moment(66)},
		{"a task without a warning does not wait", (*notice)(nil).aside(moment(65)), time.Time{}},
		{"a warning is believed a minute longer", n.believed(), moment(120)},
	} {
		if !c.got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
	for at, want := range map[int]time.Duration{0: 30 * time.Second, 50: 8 * time.Second, 59: time.Second, 70: time.Second} {
		if got := n.grace(moment(at), 30*time.Second); got != want {
			t.Errorf("a process that is stopped at %d s has %v, want %v", at, got, want)
		}
	}
}
