package store_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/store"
)

func TestANewDatabaseIsReadableForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gate house?mode=ro&x=%41#ü.db") // nothing of it is taken for a parameter
	s := open(t, path)
	if err := s.SaveAuthorization(t.Context(), benchAuthorization()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}

func TestWhatWasWrittenIsThereAfterReopening(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	s := open(t, path)
	a, i := benchAuthorization(), benchIssue()
	if err := errors.Join(s.SaveAuthorization(t.Context(), a), s.ExchangeCode(t.Context(), a.Code.Hash, i)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "-wal"); !os.IsNotExist(err) {
		t.Errorf("the log is still there: %v", err)
	}
	for name, err := range map[string]error{
		"read":  second(s.Session(t.Context(), oidc.Hash{})),
		"write": s.EndSession(t.Context(), oidc.Hash{}),
		"ping":  s.Ping(t.Context()),
	} {
		if !errors.Is(err, oidc.ErrUnavailable) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	s = open(t, path)
	if _, g, err := s.RefreshToken(t.Context(), i.Refresh.Hash); err != nil || g.ID != a.Grant.ID {
		t.Errorf("got %+v, %v", g, err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestADatabaseThatCantBeOpenedIsExplained(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ name, path, message, hint string }{
		{"no name", "", "no database is named", "path of a file"},
		{"PostgreSQL", "postgres://user:secret@db/gatehouse", "not supported yet", "SQLite"},
		{"another scheme", "mysql://db/gatehouse", "not the path of a file", "path of a file"},
		{"a database in memory", ":memory:", "not the path of a file", "path of a file"},
		{"a URI", "file:gatehouse.db", "not the path of a file", "path of a file"},
		{"folder missing", filepath.Join(dir, "none", "gatehouse.db"), "its folder doesn't exist", "create " + filepath.Join(dir, "none")},
		{"file for a folder", filepath.Join(file("plain", "x", 0o600), "gatehouse.db"), "can't be looked at", "folder"},
		{"a folder", dir, "is not a file", "path of a file"},
		{"not a database", file("text.db", strings.Repeat("gatehouse", 1000), 0o600), "is not a SQLite database", "backup"},
		{"readable for all", file("open.db", "", 0o644), "has mode 0644", "chmod 600"},
		{"another program's", foreign(t, dir), "another program", "gatehouse's own"},
		{"from the future", future(t, dir), "newer gatehouse: its schema has version 1000", "newer program"},
		{"an impossible version", versioned(t, dir, "impossible.db", "-1"), "impossible schema version -1", "backup"},
		{"cut short", cutShort(t, dir), "damaged", "backup"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, err := store.Open(t.Context(), c.path, store.Options{})
			if err == nil {
				_ = s.Close()
				t.Fatal("it was opened")
			}
			var problems oidc.Problems
			if !errors.As(err, &problems) || len(problems) != 1 {
				t.Fatalf("got %v", err)
			}
			p := problems[0]
			if !strings.Contains(p.Message, c.message) || !strings.Contains(p.Hint, c.hint) {
				t.Errorf("got %v\nhint %v", p, p.Hint)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("a password is shown: %v", err)
			}
		})
	}
}

// rawly runs statements on a database file without the store.
func rawly(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
}

func foreign(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "foreign.db")
	rawly(t, path, "CREATE TABLE moz_places (id INTEGER PRIMARY KEY)")
	return path
}

func future(t *testing.T, dir string) string {
	t.Helper()
	return versioned(t, dir, "future.db", "1000")
}

func versioned(t *testing.T, dir, name, version string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	rawly(t, path, "UPDATE gatehouse_schema SET version = "+version)
	return path
}

func cutShort(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "short.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 4096*2); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestANewerDatabaseIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	path := future(t, t.TempDir())
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), path, store.Options{}); err == nil {
		t.Fatal("it was opened")
	}
	// The four bytes that say "WAL" and the change counter may differ; rows don't.
	rawly(t, path, "PRAGMA journal_mode = WAL")
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(before[100:]) != string(after[100:]) {
		t.Error("it was changed")
	}
}

func TestADatabaseThatStaysLockedIsUnavailable(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for the busy timeout")
	}
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite3", path+"?_txlock=exclusive")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(t.Context(), path, store.Options{})
	if !errors.Is(err, oidc.ErrUnavailable) || !strings.Contains(err.Error(), "locked by another process") {
		t.Errorf("got %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

func TestAFirstStartOfSeveralAtOnceMakesOneDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	stores := make([]*store.Store, 8)
	errs := make([]error, len(stores))
	var wg sync.WaitGroup
	for i := range stores {
		wg.Go(func() { stores[i], errs[i] = store.Open(t.Context(), path, store.Options{}) })
	}
	wg.Wait()
	for i, s := range stores {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		t.Cleanup(func() { _ = s.Close() })
		if err := s.SaveAuthorization(t.Context(), benchAuthorization()); err != nil {
			t.Fatal(err)
		}
	}
	grants, err := stores[0].Grants(t.Context(), store.GrantFilter{}, time.Now())
	if err != nil || len(grants) != len(stores) {
		t.Fatalf("got %d grants, %v", len(grants), err)
	}
}

func TestTheFrozenSchemaIsMigratedAndKeepsItsRows(t *testing.T) {
	t.Parallel()
	frozen, err := os.ReadFile(filepath.Join("testdata", "schema_v1.sql"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	rawly(t, path, string(frozen))
	s := open(t, path)
	hash := func(b byte) (h oidc.Hash) { h[31] = b; return h }

	code, g, err := s.Code(t.Context(), hash(0xc1))
	if err != nil || code.UsedAt.IsZero() || code.Nonce != "nonce-1" || code.RedirectURI != "https://app.example.org/callback" {
		t.Errorf("code: %+v, %v", code, err)
	}
	created := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC).Truncate(time.Microsecond)
	if g.ID != "grant-1" || g.Subject != "person-1" || !g.CreatedAt.Equal(created) ||
		strings.Join(g.Scopes, ",") != "openid,email" || strings.Join(g.Claims.UserInfo, ",") != "name" {
		t.Errorf("grant: %+v", g)
	}
	if token, _, err := s.AccessToken(t.Context(), hash(0xa1)); err != nil || token.GrantID != "grant-1" {
		t.Errorf("access token: %+v, %v", token, err)
	}
	if _, g, err := s.AccessToken(t.Context(), hash(0xa2)); err != nil || g.RevokedAt.IsZero() || g.Subject != "" {
		t.Errorf("access token of a revoked grant: %+v, %v", g, err)
	}
	issue := store.Issue{Now: created.Add(time.Minute)}
	if err := s.RotateRefresh(t.Context(), hash(0xb1), 0, issue); !errors.Is(err, oidc.ErrUsed) {
		t.Errorf("used refresh token: %v", err)
	}
	if err := s.RotateRefresh(t.Context(), hash(0xb2), 0, issue); err != nil {
		t.Errorf("refresh token: %v", err)
	}
	if session, err := s.Session(t.Context(), hash(0xd1)); err != nil || session.ID != "session-1" || !session.Remember {
		t.Errorf("session: %+v, %v", session, err)
	}
	if consent, err := s.Consent(t.Context(), "person-1", "app"); err != nil || strings.Join(consent.Scopes, ",") != "openid,email" {
		t.Errorf("consent: %+v, %v", consent, err)
	}

	fresh := filepath.Join(t.TempDir(), "gatehouse.db")
	open(t, fresh)
	if got, want := schemaOf(t, path), schemaOf(t, fresh); got != want {
		t.Errorf("migrated:\n%s\nnew:\n%s", got, want)
	}
}

// schemaOf returns the definitions of a database without layout and comments.
func schemaOf(t *testing.T, path string) string {
	t.Helper()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var all sql.NullString
	err = db.QueryRowContext(t.Context(), `SELECT group_concat(sql, char(10, 10) ORDER BY name) FROM sqlite_schema WHERE name NOT LIKE 'sqlite%'`).Scan(&all)
	if err != nil {
		t.Fatal(err)
	}
	plain := regexp.MustCompile(`--.*`).ReplaceAllString(all.String, "")
	plain = regexp.MustCompile(`[ \n\t]+`).ReplaceAllString(plain, " ")
	return regexp.MustCompile(` ?([,()]) ?`).ReplaceAllString(plain, "$1") // a column added later is set in other blanks
}
