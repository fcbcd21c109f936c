package am

import (
	"context"
	"encoding/json"
	"errors"

	"tfos/internal/control"
	"tfos/internal/membership"
	"tfos/internal/status"
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
	// mirrored is what happened between a task's local checkpoints and those that they are kept in.
	mirrored struct {
		session *control.Session
		news    control.MirrorNews
	}
	// look is somebody's who wants to see the job.
	look struct {
		answer chan<- status.View // capacity 1
	}
	// broken is an error that ends this attempt.
	broken struct{ err error }
)

// handler turns what agents and clients say into mail. What an agent says waits for nobody.
type handler Master

func (h *handler) Joined(s *control.Session, hello control.Hello) {
	h.mail.post(joined{s, hello}, s)
}

func (h *handler) Left(s *control.Session, why control.Departure) {
	h.mail.post(left{s, why}, s)
}

func (h *handler) Started(s *control.Session, e control.Started) {
	h.mail.post(started(s, e), s)
}

func (h *handler) Exited(s *control.Session, e control.Exited) {
	h.mail.post(exited(s, e), s)
}

func (h *handler) Progress(s *control.Session, p control.Progress) {
	h.mail.report(news{session: s, progress: &p})
}

func (h *handler) Peers(s *control.Session, p control.Peers) {
	h.mail.report(news{session: s, peers: &p})
}

func (h *handler) Mirror(s *control.Session, n control.MirrorNews) {
	h.mail.post(mirrored{s, n}, s)
}

func (h *handler) StopJob(reason string) {
	h.mail.post(membership.StopRequested{Reason: reason}, nil)
}

// View implements control.MasterHandler. The owner says how the job stands, and no more: of ten
// thousand tasks the document is several MiB.
func (h *handler) View(ctx context.Context) ([]byte, error) {
	answer := make(chan status.View, 1)
	h.mail.post(look{answer}, nil)
	select {
	case v := <-answer:
		return json.Marshal(v)
	case <-h.done:
		if h.last == nil {
			return nil, errEnding
		}
		return h.last, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// errEnding is for clients that come when there is no owner any more.
var errEnding = errors.New("the master is ending")

func started(s *control.Session, e control.Started) membership.Started {
	return membership.Started{Task: s.Task(), Incarnation: e.Incarnation, Container: s.Container(), PID: e.PID}
}

func exited(s *control.Session, e control.Exited) membership.Exited {
	return membership.Exited{
		Task: s.Task(), Incarnation: e.Incarnation, Container: s.Container(),
		Code: e.Code, Signal: e.Signal, OOM: e.OOM, Reason: e.Reason, Stopped: e.Stopped, Lost: e.Lost, Stderr: e.Stderr,
	}
}
