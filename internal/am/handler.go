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
	// question is put to the owner, which runs it in its own goroutine.
	question func(*owner)
	// passed says that the deadline has passed.
	passed struct{}
	// broken is an error that ends this attempt.
	broken struct{ err error }
)

// handler turns what agents and clients say into mail. What an agent says waits for nobody.
type handler Master

func (h *handler) Joined(s *control.Session, hello control.Hello) {
	if hello.Running != nil {
		h.heardBoard(*hello.Running)
	}
	h.mail.post(joined{s, hello}, s)
}

func (h *handler) Left(s *control.Session, why control.Departure) {
	h.mail.post(left{s, why}, s)
}

func (h *handler) Started(s *control.Session, e control.Started) {
	h.heardBoard(e)
	h.mail.post(started(s, e), s)
}

// heardBoard notes where a TensorBoard may be.
func (h *handler) heardBoard(e control.Started) {
	if e.TensorBoard != "" {
		h.board.Store(&e.TensorBoard)
	}
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
	v, err := ask(ctx, (*Master)(h), func(answer chan<- status.View) any {
		return question(func(o *owner) { answer <- o.view() })
	})
	switch {
	case errors.Is(err, errEnding) && h.last != nil:
		return h.last, nil
	case err != nil:
		return nil, err
	}
	return json.Marshal(v)
}

// errEnding is for clients that come when there is no owner any more.
var errEnding = errors.New("the master is ending")

// ask posts a letter that the owner answers once, and waits for the answer.
func ask[T any](ctx context.Context, m *Master, letter func(answer chan<- T) any) (T, error) {
	answer := make(chan T, 1)
	m.post(letter(answer))
	var none T
	select {
	case a := <-answer:
		return a, nil
	case <-m.done:
		return none, errEnding
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

func started(s *control.Session, e control.Started) membership.Started {
	return membership.Started{Task: s.Task(), Incarnation: e.Incarnation, Container: s.Container(), PID: e.PID}
}

func exited(s *control.Session, e control.Exited) membership.Exited {
	return membership.Exited{Task: s.Task(), Incarnation: e.Incarnation, Container: s.Container(), Ended: e.Ended}
}
