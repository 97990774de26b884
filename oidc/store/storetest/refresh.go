package storetest

import (
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/store"
)

func refreshCases() []testCase {
	return append(graceCases(), []testCase{
		{"a rotation uses the old token and gives new ones", func(f *fixture) {
			a, first := f.exchanged()
			second := f.issue(a.Grant.ID)
			second.Now = f.in(time.Minute)
			second.GrantExpiresAt = f.in(72 * time.Hour)
			f.ok(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 0, second))
			old, grant, err := f.s.RefreshToken(f.ctx, first.Refresh.Hash)
			f.ok(err)
			f.same(old.UsedAt, second.Now)
			f.same(grant.ExpiresAt, second.GrantExpiresAt)
			f.hasAccess(first.Access) // still good for the rest of its life
			f.hasAccess(second.Access)
			got, _, err := f.s.RefreshToken(f.ctx, second.Refresh.Hash)
			f.ok(err)
			f.same(got, *second.Refresh)
		}},
		{"a rotation never shortens the grant", func(f *fixture) {
			a, first := f.exchanged()
			second := f.issue(a.Grant.ID)
			second.GrantExpiresAt = f.in(time.Hour)
			f.ok(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 0, second))
			_, grant, err := f.s.RefreshToken(f.ctx, second.Refresh.Hash)
			f.ok(err)
			f.same(grant.ExpiresAt, first.GrantExpiresAt)
		}},
		{"a rotation takes expired access tokens of its grant away, and no others", func(f *fixture) {
			_, other := f.exchanged()
			a, first := f.exchanged()
			second := f.issue(a.Grant.ID)
			second.Now = first.Access.ExpiresAt
			second.Access.ExpiresAt = second.Now.Add(time.Minute)
			f.ok(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 0, second))
			f.hasNoAccess(first.Access)
			f.hasAccess(second.Access)
			f.hasAccess(other.Access)
		}},
		{"a used token is refused, also long after", func(f *fixture) {
			a, first := f.exchanged()
			second := f.issue(a.Grant.ID)
			f.ok(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 0, second))
			third := f.issue(a.Grant.ID)
			f.is(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 0, third), oidc.ErrUsed)
			third.Now = first.Refresh.ExpiresAt.Add(time.Hour)
			f.is(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 0, third), oidc.ErrUsed)
			f.hasNoAccess(third.Access)
			f.hasNoRefresh(third.Refresh)
			f.hasRefresh(second.Refresh)
		}},
		{"the use that comes second is refused even with an earlier time", func(f *fixture) {
			a, first := f.exchanged()
			f.ok(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 0, f.issue(a.Grant.ID)))
			early := f.issue(a.Grant.ID)
			early.Now = f.in(-time.Second)
			f.is(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 0, early), oidc.ErrUsed)
		}},
		{"an expired token is not found", func(f *fixture) {
			a, first := f.exchanged()
			late := f.issue(a.Grant.ID)
			late.Now = first.Refresh.ExpiresAt
			f.is(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 0, late), oidc.ErrNotFound)
			f.hasNoAccess(late.Access)
		}},
		{"an unknown token is not found", func(f *fixture) {
			f.is(f.s.RotateRefresh(f.ctx, oidc.HashOf("unknown"), time.Minute, f.issue("")), oidc.ErrNotFound)
		}},
		{"a token of a revoked grant is refused", func(f *fixture) {
			a, first := f.exchanged()
			f.ok(f.s.RevokeGrant(f.ctx, a.Grant.ID, f.now))
			i := f.issue(a.Grant.ID)
			f.is(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, time.Minute, i), oidc.ErrRevoked)
			f.hasNoAccess(i.Access)
		}},
		{"a rotation that fails leaves the token unused", func(f *fixture) {
			_, other := f.exchanged()
			a, first := f.exchanged()
			i := f.issue(a.Grant.ID)
			i.Access.Hash = other.Access.Hash // can't be inserted
			if err := f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 0, i); err == nil {
				f.Fatal("two access tokens with one hash were saved")
			}
			f.hasNoRefresh(i.Refresh)
			f.ok(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 0, f.issue(a.Grant.ID)))
		}},
		{"of a hundred rotations of one token exactly one succeeds", func(f *fixture) {
			a, first := f.exchanged()
			issues := make([]store.Issue, 100)
			for i := range issues {
				issues[i] = f.issue(a.Grant.ID)
				issues[i].Now = f.in(-time.Duration(i) * time.Millisecond)
			}
			winner := f.oneWins(atOnce(len(issues), func(i int) error {
				return f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 0, issues[i])
			}), oidc.ErrUsed)
			for i, issue := range issues {
				if i != winner {
					f.hasNoAccess(issue.Access)
					f.hasNoRefresh(issue.Refresh)
				}
			}
			f.hasRefresh(issues[winner].Refresh)
		}},
	}...)
}

func graceCases() []testCase {
	return []testCase{
		{"within its grace a used token works again", func(f *fixture) {
			a, first := f.exchanged()
			second, third := f.issue(a.Grant.ID), f.issue(a.Grant.ID)
			f.ok(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 10*time.Second, second))
			third.Now = f.in(9 * time.Second)
			f.ok(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 10*time.Second, third))
			f.hasRefresh(second.Refresh)
			f.hasRefresh(third.Refresh)
		}},
		{"the grace counts from the first use", func(f *fixture) {
			a, first := f.exchanged()
			for _, d := range []time.Duration{0, 6 * time.Second, 9 * time.Second} {
				i := f.issue(a.Grant.ID)
				i.Now = f.in(d)
				f.ok(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 10*time.Second, i))
			}
			i := f.issue(a.Grant.ID)
			i.Now = f.in(10 * time.Second)
			f.is(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 10*time.Second, i), oidc.ErrUsed)
			f.hasNoRefresh(i.Refresh)
		}},
		{"the grace ends when what the token was exchanged for is used", func(f *fixture) {
			a, first := f.exchanged()
			second, third, fourth, fifth := f.issue(a.Grant.ID), f.issue(a.Grant.ID), f.issue(a.Grant.ID), f.issue(a.Grant.ID)
			f.ok(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 10*time.Second, second))
			third.Now = f.in(time.Second) // the answer with the second is lost
			third.Refresh.IssuedAt = third.Now
			f.ok(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 10*time.Second, third))
			fourth.Now = f.in(2 * time.Second)
			f.ok(f.s.RotateRefresh(f.ctx, third.Refresh.Hash, 10*time.Second, fourth))
			fifth.Now = f.in(3 * time.Second)
			f.is(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 10*time.Second, fifth), oidc.ErrUsed)
			f.hasNoRefresh(fifth.Refresh)
			f.hasRefresh(fourth.Refresh)
		}},
		{"the grace ends with the grant", func(f *fixture) {
			a, first := f.exchanged()
			f.ok(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 10*time.Second, f.issue(a.Grant.ID)))
			f.ok(f.s.RevokeGrant(f.ctx, a.Grant.ID, f.now))
			f.is(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 10*time.Second, f.issue(a.Grant.ID)), oidc.ErrRevoked)
		}},
		{"the grace ends with the token", func(f *fixture) {
			a, first := f.exchanged()
			i := f.issue(a.Grant.ID)
			i.Now = first.Refresh.ExpiresAt.Add(-time.Second)
			f.ok(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 10*time.Second, i))
			i = f.issue(a.Grant.ID)
			i.Now = first.Refresh.ExpiresAt
			f.is(f.s.RotateRefresh(f.ctx, first.Refresh.Hash, 10*time.Second, i), oidc.ErrNotFound)
		}},
	}
}
