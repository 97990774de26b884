package store

import (
	"context"
	"database/sql"
	"math"
	"time"

	"gatehouse/oidc"
)

const (
	// grantColumns are what a grantRow scans.
	grantColumns = `g.id, g.client_id, g.subject, g.session_id, g.scopes, g.claims, g.auth_time, g.amr, g.acr, g.created_at, g.expires_at, g.revoked_at, g.resources, g.withheld`

	qGrantInsert = `INSERT INTO grants (id, client_id, subject, session_id, scopes, claims, auth_time, amr, acr, created_at, expires_at, revoked_at, resources, withheld)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $12, $13) RETURNING n`

	qGrantExtend = `UPDATE grants SET expires_at = $1 WHERE n = $2 AND expires_at < $1`

	qGrantRevoke = `UPDATE grants SET revoked_at = CASE WHEN revoked_at = 0 THEN $1 ELSE revoked_at END WHERE id = $2`

	qClientStretch = `SELECT coalesce(max(n), 0) FROM (SELECT n FROM grants WHERE client_id = $1 AND n > $2 ORDER BY n LIMIT $3) AS stretch`
	qClientRevoke  = `UPDATE grants SET revoked_at = $1 WHERE client_id = $2 AND n > $3 AND n <= $4 AND revoked_at = 0 AND expires_at > $1`

	qGrants = `SELECT ` + grantColumns + ` FROM grants g
WHERE ($1 = 0 OR (g.revoked_at = 0 AND g.expires_at > $2)) ORDER BY g.n DESC LIMIT $3`

	qGrantsOfClient = `SELECT ` + grantColumns + ` FROM grants g
WHERE g.client_id = $1 AND ($2 = 0 OR (g.revoked_at = 0 AND g.expires_at > $3)) ORDER BY g.n DESC LIMIT $4`

	qGrantsOfSubject = `SELECT ` + grantColumns + ` FROM grants g
WHERE g.subject = $1 AND ($2 = '' OR g.client_id = $2)
AND ($3 = 0 OR (g.revoked_at = 0 AND g.expires_at > $4)) ORDER BY g.n DESC LIMIT $5`
)

// revokeStretch is how many grants of a client one commit ends at most.
const revokeStretch = 1000

// RevokeGrant ends a grant: no code or token of it is worth anything once this
// has returned nil. One row is written, whatever the number of tokens. A grant
// that was ended before stays ended since then, and that is no error. An unknown
// grant is oidc.ErrNotFound. An exchange that runs at the same time comes before
// or after as a whole; either way its tokens are dead.
func (s *Store) RevokeGrant(ctx context.Context, grantID string, now time.Time) error {
	return named("revoke grant", s.write(ctx, func(ctx context.Context, q querier) error {
		at, err := stamp(now)
		if err != nil {
			return err
		}
		n, err := exec(ctx, q, qGrantRevoke, at, grantID)
		if err == nil && n == 0 {
			return oidc.ErrNotFound
		}
		return err
	}))
}

// RevokeClient ends all grants of a client that hold when it is called, and
// returns how many it ended; for an unknown client that is 0. Many grants are
// ended in several commits, so that others can write in between. When it fails
// midway, those that were counted are ended; it may be called again.
func (s *Store) RevokeClient(ctx context.Context, clientID string, now time.Time) (grants int, err error) {
	at, err := stamp(now)
	if err != nil {
		return 0, named("revoke client", err)
	}
	from := int64(0)
	for {
		var to int64
		ended := 0
		err := s.write(ctx, func(ctx context.Context, q querier) error {
			if err := q.QueryRowContext(ctx, qClientStretch, clientID, from, revokeStretch).Scan(&to); err != nil || to == 0 {
				return err
			}
			var err error
			ended, err = exec(ctx, q, qClientRevoke, at, clientID, from, to)
			return err
		})
		if err != nil {
			return grants, named("revoke client", err)
		}
		if to == 0 {
			return grants, nil
		}
		grants += ended
		from = to
	}
}

// Grants lists grants, the newest first; none is no error. It is for listings: a
// filter that names neither client nor subject may read all grants.
func (s *Store) Grants(ctx context.Context, f GrantFilter, now time.Time) ([]oidc.Grant, error) {
	active, limit := 0, int64(math.MaxInt64)
	if f.Active {
		active = 1
	}
	if f.Limit > 0 {
		limit = int64(f.Limit)
	}
	query, args := qGrants, []any{active, micros(now), limit}
	switch {
	case f.Subject != "":
		query, args = qGrantsOfSubject, append([]any{f.Subject, f.ClientID}, args...)
	case f.ClientID != "":
		query, args = qGrantsOfClient, append([]any{f.ClientID}, args...)
	}
	grants, err := collectGrants(s.readers.QueryContext(ctx, query, args...))
	return grants, named("list grants", classify(err))
}

func collectGrants(rows *sql.Rows, err error) ([]oidc.Grant, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // after Err nothing new comes from it
	var grants []oidc.Grant
	for rows.Next() {
		var r grantRow
		if err := rows.Scan(r.columns()...); err != nil {
			return nil, err
		}
		g, err := r.grant()
		if err != nil {
			return nil, err
		}
		grants = append(grants, g)
	}
	return grants, rows.Err()
}

// insertGrant writes a grant and returns its n. It lives at least until least.
func insertGrant(ctx context.Context, q querier, g oidc.Grant, least time.Time) (n int64, err error) {
	claims, err := encodeClaims(g.Claims)
	if err != nil {
		return 0, err
	}
	err = q.QueryRowContext(ctx, qGrantInsert, g.ID, g.ClientID, g.Subject, g.SessionID, joinWords(g.Scopes), claims,
		micros(g.AuthTime), joinWords(g.AMR), g.ACR, micros(g.CreatedAt), micros(latest(g.ExpiresAt, least)),
		joinWords(g.Resources), joinWords(g.Withheld)).Scan(&n)
	return n, err
}

// grantRow is where the grantColumns are scanned to.
type grantRow struct {
	id, clientID, subject, sessionID, scopes, claims, amr, acr string
	authTime, createdAt, expiresAt, revokedAt                  int64
	resources, withheld                                        string
}

func (r *grantRow) columns() []any {
	return []any{
		&r.id, &r.clientID, &r.subject, &r.sessionID, &r.scopes, &r.claims, &r.authTime, &r.amr, &r.acr,
		&r.createdAt, &r.expiresAt, &r.revokedAt, &r.resources, &r.withheld,
	}
}

func (r *grantRow) grant() (oidc.Grant, error) {
	claims, err := decodeClaims(r.claims)
	return oidc.Grant{
		ID: r.id, ClientID: r.clientID, Subject: r.subject, SessionID: r.sessionID,
		Scopes: splitWords(r.scopes), Claims: claims, Resources: splitWords(r.resources), Withheld: splitWords(r.withheld),
		AuthTime: fromMicros(r.authTime), AMR: splitWords(r.amr), ACR: r.acr,
		CreatedAt: fromMicros(r.createdAt), ExpiresAt: fromMicros(r.expiresAt), RevokedAt: fromMicros(r.revokedAt),
	}, err
}
