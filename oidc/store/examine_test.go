package store_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"gatehouse/oidc/store"
)

func TestExamineLooksIntoTheFile(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	if x, err := store.Examine(ctx, path); err != nil || x.Version != 0 {
		t.Errorf("no database: %+v, %v", x, err)
	}
	s, err := store.Open(ctx, path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if x, err := store.Examine(ctx, path); err != nil || x.Version == 0 || x.Size == 0 || len(x.Faults) > 0 || x.Writable != nil {
		t.Errorf("while a server runs: %+v, %v", x, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if x, err := store.Examine(ctx, path); err != nil || len(x.Faults) > 0 || x.Writable != nil || x.Log != 0 {
		t.Errorf("when none runs: %+v, %v", x, err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the database was changed: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("something was left: %v %v", entries, err)
	}

	// A page of the middle is damaged: nothing that is read at the start notices.
	const page = 4096
	damaged := bytes.Clone(before)
	copy(damaged[3*page:4*page], bytes.Repeat([]byte{0xa5}, page))
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	if x, err := store.Examine(ctx, path); err != nil || len(x.Faults) == 0 {
		t.Errorf("a damaged page: %+v, %v", x, err)
	}
}
