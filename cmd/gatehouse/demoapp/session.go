package demoapp

import (
	"crypto/rand"
	"sync"
	"time"
)

const (
	maxSessions = 512
	maxPending  = 8 // sign-ins that one browser has begun and not ended
	sessionLife = 8 * time.Hour
	pendingLife = 15 * time.Minute
)

// sessions holds what browsers have done here, in memory. When there are too many
// the one that was idle longest goes.
type sessions struct {
	now func() time.Time
	mu  sync.Mutex
	all map[string]*session
}

// session is one browser's.
type session struct {
	lastSeen time.Time // guarded by sessions.mu

	mu       sync.Mutex
	pending  map[string]pending // by state
	identity *identity          // nil until signed in
	notice   *notice            // to be shown once
	refusal  *notice            // why the last sign-in failed, nil if it didn't
	status   int                // of the page with refusal
}

// pending is a sign-in that has been begun.
type pending struct {
	nonce    string
	verifier string // PKCE
	begun    time.Time
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, all: map[string]*session{}}
}

// get returns a session that is there and not too old, or nil.
func (s *sessions) get(id string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.all[id]
	if found == nil {
		return nil
	}
	now := s.now()
	if now.Sub(found.lastSeen) > sessionLife {
		delete(s.all, id)
		return nil
	}
	found.lastSeen = now
	return found
}

// begin makes a session with an id that nobody can guess.
func (s *sessions) begin() (id string, begun *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) >= maxSessions {
		oldest := ""
		for id, other := range s.all {
			if oldest == "" || other.lastSeen.Before(s.all[oldest].lastSeen) {
				oldest = id
			}
		}
		delete(s.all, oldest)
	}
	id = rand.Text()
	begun = &session{lastSeen: s.now(), pending: map[string]pending{}}
	s.all[id] = begun
	return id, begun
}

// renew gives a session another id, so that one known before a sign-in is of no
// use after it.
func (s *sessions) renew(id string) (newID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	newID = rand.Text()
	if found := s.all[id]; found != nil {
		delete(s.all, id)
		s.all[newID] = found
	}
	return newID
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, id)
}

// expect notes a sign-in that has been begun. The oldest goes when there are too
// many.
func (s *session) expect(state string, p pending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) >= maxPending {
		oldest := ""
		for state, other := range s.pending {
			if oldest == "" || other.begun.Before(s.pending[oldest].begun) {
				oldest = state
			}
		}
		delete(s.pending, oldest)
	}
	s.pending[state] = p
}

// take returns the sign-in that an answer belongs to, once.
func (s *session) take(state string, now time.Time) (pending, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.pending[state]
	delete(s.pending, state)
	return p, ok && state != "" && now.Sub(p.begun) <= pendingLife
}
