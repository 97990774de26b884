package storetest

import (
	"reflect"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/store"
)

// device returns a new device code, with ten minutes to live and 5 s between polls.
func (f *fixture) device() store.DeviceCode {
	return store.DeviceCode{
		Hash: oidc.HashOf(oidc.NewSecret("")), UserHash: oidc.HashOf(oidc.NewSecret("")), ClientID: "tv",
		Scopes: []string{"openid", "profile"}, Resources: []string{"https://api.example.org"}, Pause: 5 * time.Second, ExpiresAt: f.in(10 * time.Minute),
	}
}

// allowing returns the authorization by which a person allows a device.
func (f *fixture) allowing(d store.DeviceCode) store.Authorization {
	a := f.authorization("tv", "person")
	a.Code = oidc.Code{Hash: d.Hash, GrantID: a.Grant.ID, ExpiresAt: d.ExpiresAt}
	a.Device = &d.Hash
	return a
}

func deviceCases() []testCase {
	return []testCase{
		{"a device comes back as it was, by either of its codes", func(f *fixture) {
			d := f.device()
			f.ok(f.s.StartDevice(f.ctx, d))
			for range 2 {
				got, err := f.s.DeviceCode(f.ctx, d.Hash)
				f.ok(err)
				f.same(reflect.DeepEqual(got, d), true)
				got, err = f.s.DeviceByUserCode(f.ctx, d.UserHash)
				f.ok(err)
				f.same(reflect.DeepEqual(got, d), true)
			}
			_, err := f.s.DeviceCode(f.ctx, d.UserHash)
			f.is(err, oidc.ErrNotFound)
			_, err = f.s.DeviceByUserCode(f.ctx, d.Hash)
			f.is(err, oidc.ErrNotFound)
		}},
		{"two devices never share a code", func(f *fixture) {
			d, other := f.device(), f.device()
			f.ok(f.s.StartDevice(f.ctx, d))
			other.UserHash = d.UserHash
			f.is(f.s.StartDevice(f.ctx, other), oidc.ErrUsed)
			f.is(f.s.StartDevice(f.ctx, d), oidc.ErrUsed)
			_, err := f.s.DeviceCode(f.ctx, other.Hash)
			f.is(err, oidc.ErrNotFound)
		}},
		{"who asks too early has to pause for longer from then on", func(f *fixture) { // RFC 8628, section 3.5
			d := f.device()
			f.ok(f.s.StartDevice(f.ctx, d))
			for _, p := range []struct {
				at    time.Duration
				hasty bool
			}{
				{0, false},
				{4 * time.Second, false}, // within the slack
				{7 * time.Second, true},  // from now on 10 s
				{14 * time.Second, true}, // 15 s
				{28 * time.Second, false},
				{43 * time.Second, false},
			} {
				hasty, err := f.s.PollDevice(f.ctx, d.Hash, f.in(p.at), time.Second, 5*time.Second)
				f.ok(err)
				if hasty != p.hasty {
					f.Errorf("after %v: hasty is %v", p.at, hasty)
				}
			}
			got, err := f.s.DeviceCode(f.ctx, d.Hash)
			f.ok(err)
			f.same(got.Pause, 15*time.Second)
			_, err = f.s.PollDevice(f.ctx, oidc.HashOf("unknown"), f.now, 0, 0)
			f.is(err, oidc.ErrNotFound)
		}},
		{"of fifty who allow and fifty who deny at once exactly one decides", func(f *fixture) {
			d := f.device()
			f.ok(f.s.StartDevice(f.ctx, d))
			errs := atOnce(100, func(i int) error {
				if i%2 == 0 {
					return f.s.DenyDevice(f.ctx, d.Hash, f.now)
				}
				return f.s.SaveAuthorization(f.ctx, f.allowing(d))
			})
			f.same(won(f, errs), 1)
			got, err := f.s.DeviceCode(f.ctx, d.Hash)
			f.ok(err)
			f.same(got.DecidedAt.Equal(f.now), true)
			grants, err := f.s.Grants(f.ctx, store.GrantFilter{}, f.now)
			f.ok(err)
			f.same(got.Denied, len(grants) == 0)
		}},
		{"a device that was allowed has a code that is used once", func(f *fixture) {
			d := f.device()
			f.ok(f.s.StartDevice(f.ctx, d))
			a := f.allowing(d)
			f.ok(f.s.SaveAuthorization(f.ctx, a))
			got, err := f.s.DeviceCode(f.ctx, d.Hash)
			f.ok(err)
			f.same(got.DecidedAt.IsZero() || got.Denied, false)
			_, g, err := f.s.Code(f.ctx, d.Hash)
			f.ok(err)
			f.same(g.ID, a.Grant.ID)
			errs := atOnce(50, func(int) error { return f.s.ExchangeCode(f.ctx, d.Hash, f.issue(g.ID)) })
			f.same(won(f, errs), 1)
		}},
		{"a device that has expired can neither be allowed nor denied", func(f *fixture) {
			d := f.device()
			d.ExpiresAt = f.now
			f.ok(f.s.StartDevice(f.ctx, d))
			f.is(f.s.SaveAuthorization(f.ctx, f.allowing(d)), oidc.ErrUsed)
			f.is(f.s.DenyDevice(f.ctx, d.Hash, f.now), oidc.ErrUsed)
			f.is(f.s.DenyDevice(f.ctx, oidc.HashOf("unknown"), f.now), oidc.ErrUsed)
			grants, err := f.s.Grants(f.ctx, store.GrantFilter{}, f.now)
			f.ok(err)
			f.same(len(grants), 0)
		}},
		{"an expired device is remembered for an hour", func(f *fixture) {
			d := f.device()
			f.ok(f.s.StartDevice(f.ctx, d))
			f.same(f.cleaned(f.in(time.Hour), 1), 0)
			f.same(f.cleaned(f.in(70*time.Minute), 1), 1)
			_, err := f.s.DeviceCode(f.ctx, d.Hash)
			f.is(err, oidc.ErrNotFound)
		}},
		{"an authorization may give both tokens at once", func(f *fixture) { // RFC 6749, section 4.3.3
			a := f.authorization("app", "person")
			a.Code = oidc.Code{}
			a.Access, a.Refresh = f.token(a.Grant.ID, time.Minute), f.token(a.Grant.ID, time.Hour)
			f.ok(f.s.SaveAuthorization(f.ctx, a))
			_, g, err := f.s.RefreshToken(f.ctx, a.Refresh.Hash)
			f.ok(err)
			f.same(g.ExpiresAt.Equal(a.Refresh.ExpiresAt), true)
			f.ok(f.s.RotateRefresh(f.ctx, a.Refresh.Hash, 0, f.issue(g.ID)))
		}},
	}
}
