package store

import (
	"context"
	"time"

	"gatehouse/oidc"
)

const (
	// Neither of the two hashes may be there.
	qDeviceInsert = `INSERT INTO device_codes (hash, user_hash, client_id, scopes, resources, pause, next_at, hasty, expires_at, decided_at, denied)
VALUES ($1, $2, $3, $4, $5, $6, 0, 0, $7, 0, 0) ON CONFLICT DO NOTHING`

	deviceColumns = `hash, user_hash, client_id, scopes, resources, pause, expires_at, decided_at, denied`
	qDevice       = `SELECT ` + deviceColumns + ` FROM device_codes WHERE hash = $1`
	qDeviceByUser = `SELECT ` + deviceColumns + ` FROM device_codes WHERE user_hash = $1`

	// Right of an assignment stands what was there before.
	qDevicePoll = `UPDATE device_codes SET hasty = CASE WHEN next_at > $1 THEN 1 ELSE 0 END,
pause = CASE WHEN next_at > $1 THEN pause + $2 ELSE pause END,
next_at = $1 - $3 + CASE WHEN next_at > $1 THEN pause + $2 ELSE pause END
WHERE hash = $4 RETURNING hasty`

	qDeviceDecide = `UPDATE device_codes SET decided_at = $1, denied = $2 WHERE hash = $3 AND decided_at = 0 AND expires_at > $1`

	qCleanDevices = `DELETE FROM device_codes WHERE hash IN (SELECT hash FROM device_codes WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`
)

// deviceKept is how long an expired device code is remembered, so that its device is
// told that it has expired and not that it never was.
const deviceKept = time.Hour

// DeviceCode is a device that waits for a person (RFC 8628, section 3.2).
type DeviceCode struct {
	Hash      oidc.Hash // of the device code; the code of its authorization has it, too
	UserHash  oidc.Hash // of the user code; keyed by the caller, as user codes are short
	ClientID  string
	Scopes    []string
	Resources []string      // what its tokens are to be for (RFC 8707)
	Pause     time.Duration // the least time between two polls
	ExpiresAt time.Time
	DecidedAt time.Time // zero while nobody has allowed or denied it
	Denied    bool
}

// StartDevice keeps a new device code. If one of its hashes is there already, that
// is oidc.ErrUsed.
func (s *Store) StartDevice(ctx context.Context, d DeviceCode) error {
	return named("start device", s.write(ctx, func(ctx context.Context, q querier) error {
		expires, err := stamp(d.ExpiresAt)
		if err != nil {
			return err
		}
		n, err := exec(ctx, q, qDeviceInsert, d.Hash[:], d.UserHash[:], d.ClientID, joinWords(d.Scopes), joinWords(d.Resources), d.Pause.Microseconds(), expires)
		if err == nil && n == 0 {
			return oidc.ErrUsed
		}
		return err
	}))
}

// DeviceCode returns a device code, decided or expired or not; oidc.ErrNotFound if
// it is unknown or was cleaned away.
func (s *Store) DeviceCode(ctx context.Context, h oidc.Hash) (DeviceCode, error) {
	return s.device(ctx, qDevice, h)
}

// DeviceByUserCode is DeviceCode by the hash of the user code.
func (s *Store) DeviceByUserCode(ctx context.Context, userHash oidc.Hash) (DeviceCode, error) {
	return s.device(ctx, qDeviceByUser, userHash)
}

func (s *Store) device(ctx context.Context, query string, h oidc.Hash) (DeviceCode, error) {
	var d DeviceCode
	var hash, userHash []byte
	var scopes, resources string
	var pause, expires, decided, denied int64
	err := s.read(ctx, query, []any{h[:]}, &hash, &userHash, &d.ClientID, &scopes, &resources, &pause, &expires, &decided, &denied)
	if err != nil {
		return DeviceCode{}, named("read device code", err)
	}
	copy(d.Hash[:], hash)
	copy(d.UserHash[:], userHash)
	d.Scopes, d.Resources = splitWords(scopes), splitWords(resources)
	d.Pause, d.Denied = time.Duration(pause)*time.Microsecond, denied != 0
	d.ExpiresAt, d.DecidedAt = fromMicros(expires), fromMicros(decided)
	return d, nil
}

// PollDevice notes that a device has asked, and reports whether it did so before its
// pause was over, but for slack; then the pause grows by more, for good (RFC 8628,
// section 3.5). An unknown code is oidc.ErrNotFound.
func (s *Store) PollDevice(ctx context.Context, h oidc.Hash, now time.Time, slack, more time.Duration) (hasty bool, err error) {
	err = s.write(ctx, func(ctx context.Context, q querier) error {
		at, err := stamp(now)
		if err != nil {
			return err
		}
		var flag int64
		err = q.QueryRowContext(ctx, qDevicePoll, at, more.Microseconds(), slack.Microseconds(), h[:]).Scan(&flag)
		hasty = flag != 0
		return err
	})
	return hasty, named("poll device", err)
}

// DenyDevice notes that a person has declined. One that was decided before, or has
// expired, is oidc.ErrUsed.
func (s *Store) DenyDevice(ctx context.Context, h oidc.Hash, now time.Time) error {
	return named("deny device", s.write(ctx, func(ctx context.Context, q querier) error {
		return decideDevice(ctx, q, h, now, 1)
	}))
}

func decideDevice(ctx context.Context, q querier, h oidc.Hash, now time.Time, denied int) error {
	at, err := stamp(now)
	if err != nil {
		return err
	}
	n, err := exec(ctx, q, qDeviceDecide, at, denied, h[:])
	if err == nil && n == 0 {
		return oidc.ErrUsed
	}
	return err
}
