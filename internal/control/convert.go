package control

import (
	"fmt"
	"time"

	"tfos/internal/control/controlpb"
	"tfos/internal/job"
	"tfos/internal/membership"
	"tfos/internal/yarn"
)

// What comes from the wire was written by a holder of one of the job's certificates, yet perhaps of another version of tfos:
// a field that does not parse is an error of the session, never a panic.

func helloToPB(h Hello) *controlpb.Hello {
	p := &controlpb.Hello{
		Container:   h.Container.String(),
		Task:        h.Task.String(),
		Incarnation: int32(h.Incarnation),
		Agent:       h.Agent,
		Address:     h.Address,
		Generation:  int64(h.Generation),
		Digest:      h.Digest,
		Since:       int64(h.Since),
	}
	if h.Running != nil {
		p.Running = startedToPB(*h.Running)
	}
	if h.Exited != nil {
		p.Exited = exitedToPB(*h.Exited)
	}
	return p
}

func helloFromPB(p *controlpb.Hello) (Hello, error) {
	container, err := yarn.ParseContainerID(p.GetContainer())
	if err != nil {
		return Hello{}, fmt.Errorf("hello: %w", err)
	}
	task, err := job.ParseTask(p.GetTask())
	if err != nil {
		return Hello{}, fmt.Errorf("hello: %w", err)
	}
	h := Hello{
		Container:   container,
		Task:        task,
		Incarnation: job.Incarnation(p.GetIncarnation()),
		Agent:       p.GetAgent(),
		Address:     p.GetAddress(),
		Generation:  job.Generation(p.GetGeneration()),
		Digest:      p.GetDigest(),
		Since:       job.Generation(p.GetSince()),
	}
	if p.GetRunning() != nil {
		s := startedFromPB(p.GetRunning())
		h.Running = &s
	}
	if p.GetExited() != nil {
		e := exitedFromPB(p.GetExited())
		h.Exited = &e
	}
	return h, nil
}

func startedToPB(s Started) *controlpb.Started {
	return &controlpb.Started{Incarnation: int32(s.Incarnation), Pid: int32(s.PID), Tensorboard: s.TensorBoard}
}

func startedFromPB(p *controlpb.Started) Started {
	return Started{Incarnation: job.Incarnation(p.GetIncarnation()), PID: int(p.GetPid()), TensorBoard: p.GetTensorboard()}
}

func exitedToPB(e Exited) *controlpb.Exited {
	return &controlpb.Exited{
		Incarnation: int32(e.Incarnation),
		Code:        int32(e.Code),
		Signal:      e.Signal,
		Oom:         e.OOM,
		Reason:      valid(e.Reason),
		Stderr:      validLines(e.Stderr),
	}
}

func exitedFromPB(p *controlpb.Exited) Exited {
	return Exited{
		Incarnation: job.Incarnation(p.GetIncarnation()),
		Code:        int(p.GetCode()),
		Signal:      p.GetSignal(),
		OOM:         p.GetOom(),
		Reason:      p.GetReason(),
		Stderr:      p.GetStderr(),
	}
}

func progressToPB(g Progress) *controlpb.Progress {
	return &controlpb.Progress{Incarnation: int32(g.Incarnation), Step: g.Step, Steps: g.Steps}
}

func progressFromPB(p *controlpb.Progress) Progress {
	return Progress{Incarnation: job.Incarnation(p.GetIncarnation()), Step: p.GetStep(), Steps: p.GetSteps()}
}

func specToPB(s membership.Spec) *controlpb.Spec {
	p := &controlpb.Spec{Generation: int64(s.Generation), Members: make([]*controlpb.Member, 0, len(s.Members))}
	for _, m := range s.Members {
		p.Members = append(p.Members, &controlpb.Member{Task: m.Task.String(), Incarnation: int32(m.Incarnation), Address: m.Address})
	}
	return p
}

func specFromPB(p *controlpb.Spec) (membership.Spec, error) {
	s := membership.Spec{Generation: job.Generation(p.GetGeneration()), Members: make([]membership.Member, 0, len(p.GetMembers()))}
	for _, m := range p.GetMembers() {
		task, err := job.ParseTask(m.GetTask())
		if err != nil {
			return membership.Spec{}, fmt.Errorf("cluster_spec: %w", err)
		}
		s.Members = append(s.Members, membership.Member{Task: task, Incarnation: job.Incarnation(m.GetIncarnation()), Address: m.GetAddress()})
	}
	return s, nil
}

func startToPB(s Start) *controlpb.Start {
	return &controlpb.Start{
		Incarnation: int32(s.Incarnation),
		Generation:  int64(s.Generation),
		Command:     s.Command,
		Env:         s.Env,
		GraceMs:     s.Grace.Milliseconds(),
		Tensorboard: s.TensorBoard,
	}
}

func startFromPB(p *controlpb.Start) Start {
	return Start{
		Incarnation: job.Incarnation(p.GetIncarnation()),
		Generation:  job.Generation(p.GetGeneration()),
		Command:     p.GetCommand(),
		Env:         p.GetEnv(),
		Grace:       milliseconds(p.GetGraceMs()),
		TensorBoard: p.GetTensorboard(),
	}
}

func stopFromPB(p *controlpb.Stop) Stop {
	return Stop{Incarnation: job.Incarnation(p.GetIncarnation()), Grace: milliseconds(p.GetGraceMs())}
}

func retireFromPB(p *controlpb.Retire) Retire {
	return Retire{Reason: p.GetReason(), Grace: milliseconds(p.GetGraceMs())}
}

// milliseconds bounds n, so that a wrong one is no overflow.
func milliseconds(n int64) time.Duration {
	const most = int64(365 * 24 * time.Hour / time.Millisecond)
	return time.Duration(min(max(n, 0), most)) * time.Millisecond
}
