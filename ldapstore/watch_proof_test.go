package ldapstore_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/ldapstore"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

// rounds changes people in all the ways that end what they may do, and takes it
// back. After each change it calls after with a function that reports whether an
// answer has the change.
func rounds(t *testing.T, s *ldaptest.Server, d *ldapstore.Directory, n int, before func(id string), after func(what string, seen func() bool)) {
	t.Helper()
	const uid = "alice"
	away := "ou=services," + s.BaseDN
	group := ldaptest.GroupDN("cn=staff")
	home := s.PersonDN(uid)
	rdn, _, _ := strings.Cut(home, ",")
	id := mustUser(t, d, uid).ID
	user := func(good func(*oidc.User, error) bool) func() bool {
		return func() bool { return good(d.User(t.Context(), id)) }
	}
	member := func(want bool) func() bool {
		return user(func(u *oidc.User, err error) bool {
			return err == nil && slices.Contains(groupNames(u), "staff") == want
		})
	}
	state := func(want oidc.AccountState) func() bool {
		return user(func(u *oidc.User, err error) bool { return err == nil && u.State == want })
	}
	gone := user(func(_ *oidc.User, err error) bool { return errors.Is(err, oidc.ErrNotFound) })
	there := user(func(_ *oidc.User, err error) bool { return err == nil })
	steps := []struct {
		what   string
		change func()
		seen   func() bool
	}{
		{"removed from a group", func() { s.RemoveMember(group, home) }, member(false)},
		{"added to a group", func() { s.AddMember(group, home) }, member(true)},
		{"disabled", func() { s.Disable(uid) }, state(oidc.StateDisabled)},
		{"enabled", func() { s.Enable(uid) }, state(oidc.StateActive)},
		{"moved out of the base", func() { s.Move(home, away) }, gone},
		{"moved back", func() { s.Move(rdn+","+away, "ou=people,"+s.BaseDN) }, there},
		{"removed from a group above", func() { s.RemoveMember(ldaptest.GroupDN("cn=engineering"), ldaptest.GroupDN("cn=developers")) }, user(func(u *oidc.User, err error) bool {
			return err == nil && !slices.Contains(groupNames(u), "company")
		})},
		{"added to a group above", func() { s.AddMember(ldaptest.GroupDN("cn=engineering"), ldaptest.GroupDN("cn=developers")) }, user(func(u *oidc.User, err error) bool {
			return err == nil && slices.Contains(groupNames(u), "company")
		})},
	}
	for i := range n {
		step := steps[i%len(steps)]
		before(id)
		step.change()
		after(fmt.Sprintf("round %d, %s", i, step.what), step.seen)
		if step.what == "moved back" { // the groups follow a moment later
			eventually(t, "the groups are back", func() bool { return len(mustUser(t, d, uid).Groups) > 5 })
		}
	}
}

// watchable is a kind of server that tells of its changes.
type watchable struct {
	start   func(testing.TB) *ldaptest.Server
	changes int // to make in a proof
}

func directories() map[string]watchable {
	return map[string]watchable{
		"openldap": {func(t testing.TB) *ldaptest.Server { return ldaptest.Start(t) }, 1000},
		"389ds":    {func(t testing.TB) *ldaptest.Server { return ldaptest.Start389(t, nil, nil) }, 400},
		"ad":       {func(t testing.TB) *ldaptest.Server { return ldaptest.StartAD(t, nil, nil) }, 200},
	}
}

// encrypted are options over ldaps://, without which Active Directory takes no
// password.
func encrypted(s *ldaptest.Server) ldapstore.Options {
	o := options(s)
	o.URL = []string{s.LDAPSURL}
	return o
}

// TestWithAWatchAnswersAreNewInAnInstant does the same with people who are
// remembered, and measures for how long an answer is old.
func TestWithAWatchAnswersAreNewInAnInstant(t *testing.T) {
	t.Parallel()
	for kind, c := range directories() {
		t.Run(kind, func(t *testing.T) { // one after the other, for the sake of the figures
			s, n := c.start(t), c.changes
			o := encrypted(s)
			o.UserBaseDN = []string{"ou=people," + s.BaseDN}
			o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
			d := watched(t, o, nil)
			took, old := oldAnswers(t, s, d, n)
			slices.Sort(took)
			p99 := took[len(took)*99/100]
			t.Logf("%d of %d first answers were old; for p50 %v, p99 %v, at most %v", old, len(took), took[len(took)/2], p99, took[len(took)-1])
			if p99 > 50*time.Millisecond {
				t.Errorf("p99 is %v", p99)
			}
			for _, uid := range []string{"alice", "bob", "carol"} {
				remember(t, d, mustUser(t, d, uid).ID)
				deleted(t, s, d, uid)
			}
		})
	}
}

// deleted deletes somebody.
func deleted(t *testing.T, s *ldaptest.Server, d *ldapstore.Directory, uid string) {
	t.Helper()
	id := mustUser(t, d, uid).ID
	s.DeleteUser(uid)
	for changed := time.Now(); ; {
		asked := time.Now()
		_, err := d.User(t.Context(), id)
		if errors.Is(err, oidc.ErrNotFound) {
			t.Logf("deleted: old for %v", asked.Sub(changed))
			return
		}
		if asked.Sub(changed) > time.Second {
			t.Fatalf("a second after the deletion the answer is %v", err)
		}
	}
}

// oldAnswers returns for how long after each change an answer was still old.
func oldAnswers(t *testing.T, s *ldaptest.Server, d *ldapstore.Directory, n int) (took []time.Duration, old int) {
	t.Helper()
	rounds(t, s, d, n, func(id string) {
		eventually(t, "the answer is remembered", func() bool {
			_, err := d.User(t.Context(), id)
			return ldapstore.Answers(d, id) || errors.Is(err, oidc.ErrNotFound)
		})
	}, func(what string, seen func() bool) {
		changed := time.Now()
		for asked := changed; ; asked = time.Now() {
			if seen() {
				// An answer given later than asked is no older than the question.
				took = append(took, asked.Sub(changed))
				if asked != changed {
					old++
				}
				return
			}
			if asked.Sub(changed) > time.Second {
				t.Fatalf("%s: a second later the answer is still old", what)
			}
		}
	})
	return took, old
}
