package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"gatehouse/oidc"
)

// touchParts is into how many parts the idle limit is divided: a session in use is
// written once in each, not at every request.
const touchParts = 10

// browserSession is the session that a request's cookie leads to.
type browserSession struct {
	session *oidc.Session // nil if there is none that holds
	hash    *oidc.Hash    // of the cookie's secret, whatever became of the session; nil without cookie
}

// find returns the session of a request. That the store cannot tell is an error:
// a person must not be taken for signed out because of it.
func (s *Server) find(r *http.Request) (browserSession, error) {
	secret := s.cookies.session(r)
	if secret == "" {
		return browserSession{}, nil
	}
	hash := oidc.HashOf(secret)
	found, err := s.Sessions.Session(r.Context(), hash)
	if errors.Is(err, oidc.ErrNotFound) {
		return browserSession{hash: &hash}, nil
	}
	if err != nil {
		return browserSession{}, fmt.Errorf("look for the session: %w", err)
	}
	if !s.holds(found) {
		return browserSession{hash: &hash}, nil
	}
	return browserSession{session: &found, hash: &hash}, nil
}

// holds reports whether a session is within its limits. A remembered one has no
// idle limit: that is what its person asked for.
func (s *Server) holds(session oidc.Session) bool {
	now := s.now()
	if !now.Before(session.ExpiresAt) {
		return false
	}
	return session.Remember || now.Sub(session.LastSeenAt) < s.SessionIdle
}

// touch notes that a session is in use. It runs beside what else the request
// writes, so that the store can join both into one commit; the returned function
// waits for it. A failure is logged: the worst it does is an early sign-in.
func (s *Server) touch(ctx context.Context, b browserSession) (wait func()) {
	now := s.now()
	if b.session == nil || b.session.Remember || now.Sub(b.session.LastSeenAt) < s.SessionIdle/touchParts {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Sessions.TouchSession(ctx, *b.hash, now); err != nil && !errors.Is(err, oidc.ErrNotFound) && ctx.Err() == nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "cannot note that a session is in use",
				slog.String("request_id", oidc.RequestID(ctx)), slog.String("error", err.Error()))
		}
	}()
	return func() { <-done }
}

// newSession makes the session of somebody who has just proved who they are. Its
// secret is new, so that one known before the sign-in is worth nothing after it,
// and whatever session the browser had is replaced. AuthTime has whole seconds, as
// the auth_time claim has.
func (s *Server) newSession(subject string, remember bool, old browserSession) (secret string, change *oidc.SessionChange) {
	now := s.now()
	lifetime := s.SessionAbsolute
	if remember {
		lifetime = s.SessionRemember
	}
	secret = oidc.NewSecret("")
	return secret, &oidc.SessionChange{
		Session: oidc.Session{
			ID: oidc.NewID(), Subject: subject, AuthTime: now.Truncate(time.Second), AMR: []string{"pwd"}, // RFC 8176
			Remember: remember, LastSeenAt: now, ExpiresAt: now.Add(lifetime),
		},
		Hash: oidc.HashOf(secret), Replaces: old.hash,
	}
}

// ensureSaved writes a new session unless it went with another commit of the same
// step, as it does when a code is issued at once.
func (s *Server) ensureSaved(ctx context.Context, change *oidc.SessionChange) error {
	_, err := s.Sessions.Session(ctx, change.Hash)
	if errors.Is(err, oidc.ErrNotFound) {
		err = s.Sessions.SaveSession(ctx, *change)
	}
	if err != nil {
		return fmt.Errorf("save the session: %w", err)
	}
	return nil
}

// giveSession hands a new session, which has been saved, to the browser.
func (s *Server) giveSession(w http.ResponseWriter, secret string, session oidc.Session) {
	var lifetime time.Duration
	if session.Remember {
		lifetime = session.ExpiresAt.Sub(s.now())
	}
	s.cookies.setSession(w, secret, lifetime)
}
