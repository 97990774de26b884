package storetest

import (
	"slices"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/store"
)

func grantCases() []testCase {
	return append(listCases(), []testCase{
		{"a revoked grant shows on its code and tokens", func(f *fixture) {
			a, i := f.exchanged()
			f.ok(f.s.RevokeGrant(f.ctx, a.Grant.ID, f.in(time.Second)))
			_, viaCode, err := f.s.Code(f.ctx, a.Code.Hash)
			f.ok(err)
			_, viaAccess, err := f.s.AccessToken(f.ctx, i.Access.Hash)
			f.ok(err)
			_, viaRefresh, err := f.s.RefreshToken(f.ctx, i.Refresh.Hash)
			f.ok(err)
			for _, g := range []oidc.Grant{viaCode, viaAccess, viaRefresh} {
				f.same(g.RevokedAt, f.in(time.Second))
			}
		}},
		{"a grant revoked twice keeps its first time", func(f *fixture) {
			a := f.saved()
			f.ok(f.s.RevokeGrant(f.ctx, a.Grant.ID, f.now))
			f.ok(f.s.RevokeGrant(f.ctx, a.Grant.ID, f.in(time.Hour)))
			_, g, err := f.s.Code(f.ctx, a.Code.Hash)
			f.ok(err)
			f.same(g.RevokedAt, f.now)
		}},
		{"an unknown grant is not found", func(f *fixture) {
			f.is(f.s.RevokeGrant(f.ctx, oidc.NewID(), f.now), oidc.ErrNotFound)
		}},
		{"a revocation ends its own grant only", func(f *fixture) {
			a, _ := f.exchanged()
			b, i := f.exchanged()
			f.ok(f.s.RevokeGrant(f.ctx, a.Grant.ID, f.now))
			f.ok(f.s.RotateRefresh(f.ctx, i.Refresh.Hash, 0, f.issue(b.Grant.ID)))
		}},
		{"the end of a client ends all its grants and no others", func(f *fixture) {
			var mine []store.Authorization
			for range 5 {
				mine = append(mine, f.saved())
			}
			other := f.authorization("other", "person")
			f.ok(f.s.SaveAuthorization(f.ctx, other))
			f.ok(f.s.RevokeGrant(f.ctx, mine[0].Grant.ID, f.now))
			n, err := f.s.RevokeClient(f.ctx, "app", f.in(time.Second))
			f.ok(err)
			f.same(n, 4)
			for _, a := range mine {
				f.is(f.s.ExchangeCode(f.ctx, a.Code.Hash, f.issue("")), oidc.ErrRevoked)
			}
			f.ok(f.s.ExchangeCode(f.ctx, other.Code.Hash, f.issue("")))
			n, err = f.s.RevokeClient(f.ctx, "app", f.now)
			f.ok(err)
			f.same(n, 0)
		}},
		{"the end of a client with thousands of grants ends them all", func(f *fixture) {
			for _, err := range atOnce(50, func(int) error {
				for range 50 {
					g := f.grant("machine", "")
					if err := f.s.IssueToken(f.ctx, g, *f.token(g.ID, time.Hour)); err != nil {
						return err
					}
				}
				return nil
			}) {
				f.ok(err)
			}
			n, err := f.s.RevokeClient(f.ctx, "machine", f.now)
			f.ok(err)
			f.same(n, 2500)
			left, err := f.s.Grants(f.ctx, store.GrantFilter{ClientID: "machine", Active: true}, f.now)
			f.ok(err)
			f.same(len(left), 0)
		}},
		{"no rotation outlives a revocation that was answered", func(f *fixture) {
			a, first := f.exchanged()
			issues := make([]store.Issue, 100)
			for i := range issues {
				issues[i] = f.issue(a.Grant.ID)
			}
			errs := atOnce(len(issues)+1, func(i int) error {
				if i == len(issues) {
					return f.s.RevokeGrant(f.ctx, a.Grant.ID, f.now)
				}
				return f.s.RotateRefresh(f.ctx, first.Refresh.Hash, time.Hour, issues[i])
			})
			f.ok(errs[len(issues)])
			for i, err := range errs[:len(issues)] {
				if err != nil {
					f.is(err, oidc.ErrRevoked)
					continue
				}
				_, g, err := f.s.AccessToken(f.ctx, issues[i].Access.Hash)
				f.ok(err)
				f.same(g.RevokedAt, f.now)
				f.is(f.s.RotateRefresh(f.ctx, issues[i].Refresh.Hash, time.Hour, f.issue(a.Grant.ID)), oidc.ErrRevoked)
			}
		}},
	}...)
}

func listCases() []testCase {
	return []testCase{
		{"grants are listed by client, person and state, the newest first", func(f *fixture) {
			var ids []string
			save := func(clientID, subject string) {
				a := f.authorization(clientID, subject)
				f.ok(f.s.SaveAuthorization(f.ctx, a))
				ids = append(ids, a.Grant.ID)
			}
			save("app", "ann")
			save("app", "bob")
			save("wiki", "ann")
			save("app", "ann")
			machine := f.grant("app", "")
			f.ok(f.s.IssueToken(f.ctx, machine, *f.token(machine.ID, time.Hour)))
			ids = append(ids, machine.ID)
			f.ok(f.s.RevokeGrant(f.ctx, ids[0], f.now))

			for _, c := range []struct {
				name   string
				filter store.GrantFilter
				at     time.Time
				want   []int
			}{
				{"all", store.GrantFilter{}, f.now, []int{4, 3, 2, 1, 0}},
				{"active", store.GrantFilter{Active: true}, f.now, []int{4, 3, 2, 1}},
				{"of a client", store.GrantFilter{ClientID: "app"}, f.now, []int{4, 3, 1, 0}},
				{"of a client, active", store.GrantFilter{ClientID: "app", Active: true}, f.now, []int{4, 3, 1}},
				{"of a person", store.GrantFilter{Subject: "ann"}, f.now, []int{3, 2, 0}},
				{"of a person, active", store.GrantFilter{Subject: "ann", Active: true}, f.now, []int{3, 2}},
				{"of both", store.GrantFilter{ClientID: "app", Subject: "ann"}, f.now, []int{3, 0}},
				{"of both, active", store.GrantFilter{ClientID: "app", Subject: "ann", Active: true}, f.now, []int{3}},
				{"the newest two", store.GrantFilter{Limit: 2}, f.now, []int{4, 3}},
				{"active after an hour", store.GrantFilter{Active: true}, f.in(time.Hour - 1), []int{4}},
				{"of nobody known", store.GrantFilter{Subject: "carl"}, f.now, nil},
			} {
				grants, err := f.s.Grants(f.ctx, c.filter, c.at)
				f.ok(err)
				var got []int
				for _, g := range grants {
					got = append(got, slices.Index(ids, g.ID))
				}
				if !slices.Equal(got, c.want) {
					f.Errorf("%s: got %v, want %v", c.name, got, c.want)
				}
			}
		}},
		{"a listed grant is whole", func(f *fixture) {
			a := f.saved()
			grants, err := f.s.Grants(f.ctx, store.GrantFilter{Subject: "person"}, f.now)
			f.ok(err)
			f.same(grants, []oidc.Grant{a.Grant})
		}},
	}
}
