package store

import (
	"context"
	"database/sql"
	_ "embed" // for the schema
	"fmt"
)

//go:embed schema_sqlite.sql
var schemaSQLite string

// migrationsSQLite are the steps from one version of the schema to the next: the
// first leads from version 1 to 2. A step that was released is never changed;
// schema_sqlite.sql always holds the outcome of all of them.
func migrationsSQLite() []string {
	return []string{stepProtocolSQLite + stepDevicesSQLite}
}

// stepProtocolSQLite leads to version 2: what may be used once, pushed requests,
// what tokens are for, what people withhold, and clients that register themselves.
const stepProtocolSQLite = `CREATE TABLE used_once (
    hash       BLOB    NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX used_once_by_expiry ON used_once (expires_at);
CREATE TABLE pushed_requests (
    hash       BLOB    NOT NULL PRIMARY KEY,
    client_id  TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pushed_requests_by_expiry ON pushed_requests (expires_at);
ALTER TABLE grants ADD COLUMN resources TEXT NOT NULL DEFAULT '';
ALTER TABLE grants ADD COLUMN withheld TEXT NOT NULL DEFAULT '';
ALTER TABLE consents ADD COLUMN withheld TEXT NOT NULL DEFAULT '';
ALTER TABLE access_tokens ADD COLUMN audience TEXT NOT NULL DEFAULT '';
CREATE TABLE registrations (
    client_id     TEXT    NOT NULL UNIQUE,
    access_hash   BLOB    NOT NULL,
    token_id      TEXT    NOT NULL, -- of the initial access token, '' for none
    revision      INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    secret_hash   TEXT    NOT NULL,
    secret_sealed TEXT    NOT NULL,
    metadata      TEXT    NOT NULL,
    logo          TEXT    NOT NULL
) STRICT;
CREATE INDEX registrations_by_expiry ON registrations (expires_at);
CREATE INDEX registrations_by_token ON registrations (token_id, expires_at);
CREATE TABLE registration_origins (
    origin    TEXT NOT NULL,
    client_id TEXT NOT NULL,
    PRIMARY KEY (origin, client_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX registration_origins_by_client ON registration_origins (client_id);
CREATE INDEX consents_by_client ON consents (client_id);
CREATE TABLE registration_tokens (
    hash       BLOB    NOT NULL PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    note       TEXT    NOT NULL,
    uses       INTEGER NOT NULL,
    uses_left  INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX registration_tokens_by_expiry ON registration_tokens (expires_at);`

// stepDevicesSQLite belongs to version 2 as well: devices that wait for a person.
const stepDevicesSQLite = `
CREATE TABLE device_codes (
    hash       BLOB    NOT NULL PRIMARY KEY,
    user_hash  BLOB    NOT NULL UNIQUE,
    client_id  TEXT    NOT NULL,
    scopes     TEXT    NOT NULL,
    resources  TEXT    NOT NULL,
    pause      INTEGER NOT NULL,
    next_at    INTEGER NOT NULL,
    hasty      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    decided_at INTEGER NOT NULL,
    denied     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX device_codes_by_expiry ON device_codes (expires_at);`

const (
	qSchemaTables  = `SELECT count(*), coalesce(sum(name = 'gatehouse_schema'), 0) FROM sqlite_schema WHERE type = 'table'`
	qSchemaVersion = `SELECT version FROM gatehouse_schema`
	qSchemaInsert  = `INSERT INTO gatehouse_schema (version) VALUES ($1)`
	qSchemaUpdate  = `UPDATE gatehouse_schema SET version = $1 WHERE version <> $1`
)

// migrate brings the database to the newest version, in one transaction that
// holds the write lock from its beginning: of two processes that start together
// the second finds the work done. It returns the versions before and after;
// before is 0 for a new database.
func migrate(ctx context.Context, db *sql.DB, path, schema string, steps []string) (before, after int, err error) {
	tx, err := db.BeginTx(ctx, nil) // immediate, by the DSN
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	after = len(steps) + 1
	before, err = schemaVersion(ctx, tx, path)
	if err != nil {
		return 0, 0, err
	}
	if before > after {
		return 0, 0, tooNew(path, before, after)
	}
	if before == 0 {
		if _, err := tx.ExecContext(ctx, schema); err != nil {
			return 0, 0, fmt.Errorf("create the schema: %w", err)
		}
		if _, err := tx.ExecContext(ctx, qSchemaInsert, after); err != nil {
			return 0, 0, fmt.Errorf("note the schema's version: %w", err)
		}
		return before, after, tx.Commit()
	}
	for v := before; v < after; v++ {
		if _, err := tx.ExecContext(ctx, steps[v-1]); err != nil {
			return 0, 0, fmt.Errorf("migrate the schema from version %d to %d: %w", v, v+1, err)
		}
	}
	// Also where nothing changes: a file that can't be written shows here, not at
	// the first sign-in.
	if _, err := tx.ExecContext(ctx, qSchemaUpdate, after); err != nil {
		return 0, 0, fmt.Errorf("note the schema's version: %w", err)
	}
	return before, after, tx.Commit()
}

// schemaVersion returns the version of the schema, 0 for an empty database.
func schemaVersion(ctx context.Context, tx *sql.Tx, path string) (int, error) {
	var tables, ours int
	if err := tx.QueryRowContext(ctx, qSchemaTables).Scan(&tables, &ours); err != nil {
		return 0, err
	}
	if ours == 0 {
		if tables > 0 {
			return 0, problem(path, "is the database of another program", "set database to a file of gatehouse's own")
		}
		return 0, nil
	}
	var version int
	if err := tx.QueryRowContext(ctx, qSchemaVersion).Scan(&version); err != nil {
		return 0, fmt.Errorf("read the schema's version: %w", err)
	}
	if version < 1 {
		return 0, problem(path, fmt.Sprintf("names an impossible schema version %d", version), "restore it from a backup")
	}
	return version, nil
}

func tooNew(path string, version, newest int) error {
	return problem(path,
		fmt.Sprintf("was written by a newer gatehouse: its schema has version %d, this program knows up to %d", version, newest),
		"start the newer program again, or restore a backup from before the upgrade")
}
