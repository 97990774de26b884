package storetest

import (
	"fmt"
	"time"

	"gatehouse/oidc"
)

func (f *fixture) session(subject string) oidc.SessionChange {
	return oidc.SessionChange{Hash: oidc.HashOf(oidc.NewSecret("")), Session: oidc.Session{
		ID: oidc.NewID(), Subject: subject, AuthTime: f.now, AMR: []string{"pwd"}, Remember: true,
		LastSeenAt: f.now, ExpiresAt: f.in(time.Hour),
	}}
}

func sessionCases() []testCase {
	return []testCase{
		{"a session comes back as it was saved", func(f *fixture) {
			for _, remember := range []bool{true, false} {
				c := f.session("person")
				c.Session.Remember = remember
				f.ok(f.s.SaveSession(f.ctx, c))
				got, err := f.s.Session(f.ctx, c.Hash)
				f.ok(err)
				f.same(got, c.Session)
			}
		}},
		{"an unknown session is not found", func(f *fixture) {
			_, err := f.s.Session(f.ctx, oidc.HashOf("unknown"))
			f.is(err, oidc.ErrNotFound)
			f.is(f.s.TouchSession(f.ctx, oidc.HashOf("unknown"), f.now), oidc.ErrNotFound)
			f.ok(f.s.EndSession(f.ctx, oidc.HashOf("unknown")))
		}},
		{"a session past its time is not found", func(f *fixture) {
			c := f.session("person")
			c.Session.ExpiresAt = f.in(-time.Microsecond)
			f.ok(f.s.SaveSession(f.ctx, c))
			_, err := f.s.Session(f.ctx, c.Hash)
			f.is(err, oidc.ErrNotFound)
		}},
		{"a known session is updated", func(f *fixture) {
			c := f.session("person")
			f.ok(f.s.SaveSession(f.ctx, c))
			c.Session.AMR, c.Session.AuthTime, c.Session.Subject = []string{"pwd", "otp"}, f.in(time.Minute), "another"
			f.ok(f.s.SaveSession(f.ctx, c))
			got, err := f.s.Session(f.ctx, c.Hash)
			f.ok(err)
			f.same(got, c.Session)
		}},
		{"a replaced session is gone", func(f *fixture) {
			old, next := f.session("person"), f.session("person")
			f.ok(f.s.SaveSession(f.ctx, old))
			next.Replaces = &old.Hash
			f.ok(f.s.SaveSession(f.ctx, next))
			_, err := f.s.Session(f.ctx, old.Hash)
			f.is(err, oidc.ErrNotFound)
			_, err = f.s.Session(f.ctx, next.Hash)
			f.ok(err)
			next = f.session("person") // whose predecessor is gone already
			next.Replaces = &old.Hash
			f.ok(f.s.SaveSession(f.ctx, next))
		}},
		{"a touched session was seen then, and never before", func(f *fixture) {
			c := f.session("person")
			f.ok(f.s.SaveSession(f.ctx, c))
			f.ok(f.s.TouchSession(f.ctx, c.Hash, f.in(time.Minute)))
			f.ok(f.s.TouchSession(f.ctx, c.Hash, f.in(time.Second)))
			got, err := f.s.Session(f.ctx, c.Hash)
			f.ok(err)
			c.Session.LastSeenAt = f.in(time.Minute)
			f.same(got, c.Session)
		}},
		{"an ended session is gone and a touch does not bring it back", func(f *fixture) {
			c, other := f.session("person"), f.session("person")
			f.ok(f.s.SaveSession(f.ctx, c))
			f.ok(f.s.SaveSession(f.ctx, other))
			f.ok(f.s.EndSession(f.ctx, c.Hash))
			f.is(f.s.TouchSession(f.ctx, c.Hash, f.now), oidc.ErrNotFound)
			_, err := f.s.Session(f.ctx, c.Hash)
			f.is(err, oidc.ErrNotFound)
			_, err = f.s.Session(f.ctx, other.Hash)
			f.ok(err)
		}},
		{"all sessions of a person end and no others", func(f *fixture) {
			hashes := map[string][]oidc.Hash{}
			for i := range 300 {
				c := f.session(fmt.Sprint("person", i%3))
				f.ok(f.s.SaveSession(f.ctx, c))
				hashes[c.Session.Subject] = append(hashes[c.Session.Subject], c.Hash)
			}
			n, err := f.s.EndSessions(f.ctx, "person1")
			f.ok(err)
			f.same(n, 100)
			for subject, hs := range hashes {
				for _, h := range hs {
					_, err := f.s.Session(f.ctx, h)
					if subject == "person1" {
						f.is(err, oidc.ErrNotFound)
					} else {
						f.ok(err)
					}
				}
			}
			n, err = f.s.EndSessions(f.ctx, "person1")
			f.ok(err)
			f.same(n, 0)
		}},
	}
}

func consentCases() []testCase {
	return []testCase{
		{"no consent is not found", func(f *fixture) {
			_, err := f.s.Consent(f.ctx, "person", "app")
			f.is(err, oidc.ErrNotFound)
			f.ok(f.s.RevokeConsent(f.ctx, "person", "app"))
		}},
		{"a consent is kept by person and client, the last one counts", func(f *fixture) {
			save := func(subject, clientID string, scopes ...string) oidc.ConsentRecord {
				a := f.authorization(clientID, subject)
				a.Consent = &oidc.ConsentRecord{Subject: subject, ClientID: clientID, Scopes: scopes, GrantedAt: f.now}
				f.ok(f.s.SaveAuthorization(f.ctx, a))
				return *a.Consent
			}
			save("ann", "app", "openid")
			last := save("ann", "app", "openid", "email")
			other := save("bob", "app", "profile")
			got, err := f.s.Consent(f.ctx, "ann", "app")
			f.ok(err)
			f.same(got, last)
			_, err = f.s.Consent(f.ctx, "ann", "wiki")
			f.is(err, oidc.ErrNotFound)
			f.ok(f.s.RevokeConsent(f.ctx, "ann", "app"))
			_, err = f.s.Consent(f.ctx, "ann", "app")
			f.is(err, oidc.ErrNotFound)
			got, err = f.s.Consent(f.ctx, "bob", "app")
			f.ok(err)
			f.same(got, other)
		}},
	}
}
