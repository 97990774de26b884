package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/oidc"
)

// queries returns all queries of the package, its constants named q….
func queries(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	constants := map[string]ast.Expr{}
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
				constants[spec.Names[0].Name] = spec.Values[0]
			}
			return true
		})
	}
	found := map[string]string{}
	for name, value := range constants {
		if query, ok := text(constants, value); ok && strings.HasPrefix(name, "q") {
			found[name] = query
		}
	}
	if len(found) < 20 {
		t.Fatalf("found only %v", slices.Collect(maps.Keys(found)))
	}
	return found
}

// text returns the value of a constant string, whose parts may be constants.
func text(constants map[string]ast.Expr, e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.Ident:
		return text(constants, constants[e.Name])
	case *ast.BinaryExpr:
		x, okX := text(constants, e.X)
		y, okY := text(constants, e.Y)
		return x + y, okX && okY
	}
	return "", false
}

// placeholder is $1, $2 …
var placeholder = regexp.MustCompile(`\$([0-9]+)`)

func TestPlaceholdersAreInOrderOfFirstUse(t *testing.T) {
	t.Parallel()
	// To SQLite $1 is a name, numbered as it comes; to PostgreSQL it is a number.
	for name, query := range queries(t) {
		seen := map[string]bool{}
		for _, m := range placeholder.FindAllStringSubmatch(query, -1) {
			if !seen[m[1]] && m[1] != fmt.Sprint(len(seen)+1) {
				t.Errorf("%s: $%s comes as number %d", name, m[1], len(seen)+1)
			}
			seen[m[1]] = true
		}
	}
}

func TestNoQueryReadsAWholeTable(t *testing.T) {
	t.Parallel()
	// The plans hold the look-ups that foreign keys cause as well.
	scans := map[string]string{
		"qSchemaTables":  "at the start",
		"qSchemaVersion": "a table of one row",
		"qSchemaUpdate":  "a table of one row",
		"qGrants":        "a listing of everything, newest first",
		"qTokens":        "a listing, for an operator",
	}
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	s, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	check := func(when string) {
		db := readerDB(path) // which sees the statistics as it is opened; nothing is run
		defer func() { _ = db.Close() }()
		for name, query := range queries(t) {
			args := make([]any, distinct(query))
			for i := range args {
				args[i] = 1
			}
			for _, step := range plan(t, db, query, args) {
				bad := strings.Contains(step, "SCAN") || strings.Contains(step, "TEMP B-TREE")
				if of, ok := strings.CutPrefix(step, "SCAN "); ok && strings.Contains(query, "WITH "+of+" AS MATERIALIZED") {
					bad = false // the one row that was found before
				}
				if _, ok := scans[name]; bad && !ok {
					t.Errorf("%s, %s: %s", when, name, step)
				}
			}
		}
	}
	check("without statistics")
	// What the planner knows of a store with one busy client, few people and
	// grants that all end at about the same time.
	now := time.Now()
	for i := range 500 {
		g := oidc.Grant{ID: oidc.NewID(), ClientID: "app", Subject: fmt.Sprint(i % 5), CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
		access := oidc.Token{Hash: oidc.HashOf(g.ID), IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
		change := oidc.SessionChange{Hash: access.Hash, Session: oidc.Session{Subject: g.Subject, ExpiresAt: now}}
		if err := errors.Join(s.IssueToken(t.Context(), g, access), s.SaveSession(t.Context(), change)); err != nil {
			t.Fatal(err)
		}
	}
	err = s.write(t.Context(), func(ctx context.Context, q querier) error {
		_, err := q.ExecContext(ctx, "ANALYZE")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	check("with statistics")
}

// plan returns the steps by which SQLite would run a query.
func plan(t *testing.T, db *sql.DB, query string, args []any) (steps []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}

func distinct(query string) int {
	seen := map[string]bool{}
	for _, m := range placeholder.FindAllString(query, -1) {
		seen[m] = true
	}
	return len(seen)
}

func openStore(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "gatehouse.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestEveryConnectionHasItsPragmas(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	for _, c := range []struct{ pragma, writer, reader string }{
		{"journal_mode", "wal", "wal"},
		{"synchronous", "2", ""}, // FULL; a reader syncs nothing
		{"foreign_keys", "1", ""},
		{"busy_timeout", "1", "5000"},
		{"query_only", "0", "1"},
		{"wal_autocheckpoint", "1000", ""},
	} {
		var w, r string
		if err := s.writers.QueryRowContext(t.Context(), "PRAGMA "+c.pragma).Scan(&w); err != nil || w != c.writer {
			t.Errorf("%s of the writer: got %q, %v", c.pragma, w, err)
		}
		if err := s.readers.QueryRowContext(t.Context(), "PRAGMA "+c.pragma).Scan(&r); err != nil || c.reader != "" && r != c.reader {
			t.Errorf("%s of a reader: got %q, %v", c.pragma, r, err)
		}
	}
	if _, err := s.readers.ExecContext(t.Context(), "DELETE FROM grants"); err == nil {
		t.Error("a reader has written")
	}
}

func TestNoColumnHoldsMoreOfAPersonThanTheId(t *testing.T) {
	t.Parallel()
	// A new column is written down here by somebody who has asked whether it can
	// ever hold a name, an address, a group or a claim.
	want := []string{
		"access_tokens: hash grant_n scopes issued_at expires_at audience",
		"codes: grant_n hash redirect_uri nonce code_challenge expires_at used_at",
		"consents: subject client_id scopes granted_at withheld", // names of claims
		"device_codes: hash user_hash client_id scopes resources pause next_at hasty expires_at decided_at denied",
		"gatehouse_schema: version",
		"grants: n id client_id subject session_id scopes claims auth_time amr acr created_at expires_at revoked_at resources withheld",
		"pushed_requests: hash client_id sealed expires_at", // sealed by a key that is not in the database
		"refresh_tokens: hash grant_n scopes issued_at expires_at used_at",
		"registration_origins: origin client_id",                                                                               // hosts
		"registration_tokens: hash id note uses uses_left created_at expires_at",                                               // note: the operator's words
		"registrations: client_id access_hash token_id revision created_at expires_at secret_hash secret_sealed metadata logo", // what an application says of itself
		"sessions: hash id subject auth_time amr remember last_seen_at expires_at",
		"used_once: hash expires_at",
	}
	s := openStore(t)
	rows, err := s.readers.QueryContext(t.Context(), `SELECT m.name || ': ' || group_concat(c.name, ' ' ORDER BY c.cid)
FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' GROUP BY m.name ORDER BY m.name`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var got []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		got = append(got, line)
	}
	if err := rows.Err(); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
