package sim

import "tfos/internal/membership"

// ends checks that no process is followed by another one of its task unless it is said to be over:
// who hears that takes what it held of the job's input, and gives it to others.
func (a *auditor) ends(d membership.Decision, actions []membership.Action) {
	for _, p := range d.Over {
		a.over[p.Task] = max(a.over[p.Task], p.Incarnation)
	}
	for _, action := range actions {
		if s, is := action.(membership.StartProcess); is && a.ordered[s.Task] < s.Incarnation && a.over[s.Task] < a.ordered[s.Task] {
			a.violate("over", "%s, and nobody was told that incarnation %d is over", tell(s), a.ordered[s.Task])
		}
	}
}

// outlived checks that none of the processes that are said to be over goes on in a container that
// its task holds. One that is started anew in place was told to end first. In a job whose result is
// decided nobody starts who could be given what it held.
func (a *auditor) outlived(m *master, over []membership.Process) {
	if a.restoring.decided {
		return
	}
	for _, p := range over {
		for _, g := range m.agents[p.Task] {
			if g.incarnation <= p.Incarnation && g.alive && g.running && !g.stopped &&
				a.state[g.container] == held && a.starting[g.task] <= g.incarnation {
				a.violate("over", "%s inc=%d is said to be over, and runs in %s", p.Task, g.incarnation, g.container)
			}
		}
	}
}
