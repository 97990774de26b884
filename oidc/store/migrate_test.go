package store

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"gatehouse/oidc"
)

// emptyDB is a new database without a schema.
func emptyDB(t *testing.T) *sql.DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	if err := createFile(path); err != nil {
		t.Fatal(err)
	}
	db := writerDB(path)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

const testSchema = `CREATE TABLE gatehouse_schema (version INTEGER NOT NULL); CREATE TABLE a (x INTEGER);`

func TestMigrationsRunInOrderAndOnce(t *testing.T) {
	t.Parallel()
	db := emptyDB(t)
	run := func(wantBefore, wantAfter int, steps ...string) {
		t.Helper()
		before, after, err := migrate(t.Context(), db, "test.db", testSchema, steps)
		if err != nil || before != wantBefore || after != wantAfter {
			t.Fatalf("from %d to %d, %v; want from %d to %d", before, after, err, wantBefore, wantAfter)
		}
	}
	two := `ALTER TABLE a ADD COLUMN y INTEGER NOT NULL DEFAULT 7; INSERT INTO a (x) VALUES (1);`
	three := `UPDATE a SET y = y + 1; INSERT INTO a (x, y) VALUES (2, 9);`
	run(0, 1)
	run(1, 1)
	run(1, 3, two, three)
	run(3, 3, two, three)
	var sum int
	if err := db.QueryRowContext(t.Context(), `SELECT sum(x * 100 + y) FROM a`).Scan(&sum); err != nil || sum != 108+209 {
		t.Fatalf("got %d, %v", sum, err)
	}
	_, _, err := migrate(t.Context(), db, "test.db", testSchema, []string{two})
	if problems := (oidc.Problems{}); !errors.As(err, &problems) {
		t.Fatalf("an older program: got %v", err)
	}
}

func TestAMigrationThatFailsLeavesTheOldVersion(t *testing.T) {
	t.Parallel()
	db := emptyDB(t)
	if _, _, err := migrate(t.Context(), db, "test.db", testSchema, nil); err != nil {
		t.Fatal(err)
	}
	good, bad := `CREATE TABLE b (x INTEGER)`, `CREATE TABLE c (x INTEGER); INSERT INTO nowhere VALUES (1)`
	if _, _, err := migrate(t.Context(), db, "test.db", testSchema, []string{good, bad}); err == nil {
		t.Fatal("no error")
	}
	var version, tables int
	if err := errors.Join(
		db.QueryRowContext(t.Context(), qSchemaVersion).Scan(&version),
		db.QueryRowContext(t.Context(), `SELECT count(*) FROM sqlite_schema`).Scan(&tables),
	); err != nil || version != 1 || tables != 2 {
		t.Fatalf("version %d, %d tables, %v", version, tables, err)
	}
}

func TestAMigrationThatIsCancelledLeavesTheOldVersion(t *testing.T) {
	t.Parallel()
	db := emptyDB(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := migrate(ctx, db, "test.db", testSchema, nil); err == nil {
		t.Fatal("no error")
	}
	var tables int
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM sqlite_schema`).Scan(&tables); err != nil || tables != 0 {
		t.Fatalf("%d tables, %v", tables, err)
	}
}
