package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"

	"gatehouse/oidc"
)

// classify tells the answers apart: those of the store's own rules stay as they
// are, a database that refuses what it was asked (a constraint, a mistake in a
// query) is a fault of ours, and all the rest (busy, full, failing disk, closed,
// out of time) is "can't tell" and wraps oidc.ErrUnavailable.
func classify(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, oidc.ErrNotFound), errors.Is(err, oidc.ErrUsed),
		errors.Is(err, oidc.ErrRevoked), errors.Is(err, oidc.ErrLimit), errors.Is(err, oidc.ErrUnavailable):
		return err
	case errors.Is(err, sql.ErrNoRows):
		return oidc.ErrNotFound
	}
	var fault *faultError
	if errors.As(err, &fault) {
		return err
	}
	var se sqlite3.Error
	if errors.As(err, &se) {
		switch se.Code {
		case sqlite3.ErrError, sqlite3.ErrConstraint, sqlite3.ErrMismatch, sqlite3.ErrMisuse,
			sqlite3.ErrRange, sqlite3.ErrTooBig, sqlite3.ErrAuth, sqlite3.ErrInternal:
			return err
		}
	}
	return unavailable(err)
}

// unavailable wraps err so that it is both itself and oidc.ErrUnavailable.
func unavailable(err error) error {
	return fmt.Errorf("%w: %w", oidc.ErrUnavailable, err)
}

// named says what was being attempted; nil stays nil.
func named(attempt string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", attempt, err)
}

// faultError is a mistake of the caller's or in the stored values, which trying
// again does not mend.
type faultError struct{ err error }

func (e *faultError) Error() string { return e.err.Error() }
func (e *faultError) Unwrap() error { return e.err }

// isBusy reports whether another process held the lock for too long.
func isBusy(err error) bool {
	var se sqlite3.Error
	return errors.As(err, &se) && (se.Code == sqlite3.ErrBusy || se.Code == sqlite3.ErrLocked)
}

// openProblem puts what kept a database from being opened into words for the
// operator. Errors that are no fault of the file's stay as they are.
func openProblem(path string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return unavailable(err)
	}
	var se sqlite3.Error
	if !errors.As(err, &se) {
		return err
	}
	switch se.Code {
	case sqlite3.ErrNotADB:
		return problem(path, "is not a SQLite database",
			"set database to another file, or restore this one from a backup")
	case sqlite3.ErrCorrupt:
		return problem(path, "is damaged: "+se.Error(), "restore it from a backup")
	case sqlite3.ErrReadonly, sqlite3.ErrPerm:
		return problem(path, "can't be written: "+se.Error(),
			"give the file and its folder to the user that gatehouse runs as")
	case sqlite3.ErrCantOpen:
		return problem(path, "can't be opened: "+se.Error(),
			"the folder must exist and be writable for the user that gatehouse runs as; SQLite keeps -wal and -shm files beside the database")
	case sqlite3.ErrFull:
		return problem(path, "has no room to grow: "+se.Error(), "free space on this disk")
	case sqlite3.ErrBusy, sqlite3.ErrLocked:
		return fmt.Errorf("%w: %w", oidc.ErrUnavailable,
			problem(path, "is locked by another process", "find it with: fuser "+path))
	}
	return unavailable(fmt.Errorf("%s: %w", path, err))
}

func problem(path, message, hint string) error {
	return oidc.Problems{{File: path, Message: message, Hint: hint}}
}
