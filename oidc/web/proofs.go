package web

import (
	"sync"
	"time"

	"gatehouse/oidc"
)

const (
	proofLife = 5 * time.Minute
	mostProof = 1000
)

// proofs keeps, in memory, passwords that the directory has just found right and
// wants replaced: who has typed one need not type it again to choose another. A
// page knows its proof by a handle. What is not here any more (another node, a
// restart, too many at once) is asked for again.
type proofs struct {
	now func() time.Time

	mu   sync.Mutex
	kept map[string]proof
}

type proof struct {
	subject  string
	password string
	until    time.Time
}

// keep returns the handle of a password, or "" if it isn't kept.
func (p *proofs) keep(subject, password string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.kept) >= mostProof {
		return ""
	}
	handle := oidc.NewID()
	p.kept[handle] = proof{subject: subject, password: password, until: p.now().Add(proofLife)}
	time.AfterFunc(proofLife, func() { p.forget(handle) })
	return handle
}

// password returns what is kept for a person, or "".
func (p *proofs) password(handle, subject string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept, ok := p.kept[handle]
	if !ok || kept.subject != subject || !p.now().Before(kept.until) {
		return ""
	}
	return kept.password
}

func (p *proofs) forget(handle string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.kept, handle)
}
