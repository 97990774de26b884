package store_test

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/store"
)

// twice opens one database two times, as the server and a command do. (That two
// processes may do so is for the test that kills one of them.)
func twice(t *testing.T) (a, b *store.Store) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	return open(t, path), open(t, path)
}

func TestARevocationByACommandIsSeenByTheServerAtOnce(t *testing.T) {
	t.Parallel()
	server, command := twice(t)
	for range 20 {
		a, i := benchAuthorization(), benchIssue()
		if err := errors.Join(server.SaveAuthorization(t.Context(), a), server.ExchangeCode(t.Context(), a.Code.Hash, i)); err != nil {
			t.Fatal(err)
		}
		if _, g, err := server.AccessToken(t.Context(), i.Access.Hash); err != nil || !g.RevokedAt.IsZero() {
			t.Fatalf("before: %+v, %v", g, err)
		}
		if err := command.RevokeGrant(t.Context(), a.Grant.ID, time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, g, err := server.AccessToken(t.Context(), i.Access.Hash); err != nil || g.RevokedAt.IsZero() {
			t.Fatalf("after: %+v, %v", g, err)
		}
		if err := server.RotateRefresh(t.Context(), i.Refresh.Hash, time.Minute, benchIssue()); !errors.Is(err, oidc.ErrRevoked) {
			t.Fatalf("got %v", err)
		}
	}
}

func TestOfTwoStoresOneExchangesACode(t *testing.T) {
	t.Parallel()
	one, other := twice(t)
	stores := []*store.Store{one, other}
	for range 30 {
		a := benchAuthorization()
		if err := one.SaveAuthorization(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		issues := make([]store.Issue, 8)
		errs := make([]error, len(issues))
		var wg sync.WaitGroup
		for i := range issues {
			issues[i] = benchIssue()
			wg.Go(func() { errs[i] = stores[i%2].ExchangeCode(t.Context(), a.Code.Hash, issues[i]) })
		}
		wg.Wait()
		won := 0
		for i, err := range errs {
			_, _, found := stores[(i+1)%2].AccessToken(t.Context(), issues[i].Access.Hash)
			switch {
			case err == nil && found == nil:
				won++
			case !errors.Is(err, oidc.ErrUsed) || !errors.Is(found, oidc.ErrNotFound):
				t.Fatalf("exchange %d: %v, its token: %v", i, err, found)
			}
		}
		if won != 1 {
			t.Fatalf("%d exchanges succeeded", won)
		}
	}
}

func TestTwoStoresWriteAtOnce(t *testing.T) {
	t.Parallel()
	one, other := twice(t)
	var wg sync.WaitGroup
	for _, s := range []*store.Store{one, other} {
		for range 8 {
			wg.Go(func() {
				for range 20 {
					a := benchAuthorization()
					if err := errors.Join(s.SaveAuthorization(t.Context(), a), s.ExchangeCode(t.Context(), a.Code.Hash, benchIssue())); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	grants, err := one.Grants(t.Context(), store.GrantFilter{}, time.Now())
	if err != nil || len(grants) != 2*8*20 {
		t.Fatalf("got %d grants, %v", len(grants), err)
	}
	// The one may end while the other goes on.
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if err := other.SaveAuthorization(t.Context(), benchAuthorization()); err != nil {
		t.Fatal(err)
	}
}

func TestACommandGetsItsTurnWhileTheServerCommitsBackToBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	server := open(t, path)
	a := benchAuthorization()
	if err := server.SaveAuthorization(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	end := make(chan struct{})
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
				}
				if err := server.SaveAuthorization(t.Context(), benchAuthorization()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var longest time.Duration
	for range 10 {
		begin := time.Now()
		command, err := store.Open(t.Context(), path, store.Options{})
		if err != nil {
			t.Error(err)
			break
		}
		if err := command.RevokeGrant(t.Context(), a.Grant.ID, time.Now()); err != nil {
			t.Error(err)
		}
		if err := command.Close(); err != nil {
			t.Error(err)
		}
		longest = max(longest, time.Since(begin))
	}
	close(end)
	wg.Wait()
	if longest > 2*time.Second {
		t.Errorf("the longest of ten commands took %v", longest)
	}
}
