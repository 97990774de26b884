package store

import (
	"context"
	"fmt"

	"gatehouse/oidc"
)

const (
	qCodeInsert = `INSERT INTO codes (grant_n, hash, redirect_uri, nonce, code_challenge, expires_at, used_at)
VALUES ($1, $2, $3, $4, $5, $6, 0)`

	qCode = `WITH c AS MATERIALIZED (SELECT grant_n, redirect_uri, nonce, code_challenge, expires_at, used_at FROM codes WHERE hash = $1)
SELECT c.redirect_uri, c.nonce, c.code_challenge, c.expires_at, c.used_at, ` + grantColumns + ` FROM c JOIN grants g ON g.n = c.grant_n`

	qCodeUse = `UPDATE codes SET used_at = $1 WHERE hash = $2 AND used_at = 0 AND expires_at > $1
AND EXISTS (SELECT 1 FROM grants g WHERE g.n = codes.grant_n AND g.revoked_at = 0) RETURNING grant_n`

	qCodeState = `SELECT c.used_at, g.revoked_at FROM codes c JOIN grants g ON g.n = c.grant_n WHERE c.hash = $1`
)

// SaveAuthorization writes a grant with its code and its tokens, where there are
// any, and with them the session and the consent where there are any, in one commit:
// all of it or nothing. The grant lives at least as long as what it gives. A grant,
// code or token that exists already is an error. If a.Once was used before, or
// a.Device was decided on before or has expired, that is oidc.ErrUsed.
func (s *Store) SaveAuthorization(ctx context.Context, a Authorization) error {
	const attempt = "save authorization"
	c, hasCode := a.Code, a.Code != (oidc.Code{})
	if hasCode && c.GrantID != a.Grant.ID {
		return fmt.Errorf("%s: the code is of grant %q, not of %q", attempt, c.GrantID, a.Grant.ID)
	}
	return named(attempt, s.write(ctx, func(ctx context.Context, q querier) error {
		if a.Once != nil {
			if err := useOnce(ctx, q, *a.Once); err != nil {
				return err
			}
		}
		if a.Device != nil {
			if err := decideDevice(ctx, q, *a.Device, a.Grant.CreatedAt, 0); err != nil {
				return err
			}
		}
		until := c.ExpiresAt
		for _, t := range []*oidc.Token{a.Access, a.Refresh} {
			if t != nil {
				until = latest(until, t.ExpiresAt)
			}
		}
		n, err := insertGrant(ctx, q, a.Grant, until)
		if err != nil {
			return err
		}
		if hasCode {
			if _, err := exec(ctx, q, qCodeInsert, n, c.Hash[:], c.RedirectURI, c.Nonce, c.CodeChallenge, micros(c.ExpiresAt)); err != nil {
				return err
			}
		}
		if a.Access != nil {
			if err := writeAccess(ctx, q, n, *a.Access); err != nil {
				return err
			}
		}
		if a.Refresh != nil {
			if err := writeRefresh(ctx, q, n, *a.Refresh); err != nil {
				return err
			}
		}
		if a.Session != nil {
			if err := writeSession(ctx, q, *a.Session); err != nil {
				return err
			}
		}
		if a.Consent != nil {
			return writeConsent(ctx, q, *a.Consent)
		}
		return nil
	}))
}

// Code returns a code and its grant, read at one moment. A used code has
// UsedAt, a revoked grant RevokedAt; an expired code is returned as well until
// Clean removes its grant. An unknown code is oidc.ErrNotFound.
func (s *Store) Code(ctx context.Context, h oidc.Hash) (oidc.Code, oidc.Grant, error) {
	const attempt = "read code"
	c := oidc.Code{Hash: h}
	var expires, used int64
	var r grantRow
	columns := append([]any{&c.RedirectURI, &c.Nonce, &c.CodeChallenge, &expires, &used}, r.columns()...)
	if err := s.read(ctx, qCode, []any{h[:]}, columns...); err != nil {
		return oidc.Code{}, oidc.Grant{}, named(attempt, err)
	}
	g, err := r.grant()
	if err != nil {
		return oidc.Code{}, oidc.Grant{}, named(attempt, err)
	}
	c.GrantID, c.ExpiresAt, c.UsedAt = g.ID, fromMicros(expires), fromMicros(used)
	return c, g, nil
}

// ExchangeCode uses a code up and writes the tokens it is exchanged for, in one
// commit. Of any number of calls at once, also from several processes, exactly
// one succeeds. Where it doesn't, nothing is written and the error is
//
//   - oidc.ErrUsed: it was exchanged before, whatever has become of its grant
//   - oidc.ErrRevoked: its grant was ended
//   - oidc.ErrNotFound: it is unknown or has expired
func (s *Store) ExchangeCode(ctx context.Context, h oidc.Hash, issue Issue) error {
	return named("exchange code", s.write(ctx, func(ctx context.Context, q querier) error {
		now, err := stamp(issue.Now)
		if err != nil {
			return err
		}
		grant, ok, err := use(ctx, q, qCodeUse, now, h[:])
		if err != nil {
			return err
		}
		if ok {
			return writeIssue(ctx, q, grant, issue)
		}
		var used, revoked int64
		if err := q.QueryRowContext(ctx, qCodeState, h[:]).Scan(&used, &revoked); err != nil {
			return err
		}
		return refusal(used != 0, revoked != 0)
	}))
}
