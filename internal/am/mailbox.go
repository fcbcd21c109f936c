package am

import (
	"sync"

	"tfos/internal/control"
)

// mailbox is what waits for the owner. To post never waits: whoever reads what an agent says must
// go on reading, or the agent is taken for silent because the owner is busy. Of reports of which
// the newest counts one per session waits.
type mailbox struct {
	some chan struct{} // capacity 1: there is mail

	mu      sync.Mutex
	mail    []any                      // guarded by mu, the oldest first
	reports map[*control.Session]*news // guarded by mu: the newest letter of a session, if that is one of news
}

// news is what a task's agent says of it time and again: steps and connections. It is the owner's
// once it is taken.
type news struct {
	session  *control.Session
	progress *control.Progress // nil: none
	peers    *control.Peers    // nil: none; else what has changed
}

func newMailbox() *mailbox {
	return &mailbox{some: make(chan struct{}, 1), reports: make(map[*control.Session]*news)}
}

// post adds a letter. From is the session that it comes of; nil: of none.
func (b *mailbox) post(letter any, from *control.Session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.reports, from)
	b.addLocked(letter)
}

// report adds news, to those that wait if they are the session's newest letter.
func (b *mailbox) report(n news) {
	b.mu.Lock()
	defer b.mu.Unlock()
	waiting, ok := b.reports[n.session]
	if !ok {
		b.reports[n.session] = &n
		b.addLocked(&n)
		return
	}
	if n.progress != nil {
		waiting.progress = n.progress
	}
	if n.peers != nil && waiting.peers != nil {
		all := waiting.peers.With(*n.peers)
		waiting.peers = &all
	} else if n.peers != nil {
		waiting.peers = n.peers
	}
}

func (b *mailbox) addLocked(letter any) {
	b.mail = append(b.mail, letter)
	b.signal()
}

func (b *mailbox) signal() {
	select {
	case b.some <- struct{}{}:
	default:
	}
}

// take removes the oldest letter. It is nil if there is none.
func (b *mailbox) take() any {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mail) == 0 {
		return nil
	}
	letter := b.mail[0]
	b.mail[0] = nil
	if b.mail = b.mail[1:]; len(b.mail) > 0 {
		b.signal()
	} else {
		b.mail = nil
	}
	if n, ok := letter.(*news); ok && b.reports[n.session] == n {
		delete(b.reports, n.session)
	}
	return letter
}

func (b *mailbox) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.mail) == 0
}
