package web

import (
	"crypto/cipher"
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
//
// The password is encrypted with the handle, which only the browser has: who reads
// this memory, or finds it in a dump, learns nothing.
type proofs struct {
	now func() time.Time

	mu   sync.Mutex
	kept map[oidc.Hash]proof // by the hash of the handle
}

type proof struct {
	subject string
	sealed  []byte
	until   time.Time
}

// cipher returns the cipher of one handle, which has 256 random bits.
func (p *proofs) cipher(handle, subject string) cipher.AEAD {
	return (&sealer{key: []byte(handle), now: p.now}).aead(purposePassword, subject)
}

// keep returns the handle of a password, or "" if it isn't kept.
func (p *proofs) keep(subject, password string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.kept) >= mostProof {
		return ""
	}
	handle := oidc.NewSecret("")
	id := oidc.HashOf(handle)
	p.kept[id] = proof{
		subject: subject, until: p.now().Add(proofLife),
		sealed: p.cipher(handle, subject).Seal(nil, nil, []byte(password), nil), //nolint:gosec // the cipher makes its own random nonce
	}
	time.AfterFunc(proofLife, func() { p.drop(id) }) // which must not hold the handle
	return handle
}

// password returns what is kept for a person, or "".
func (p *proofs) password(handle, subject string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept, ok := p.kept[oidc.HashOf(handle)]
	if !ok || kept.subject != subject || !p.now().Before(kept.until) {
		return ""
	}
	password, err := p.cipher(handle, subject).Open(nil, nil, kept.sealed, nil)
	if err != nil {
		return "" // the handle is the one it was sealed with
	}
	return string(password)
}

func (p *proofs) forget(handle string) { p.drop(oidc.HashOf(handle)) }

func (p *proofs) drop(id oidc.Hash) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.kept, id)
}
