package store

import (
	"context"

	"gatehouse/oidc"
)

const (
	qOnce = `INSERT INTO used_once (hash, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING`

	qPushedInsert = `INSERT INTO pushed_requests (hash, client_id, sealed, expires_at) VALUES ($1, $2, $3, $4)`
	qPushed       = `SELECT client_id, sealed, expires_at FROM pushed_requests WHERE hash = $1`
	qPushedDelete = `DELETE FROM pushed_requests WHERE hash = $1`
)

// UseOnce notes that something was used. Of any number of calls at once for one
// hash, also from several processes, exactly one succeeds; the others get
// oidc.ErrUsed. The note is kept until o.Until, and Clean removes it afterwards.
func (s *Store) UseOnce(ctx context.Context, o Once) error {
	return named("use once", s.write(ctx, func(ctx context.Context, q querier) error {
		return useOnce(ctx, q, o)
	}))
}

// useOnce also deletes the pushed request of this hash, if it is one.
func useOnce(ctx context.Context, q querier, o Once) error {
	until, err := stamp(o.Until)
	if err != nil {
		return err
	}
	n, err := exec(ctx, q, qOnce, o.Hash[:], until)
	if err != nil {
		return err
	}
	if n == 0 {
		return oidc.ErrUsed
	}
	_, err = exec(ctx, q, qPushedDelete, o.Hash[:])
	return err
}

// PushRequest keeps a pushed authorisation request. One that exists already is an
// error.
func (s *Store) PushRequest(ctx context.Context, p PushedRequest) error {
	return named("push request", s.write(ctx, func(ctx context.Context, q querier) error {
		expires, err := stamp(p.ExpiresAt)
		if err != nil {
			return err
		}
		_, err = exec(ctx, q, qPushedInsert, p.Hash[:], p.ClientID, p.Sealed, expires)
		return err
	}))
}

// PushedRequest returns a pushed request, expired or not; oidc.ErrNotFound if it is
// unknown, was used by an authorisation, or was cleaned away.
func (s *Store) PushedRequest(ctx context.Context, h oidc.Hash) (PushedRequest, error) {
	p := PushedRequest{Hash: h}
	var expires int64
	if err := s.read(ctx, qPushed, []any{h[:]}, &p.ClientID, &p.Sealed, &expires); err != nil {
		return PushedRequest{}, named("read pushed request", err)
	}
	p.ExpiresAt = fromMicros(expires)
	return p, nil
}
