package am

import (
	"cmp"
	"context"
	"io"

	"tfos/internal/control"
)

// written is a page, or why there is none.
type written struct {
	content []byte
	err     error
}

// pages are what the master shows of its inside.
func (m *Master) pages() []control.Page {
	page := func(name, says string, of func(*owner) ([]byte, error)) control.Page {
		return control.Page{Name: name, Says: says, Write: func(ctx context.Context, w io.Writer) error { return m.show(ctx, of, w) }}
	}
	return []control.Page{
		page("state", "all that the job's machine remembers, JSON", func(o *owner) ([]byte, error) { return o.machine.Snapshot() }),
		page("events", "what happened and what the machine decided, a line each, for tfos replay", func(o *owner) ([]byte, error) { return o.events.bytes() }),
	}
}

// show writes a page that the owner makes.
func (m *Master) show(ctx context.Context, page func(*owner) ([]byte, error), w io.Writer) error {
	p, err := ask(ctx, m, func(answer chan<- written) any {
		return question(func(o *owner) {
			content, err := page(o)
			answer <- written{content, err}
		})
	})
	if err = cmp.Or(err, p.err); err == nil {
		_, err = w.Write(p.content)
	}
	return err
}
