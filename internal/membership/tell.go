package membership

import (
	"fmt"
	"strings"
	"time"

	"tfos/internal/yarn"
)

// Tell writes actions as a person would, a line each: c1 is the container with the number 1.
func Tell(actions []Action) string {
	if len(actions) == 0 {
		return "nothing"
	}
	var b strings.Builder
	for _, a := range actions {
		switch a := a.(type) {
		case Ask:
			fmt.Fprintf(&b, "ask %s %d\n", a.Role, a.Count)
		case Release:
			fmt.Fprintf(&b, "release %s\n", short(a.Container))
		case Adopt:
			fmt.Fprintf(&b, "adopt %s inc=%d %s on %s\n", a.Task, a.Incarnation, short(a.Container), a.Node.Host)
		case TakeoverEnded:
			fmt.Fprintf(&b, "takeover-ended reported=%d missing=%d\n", a.Reported, a.Missing)
		case Launch:
			spare := ""
			if a.Spare {
				spare = " as a spare"
			}
			fmt.Fprintf(&b, "launch %s inc=%d %s on %s%s\n", a.Task, a.Incarnation, short(a.Container), a.Node.Host, spare)
		case Notify:
			if a.Cause == CauseNone {
				fmt.Fprintf(&b, "notify %s %s it is over\n", a.Task, short(a.Container))
			} else {
				fmt.Fprintf(&b, "notify %s %s %s until %s\n", a.Task, short(a.Container), a.Cause, a.Deadline.Format(time.TimeOnly))
			}
		case Move:
			fmt.Fprintf(&b, "move %s inc=%d to %s on %s\n", a.Task, a.Incarnation, short(a.Container), a.Node.Host)
		case Publish:
			fmt.Fprintf(&b, "publish generation=%d", a.Spec.Generation)
			for _, m := range a.Spec.Members {
				if m.Address == "" {
					fmt.Fprintf(&b, " %s=nowhere", m.Task)
					continue
				}
				fmt.Fprintf(&b, " %s(%d)=%s", m.Task, m.Incarnation, m.Address)
			}
			b.WriteByte('\n')
		case StartProcess:
			fmt.Fprintf(&b, "start %s inc=%d generation=%d\n", a.Task, a.Incarnation, a.Generation)
		case StopProcess:
			fmt.Fprintf(&b, "stop %s inc=%d grace=%s\n", a.Task, a.Incarnation, a.Grace)
		case Retire:
			fmt.Fprintf(&b, "retire %s inc=%d %s\n", a.Task, a.Incarnation, short(a.Container))
		case Exclude:
			fmt.Fprintf(&b, "exclude %s\n", a.Host)
		case Readmit:
			fmt.Fprintf(&b, "readmit %s\n", a.Host)
		case Inspect:
			fmt.Fprintf(&b, "inspect %d", a.Number)
			if a.Busy {
				b.WriteString(" busy")
			}
			b.WriteByte('\n')
		case Finish:
			fmt.Fprintf(&b, "finish exit=%d %s\n", a.Result.ExitCode, a.Result.Diagnostics)
		}
	}
	return b.String()
}

func short(c yarn.ContainerID) string { return fmt.Sprintf("c%d", c.ID) }
