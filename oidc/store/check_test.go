package store_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "github.com/mattn/go-sqlite3" // to write what a newer program would

	"gatehouse/oidc"
	"gatehouse/oidc/store"
)

func TestCheckLooksAndChangesNothing(t *testing.T) {
	t.Parallel()
	ctx, dir := context.Background(), t.TempDir()
	path := filepath.Join(dir, "gatehouse.db")
	if version, err := store.Check(ctx, path); version != 0 || err != nil {
		t.Errorf("no database: version %d, error %v", version, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("something was made: %v %v", entries, err)
	}
	s, err := store.Open(ctx, path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if version, err := store.Check(ctx, path); version != 2 || err != nil {
		t.Errorf("while a server runs: version %d, error %v", version, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if version, err := store.Check(ctx, path); version != 2 || err != nil {
		t.Errorf("when none runs: version %d, error %v", version, err)
	}
	if after, err := os.ReadFile(path); err != nil || !slices.Equal(before, after) {
		t.Errorf("the database was changed: %v", err)
	}
}

func TestCheckTellsWhatOpenWouldRefuse(t *testing.T) {
	t.Parallel()
	ctx, dir := context.Background(), t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	newer := filepath.Join(dir, "newer.db")
	s, err := store.Open(ctx, newer, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite3", newer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, "UPDATE gatehouse_schema SET version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		newer: "was written by a newer gatehouse",
		write("text.db", strings.Repeat("not a database ", 100), 0o600): "is not a SQLite database",
		write("open.db", "", 0o644):                                     "others can read it",
		dir:                                                             "is not a file",
		"postgres://localhost/gatehouse":                                "not supported yet",
	} {
		_, err := store.Check(ctx, path)
		var problems oidc.Problems
		if !errors.As(err, &problems) || !strings.Contains(problems[0].Message, want) || problems[0].Hint == "" {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}
