package store

import (
	"context"
	"errors"
	"math"
	"time"

	"gatehouse/oidc"
)

const (
	registrationColumns = `client_id, metadata, logo, secret_hash, secret_sealed, access_hash, token_id, revision, created_at, expires_at`

	qRegister = `INSERT INTO registrations (client_id, metadata, logo, secret_hash, secret_sealed, access_hash, token_id, revision, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $9)`

	qRegistration      = `SELECT ` + registrationColumns + ` FROM registrations WHERE client_id = $1 AND expires_at > $2`
	qRegistrationState = `SELECT revision FROM registrations WHERE client_id = $1 AND expires_at > $2`
	qRegistrations     = `SELECT ` + registrationColumns + ` FROM registrations WHERE expires_at > $1 ORDER BY expires_at DESC`

	qRegistrationUpdate = `UPDATE registrations SET metadata = $1, logo = $2, secret_hash = $3, secret_sealed = $4, expires_at = $5, revision = revision + 1
WHERE client_id = $6 AND revision = $7 AND expires_at > $8`

	qRegistrationEnd        = `UPDATE registrations SET expires_at = $1 WHERE client_id = $2 AND expires_at > $1`
	qRegistrationsOfTokenID = `UPDATE registrations SET expires_at = $1 WHERE token_id = $2 AND expires_at > $1`

	qOpenRegistrations = `SELECT count(*) FROM registrations WHERE token_id = '' AND expires_at > $1`
	qNextOpenEnd       = `SELECT expires_at FROM registrations WHERE token_id = '' AND expires_at > $1 ORDER BY expires_at LIMIT 1`

	qOriginInsert  = `INSERT INTO registration_origins (origin, client_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`
	qOriginsDelete = `DELETE FROM registration_origins WHERE client_id = $1 AND origin IN (SELECT origin FROM registration_origins WHERE client_id = $1 LIMIT $2)`

	qOriginRegistered = `SELECT 1 FROM registration_origins o JOIN registrations r ON r.client_id = o.client_id
WHERE o.origin = $1 AND r.expires_at > $2 LIMIT 1`

	qTokenSpend  = `UPDATE registration_tokens SET uses_left = uses_left - 1 WHERE hash = $1 AND uses_left > 0 AND expires_at > $2 RETURNING id`
	qTokenUsable = `SELECT 1 FROM registration_tokens WHERE hash = $1 AND uses_left > 0 AND expires_at > $2`
	qTokenInsert = `INSERT INTO registration_tokens (hash, id, note, uses, uses_left, created_at, expires_at) VALUES ($1, $2, $3, $4, $4, $5, $6)`
	qTokenDelete = `DELETE FROM registration_tokens WHERE id = $1`
	qTokens      = `SELECT hash, id, note, uses, uses_left, created_at, expires_at FROM registration_tokens WHERE expires_at > $1 ORDER BY created_at DESC, id`
)

// NewRegistration is a client that wants to be registered.
type NewRegistration struct {
	oidc.Registration            // Revision and TokenID are not read
	Token             *oidc.Hash // of the initial access token, nil for none
	OpenLimit         int        // how many there may be that had none
}

// Register keeps a new client and uses its initial access token up by one, in one
// commit: of any number at once, also from several processes, no more succeed than
// the token has uses, or than may be open. A token that is unknown, used up or
// expired is oidc.ErrNotFound, and that there are enough open ones oidc.ErrLimit. It
// returns the token's id.
func (s *Store) Register(ctx context.Context, n NewRegistration) (tokenID string, err error) {
	err = s.write(ctx, func(ctx context.Context, q querier) error {
		now, err := stamp(n.CreatedAt)
		if err != nil {
			return err
		}
		if n.Token != nil {
			if err := q.QueryRowContext(ctx, qTokenSpend, n.Token[:], now).Scan(&tokenID); err != nil {
				return err
			}
		} else {
			var open int
			if err := q.QueryRowContext(ctx, qOpenRegistrations, now).Scan(&open); err != nil {
				return err
			}
			if open >= n.OpenLimit {
				return oidc.ErrLimit
			}
		}
		_, err = exec(ctx, q, qRegister, n.ClientID, string(n.Metadata), n.Logo, n.SecretHash, n.SecretSealed, n.AccessHash[:], tokenID, now, micros(n.ExpiresAt))
		if err != nil {
			return err
		}
		return writeOrigins(ctx, q, n.Registration)
	})
	return tokenID, named("register a client", err)
}

func writeOrigins(ctx context.Context, q querier, r oidc.Registration) error {
	for _, origin := range r.Origins {
		if _, err := exec(ctx, q, qOriginInsert, origin, r.ClientID); err != nil {
			return err
		}
	}
	return nil
}

// Registration returns a client that has registered itself, without its Origins;
// oidc.ErrNotFound if it is unknown, has ended or is past its time.
func (s *Store) Registration(ctx context.Context, clientID string) (oidc.Registration, error) {
	var r registrationRow
	if err := s.read(ctx, qRegistration, []any{clientID, micros(s.now())}, r.columns()...); err != nil {
		return oidc.Registration{}, named("read registration", err)
	}
	return r.registration(), nil
}

// RegistrationRevision returns the revision of a registration, by which what was
// made of it can be found again; oidc.ErrNotFound as with Registration.
func (s *Store) RegistrationRevision(ctx context.Context, clientID string) (revision int64, err error) {
	err = s.read(ctx, qRegistrationState, []any{clientID, micros(s.now())}, &revision)
	return revision, named("look for a registration", err)
}

// UpdateRegistration changes a registration whose revision is still r.Revision; its
// CreatedAt, AccessHash and TokenID stay. Where somebody else was faster it is
// oidc.ErrUsed, and oidc.ErrNotFound if it is gone.
func (s *Store) UpdateRegistration(ctx context.Context, r oidc.Registration, now time.Time) error {
	return named("change a registration", s.write(ctx, func(ctx context.Context, q querier) error {
		at, err := stamp(now)
		if err != nil {
			return err
		}
		n, err := exec(ctx, q, qRegistrationUpdate, string(r.Metadata), r.Logo, r.SecretHash, r.SecretSealed, micros(r.ExpiresAt), r.ClientID, r.Revision, at)
		if err != nil {
			return err
		}
		if n == 0 {
			var revision int64
			if err := q.QueryRowContext(ctx, qRegistrationState, r.ClientID, at).Scan(&revision); err != nil {
				return err
			}
			return oidc.ErrUsed
		}
		if _, err := exec(ctx, q, qOriginsDelete, r.ClientID, math.MaxInt32); err != nil {
			return err
		}
		return writeOrigins(ctx, q, r)
	}))
}

// EndRegistration ends a registration: from then on the client is unknown, and with
// it all that it was given is worth nothing. Clean deletes what it leaves behind. One
// that is gone is oidc.ErrNotFound.
func (s *Store) EndRegistration(ctx context.Context, clientID string, now time.Time) error {
	return named("end a registration", s.write(ctx, func(ctx context.Context, q querier) error {
		at, err := stamp(now)
		if err != nil {
			return err
		}
		n, err := exec(ctx, q, qRegistrationEnd, at, clientID)
		if err == nil && n == 0 {
			return oidc.ErrNotFound
		}
		return err
	}))
}

// Registrations lists the clients that have registered themselves, those first that
// live longest, without their Origins.
func (s *Store) Registrations(ctx context.Context, now time.Time) ([]oidc.Registration, error) {
	list, err := collect(ctx, s.readers, (*registrationRow).columns, (*registrationRow).registration, qRegistrations, micros(now))
	return list, named("list registrations", classify(err))
}

// NextOpenEnd returns when the next open registration ends; oidc.ErrNotFound where
// there is none.
func (s *Store) NextOpenEnd(ctx context.Context, now time.Time) (time.Time, error) {
	var at int64
	err := s.read(ctx, qNextOpenEnd, []any{micros(now)}, &at)
	return fromMicros(at), named("look for an open registration", err)
}

// OriginRegistered reports whether a registered client may ask from this origin.
func (s *Store) OriginRegistered(ctx context.Context, origin string) (bool, error) {
	var one int
	err := s.read(ctx, qOriginRegistered, []any{origin, micros(s.now())}, &one)
	if errors.Is(err, oidc.ErrNotFound) {
		return false, nil
	}
	return err == nil, named("look for an origin", err)
}

// RegistrationTokenUsable reports whether an initial access token could be used now.
func (s *Store) RegistrationTokenUsable(ctx context.Context, h oidc.Hash, now time.Time) (bool, error) {
	var one int
	err := s.read(ctx, qTokenUsable, []any{h[:], micros(now)}, &one)
	if errors.Is(err, oidc.ErrNotFound) {
		return false, nil
	}
	return err == nil, named("look for a registration token", err)
}

// CreateRegistrationToken keeps an initial access token.
func (s *Store) CreateRegistrationToken(ctx context.Context, t oidc.RegistrationToken) error {
	return named("keep a registration token", s.write(ctx, func(ctx context.Context, q querier) error {
		_, err := exec(ctx, q, qTokenInsert, t.Hash[:], t.ID, t.Note, t.Uses, micros(t.CreatedAt), micros(t.ExpiresAt))
		return err
	}))
}

// RegistrationTokens lists the initial access tokens that have not expired, the
// newest first.
func (s *Store) RegistrationTokens(ctx context.Context, now time.Time) ([]oidc.RegistrationToken, error) {
	list, err := collect(ctx, s.readers, (*initialTokenRow).columns, (*initialTokenRow).token, qTokens, micros(now))
	return list, named("list registration tokens", classify(err))
}

// RevokeRegistrationToken deletes an initial access token and, where it is asked
// for, ends the clients that were registered with it, in one commit; it returns how
// many. An unknown token is oidc.ErrNotFound, unless clients of it were ended.
func (s *Store) RevokeRegistrationToken(ctx context.Context, id string, andClients bool, now time.Time) (ended int, err error) {
	err = s.write(ctx, func(ctx context.Context, q querier) error {
		at, err := stamp(now)
		if err != nil {
			return err
		}
		n, err := exec(ctx, q, qTokenDelete, id)
		if err != nil {
			return err
		}
		if andClients && id != "" { // "" stands for those without a token
			if ended, err = exec(ctx, q, qRegistrationsOfTokenID, at, id); err != nil {
				return err
			}
		}
		if n+ended == 0 {
			return oidc.ErrNotFound
		}
		return nil
	})
	return ended, named("revoke a registration token", err)
}

// registrationRow is where the registrationColumns are scanned to.
type registrationRow struct {
	r                oidc.Registration
	metadata         string
	access           []byte
	created, expires int64
}

func (r *registrationRow) columns() []any {
	return []any{
		&r.r.ClientID, &r.metadata, &r.r.Logo, &r.r.SecretHash, &r.r.SecretSealed, &r.access, &r.r.TokenID, &r.r.Revision,
		&r.created, &r.expires,
	}
}

func (r *registrationRow) registration() oidc.Registration {
	r.r.Metadata, r.r.AccessHash = []byte(r.metadata), hashFrom(r.access)
	r.r.CreatedAt, r.r.ExpiresAt = fromMicros(r.created), fromMicros(r.expires)
	return r.r
}

type initialTokenRow struct {
	t                oidc.RegistrationToken
	hash             []byte
	created, expires int64
}

func (r *initialTokenRow) columns() []any {
	return []any{&r.hash, &r.t.ID, &r.t.Note, &r.t.Uses, &r.t.UsesLeft, &r.created, &r.expires}
}

func (r *initialTokenRow) token() oidc.RegistrationToken {
	r.t.Hash, r.t.CreatedAt, r.t.ExpiresAt = hashFrom(r.hash), fromMicros(r.created), fromMicros(r.expires)
	return r.t
}

func hashFrom(b []byte) (h oidc.Hash) {
	copy(h[:], b)
	return h
}

// collect reads the rows of a query: columns says where each is scanned to, done what
// comes of it.
func collect[R, T any](ctx context.Context, q querier, columns func(*R) []any, done func(*R) T, query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // after Err nothing new comes from it
	var all []T
	for rows.Next() {
		var r R
		if err := rows.Scan(columns(&r)...); err != nil {
			return nil, err
		}
		all = append(all, done(&r))
	}
	return all, rows.Err()
}
