package am

import (
	"tfos/internal/am/input"
	"tfos/internal/dfs/glob"
	"tfos/internal/lease"
	"tfos/internal/status"
)

func (m *Master) newInput() *input.Input {
	return input.New(input.Options{
		Files:   glob.Matcher{Resolver: m.o.Files},
		Store:   input.Beside{Resolver: m.o.Files, Dir: m.o.Job.Checkpoint.Dir},
		Journal: &input.Journal{FS: m.o.FS, Dir: m.o.Manifest.Staging, Attempt: m.o.Container.Attempt.Attempt},
		Changed: func(v []lease.View, problem string) { m.post(shared{v, problem}) },
		Log:     m.log.Named("input"),
	})
}

// shared is a word of the input's owner: how far it is, and what is in its way.
type shared struct {
	views   []lease.View
	problem string
}

// view is the input as the status document has it.
func (s shared) view() []status.Input {
	all := make([]status.Input, 0, len(s.views))
	for _, v := range s.views {
		all = append(all, status.Input{Name: v.Name, Role: v.Role, Epoch: v.Epoch, Epochs: v.Epochs, Done: v.Done, Total: v.Total, Leased: v.Leased})
	}
	return all
}
