package storetest

import (
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/store"
)

func codeCases() []testCase {
	return []testCase{
		{"a code comes back with its grant as it was saved", func(f *fixture) {
			a := f.saved()
			code, grant, err := f.s.Code(f.ctx, a.Code.Hash)
			f.ok(err)
			f.same(code, a.Code)
			f.same(grant, a.Grant)
		}},
		{"empty fields come back empty", func(f *fixture) {
			a := store.Authorization{
				Grant: oidc.Grant{ID: oidc.NewID(), ClientID: "app", CreatedAt: f.now, ExpiresAt: f.in(time.Hour)},
				Code:  oidc.Code{Hash: oidc.HashOf("x"), RedirectURI: "https://app.example.org/", ExpiresAt: f.in(time.Minute)},
			}
			a.Code.GrantID = a.Grant.ID
			f.ok(f.s.SaveAuthorization(f.ctx, a))
			code, grant, err := f.s.Code(f.ctx, a.Code.Hash)
			f.ok(err)
			f.same(code, a.Code)
			f.same(grant, a.Grant)
		}},
		{"an unknown code is not found", func(f *fixture) {
			_, _, err := f.s.Code(f.ctx, oidc.HashOf("unknown"))
			f.is(err, oidc.ErrNotFound)
			f.is(f.s.ExchangeCode(f.ctx, oidc.HashOf("unknown"), f.issue("")), oidc.ErrNotFound)
		}},
		{"session and consent are saved with the code", func(f *fixture) {
			old := f.session("person")
			f.ok(f.s.SaveSession(f.ctx, old))
			a := f.authorization("app", "person")
			next := f.session("person")
			next.Replaces = &old.Hash
			a.Session = &next
			a.Consent = &oidc.ConsentRecord{Subject: "person", ClientID: "app", Scopes: []string{"openid"}, Withheld: []string{"picture"}, GrantedAt: f.now}
			f.ok(f.s.SaveAuthorization(f.ctx, a))
			_, err := f.s.Session(f.ctx, old.Hash)
			f.is(err, oidc.ErrNotFound)
			got, err := f.s.Session(f.ctx, next.Hash)
			f.ok(err)
			f.same(got, next.Session)
			consent, err := f.s.Consent(f.ctx, "person", "app")
			f.ok(err)
			f.same(consent, *a.Consent)
		}},
		{"an authorization that can't be saved leaves nothing behind", func(f *fixture) {
			taken := f.saved()
			a := f.authorization("app", "person")
			a.Code.Hash = taken.Code.Hash
			session := f.session("person")
			a.Session = &session
			a.Consent = &oidc.ConsentRecord{Subject: "person", ClientID: "app", GrantedAt: f.now}
			if err := f.s.SaveAuthorization(f.ctx, a); err == nil {
				f.Fatal("a second code with the same hash was saved")
			}
			_, err := f.s.Session(f.ctx, session.Hash)
			f.is(err, oidc.ErrNotFound)
			_, err = f.s.Consent(f.ctx, "person", "app")
			f.is(err, oidc.ErrNotFound)
			grants, err := f.s.Grants(f.ctx, store.GrantFilter{}, f.now)
			f.ok(err)
			f.same(grants, []oidc.Grant{taken.Grant})
		}},
		{"an access token may come with the code, or alone", func(f *fixture) {
			a := f.authorization("app", "person")
			access := oidc.Token{Hash: oidc.HashOf("front " + a.Grant.ID), GrantID: a.Grant.ID, Scopes: []string{"openid"}, IssuedAt: f.now, ExpiresAt: f.in(2 * time.Hour)}
			a.Access = &access
			f.ok(f.s.SaveAuthorization(f.ctx, a))
			got, grant, err := f.s.AccessToken(f.ctx, access.Hash)
			f.ok(err)
			f.same(got, access)
			if grant.ExpiresAt.Before(access.ExpiresAt) {
				f.Fatal("the grant ends before its token")
			}
			alone := f.authorization("app", "person")
			alone.Code = oidc.Code{}
			access.Hash, access.GrantID = oidc.HashOf("alone"), alone.Grant.ID
			alone.Access = &access
			f.ok(f.s.SaveAuthorization(f.ctx, alone))
			got, _, err = f.s.AccessToken(f.ctx, access.Hash)
			f.ok(err)
			f.same(got, access)
		}},
		{"a code of another grant is refused", func(f *fixture) {
			a := f.authorization("app", "person")
			a.Code.GrantID = oidc.NewID()
			if err := f.s.SaveAuthorization(f.ctx, a); err == nil {
				f.Fatal("saved")
			}
		}},
		{"an exchange uses the code and gives the tokens", func(f *fixture) {
			a, i := f.exchanged()
			code, grant, err := f.s.Code(f.ctx, a.Code.Hash)
			f.ok(err)
			f.same(code.UsedAt, i.Now)
			f.same(grant.ExpiresAt, i.GrantExpiresAt)
			access, g, err := f.s.AccessToken(f.ctx, i.Access.Hash)
			f.ok(err)
			f.same(access, *i.Access)
			f.same(g, grant)
			refresh, g, err := f.s.RefreshToken(f.ctx, i.Refresh.Hash)
			f.ok(err)
			f.same(refresh, *i.Refresh)
			f.same(g, grant)
		}},
		{"an exchange may give an access token only", func(f *fixture) {
			a := f.saved()
			i := f.issue(a.Grant.ID)
			i.Refresh, i.GrantExpiresAt = nil, time.Time{}
			f.ok(f.s.ExchangeCode(f.ctx, a.Code.Hash, i))
			_, g, err := f.s.AccessToken(f.ctx, i.Access.Hash)
			f.ok(err)
			f.same(g.ExpiresAt, i.Access.ExpiresAt) // the grant outlives its tokens
		}},
		{"a used code is refused and its second tokens are not kept", func(f *fixture) {
			a, first := f.exchanged()
			second := f.issue(a.Grant.ID)
			f.is(f.s.ExchangeCode(f.ctx, a.Code.Hash, second), oidc.ErrUsed)
			f.hasNoAccess(second.Access)
			f.hasNoRefresh(second.Refresh)
			f.hasAccess(first.Access)
		}},
		{"a used code is told as used when it has expired or its grant has ended", func(f *fixture) {
			a, _ := f.exchanged()
			late := f.issue(a.Grant.ID)
			late.Now = f.in(time.Hour)
			f.is(f.s.ExchangeCode(f.ctx, a.Code.Hash, late), oidc.ErrUsed)
			f.ok(f.s.RevokeGrant(f.ctx, a.Grant.ID, f.now))
			f.is(f.s.ExchangeCode(f.ctx, a.Code.Hash, late), oidc.ErrUsed)
		}},
		{"an expired code is not found", func(f *fixture) {
			a := f.saved()
			late := f.issue(a.Grant.ID)
			late.Now = a.Code.ExpiresAt
			f.is(f.s.ExchangeCode(f.ctx, a.Code.Hash, late), oidc.ErrNotFound)
			f.hasNoAccess(late.Access)
			late.Now = a.Code.ExpiresAt.Add(-time.Microsecond)
			f.ok(f.s.ExchangeCode(f.ctx, a.Code.Hash, late))
		}},
		{"a code of a revoked grant is refused", func(f *fixture) {
			a := f.saved()
			f.ok(f.s.RevokeGrant(f.ctx, a.Grant.ID, f.now))
			i := f.issue(a.Grant.ID)
			f.is(f.s.ExchangeCode(f.ctx, a.Code.Hash, i), oidc.ErrRevoked)
			f.hasNoAccess(i.Access)
		}},
		{"an exchange that fails leaves the code unused", func(f *fixture) {
			_, taken := f.exchanged()
			a := f.saved()
			i := f.issue(a.Grant.ID)
			i.Refresh.Hash = taken.Refresh.Hash // can't be inserted
			if err := f.s.ExchangeCode(f.ctx, a.Code.Hash, i); err == nil {
				f.Fatal("two refresh tokens with one hash were saved")
			}
			f.hasNoAccess(i.Access)
			f.ok(f.s.ExchangeCode(f.ctx, a.Code.Hash, f.issue(a.Grant.ID)))
		}},
		{"an exchange without a time is refused", func(f *fixture) {
			a := f.saved()
			for _, now := range []time.Time{{}, time.Unix(0, 0)} {
				i := f.issue(a.Grant.ID)
				i.Now = now
				if err := f.s.ExchangeCode(f.ctx, a.Code.Hash, i); err == nil {
					f.Fatalf("at %v a code was exchanged that would be unused still", now)
				}
			}
		}},
		{"of a hundred exchanges of one code exactly one succeeds", func(f *fixture) {
			a := f.saved()
			issues := make([]store.Issue, 100)
			for i := range issues {
				issues[i] = f.issue(a.Grant.ID)
			}
			winner := f.oneWins(atOnce(len(issues), func(i int) error {
				return f.s.ExchangeCode(f.ctx, a.Code.Hash, issues[i])
			}), oidc.ErrUsed)
			for i, issue := range issues {
				if i == winner {
					f.hasAccess(issue.Access)
					f.hasRefresh(issue.Refresh)
				} else {
					f.hasNoAccess(issue.Access)
					f.hasNoRefresh(issue.Refresh)
				}
			}
		}},
		{"a hundred codes are exchanged at once, each for its own tokens", func(f *fixture) {
			as, issues := make([]store.Authorization, 100), make([]store.Issue, 100)
			for i := range as {
				as[i] = f.authorization("app", "person")
				issues[i] = f.issue(as[i].Grant.ID)
			}
			for _, err := range atOnce(len(as), func(i int) error {
				if err := f.s.SaveAuthorization(f.ctx, as[i]); err != nil {
					return err
				}
				return f.s.ExchangeCode(f.ctx, as[i].Code.Hash, issues[i])
			}) {
				f.ok(err)
			}
			for i := range as {
				got, grant, err := f.s.AccessToken(f.ctx, issues[i].Access.Hash)
				f.ok(err)
				f.same(got, *issues[i].Access)
				f.same(grant.ID, as[i].Grant.ID)
			}
		}},
	}
}
