package am

import (
	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/membership"
)

// What the mailbox carries besides membership's events.
type (
	// joined is a new session with an agent.
	joined struct {
		session *control.Session
		hello   control.Hello
	}
	// left is a session's end.
	left struct {
		session *control.Session
		why     control.Departure
	}
	// progressed is a step that a program reported.
	progressed struct {
		task     job.Task
		progress control.Progress
	}
	// connected is what an agent says of the connections to its task's peers.
	connected struct {
		session *control.Session
		peers   control.Peers
	}
	// mirrored is what happened between a task's local checkpoints and those that they are kept in.
	mirrored struct {
		session *control.Session
		news    control.MirrorNews
	}
	// broken is an error that ends this attempt.
	broken struct{ err error }
)

// handler turns what agents and clients say into mail.
type handler Master

func (h *handler) Joined(s *control.Session, hello control.Hello) {
	(*Master)(h).post(joined{s, hello})
}

func (h *handler) Left(s *control.Session, why control.Departure) {
	(*Master)(h).post(left{s, why})
}

func (h *handler) Started(s *control.Session, e control.Started) {
	(*Master)(h).post(started(s, e))
}

func (h *handler) Exited(s *control.Session, e control.Exited) {
	(*Master)(h).post(exited(s, e))
}

func (h *handler) Progress(s *control.Session, p control.Progress) {
	(*Master)(h).post(progressed{s.Task(), p})
}

func (h *handler) Peers(s *control.Session, p control.Peers) {
	(*Master)(h).post(connected{s, p})
}

func (h *handler) Mirror(s *control.Session, n control.MirrorNews) {
	(*Master)(h).post(mirrored{s, n})
}

func (h *handler) StopJob(reason string) {
	(*Master)(h).post(membership.StopRequested{Reason: reason})
}

func started(s *control.Session, e control.Started) membership.Started {
	return membership.Started{Task: s.Task(), Incarnation: e.Incarnation, Container: s.Container(), PID: e.PID}
}

func exited(s *control.Session, e control.Exited) membership.Exited {
	return membership.Exited{
		Task: s.Task(), Incarnation: e.Incarnation, Container: s.Container(),
		Code: e.Code, Signal: e.Signal, OOM: e.OOM, Reason: e.Reason, Stopped: e.Stopped, Lost: e.Lost, Stderr: e.Stderr,
	}
}
