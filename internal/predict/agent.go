package predict

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// agentClient speaks HTTP to a task's agent on its Unix socket.
func agentClient(socket string) http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: leaseHeld}
}

// Progress tells a task's agent how many rows are written, now and then. Close it.
type Progress struct {
	rows    atomic.Int64
	http    http.Client
	stop    context.CancelFunc
	stopped sync.WaitGroup
}

// NewProgress tells the agent behind a socket.
func NewProgress(socket string) *Progress {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Progress{http: agentClient(socket), stop: cancel}
	p.stopped.Go(func() { p.run(ctx) })
	return p
}

// Set says how many rows are written.
func (p *Progress) Set(rows int64) { p.rows.Store(rows) }

// run tells what is new every second. That the agent does not hear it is no reason to stop.
func (p *Progress) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	told := int64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if rows := p.rows.Load(); rows != told && p.tell(ctx, rows) == nil {
			told = rows
		}
	}
}

func (p *Progress) tell(ctx context.Context, rows int64) error {
	body, err := json.Marshal(map[string]int64{"step": rows})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://agent/v1/step", bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := p.http.Do(r)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// Close ends it.
func (p *Progress) Close() {
	p.stop()
	p.stopped.Wait()
}
