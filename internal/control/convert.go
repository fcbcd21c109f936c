package control

import (
	"fmt"
	"math"
	"slices"
	"time"

	"tfos/internal/checkpoint"
	"tfos/internal/clusterspec"
	"tfos/internal/control/controlpb"
	"tfos/internal/job"
	"tfos/internal/yarn"
)

// What comes from the wire was written by a holder of one of the job's certificates, yet perhaps of
// another version of tfos:
// a field that does not parse is an error of the session, never a panic.

func helloToPB(h Hello) *controlpb.Hello {
	p := &controlpb.Hello{
		Container:   h.Container.String(),
		Task:        h.Task.String(),
		Incarnation: int32(h.Incarnation),
		Agent:       h.Agent,
		Address:     h.Address,
		Witness:     int32(h.Witness),
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
	if h.Peers.Endpoints != "" {
		p.Peers = peersToPB(h.Peers)
	}
	for _, n := range h.Mirror {
		p.Mirror = append(p.Mirror, mirrorNewsToPB(n))
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
		Witness:     int(p.GetWitness()),
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
	if h.Peers, err = peersFromPB(p.GetPeers()); err != nil {
		return Hello{}, fmt.Errorf("hello: %w", err)
	}
	for _, n := range p.GetMirror() {
		h.Mirror = append(h.Mirror, mirrorNewsFromPB(n))
	}
	return h, nil
}

func mirrorNewsToPB(n MirrorNews) *controlpb.MirrorNews {
	return &controlpb.MirrorNews{
		Incarnation: int32(n.Incarnation), What: string(n.What), Checkpoint: valid(n.Checkpoint), Step: n.Step, Bytes: n.Bytes,
		TookMs: n.Took.Milliseconds(), Problem: valid(n.Problem),
	}
}

func mirrorNewsFromPB(p *controlpb.MirrorNews) MirrorNews {
	return MirrorNews{
		Incarnation: job.Incarnation(p.GetIncarnation()),
		News: checkpoint.News{
			What: checkpoint.What(p.GetWhat()), Checkpoint: p.GetCheckpoint(), Step: p.GetStep(), Bytes: p.GetBytes(),
			Took: milliseconds(p.GetTookMs()), Problem: p.GetProblem(),
		},
	}
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
		Stopped:     e.Stopped,
		Lost:        e.Lost,
		Stderr:      validLines(e.Stderr),
	}
}

func exitedFromPB(p *controlpb.Exited) Exited {
	return Exited{job.Incarnation(p.GetIncarnation()), job.Ended{
		Code:    int(p.GetCode()),
		Signal:  p.GetSignal(),
		OOM:     p.GetOom(),
		Reason:  p.GetReason(),
		Stopped: p.GetStopped(),
		Lost:    p.GetLost(),
		Stderr:  p.GetStderr(),
	}}
}

func progressToPB(g Progress) *controlpb.Progress {
	p := &controlpb.Progress{Incarnation: int32(g.Incarnation), Step: g.Step, Steps: g.Steps, Counted: g.Counted, Memory: g.Memory, Cpu: g.CPU}
	if g.Loss.Known {
		p.Loss = &g.Loss.Value
	}
	return p
}

func progressFromPB(p *controlpb.Progress) Progress {
	g := Progress{Incarnation: job.Incarnation(p.GetIncarnation()), Step: p.GetStep(), Steps: p.GetSteps(), Counted: p.GetCounted(),
		Memory: max(p.GetMemory(), 0)}
	if loss := p.GetLoss(); p != nil && p.Loss != nil && finite(loss) {
		g.Loss = Loss{Known: true, Value: loss}
	}
	if cpu := p.GetCpu(); finite(cpu) && cpu > 0 {
		g.CPU = cpu
	}
	return g
}

// finite reports whether JSON can say a number.
func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

func peersToPB(x Peers) *controlpb.Peers {
	p := &controlpb.Peers{Endpoints: string(x.Endpoints), Reason: valid(x.Reason), Counters: make([]*controlpb.PeerCounters, 0, len(x.Counters))}
	for _, c := range x.Counters {
		p.Counters = append(p.Counters, &controlpb.PeerCounters{
			Task: c.Task.String(), Connections: c.Connections, Refused: c.Refused, Resets: c.Resets, Sent: c.Sent, Received: c.Received,
		})
	}
	return p
}

func peersFromPB(p *controlpb.Peers) (Peers, error) {
	x := Peers{Endpoints: job.Endpoints(p.GetEndpoints()), Reason: p.GetReason()}
	for _, c := range p.GetCounters() {
		task, err := job.ParseTask(c.GetTask())
		if err != nil {
			return Peers{}, fmt.Errorf("peers: %w", err)
		}
		x.Counters = append(x.Counters, clusterspec.Counters{
			Task: task, Connections: c.GetConnections(), Refused: c.GetRefused(), Resets: c.GetResets(), Sent: c.GetSent(), Received: c.GetReceived(),
		})
	}
	slices.SortFunc(x.Counters, func(a, b clusterspec.Counters) int { return a.Task.Compare(b.Task) })
	return x, nil
}

func specToPB(s clusterspec.Spec) *controlpb.Spec {
	p := &controlpb.Spec{Generation: int64(s.Generation), Members: make([]*controlpb.Member, 0, len(s.Members))}
	for _, m := range s.Members {
		p.Members = append(p.Members, memberToPB(m))
	}
	return p
}

func memberToPB(m clusterspec.Member) *controlpb.Member {
	return &controlpb.Member{Task: m.Task.String(), Incarnation: int32(m.Incarnation), Address: m.Address, Witness: int32(m.Witness)}
}

func memberFromPB(p *controlpb.Member) (clusterspec.Member, error) {
	task, err := job.ParseTask(p.GetTask())
	if err != nil {
		return clusterspec.Member{}, fmt.Errorf("cluster_spec: %w", err)
	}
	return clusterspec.Member{Task: task, Incarnation: job.Incarnation(p.GetIncarnation()), Address: p.GetAddress(), Witness: int(p.GetWitness())}, nil
}

func specFromPB(p *controlpb.Spec) (clusterspec.Spec, error) {
	s := clusterspec.Spec{Generation: job.Generation(p.GetGeneration()), Members: make([]clusterspec.Member, 0, len(p.GetMembers()))}
	for _, m := range p.GetMembers() {
		member, err := memberFromPB(m)
		if err != nil {
			return clusterspec.Spec{}, err
		}
		s.Members = append(s.Members, member)
	}
	return s, nil
}

func startToPB(s Start) *controlpb.Start {
	p := &controlpb.Start{
		Incarnation: int32(s.Incarnation),
		Generation:  int64(s.Generation),
		Command:     s.Command,
		Env:         s.Env,
		GraceMs:     s.Grace.Milliseconds(),
		Tensorboard: s.TensorBoard,
	}
	if s.Cluster.Leader != (job.Task{}) {
		p.Cluster = &controlpb.Cluster{Leader: s.Cluster.Leader.String(), Services: s.Cluster.Services, Watched: s.Cluster.Watched}
	}
	if m := s.Mirror; m != nil {
		p.Mirror = &controlpb.Mirror{Uri: m.URI, Fetch: m.Fetch, Upload: m.Upload, Shared: m.Shared, Follow: m.Follow, Others: m.Others}
	}
	return p
}

func startFromPB(p *controlpb.Start) (Start, error) {
	s := Start{
		Incarnation: job.Incarnation(p.GetIncarnation()),
		Generation:  job.Generation(p.GetGeneration()),
		Command:     p.GetCommand(),
		Env:         p.GetEnv(),
		Grace:       milliseconds(p.GetGraceMs()),
		TensorBoard: p.GetTensorboard(),
	}
	if m := p.GetMirror(); m != nil {
		s.Mirror = &Mirror{URI: m.GetUri(), Fetch: m.GetFetch(), Upload: m.GetUpload(), Shared: m.GetShared(), Follow: m.GetFollow(), Others: m.GetOthers()}
	}
	if c := p.GetCluster(); c != nil {
		leader, err := job.ParseTask(c.GetLeader())
		if err != nil {
			return Start{}, fmt.Errorf("start: the leader: %w", err)
		}
		s.Cluster = clusterspec.Cluster{Leader: leader, Services: c.GetServices(), Watched: c.GetWatched()}
	}
	return s, nil
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
