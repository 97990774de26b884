package store_test

import (
	"context"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/store"
)

// Each benchmark runs one at a time and with 32 callers at once: the difference
// is what joining writes into one commit gives. cpu-µs/op is user and system time
// of the whole process.

func BenchmarkSaveAuthorization(b *testing.B) {
	bench(b, func(context.Context, *store.Store, int) []store.Authorization { return nil },
		func(ctx context.Context, s *store.Store, _ []store.Authorization, _ int) error {
			return s.SaveAuthorization(ctx, benchAuthorization())
		})
}

func BenchmarkExchangeCode(b *testing.B) {
	bench(b, benchCodes, func(ctx context.Context, s *store.Store, as []store.Authorization, i int) error {
		return s.ExchangeCode(ctx, as[i].Code.Hash, benchIssue())
	})
}

func BenchmarkRotateRefresh(b *testing.B) {
	bench(b, func(ctx context.Context, s *store.Store, n int) []oidc.Hash {
		return benchTokens(ctx, b, s, n, func(i store.Issue) oidc.Hash { return i.Refresh.Hash })
	}, func(ctx context.Context, s *store.Store, hs []oidc.Hash, i int) error {
		return s.RotateRefresh(ctx, hs[i], 0, benchIssue())
	})
}

func BenchmarkIssueToken(b *testing.B) {
	bench(b, func(context.Context, *store.Store, int) []oidc.Hash { return nil },
		func(ctx context.Context, s *store.Store, _ []oidc.Hash, _ int) error {
			a := benchAuthorization()
			a.Grant.Subject = ""
			return s.IssueToken(ctx, a.Grant, *benchIssue().Access)
		})
}

func BenchmarkAccessToken(b *testing.B) {
	bench(b, func(ctx context.Context, s *store.Store, _ int) []oidc.Hash {
		return benchTokens(ctx, b, s, 20000, func(i store.Issue) oidc.Hash { return i.Access.Hash })
	}, func(ctx context.Context, s *store.Store, hs []oidc.Hash, i int) error {
		_, _, err := s.AccessToken(ctx, hs[i*7919%len(hs)])
		return err
	})
}

// bench runs op b.N times on a store that prepare has filled for it.
func bench[T any](b *testing.B, prepare func(ctx context.Context, s *store.Store, n int) T,
	op func(ctx context.Context, s *store.Store, t T, i int) error,
) {
	ctx, cancel := context.WithCancel(b.Context()) // as in a request: it can be cancelled
	defer cancel()
	for _, mode := range []struct {
		name    string
		callers int
	}{{"serial", 1}, {"32 at once", 32}} {
		b.Run(mode.name, func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "gatehouse.db"))
			t := prepare(ctx, s, b.N)
			var next atomic.Int64
			before := processorTime(b)
			b.ReportAllocs()
			b.ResetTimer()
			if mode.callers == 1 {
				for i := range b.N {
					if err := op(ctx, s, t, i); err != nil {
						b.Fatal(err)
					}
				}
			} else {
				b.SetParallelism(mode.callers / runtime.GOMAXPROCS(0))
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := op(ctx, s, t, int(next.Add(1)-1)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			b.StopTimer()
			b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchCodes(ctx context.Context, s *store.Store, n int) []store.Authorization {
	as := make([]store.Authorization, n)
	done := make(chan error)
	for w := range 32 {
		go func() {
			var err error
			for i := w; i < n && err == nil; i += 32 {
				as[i] = benchAuthorization()
				err = s.SaveAuthorization(ctx, as[i])
			}
			done <- err
		}()
	}
	for range 32 {
		if err := <-done; err != nil {
			panic(err)
		}
	}
	return as
}

func benchTokens(ctx context.Context, b *testing.B, s *store.Store, n int, pick func(store.Issue) oidc.Hash) []oidc.Hash {
	b.Helper()
	as := benchCodes(ctx, s, n)
	hs := make([]oidc.Hash, n)
	done := make(chan error)
	for w := range 32 {
		go func() {
			var err error
			for i := w; i < n && err == nil; i += 32 {
				issue := benchIssue()
				hs[i] = pick(issue)
				err = s.ExchangeCode(ctx, as[i].Code.Hash, issue)
			}
			done <- err
		}()
	}
	for range 32 {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	return hs
}

func benchAuthorization() store.Authorization {
	now := time.Now()
	g := oidc.Grant{
		ID: oidc.NewID(), ClientID: "nextcloud", Subject: "9f1c2c4e-6b1d-4d0c-8f5e-" + oidc.NewID()[:12], SessionID: oidc.NewID(),
		Scopes: []string{"openid", "profile", "email", "groups"}, AuthTime: now, AMR: []string{"pwd"},
		CreatedAt: now, ExpiresAt: now.Add(time.Minute),
	}
	return store.Authorization{Grant: g, Code: oidc.Code{
		Hash: oidc.HashOf(oidc.NewSecret("")), GrantID: g.ID, RedirectURI: "https://cloud.example.org/apps/user_oidc/code",
		Nonce: oidc.NewID(), CodeChallenge: oidc.NewSecret(""), ExpiresAt: now.Add(time.Minute),
	}}
}

func benchIssue() store.Issue {
	now := time.Now()
	token := func(life time.Duration) *oidc.Token {
		return &oidc.Token{
			Hash: oidc.HashOf(oidc.NewSecret("")), Scopes: []string{"openid", "profile", "email", "groups"},
			IssuedAt: now, ExpiresAt: now.Add(life),
		}
	}
	return store.Issue{Now: now, Access: token(time.Hour), Refresh: token(24 * time.Hour), GrantExpiresAt: now.Add(24 * time.Hour)}
}
