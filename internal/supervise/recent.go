package supervise

import "sync"

// Recent is a writer that keeps the newest bytes. It is safe for concurrent use.
type Recent struct {
	size int

	mu  sync.Mutex
	b   []byte // guarded by mu: the newest, twice as many as wanted at most
	cut bool   // guarded by mu: there was more before b
}

// NewRecent keeps size bytes.
func NewRecent(size int) *Recent { return &Recent{size: size} }

// Write always succeeds.
func (r *Recent) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(b)
	if n > r.size {
		b, r.b, r.cut = b[n-r.size:], r.b[:0], true
	}
	if r.b = append(r.b, b...); len(r.b) > 2*r.size {
		r.trim()
	}
	return n, nil
}

func (r *Recent) trim() {
	if more := len(r.b) - r.size; more > 0 {
		r.b, r.cut = append(r.b[:0], r.b[more:]...), true
	}
}

// Take takes what there is out of r, and reports whether there was more before it.
func (r *Recent) Take() (newest []byte, cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trim()
	newest, cut = r.b, r.cut
	r.b, r.cut = nil, false
	return newest, cut
}
