package storetest

import (
	"errors"
	"fmt"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/store"
)

func registrationCases() []testCase {
	return []testCase{
		{"a client that registered itself comes back as it was, and is gone at its time", func(f *fixture) {
			n := f.registration(nil)
			_, err := f.s.Register(f.ctx, n)
			f.ok(err)
			want := n.Registration
			want.Revision, want.Origins = 1, nil
			got, err := f.s.Registration(f.ctx, n.ClientID)
			f.ok(err)
			f.same(fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want))
			revision, err := f.s.RegistrationRevision(f.ctx, n.ClientID)
			f.ok(err)
			f.same(int(revision), 1)
			if _, err := f.s.Register(f.ctx, n); err == nil {
				f.Error("a client was registered twice")
			}
			past := f.registration(nil)
			past.ExpiresAt = f.in(-time.Second)
			_, err = f.s.Register(f.ctx, past)
			f.ok(err)
			_, err = f.s.Registration(f.ctx, past.ClientID)
			f.is(err, oidc.ErrNotFound)
			_, err = f.s.RegistrationRevision(f.ctx, past.ClientID)
			f.is(err, oidc.ErrNotFound)
			f.is(f.s.EndRegistration(f.ctx, past.ClientID, f.now), oidc.ErrNotFound)
			f.is(f.s.UpdateRegistration(f.ctx, past.Registration, f.now), oidc.ErrNotFound)
		}},
		{"of a hundred at once no more are open than may be, and those with a token don't count", func(f *fixture) {
			t := f.initialToken(1)
			f.ok(f.s.CreateRegistrationToken(f.ctx, t))
			id, err := f.s.Register(f.ctx, f.registration(&t.Hash))
			f.ok(err)
			f.same(id, t.ID)
			errs := atOnce(100, func(int) error { _, err := f.s.Register(f.ctx, f.registration(nil)); return err })
			f.same(wonBut(f, errs, oidc.ErrLimit), 7)
			end, err := f.s.NextOpenEnd(f.ctx, f.now)
			f.ok(err)
			f.same(end, f.in(time.Hour))
			later := f.registration(nil)
			later.CreatedAt, later.ExpiresAt = f.in(time.Hour), f.in(2*time.Hour)
			_, err = f.s.Register(f.ctx, later)
			f.ok(err)
		}},
		{"of a hundred uses of a token at once exactly as many succeed as it has", func(f *fixture) {
			t := f.initialToken(3)
			f.ok(f.s.CreateRegistrationToken(f.ctx, t))
			usable := func(at time.Time) bool {
				may, err := f.s.RegistrationTokenUsable(f.ctx, t.Hash, at)
				f.ok(err)
				return may
			}
			f.same(usable(f.now), true)
			f.same(usable(t.ExpiresAt), false)
			errs := atOnce(100, func(int) error { _, err := f.s.Register(f.ctx, f.registration(&t.Hash)); return err })
			f.same(wonBut(f, errs, oidc.ErrNotFound), 3)
			f.same(usable(f.now), false)
			all, err := f.s.Registrations(f.ctx, f.now)
			f.ok(err)
			f.same(len(all), 3)
			tokens, err := f.s.RegistrationTokens(f.ctx, f.now)
			f.ok(err)
			t.UsesLeft = 0
			f.same(fmt.Sprintf("%+v", tokens), fmt.Sprintf("%+v", []oidc.RegistrationToken{t}))
		}},
		{"a token that is unknown, expired or revoked registers nobody", func(f *fixture) {
			unknown := oidc.HashOf("unknown")
			_, err := f.s.Register(f.ctx, f.registration(&unknown))
			f.is(err, oidc.ErrNotFound)
			t := f.initialToken(5)
			f.ok(f.s.CreateRegistrationToken(f.ctx, t))
			late := f.registration(&t.Hash)
			late.CreatedAt = t.ExpiresAt
			_, err = f.s.Register(f.ctx, late)
			f.is(err, oidc.ErrNotFound)
			ended, err := f.s.RevokeRegistrationToken(f.ctx, t.ID, false, f.now)
			f.ok(err)
			f.same(ended, 0)
			_, err = f.s.Register(f.ctx, f.registration(&t.Hash))
			f.is(err, oidc.ErrNotFound)
			_, err = f.s.RevokeRegistrationToken(f.ctx, t.ID, true, f.now)
			f.is(err, oidc.ErrNotFound)
		}},
		{"a token can be revoked with its clients, and with no others", func(f *fixture) {
			one, other := f.initialToken(2), f.initialToken(2)
			f.ok(errors.Join(f.s.CreateRegistrationToken(f.ctx, one), f.s.CreateRegistrationToken(f.ctx, other)))
			mine, theirs, open := f.registration(&one.Hash), f.registration(&other.Hash), f.registration(nil)
			for _, n := range []store.NewRegistration{mine, theirs, open} {
				_, err := f.s.Register(f.ctx, n)
				f.ok(err)
			}
			ended, err := f.s.RevokeRegistrationToken(f.ctx, one.ID, true, f.now)
			f.ok(err)
			f.same(ended, 1)
			_, err = f.s.Registration(f.ctx, mine.ClientID)
			f.is(err, oidc.ErrNotFound)
			for _, n := range []store.NewRegistration{theirs, open} {
				_, err := f.s.Registration(f.ctx, n.ClientID)
				f.ok(err)
			}
			_, err = f.s.RevokeRegistrationToken(f.ctx, "", true, f.now)
			f.is(err, oidc.ErrNotFound)
			_, err = f.s.Registration(f.ctx, open.ClientID)
			f.ok(err)
		}},
		{"of a hundred changes of one revision exactly one is kept", func(f *fixture) {
			n := f.registration(nil)
			_, err := f.s.Register(f.ctx, n)
			f.ok(err)
			r := n.Registration
			r.Revision = 1
			errs := atOnce(100, func(i int) error {
				mine := r
				mine.Metadata, mine.Origins = fmt.Appendf(nil, "{%d}", i), []string{"https://other.example.org"}
				return f.s.UpdateRegistration(f.ctx, mine, f.now)
			})
			f.same(won(f, errs), 1)
			got, err := f.s.Registration(f.ctx, n.ClientID)
			f.ok(err)
			f.same(int(got.Revision), 2)
			f.same(got.AccessHash, n.AccessHash)
			for origin, want := range map[string]bool{"https://app.example.org": false, "https://other.example.org": true} {
				may, err := f.s.OriginRegistered(f.ctx, origin)
				f.ok(err)
				f.same(may, want)
			}
		}},
		{"a client that has ended leaves nothing behind, in small batches, and another's stays", func(f *fixture) {
			n := f.registration(nil)
			_, err := f.s.Register(f.ctx, n)
			f.ok(err)
			var first store.Authorization
			for i := range 60 {
				a := f.authorization(n.ClientID, fmt.Sprintf("person-%d", i))
				a.Grant.ExpiresAt = f.in(1000 * time.Hour)
				a.Consent = &oidc.ConsentRecord{Subject: a.Grant.Subject, ClientID: n.ClientID, Scopes: a.Grant.Scopes, GrantedAt: f.now}
				f.ok(f.s.SaveAuthorization(f.ctx, a))
				if i == 0 {
					first = a
				}
			}
			others := f.saved()
			f.same(f.cleaned(f.in(30*time.Second), 10), 0)
			f.ok(f.s.EndRegistration(f.ctx, n.ClientID, f.now))
			_, err = f.s.Registration(f.ctx, n.ClientID)
			f.is(err, oidc.ErrNotFound)
			may, err := f.s.OriginRegistered(f.ctx, n.Origins[0])
			f.ok(err)
			f.same(may, false)
			// 60 grants are marked, 60 consents, an origin and the client go, then grants and codes.
			f.same(f.cleaned(f.in(30*time.Second), 7), 60+60+1+1+60+60)
			_, _, err = f.s.Code(f.ctx, first.Code.Hash)
			f.is(err, oidc.ErrNotFound)
			_, err = f.s.Consent(f.ctx, first.Grant.Subject, n.ClientID)
			f.is(err, oidc.ErrNotFound)
			_, _, err = f.s.Code(f.ctx, others.Code.Hash)
			f.ok(err)
		}},
		{"tokens go when their time is over", func(f *fixture) {
			t := f.initialToken(1)
			f.ok(f.s.CreateRegistrationToken(f.ctx, t))
			f.same(f.cleaned(t.ExpiresAt.Add(-time.Microsecond), 10), 0)
			f.same(f.cleaned(t.ExpiresAt, 10), 1)
		}},
	}
}

// registration returns a new client that registers itself for an hour.
func (f *fixture) registration(token *oidc.Hash) store.NewRegistration {
	return store.NewRegistration{Token: token, OpenLimit: 7, Registration: oidc.Registration{
		ClientID: "dyn_" + oidc.NewID(), Metadata: []byte(`{"client_name":"Ä"}`), Logo: "data:image/png;base64,AAAA", SecretHash: "sha256:1", SecretSealed: "sealed:2",
		AccessHash: oidc.HashOf(oidc.NewSecret("")), Origins: []string{"https://app.example.org"}, CreatedAt: f.now, ExpiresAt: f.in(time.Hour),
	}}
}

func (f *fixture) initialToken(uses int) oidc.RegistrationToken {
	return oidc.RegistrationToken{
		ID: oidc.NewID(), Hash: oidc.HashOf(oidc.NewSecret("")), Note: "for Änne", Uses: uses, UsesLeft: uses, CreatedAt: f.now, ExpiresAt: f.in(time.Hour),
	}
}

// wonBut counts who succeeded; all others must have been told why.
func wonBut(f *fixture, errs []error, why error) (n int) {
	f.Helper()
	for _, err := range errs {
		switch {
		case err == nil:
			n++
		case !errors.Is(err, why):
			f.Error(err)
		}
	}
	return n
}
