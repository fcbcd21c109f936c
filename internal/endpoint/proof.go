package endpoint

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/job"
	"tfos/internal/listen"
)

// Proof is what an agent says to whoever asks whether it still holds its task's port. It tells
// agents of one job apart from each other and from everybody else, so that a stranger is not taken
// for a peer by mistake. It is no secret: TensorFlow's own protocol has none either.
type Proof [16]byte

// ProofOf is a task's. The job's name is one that no other job has, on any cluster.
func ProofOf(job string, t job.Task) Proof {
	sum := sha256.Sum256([]byte("tfos endpoint " + job + " " + t.String()))
	return Proof(sum[:])
}

// proofWait bounds how long a target has to prove who it is. It takes well under a millisecond,
// unless its node is overloaded or stopped.
const proofWait = 2 * time.Second

// errStranger says that somebody answers at a target who is not the peer.
var errStranger = errors.New("not the peer")

// prove asks who holds a target. It is nil if that is the agent that the proof names: then that
// agent held the target's port from when it was published until now.
func prove(ctx context.Context, t target, want Proof) error {
	ctx, cancel := context.WithTimeout(ctx, proofWait)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(t.Addr(), t.witness).String())
	if err != nil {
		return err
	}
	defer reset(c.(*net.TCPConn)) // leaves nothing behind
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	var said Proof
	if _, err := io.ReadFull(c, said[:]); err != nil {
		return err
	}
	if said != want {
		return errStranger
	}
	return nil
}

// Witness proves to peers that their target is held: that nobody else can have taken the port since
// it was published. It must end before the port is released.
type Witness struct {
	listener net.Listener
	proof    Proof
	logger   *zap.Logger
	end      chan struct{} // closed by Close
	close    sync.Once
}

// NewWitness makes one that answers where the listener is, at the host of the port that is held. It
// owns the listener. Run serves.
func NewWitness(l net.Listener, p Proof, logger *zap.Logger) *Witness {
	return &Witness{listener: l, proof: p, logger: logger, end: make(chan struct{})}
}

// Run answers until Close.
func (w *Witness) Run() {
	for {
		c, err := listen.Accept(w.listener.Accept, w.end, w.logger)
		if err != nil {
			return
		}
		_ = c.SetWriteDeadline(time.Now().Add(proofWait)) // it never waits: there is room
		_, _ = c.Write(w.proof[:])                        // who does not get it asks again
		_ = c.Close()
	}
}

// Close ends Run, which may say its proof once more before it returns.
func (w *Witness) Close() error {
	w.close.Do(func() { close(w.end) })
	if err := w.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("stop proving who listens: %w", err)
	}
	return nil
}
