package control

import (
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"tfos/internal/control/controlpb"
)

// FuzzFromTheWire: what another version of tfos might send is an error or a value, and never more.
func FuzzFromTheWire(f *testing.F) {
	for _, m := range []proto.Message{
		&controlpb.FromAgent{Message: &controlpb.FromAgent_Hello{Hello: &controlpb.Hello{Container: "container_1_0001_01_000002", Task: "worker/0", Running: &controlpb.Started{Pid: 1}}}},
		&controlpb.FromAgent{Message: &controlpb.FromAgent_Hello{Hello: &controlpb.Hello{Container: "x", Task: "y", Exited: &controlpb.Exited{Stderr: []string{"a"}}}}},
		&controlpb.FromAgent{Message: &controlpb.FromAgent_Progress{Progress: &controlpb.Progress{Step: -1}}},
		&controlpb.FromAgent{Message: &controlpb.FromAgent_Peers{Peers: &controlpb.Peers{Endpoints: "forward", Counters: []*controlpb.PeerCounters{{Task: "b/1"}, {Task: "a/1", Sent: -1}, {Task: "a/1"}}}}},
		&controlpb.ToAgent{Message: &controlpb.ToAgent_Start{Start: &controlpb.Start{Cluster: &controlpb.Cluster{Leader: "chief"}}}},
		&controlpb.ToAgent{Message: &controlpb.ToAgent_Spec{Spec: &controlpb.Spec{Members: []*controlpb.Member{{Task: "a/1"}, {Task: "?"}}}}},
		&controlpb.ToAgent{Message: &controlpb.ToAgent_Stop{Stop: &controlpb.Stop{GraceMs: -1 << 63}}},
		&controlpb.ToAgent{},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var from controlpb.FromAgent
		if proto.Unmarshal(b, &from) == nil {
			if h, err := helloFromPB(from.GetHello()); err == nil {
				if again, err := helloFromPB(helloToPB(h)); err != nil || again.Container != h.Container || again.Task != h.Task {
					t.Errorf("hello %+v comes back as %+v, %v", h, again, err)
				}
			}
			exitedFromPB(from.GetExited())
			startedFromPB(from.GetStarted())
			progressFromPB(from.GetProgress())
			if p, err := peersFromPB(from.GetPeers()); err == nil {
				Peers{}.With(p).With(p)
			}
		}
		var to controlpb.ToAgent
		if proto.Unmarshal(b, &to) == nil {
			specFromPB(to.GetSpec())
			start, _ := startFromPB(to.GetStart())
			for _, d := range []time.Duration{start.Grace, stopFromPB(to.GetStop()).Grace, retireFromPB(to.GetRetire()).Grace} {
				if d < 0 {
					t.Errorf("a grace of %v", d)
				}
			}
		}
	})
}

// TestLeaseEnumsAreComplete: whatever constant the protocol has, package lease has one for it.
func TestLeaseEnumsAreComplete(t *testing.T) {
	for n, name := range controlpb.LeaseEnd_name {
		if _, ok := leaseEnds.Ours(controlpb.LeaseEnd(n)); !ok {
			t.Errorf("%s is not in the table", name)
		}
	}
	for n, name := range controlpb.LeaseState_name {
		if _, ok := leaseStates.Ours(controlpb.LeaseState(n)); !ok {
			t.Errorf("%s is not in the table", name)
		}
	}
}

// TestNumbersThatJSONDoesNotHave would keep the job's document from being made.
func TestNumbersThatJSONDoesNotHave(t *testing.T) {
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if p := progressFromPB(&controlpb.Progress{Loss: &x, Cpu: x}); p.Loss.Known || p.CPU != 0 {
			t.Errorf("%v came through: %+v", x, p)
		}
	}
	zero := 0.0
	if p := progressFromPB(progressToPB(Progress{Loss: Loss{Known: true}, CPU: 1.5})); !p.Loss.Known || p.Loss.Value != zero || p.CPU != 1.5 {
		t.Errorf("a loss of 0: %+v", p)
	}
}
