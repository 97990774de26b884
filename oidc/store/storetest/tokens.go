package storetest

import (
	"time"

	"gatehouse/oidc"
)

func tokenCases() []testCase {
	return []testCase{
		{"an issued token comes back with its grant", func(f *fixture) {
			g := f.grant("machine", "")
			g.Claims, g.AMR, g.SessionID = oidc.RequestedClaims{}, nil, ""
			access := f.token(g.ID, time.Minute)
			f.ok(f.s.IssueToken(f.ctx, g, *access))
			got, grant, err := f.s.AccessToken(f.ctx, access.Hash)
			f.ok(err)
			f.same(got, *access)
			f.same(grant, g)
		}},
		{"a grant outlives its token", func(f *fixture) {
			g := f.grant("machine", "")
			access := f.token(g.ID, time.Hour)
			f.ok(f.s.IssueToken(f.ctx, g, *access))
			_, grant, err := f.s.AccessToken(f.ctx, access.Hash)
			f.ok(err)
			f.same(grant.ExpiresAt, access.ExpiresAt)
		}},
		{"a token that can't be issued leaves no grant", func(f *fixture) {
			_, i := f.exchanged()
			g := f.grant("machine", "")
			if err := f.s.IssueToken(f.ctx, g, *i.Access); err == nil {
				f.Fatal("two tokens with one hash were saved")
			}
			f.is(f.s.RevokeGrant(f.ctx, g.ID, f.now), oidc.ErrNotFound)
		}},
		{"unknown tokens are not found", func(f *fixture) {
			f.hasNoAccess(f.token("", 0))
			f.hasNoRefresh(f.token("", 0))
		}},
		{"an access token is no refresh token, nor the other way round", func(f *fixture) {
			_, i := f.exchanged()
			f.hasNoAccess(i.Refresh)
			f.hasNoRefresh(i.Access)
			f.is(f.s.RotateRefresh(f.ctx, i.Access.Hash, 0, f.issue("")), oidc.ErrNotFound)
			f.is(f.s.ExchangeCode(f.ctx, i.Refresh.Hash, f.issue("")), oidc.ErrNotFound)
		}},
		{"a revoked access token is gone and its refresh token stays", func(f *fixture) {
			_, i := f.exchanged()
			f.ok(f.s.RevokeAccessToken(f.ctx, i.Access.Hash))
			f.hasNoAccess(i.Access)
			f.hasRefresh(i.Refresh)
			f.ok(f.s.RevokeAccessToken(f.ctx, i.Access.Hash))
		}},
		{"an expired token is returned with its time", func(f *fixture) {
			g := f.grant("machine", "")
			access := f.token(g.ID, -time.Minute)
			f.ok(f.s.IssueToken(f.ctx, g, *access))
			got, _, err := f.s.AccessToken(f.ctx, access.Hash)
			f.ok(err)
			f.same(got.ExpiresAt, access.ExpiresAt)
		}},
		{"the store answers a ping", func(f *fixture) {
			f.ok(f.s.Ping(f.ctx))
		}},
	}
}
