package store

import (
	"context"
	"time"

	"gatehouse/oidc"
)

const (
	qSession = `SELECT id, subject, auth_time, amr, remember, last_seen_at, expires_at FROM sessions WHERE hash = $1 AND expires_at > $2`

	qSessionWrite = `INSERT INTO sessions (hash, id, subject, auth_time, amr, remember, last_seen_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (hash) DO UPDATE SET id = excluded.id, subject = excluded.subject, auth_time = excluded.auth_time,
amr = excluded.amr, remember = excluded.remember, last_seen_at = excluded.last_seen_at, expires_at = excluded.expires_at`

	qSessionTouch = `UPDATE sessions SET last_seen_at = CASE WHEN last_seen_at < $1 THEN $1 ELSE last_seen_at END WHERE hash = $2`

	qSessionDelete  = `DELETE FROM sessions WHERE hash = $1`
	qSessionsDelete = `DELETE FROM sessions WHERE subject = $1`
	qConsent        = `SELECT scopes, granted_at, withheld FROM consents WHERE subject = $1 AND client_id = $2`
	qConsentDelete  = `DELETE FROM consents WHERE subject = $1 AND client_id = $2`

	qConsentWrite = `INSERT INTO consents (subject, client_id, scopes, granted_at, withheld) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (subject, client_id) DO UPDATE SET scopes = excluded.scopes, granted_at = excluded.granted_at, withheld = excluded.withheld`
)

// Session returns the session of a cookie. An unknown one is oidc.ErrNotFound,
// and so is one past its ExpiresAt; the idle limit is the caller's to judge.
func (s *Store) Session(ctx context.Context, h oidc.Hash) (oidc.Session, error) {
	var session oidc.Session
	var amr string
	var authTime, lastSeen, expires int64
	err := s.read(ctx, qSession, []any{h[:], micros(s.now())},
		&session.ID, &session.Subject, &authTime, &amr, &session.Remember, &lastSeen, &expires)
	if err != nil {
		return oidc.Session{}, named("read session", err)
	}
	session.AuthTime, session.AMR = fromMicros(authTime), splitWords(amr)
	session.LastSeenAt, session.ExpiresAt = fromMicros(lastSeen), fromMicros(expires)
	return session, nil
}

// SaveSession writes a session, new or known, and deletes the one it replaces,
// in one commit. To replace one that is gone already is no error.
func (s *Store) SaveSession(ctx context.Context, change oidc.SessionChange) error {
	return named("save session", s.write(ctx, func(ctx context.Context, q querier) error {
		return writeSession(ctx, q, change)
	}))
}

// TouchSession notes that a session was seen; the note never goes back in time.
// A session that has ended is oidc.ErrNotFound, and is not brought back.
func (s *Store) TouchSession(ctx context.Context, h oidc.Hash, lastSeen time.Time) error {
	return named("touch session", s.write(ctx, func(ctx context.Context, q querier) error {
		n, err := exec(ctx, q, qSessionTouch, micros(lastSeen), h[:])
		if err == nil && n == 0 {
			return oidc.ErrNotFound
		}
		return err
	}))
}

// EndSession ends one session; its grants stay. An unknown session has ended
// already, and is no error.
func (s *Store) EndSession(ctx context.Context, h oidc.Hash) error {
	return named("end session", s.write(ctx, func(ctx context.Context, q querier) error {
		_, err := exec(ctx, q, qSessionDelete, h[:])
		return err
	}))
}

// EndSessions ends all sessions of a person in one commit and returns how many
// there were; its grants stay.
func (s *Store) EndSessions(ctx context.Context, subject string) (ended int, err error) {
	err = s.write(ctx, func(ctx context.Context, q querier) (err error) {
		ended, err = exec(ctx, q, qSessionsDelete, subject)
		return err
	})
	if err != nil {
		return 0, named("end sessions", err)
	}
	return ended, nil
}

// Consent returns what a person has allowed a client for good; nothing is
// oidc.ErrNotFound.
func (s *Store) Consent(ctx context.Context, subject, clientID string) (oidc.ConsentRecord, error) {
	c := oidc.ConsentRecord{Subject: subject, ClientID: clientID}
	var scopes, withheld string
	var granted int64
	if err := s.read(ctx, qConsent, []any{subject, clientID}, &scopes, &granted, &withheld); err != nil {
		return oidc.ConsentRecord{}, named("read consent", err)
	}
	c.Scopes, c.GrantedAt, c.Withheld = splitWords(scopes), fromMicros(granted), splitWords(withheld)
	return c, nil
}

// RevokeConsent forgets what a person has allowed a client; grants given before
// stay. Nothing to forget is no error.
func (s *Store) RevokeConsent(ctx context.Context, subject, clientID string) error {
	return named("revoke consent", s.write(ctx, func(ctx context.Context, q querier) error {
		_, err := exec(ctx, q, qConsentDelete, subject, clientID)
		return err
	}))
}

func writeSession(ctx context.Context, q querier, change oidc.SessionChange) error {
	if change.Replaces != nil {
		if _, err := exec(ctx, q, qSessionDelete, change.Replaces[:]); err != nil {
			return err
		}
	}
	v := change.Session
	_, err := exec(ctx, q, qSessionWrite, change.Hash[:], v.ID, v.Subject, micros(v.AuthTime), joinWords(v.AMR),
		v.Remember, micros(v.LastSeenAt), micros(v.ExpiresAt))
	return err
}

// writeConsent writes a consent in place of what the person allowed before.
func writeConsent(ctx context.Context, q querier, c oidc.ConsentRecord) error {
	_, err := exec(ctx, q, qConsentWrite, c.Subject, c.ClientID, joinWords(c.Scopes), micros(c.GrantedAt), joinWords(c.Withheld))
	return err
}
