package store

import (
	"context"
	"time"
)

const (
	qCleanSessions = `DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`

	qCleanOnce   = `DELETE FROM used_once WHERE hash IN (SELECT hash FROM used_once WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`
	qCleanPushed = `DELETE FROM pushed_requests WHERE hash IN (SELECT hash FROM pushed_requests WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`

	qCleanGrants = `SELECT n FROM grants WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2`

	qCleanAccess  = `DELETE FROM access_tokens WHERE hash IN (SELECT hash FROM access_tokens WHERE grant_n = $1 LIMIT $2)`
	qCleanRefresh = `DELETE FROM refresh_tokens WHERE hash IN (SELECT hash FROM refresh_tokens WHERE grant_n = $1 LIMIT $2)`
	qCleanCode    = `DELETE FROM codes WHERE grant_n = $1`
	qCleanGrant   = `DELETE FROM grants WHERE n = $1`
)

// Clean deletes up to batch rows that are past their time, in one commit, and
// returns how many; the caller loops until it returns 0, and others write in
// between. What goes are sessions, pushed requests and notes of what was used
// once, past their time, device codes an hour later, and grants past ExpiresAt with
// their code and tokens. Used codes and refresh tokens stay as long as their grant, so that their reuse is recognised; a revoked grant stays until its time
// too. Nothing that still works is ever deleted: a grant outlives its tokens.
func (s *Store) Clean(ctx context.Context, now time.Time, batch int) (deleted int, err error) {
	err = s.write(ctx, func(ctx context.Context, q querier) error {
		at, err := stamp(now)
		if err != nil {
			return err
		}
		c := cleaner{q: q, left: batch}
		for _, query := range []string{qCleanSessions, qCleanOnce, qCleanPushed} {
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
		grants, err := c.expiredGrants(ctx, at)
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

// expiredGrants returns as many as may be deleted, those first that expired first.
func (c *cleaner) expiredGrants(ctx context.Context, at int64) (grants []int64, err error) {
	if c.left <= 0 {
		return nil, nil
	}
	rows, err := c.q.QueryContext(ctx, qCleanGrants, at, c.left)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // after Err nothing new comes from it
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		grants = append(grants, n)
	}
	return grants, rows.Err()
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
