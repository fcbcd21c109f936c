package am

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"tfos/internal/control"
	"tfos/internal/membership"
)

// scaleWish is a client's, who waits for the answer.
type scaleWish struct {
	control.ScaleWish
	answer chan<- control.ScaleAnswer // capacity 1
}

// Scale implements control.MasterHandler.
func (h *handler) Scale(ctx context.Context, w control.ScaleWish) (control.ScaleAnswer, error) {
	return ask(ctx, (*Master)(h), func(answer chan<- control.ScaleAnswer) any { return scaleWish{w, answer} })
}

// scale asks the machine whether it can be, and answers: yes once the journal has it, so that no
// later attempt has forgotten it.
func (o *owner) scale(w scaleWish) {
	var a control.ScaleAnswer
	if r, ok := o.machine.Job().Role(w.Role); ok {
		a.Was = r.Instances
	}
	err := o.machine.CheckScale(w.Role, w.Count)
	if err == nil && o.countsVCores && w.VCores != "" {
		err = errors.New(w.VCores)
	}
	if err != nil {
		var refused *membership.Refusal
		a.Refused, a.Usage = err.Error(), errors.As(err, &refused) && refused.Usage
		w.answer <- a
		return
	}
	o.log.Info("another size is wanted", zap.String("role", w.Role), zap.Int("was", a.Was), zap.Int("is", w.Count))
	o.turn(membership.Scaled{Role: w.Role, Count: w.Count, Renew: w.RestartCoordinator})
	o.m.o.Sized(o.machine.Job().Size())
	o.journal.book.Promise(func() { w.answer <- a })
}
