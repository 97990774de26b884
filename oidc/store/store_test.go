package store_test

import (
	"path/filepath"
	"testing"

	"gatehouse/oidc/store"
	"gatehouse/oidc/store/storetest"
)

func TestSQLiteDoesWhatAnyStoreMust(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Store {
		return open(t, filepath.Join(t.TempDir(), "gatehouse.db"))
	})
}

// open opens the store at path and closes it at the end of the test.
func open(t testing.TB, path string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), path, store.Options{})
	if err != nil {
		t.Fatalf("open %s: %v", path, err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}
