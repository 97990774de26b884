package store

import (
	"context"
	"time"
)

const (
	qCleanSessions = `DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`

	qCleanOnce   = `DELETE FROM used_once WHERE hash IN (SELECT hash FROM used_once WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`
	qCleanPushed = `DELETE FROM pushed_requests WHERE hash IN (SELECT hash FROM pushed_requests WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`

	qCleanTokens = `DELETE FROM registration_tokens WHERE hash IN (SELECT hash FROM registration_tokens WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`

	qCleanRegistrations = `SELECT client_id FROM registrations WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2`
	qCleanRegistration  = `DELETE FROM registrations WHERE client_id = $1 AND expires_at <= $2`

	qCleanClientGrants = `UPDATE grants SET expires_at = $1, revoked_at = CASE WHEN revoked_at = 0 THEN $1 ELSE revoked_at END
WHERE n IN (SELECT n FROM grants WHERE client_id = $2 AND expires_at > $1 LIMIT $3)`
	qCleanClientConsents = `DELETE FROM consents WHERE client_id = $1 AND subject IN (SELECT subject FROM consents WHERE client_id = $1 LIMIT $2)`

	qCleanGrants = `SELECT n FROM grants WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2`

	qCleanAccess  = `DELETE FROM access_tokens WHERE hash IN (SELECT hash FROM access_tokens WHERE grant_n = $1 LIMIT $2)`
	qCleanRefresh = `DELETE FROM refresh_tokens WHERE hash IN (SELECT hash FROM refresh_tokens WHERE grant_n = $1 LIMIT $2)`
	qCleanCode    = `DELETE FROM codes WHERE grant_n = $1`
	qCleanGrant   = `DELETE FROM grants WHERE n = $1`
)

// Clean deletes up to batch rows that are past their time, in one commit, and
// returns how many; the caller loops until it returns 0, and others write in
// between. What goes are sessions, pushed requests, notes of what was used once and
// initial access tokens, past their time; device codes an hour later; clients that
// registered themselves, past their time, with the consents and grants that they were
// given; and grants past ExpiresAt with their code and tokens. Used codes and refresh
// tokens stay as long as their grant, so that their reuse is recognised; a revoked grant
// stays until its time
// too. Nothing that still works is ever deleted: a grant outlives its tokens.
func (s *Store) Clean(ctx context.Context, now time.Time, batch int) (deleted int, err error) {
	err = s.write(ctx, func(ctx context.Context, q querier) error {
		at, err := stamp(now)
		if err != nil {
			return err
		}
		c := cleaner{q: q, left: batch}
		for _, query := range []string{qCleanSessions, qCleanOnce, qCleanPushed, qCleanTokens} {
			if c.left <= 0 {
				break
			}
			if err := c.delete(ctx, query, at, c.left); err != nil {
				return err
			}
		}
		if past := micros(now.Add(-deviceKept)); c.left > 0 && past > 0 {
			if err := c.delete(ctx, qCleanDevices, past, c.left); err != nil {
				return err
			}
		}
		ended, err := expired[string](ctx, c, qCleanRegistrations, at)
		if err != nil {
			return err
		}
		for _, id := range ended {
			if err := c.registration(ctx, id, at); err != nil {
				return err
			}
		}
		grants, err := expired[int64](ctx, c, qCleanGrants, at)
		if err != nil {
			return err
		}
		for _, n := range grants {
			if err := c.grant(ctx, n); err != nil {
				return err
			}
		}
		deleted = batch - c.left
		return nil
	})
	if err != nil {
		return 0, named("clean the store", err)
	}
	return deleted, nil
}

// cleaner deletes rows until none is left of its allowance.
type cleaner struct {
	q    querier
	left int
}

func (c *cleaner) delete(ctx context.Context, query string, args ...any) error {
	n, err := exec(ctx, c.q, query, args...)
	c.left -= n
	return err
}

// expired returns as many as may be deleted, those first that expired first.
func expired[T any](ctx context.Context, c cleaner, query string, at int64) (found []T, err error) {
	if c.left <= 0 {
		return nil, nil
	}
	return collect(ctx, c.q, func(t *T) []any { return []any{t} }, func(t *T) T { return *t }, query, at, c.left)
}

// registration ends the grants of a client that is gone, so that they are deleted
// like others past their time, and deletes its consents; then the client itself, as
// far as the allowance goes.
func (c *cleaner) registration(ctx context.Context, id string, at int64) error {
	for _, step := range []func() error{
		func() error { return c.delete(ctx, qCleanClientGrants, at, id, c.left) },
		func() error { return c.delete(ctx, qCleanClientConsents, id, c.left) },
		func() error { return c.delete(ctx, qOriginsDelete, id, c.left) },
		func() error { return c.delete(ctx, qCleanRegistration, id, at) },
	} {
		if c.left <= 0 {
			return nil
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// grant deletes what hangs on a grant, then the grant, as far as the allowance
// goes: a grant that was refreshed for months has thousands of rows, and the
// next call goes on with it.
func (c *cleaner) grant(ctx context.Context, n int64) error {
	for _, query := range []string{qCleanAccess, qCleanRefresh} {
		if c.left <= 0 {
			return nil
		}
		if err := c.delete(ctx, query, n, c.left); err != nil {
			return err
		}
	}
	for _, query := range []string{qCleanCode, qCleanGrant} {
		if c.left <= 0 {
			return nil
		}
		if err := c.delete(ctx, query, n); err != nil {
			return err
		}
	}
	return nil
}
