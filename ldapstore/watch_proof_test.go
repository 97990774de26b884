package ldapstore_test

import (
	"errors"
	"fmt"
	"slices"
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
	home := ldaptest.PersonDN(uid)
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
		{"moved back", func() { s.Move("uid="+uid+","+away, "ou=people,"+s.BaseDN) }, there},
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
	// Once gone for good, last of all.
	before(id)
	s.DeleteUser(uid)
	after("deleted", gone)
}

// TestWithoutAWatchNoAnswerIsOld: a thousand changes, and the very next answer has
// each of them.
func TestWithoutAWatchNoAnswerIsOld(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	o := options(s)
	o.UserBaseDN = []string{"ou=people," + s.BaseDN}
	old, all := 0, 0
	rounds(t, s, open(t, o), 1000, func(string) {}, func(what string, seen func() bool) {
		if all++; !seen() {
			old++
			t.Errorf("%s: the answer is old", what)
		}
	})
	t.Logf("%d of %d answers were old", old, all)
}

// TestWithAWatchAnswersAreNewInAnInstant does the same with people who are
// remembered, and measures for how long an answer is old.
func TestWithAWatchAnswersAreNewInAnInstant(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	o := options(s)
	o.UserBaseDN = []string{"ou=people," + s.BaseDN}
	d := watched(t, o, nil)
	var took []time.Duration
	old := 0
	rounds(t, s, d, 1000, func(id string) {
		eventually(t, "the answer is remembered", func() bool {
			_, err := d.User(t.Context(), id)
			return ldapstore.Remembers(d, id) || errors.Is(err, oidc.ErrNotFound)
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
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	t.Logf("%d of %d first answers were old; for p50 %v, p99 %v, at most %v", old, len(took), took[len(took)/2], p99, took[len(took)-1])
	if p99 > 50*time.Millisecond {
		t.Errorf("p99 is %v", p99)
	}
}
