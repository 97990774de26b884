package store

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
)

// Check looks at the database named without changing it, also while a server
// has it open, and returns the version of its schema: 0 if there is no database
// yet. An older schema is no problem, Open brings it up to date; a newer one is.
func Check(ctx context.Context, name string) (version int, err error) {
	path, err := sqlitePath(name)
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	case err != nil:
		return 0, problem(path, "can't be looked at: "+reason(err), "let the user that gatehouse runs as enter its folder")
	}
	if err := checkFile(path, info); err != nil {
		return 0, err
	}
	db := readerDB(path)
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return 0, openProblem(path, err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	if version, err = schemaVersion(ctx, tx, path); err != nil {
		return 0, openProblem(path, err)
	}
	if newest := len(migrationsSQLite()) + 1; version > newest {
		return 0, tooNew(path, version, newest)
	}
	return version, nil
}
