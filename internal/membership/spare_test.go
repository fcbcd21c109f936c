package membership

import (
	"testing"
	"time"

	"tfos/internal/job"
	"tfos/internal/yarn"
)

func TestSpareHears(t *testing.T) {
	there := spare{Address: "b:2"}
	for name, c := range map[string]struct {
		spare spare
		event Event
		want  fate
		ready bool
		until time.Time
	}{
		"its agent comes":                        {spare{Until: moment(900), Unconfirmed: true}, Joined{Agent: "b:1", Address: "b:2"}, spareStays, true, time.Time{}},
		"the task lives in it":                   {spare{}, Joined{Address: "b:2", Running: &Started{}}, spareLivedIn, false, time.Time{}},
		"the task has lived in it":               {spare{}, Joined{Address: "b:2", Exited: &Exited{}}, spareLivedIn, false, time.Time{}},
		"its container ends":                     {there, Completed{}, spareEnded, true, time.Time{}},
		"its container will be taken away":       {there, Warned{}, spareUseless, true, time.Time{}},
		"its launch fails":                       {spare{}, LaunchFailed{}, spareUseless, false, time.Time{}},
		"its launch succeeded, and was not told": {there, LaunchFailed{}, spareStays, true, time.Time{}},
		"its agent's connection ends":            {there, Left{}, spareStays, false, moment(10)},
		"its agent falls silent":                 {there, Left{Silent: true}, spareUseless, true, time.Time{}},
		"one that never came leaves":             {spare{Until: moment(900)}, Left{Silent: true}, spareStays, false, moment(900)},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.spare
			if got := s.hear(moment(0), c.event, 10*time.Second); got != c.want || s.ready() != c.ready || !s.Until.Equal(c.until) {
				t.Errorf("fate %d, ready %v, until %v; want %d, %v, %v", got, s.ready(), s.Until, c.want, c.ready, c.until)
			}
			if _, joined := c.event.(Joined); joined && c.want == spareStays && s.Unconfirmed {
				t.Error("it is still unsure whether the task has moved")
			}
		})
	}
}

func TestSpares(t *testing.T) {
	first, second := yarn.ContainerID{ID: 1}, yarn.ContainerID{ID: 2}
	chief, worker := job.Task{Role: "chief"}, job.Task{Role: "worker"}
	s := spares{{Task: chief, Container: first}, {Task: worker, Container: second}}
	if s.of(worker).Container != second || s.in(first).Task != chief || s.in(yarn.ContainerID{ID: 3}) != nil {
		t.Error("they are mixed up")
	}
	s.doubt(moment(30))
	if !s.of(chief).Unconfirmed || !s.in(second).Until.Equal(moment(30)) {
		t.Errorf("after a takeover: %+v", s)
	}
	s.drop(first)
	if s.of(chief) != nil || s.of(worker) == nil {
		t.Errorf("after one was dropped: %+v", s)
	}
}
