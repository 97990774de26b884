package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"gatehouse/oidc"
)

func subjectCases() []testCase {
	return []testCase{
		{"who has something is listed once", func(f *fixture) {
			var want []string
			for i := range 600 { // more than one page
				subject := fmt.Sprintf("person %03d", i)
				want = append(want, subject)
				switch i % 3 {
				case 0:
					f.ok(f.s.SaveAuthorization(f.ctx, f.authorization("app", subject)))
					f.ok(f.s.SaveAuthorization(f.ctx, f.authorization("other", subject)))
				case 1:
					f.ok(f.s.SaveSession(f.ctx, f.session(subject)))
					f.ok(f.s.SaveSession(f.ctx, f.session(subject)))
				default:
					f.ok(f.s.SaveAuthorization(f.ctx, f.authorization("app", subject)))
					f.ok(f.s.SaveSession(f.ctx, f.session(subject)))
				}
			}
			f.ok(f.s.IssueToken(f.ctx, f.grant("app", ""), *f.token("", time.Hour))) // nobody's
			var got []string
			f.ok(f.s.EachSubject(f.ctx, f.now, func(subject string) error {
				got = append(got, subject)
				holds, err := f.s.Holds(f.ctx, subject, f.now)
				f.same(holds, true)
				return err
			}))
			slices.Sort(got)
			f.same(got, want)
		}},
		{"who has nothing any more is not listed", func(f *fixture) {
			revoked, expired, ended := f.authorization("app", "revoked"), f.authorization("app", "expired"), f.session("ended")
			f.ok(f.s.SaveAuthorization(f.ctx, revoked))
			f.ok(f.s.RevokeGrant(f.ctx, revoked.Grant.ID, f.now))
			expired.Grant.ExpiresAt, expired.Code.ExpiresAt = f.in(time.Second), f.in(time.Second)
			f.ok(f.s.SaveAuthorization(f.ctx, expired))
			f.ok(f.s.SaveSession(f.ctx, ended))
			later := f.in(3 * time.Hour)
			f.ok(f.s.EachSubject(f.ctx, later, func(subject string) error { return errors.New(subject + " is listed") }))
			for _, subject := range []string{"revoked", "expired", "ended", "unknown", ""} {
				holds, err := f.s.Holds(f.ctx, subject, later)
				f.ok(err)
				f.same(holds, false)
			}
		}},
		{"an error ends the list", func(f *fixture) {
			f.ok(f.s.SaveAuthorization(f.ctx, f.authorization("app", "a")))
			f.ok(f.s.SaveAuthorization(f.ctx, f.authorization("app", "b")))
			n := 0
			f.wraps(f.s.EachSubject(f.ctx, f.now, func(string) error { n++; return oidc.ErrUsed }), oidc.ErrUsed)
			f.same(n, 1)
		}},
	}
}
