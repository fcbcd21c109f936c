package fileserver

import "sync"

// chunkSize is the unit of what is read ahead, in bytes.
const chunkSize = 1 << 20

// pool is the memory for what is read ahead. It never gives out more buffers than its limit.
type pool struct {
	limit   int
	buffers sync.Pool // of *[chunkSize]byte: what nobody needs goes when the collector comes

	mu    sync.Mutex
	taken int // guarded by mu, as what follows
	scans int // that share the buffers
}

func newPool(limit int) *pool {
	return &pool{limit: limit, buffers: sync.Pool{New: func() any { return new([chunkSize]byte) }}}
}

// take is nil if all buffers are in use.
func (p *pool) take() *[chunkSize]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken == p.limit {
		return nil
	}
	p.taken++
	return p.buffers.Get().(*[chunkSize]byte)
}

func (p *pool) put(b *[chunkSize]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	p.buffers.Put(b)
}

// count adds n scans.
func (p *pool) count(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scans += n
}

// share is how many buffers each scan may have.
func (p *pool) share() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(1, min(p.limit/max(p.scans, 1), maxAhead))
}
