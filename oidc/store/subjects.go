package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

const (
	qGrantHolders = `SELECT DISTINCT subject FROM grants
WHERE subject > $1 AND revoked_at = 0 AND expires_at > $2 ORDER BY subject LIMIT $3`

	qSessionHolders = `SELECT DISTINCT s.subject FROM sessions s
WHERE s.subject > $1 AND s.expires_at > $2
AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.subject = s.subject AND g.revoked_at = 0 AND g.expires_at > $2)
ORDER BY s.subject LIMIT $3`

	qHoldsGrant   = `SELECT 1 FROM grants WHERE subject = $1 AND revoked_at = 0 AND expires_at > $2 LIMIT 1`
	qHoldsSession = `SELECT 1 FROM sessions WHERE subject = $1 AND expires_at > $2 LIMIT 1`
)

// subjectsPage is how many people are read at once.
const subjectsPage = 500

// EachSubject calls f once for every person who has a grant or a session that has
// not ended. It reads page by page and nothing is open while f runs: people who
// come or go meanwhile may or may not be among them. It ends with the first error
// of f.
func (s *Store) EachSubject(ctx context.Context, now time.Time, f func(subject string) error) error {
	for _, query := range []string{qGrantHolders, qSessionHolders} {
		for after, full := "", true; full; {
			page, err := s.subjects(ctx, query, after, now)
			if err != nil {
				return named("list people", classify(err))
			}
			for _, subject := range page {
				if err := f(subject); err != nil {
					return err
				}
				after = subject
			}
			full = len(page) == subjectsPage
		}
	}
	return nil
}

func (s *Store) subjects(ctx context.Context, query, after string, now time.Time) ([]string, error) {
	rows, err := s.readers.QueryContext(ctx, query, after, micros(now), subjectsPage)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // after Err nothing new comes from it
	var page []string
	for rows.Next() {
		var subject string
		if err := rows.Scan(&subject); err != nil {
			return nil, err
		}
		page = append(page, subject)
	}
	return page, rows.Err()
}

// Holds reports whether a person has a grant or a session that has not ended.
func (s *Store) Holds(ctx context.Context, subject string, now time.Time) (bool, error) {
	for _, query := range []string{qHoldsGrant, qHoldsSession} {
		var one int
		err := s.readers.QueryRowContext(ctx, query, subject, micros(now)).Scan(&one)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return false, named("look for grants", classify(err))
		}
	}
	return false, nil
}
