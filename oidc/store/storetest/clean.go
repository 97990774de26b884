package storetest

import (
	"context"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/store"
)

// cleaned calls Clean until nothing is left, checks each batch, and returns the
// number of rows.
func (f *fixture) cleaned(now time.Time, batch int) int {
	f.Helper()
	total := 0
	for {
		n, err := f.s.Clean(f.ctx, now, batch)
		f.ok(err)
		if n > batch {
			f.Fatalf("a batch of %d deleted %d rows", batch, n)
		}
		if n == 0 {
			return total
		}
		total += n
	}
}

func cleanCases() []testCase {
	return []testCase{
		{"what has not expired stays", func(f *fixture) {
			a, i := f.exchanged()
			c := f.session("person")
			f.ok(f.s.SaveSession(f.ctx, c))
			f.same(f.cleaned(i.GrantExpiresAt.Add(-time.Hour*47), 10), 1) // the session
			f.same(f.cleaned(i.GrantExpiresAt.Add(-time.Microsecond), 10), 0)
			f.hasAccess(i.Access)
			_, _, err := f.s.Code(f.ctx, a.Code.Hash)
			f.ok(err)
		}},
		{"used codes and refresh tokens stay as long as their grant", func(f *fixture) {
			a, first := f.exchanged()
			second := f.issue(a.Grant.ID)
			f.ok(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 0, second))
			f.same(f.cleaned(f.in(47*time.Hour), 10), 0)
			late := f.issue(a.Grant.ID)
			late.Now = f.in(47 * time.Hour)
			f.is(f.s.ExchangeCode(f.ctx, a.Code.Hash, late), oidc.ErrUsed)
			f.is(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 0, late), oidc.ErrUsed)
		}},
		{"an expired grant goes with all its rows", func(f *fixture) {
			a, i := f.exchanged()
			f.same(f.cleaned(i.GrantExpiresAt, 10), 4)
			_, _, err := f.s.Code(f.ctx, a.Code.Hash)
			f.is(err, oidc.ErrNotFound)
			f.hasNoAccess(i.Access)
			f.hasNoRefresh(i.Refresh)
			f.is(f.s.RevokeGrant(f.ctx, a.Grant.ID, f.now), oidc.ErrNotFound)
		}},
		{"a grant with thousands of tokens goes in small batches", func(f *fixture) {
			a, i := f.exchanged()
			for range 500 {
				next := f.issue(a.Grant.ID)
				f.ok(f.s.RotateRefresh(f.ctx, i.Refresh.Hash, 0, next))
				i = next
			}
			f.same(f.cleaned(i.GrantExpiresAt, 100), 501+501+1+1)
			grants, err := f.s.Grants(f.ctx, store.GrantFilter{}, f.now)
			f.ok(err)
			f.same(len(grants), 0)
		}},
		{"many sessions go in small batches and the living stay", func(f *fixture) {
			living := f.session("person")
			f.ok(f.s.SaveSession(f.ctx, living))
			for range 120 {
				c := f.session("person")
				c.Session.ExpiresAt = f.in(time.Minute)
				f.ok(f.s.SaveSession(f.ctx, c))
			}
			f.same(f.cleaned(f.in(time.Minute), 50), 120)
			_, err := f.s.Session(f.ctx, living.Hash)
			f.ok(err)
		}},
		{"a batch of nothing deletes nothing", func(f *fixture) {
			a := f.saved()
			n, err := f.s.Clean(f.ctx, f.in(time.Hour), 0)
			f.ok(err)
			f.same(n, 0)
			f.ok(f.s.RevokeGrant(f.ctx, a.Grant.ID, f.now))
		}},
	}
}

func contextCases() []testCase {
	return []testCase{
		{"with a cancelled context nothing is read or written, and nothing is said about it", func(f *fixture) {
			a, i := f.exchanged()
			next := f.saved()
			ctx, cancel := context.WithCancel(f.ctx)
			cancel()
			for _, call := range []func() error{
				func() error { return f.s.SaveAuthorization(ctx, f.authorization("app", "person")) },
				func() error { _, _, err := f.s.Code(ctx, a.Code.Hash); return err },
				func() error { return f.s.ExchangeCode(ctx, next.Code.Hash, f.issue("")) },
				func() error { g := f.grant("m", ""); return f.s.IssueToken(ctx, g, *f.token(g.ID, 0)) },
				func() error { _, _, err := f.s.AccessToken(ctx, oidc.HashOf("unknown")); return err },
				func() error { _, _, err := f.s.RefreshToken(ctx, i.Refresh.Hash); return err },
				func() error { return f.s.RotateRefresh(ctx, i.Refresh.Hash, 0, f.issue("")) },
				func() error { return f.s.RevokeGrant(ctx, a.Grant.ID, f.now) },
				func() error { return f.s.RevokeAccessToken(ctx, i.Access.Hash) },
				func() error { _, err := f.s.RevokeClient(ctx, "app", f.now); return err },
				func() error { _, err := f.s.Grants(ctx, store.GrantFilter{}, f.now); return err },
				func() error { _, err := f.s.Session(ctx, oidc.HashOf("unknown")); return err },
				func() error { return f.s.SaveSession(ctx, f.session("person")) },
				func() error { return f.s.TouchSession(ctx, oidc.HashOf("unknown"), f.now) },
				func() error { return f.s.EndSession(ctx, oidc.HashOf("unknown")) },
				func() error { _, err := f.s.EndSessions(ctx, "person"); return err },
				func() error { _, err := f.s.Consent(ctx, "person", "app"); return err },
				func() error { return f.s.RevokeConsent(ctx, "person", "app") },
				func() error { return f.s.UseOnce(ctx, store.Once{Until: f.in(time.Hour)}) },
				func() error { return f.s.PushRequest(ctx, store.PushedRequest{ExpiresAt: f.in(time.Hour)}) },
				func() error { _, err := f.s.PushedRequest(ctx, oidc.HashOf("unknown")); return err },
				func() error {
					return f.s.StartDevice(ctx, store.DeviceCode{Hash: oidc.HashOf("a device"), ExpiresAt: f.in(time.Hour)})
				},
				func() error { _, err := f.s.DeviceCode(ctx, oidc.HashOf("a device")); return err },
				func() error { _, err := f.s.DeviceByUserCode(ctx, oidc.HashOf("unknown")); return err },
				func() error { _, err := f.s.PollDevice(ctx, oidc.HashOf("unknown"), f.now, 0, 0); return err },
				func() error { return f.s.DenyDevice(ctx, oidc.HashOf("unknown"), f.now) },
				func() error { _, err := f.s.Register(ctx, f.registration(nil)); return err },
				func() error { _, err := f.s.Registration(ctx, "unknown"); return err },
				func() error { _, err := f.s.RegistrationRevision(ctx, "unknown"); return err },
				func() error { return f.s.UpdateRegistration(ctx, f.registration(nil).Registration, f.now) },
				func() error { return f.s.EndRegistration(ctx, "unknown", f.now) },
				func() error { _, err := f.s.Registrations(ctx, f.now); return err },
				func() error { _, err := f.s.NextOpenEnd(ctx, f.now); return err },
				func() error { _, err := f.s.OriginRegistered(ctx, "https://app.example.org"); return err },
				func() error { _, err := f.s.RegistrationTokenUsable(ctx, oidc.HashOf(""), f.now); return err },
				func() error { return f.s.CreateRegistrationToken(ctx, f.initialToken(1)) },
				func() error { _, err := f.s.RegistrationTokens(ctx, f.now); return err },
				func() error { _, err := f.s.RevokeRegistrationToken(ctx, "unknown", false, f.now); return err },
				func() error { _, err := f.s.Clean(ctx, f.in(1000*time.Hour), 100); return err },
				func() error { return f.s.Ping(ctx) },
			} {
				err := call()
				f.is(err, oidc.ErrUnavailable)
				f.wraps(err, context.Canceled)
			}
			grants, err := f.s.Grants(f.ctx, store.GrantFilter{Active: true}, f.now)
			f.ok(err)
			f.same(len(grants), 2)
			f.ok(f.s.RotateRefresh(f.ctx, i.Refresh.Hash, 0, f.issue("")))
			f.ok(f.s.ExchangeCode(f.ctx, next.Code.Hash, f.issue("")))
		}},
		{"a caller who gives up is told the truth or knows that nothing happened", func(f *fixture) {
			// Each call is cancelled at another moment of its life. An error that
			// names the cancellation means that the write was taken back.
			as := make([]store.Authorization, 200)
			for i := range as {
				as[i] = f.authorization("app", "person")
			}
			errs := atOnce(len(as), func(i int) error {
				ctx, cancel := context.WithTimeout(f.ctx, time.Duration(i)*20*time.Microsecond)
				defer cancel()
				return f.s.SaveAuthorization(ctx, as[i])
			})
			for i, a := range as {
				_, _, err := f.s.Code(f.ctx, a.Code.Hash)
				if errs[i] == nil {
					f.ok(err)
					continue
				}
				f.is(errs[i], oidc.ErrUnavailable)
				f.wraps(errs[i], context.DeadlineExceeded)
				f.is(err, oidc.ErrNotFound)
			}
		}},
	}
}
