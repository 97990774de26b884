package store

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"time"

	"gatehouse/oidc"
)

const (
	qAccessInsert = `INSERT INTO access_tokens (hash, grant_n, scopes, issued_at, expires_at, audience) VALUES ($1, $2, $3, $4, $5, $6)`

	// A look-up first finds its row, then joins the grant. As one join SQLite would
	// plan it anew at each call: while it compares ways to go it looks at the value
	// of $1, so the plan holds for that value only.
	qAccess = `WITH t AS MATERIALIZED (SELECT grant_n, scopes, issued_at, expires_at, audience FROM access_tokens WHERE hash = $1)
SELECT t.scopes, t.issued_at, t.expires_at, t.audience, ` + grantColumns + ` FROM t JOIN grants g ON g.n = t.grant_n`

	qAccessDelete = `DELETE FROM access_tokens WHERE hash = $1`

	// Expired ones of a grant, so that a grant that is refreshed for months does
	// not drag all of them along.
	qAccessExpired = `DELETE FROM access_tokens WHERE grant_n = $1 AND expires_at <= $2`

	qRefreshInsert = `INSERT INTO refresh_tokens (hash, grant_n, scopes, issued_at, expires_at, used_at) VALUES ($1, $2, $3, $4, $5, 0)`

	qRefresh = `WITH t AS MATERIALIZED (SELECT grant_n, scopes, issued_at, expires_at, used_at FROM refresh_tokens WHERE hash = $1)
SELECT t.scopes, t.issued_at, t.expires_at, t.used_at, ` + grantColumns + ` FROM t JOIN grants g ON g.n = t.grant_n`

	// used_at keeps the first use, or the grace would begin again with each.
	qRefreshUse = `UPDATE refresh_tokens SET used_at = CASE WHEN used_at = 0 THEN $1 ELSE used_at END
WHERE hash = $2 AND expires_at > $1 AND (used_at = 0 OR used_at > $3 AND NOT EXISTS (SELECT 1 FROM refresh_tokens later WHERE later.grant_n = refresh_tokens.grant_n
  AND later.issued_at >= refresh_tokens.used_at AND later.used_at <> 0 AND later.hash <> refresh_tokens.hash))
AND EXISTS (SELECT 1 FROM grants g WHERE g.n = refresh_tokens.grant_n AND g.revoked_at = 0) RETURNING grant_n`

	qRefreshState = `SELECT t.used_at, t.expires_at, g.revoked_at FROM refresh_tokens t JOIN grants g ON g.n = t.grant_n WHERE t.hash = $1`
)

// IssueToken writes a grant and an access token of it in one commit: the
// client_credentials grant, which has no code. The grant lives at least as long
// as the token. A grant or token that exists already is an error.
func (s *Store) IssueToken(ctx context.Context, g oidc.Grant, access oidc.Token) error {
	return named("issue token", s.write(ctx, func(ctx context.Context, q querier) error {
		n, err := insertGrant(ctx, q, g, access.ExpiresAt)
		if err != nil {
			return err
		}
		return writeAccess(ctx, q, n, access)
	}))
}

// AccessToken returns an access token and its grant, read at one moment. A token
// that has expired or whose grant was revoked is returned as well, with the
// times that say so, until it is cleaned away. An unknown token is
// oidc.ErrNotFound, and so is one that RevokeAccessToken ended.
func (s *Store) AccessToken(ctx context.Context, h oidc.Hash) (oidc.Token, oidc.Grant, error) {
	var r tokenRow
	columns := append([]any{&r.scopes, &r.issuedAt, &r.expiresAt, &r.audience}, r.grantRow.columns()...)
	err := s.read(ctx, qAccess, []any{h[:]}, columns...)
	return r.result("read access token", h, err)
}

// RefreshToken returns a refresh token and its grant, read at one moment. A used
// token has UsedAt; a token that has expired or whose grant was revoked is
// returned as well, with the times that say so, until Clean removes its grant.
// An unknown token is oidc.ErrNotFound.
func (s *Store) RefreshToken(ctx context.Context, h oidc.Hash) (oidc.Token, oidc.Grant, error) {
	var r tokenRow
	columns := append([]any{&r.scopes, &r.issuedAt, &r.expiresAt, &r.usedAt}, r.grantRow.columns()...)
	err := s.read(ctx, qRefresh, []any{h[:]}, columns...)
	return r.result("read refresh token", h, err)
}

// RotateRefresh uses a refresh token up and writes the tokens that take its
// place, in one commit. A token that was used less than grace ago works again,
// for a client whose answer was lost; the grace counts from the first use, and
// ends when what it was exchanged for is used: then no answer was lost. With no
// grace, exactly one of any number of calls at once succeeds, also from
// several processes. Where it doesn't, nothing is written and the error is
//
//   - oidc.ErrUsed: it was used, and its grace is over, whatever has become of its grant
//   - oidc.ErrRevoked: its grant was ended
//   - oidc.ErrNotFound: it is unknown or has expired
func (s *Store) RotateRefresh(ctx context.Context, old oidc.Hash, grace time.Duration, issue Issue) error {
	return named("rotate refresh token", s.write(ctx, func(ctx context.Context, q querier) error {
		now, err := stamp(issue.Now)
		if err != nil {
			return err
		}
		// Callers take their time before they wait for their turn. Without a grace
		// the first use may so bear a later time than ours: no time may let us in.
		floor := int64(math.MaxInt64)
		if grace > 0 {
			floor = now - grace.Microseconds()
		}
		grant, ok, err := use(ctx, q, qRefreshUse, now, old[:], floor)
		if err != nil {
			return err
		}
		if ok {
			if _, err := exec(ctx, q, qAccessExpired, grant, now); err != nil {
				return err
			}
			return writeIssue(ctx, q, grant, issue)
		}
		var used, expires, revoked int64
		if err := q.QueryRowContext(ctx, qRefreshState, old[:]).Scan(&used, &expires, &revoked); err != nil {
			return err
		}
		return refusal(used != 0 && (used <= floor || revoked == 0 && expires > now), revoked != 0)
	}))
}

// RevokeAccessToken ends one access token and leaves its grant. It is gone once
// this has returned nil; an unknown token is gone already, and no error.
func (s *Store) RevokeAccessToken(ctx context.Context, h oidc.Hash) error {
	return named("revoke access token", s.write(ctx, func(ctx context.Context, q querier) error {
		_, err := exec(ctx, q, qAccessDelete, h[:])
		return err
	}))
}

// use runs the conditional UPDATE that uses a code or refresh token up. It
// returns the grant's n, and whether there was a row that met the condition.
func use(ctx context.Context, q querier, query string, args ...any) (grant int64, ok bool, err error) {
	err = q.QueryRowContext(ctx, query, args...).Scan(&grant)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return grant, err == nil, err
}

// refusal says why the UPDATE met no row, though there is one. A used code or
// token is told first: who presents it may have stolen it (RFC 9700, section
// 4.14.2). What is neither used nor revoked can only have expired.
func refusal(used, revoked bool) error {
	switch {
	case used:
		return oidc.ErrUsed
	case revoked:
		return oidc.ErrRevoked
	}
	return oidc.ErrNotFound
}

// writeIssue writes new tokens of a grant. The grant outlives all of them, or
// Clean would take them away too early.
func writeIssue(ctx context.Context, q querier, grant int64, issue Issue) error {
	end := issue.GrantExpiresAt
	if t := issue.Access; t != nil {
		end = latest(end, t.ExpiresAt)
		if err := writeAccess(ctx, q, grant, *t); err != nil {
			return err
		}
	}
	if t := issue.Refresh; t != nil {
		end = latest(end, t.ExpiresAt)
		if err := writeRefresh(ctx, q, grant, *t); err != nil {
			return err
		}
	}
	_, err := exec(ctx, q, qGrantExtend, micros(end), grant)
	return err
}

func writeAccess(ctx context.Context, q querier, grant int64, t oidc.Token) error {
	_, err := exec(ctx, q, qAccessInsert, t.Hash[:], grant, joinWords(t.Scopes), micros(t.IssuedAt), micros(t.ExpiresAt), joinWords(t.Audience))
	return err
}

func writeRefresh(ctx context.Context, q querier, grant int64, t oidc.Token) error {
	_, err := exec(ctx, q, qRefreshInsert, t.Hash[:], grant, joinWords(t.Scopes), micros(t.IssuedAt), micros(t.ExpiresAt))
	return err
}

// tokenRow is where a token and its grant are scanned to.
type tokenRow struct {
	grantRow
	scopes, audience            string
	issuedAt, expiresAt, usedAt int64
}

func (r *tokenRow) result(attempt string, h oidc.Hash, err error) (oidc.Token, oidc.Grant, error) {
	var g oidc.Grant
	if err == nil {
		g, err = r.grant()
	}
	if err != nil {
		return oidc.Token{}, oidc.Grant{}, named(attempt, err)
	}
	return oidc.Token{
		Hash: h, GrantID: g.ID, Scopes: splitWords(r.scopes), Audience: splitWords(r.audience),
		IssuedAt: fromMicros(r.issuedAt), ExpiresAt: fromMicros(r.expiresAt), UsedAt: fromMicros(r.usedAt),
	}, g, nil
}
