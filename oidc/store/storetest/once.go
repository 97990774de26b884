package storetest

import (
	"errors"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/store"
)

func onceCases() []testCase {
	return []testCase{
		{"of a hundred uses at once exactly one succeeds", func(f *fixture) {
			once := store.Once{Hash: oidc.HashOf("jti"), Until: f.in(time.Minute)}
			errs := atOnce(100, func(int) error { return f.s.UseOnce(f.ctx, once) })
			f.same(won(f, errs), 1)
			f.is(f.s.UseOnce(f.ctx, once), oidc.ErrUsed)
			f.ok(f.s.UseOnce(f.ctx, store.Once{Hash: oidc.HashOf("another"), Until: f.in(time.Minute)}))
		}},
		{"of a hundred authorizations with one pushed request exactly one is written, and the request is gone", func(f *fixture) {
			p := f.pushed("app")
			f.ok(f.s.PushRequest(f.ctx, p))
			errs := atOnce(100, func(int) error {
				a := f.authorization("app", "person")
				a.Once = &store.Once{Hash: p.Hash, Until: f.in(time.Hour)}
				return f.s.SaveAuthorization(f.ctx, a)
			})
			f.same(won(f, errs), 1)
			grants, err := f.s.Grants(f.ctx, store.GrantFilter{}, f.now)
			f.ok(err)
			f.same(len(grants), 1)
			_, err = f.s.PushedRequest(f.ctx, p.Hash)
			f.is(err, oidc.ErrNotFound)
		}},
		{"a pushed request comes back as it was, as often as it is read", func(f *fixture) {
			p := f.pushed("app")
			f.ok(f.s.PushRequest(f.ctx, p))
			for range 3 {
				got, err := f.s.PushedRequest(f.ctx, p.Hash)
				f.ok(err)
				f.same(got.ClientID+string(got.Sealed)+got.ExpiresAt.String(), p.ClientID+string(p.Sealed)+p.ExpiresAt.String())
			}
			if f.s.PushRequest(f.ctx, p) == nil {
				f.Error("a pushed request was written over")
			}
			_, err := f.s.PushedRequest(f.ctx, oidc.HashOf("unknown"))
			f.is(err, oidc.ErrNotFound)
		}},
		{"notes and requests go when their time is over, and not before", func(f *fixture) {
			once := store.Once{Hash: oidc.HashOf("jti"), Until: f.in(time.Minute)}
			f.ok(f.s.UseOnce(f.ctx, once))
			f.ok(f.s.PushRequest(f.ctx, f.pushed("app")))
			f.same(f.cleaned(f.in(time.Minute-time.Microsecond), 1), 0)
			f.is(f.s.UseOnce(f.ctx, once), oidc.ErrUsed)
			f.same(f.cleaned(f.in(time.Minute), 1), 2)
			f.ok(f.s.UseOnce(f.ctx, once))
		}},
	}
}

// pushed returns a new pushed request.
func (f *fixture) pushed(clientID string) store.PushedRequest {
	return store.PushedRequest{Hash: oidc.HashOf(oidc.NewSecret("")), ClientID: clientID, Sealed: []byte{0, 1, 0xff}, ExpiresAt: f.in(time.Minute)}
}

// won counts who succeeded; whoever didn't must have been told why.
func won(f *fixture, errs []error) (n int) {
	f.Helper()
	for _, err := range errs {
		switch {
		case err == nil:
			n++
		case !errors.Is(err, oidc.ErrUsed):
			f.Error(err)
		}
	}
	return n
}
