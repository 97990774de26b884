package main

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"gatehouse/ldapstore/ldaptest"
)

// TestAChangeInTheDirectoryEndsTokensAndSessionsWithinASecond measures from the
// moment at which the directory has said that the change is made.
func TestAChangeInTheDirectoryEndsTokensAndSessionsWithinASecond(t *testing.T) {
	t.Parallel()
	s := startWatching(t)
	s.changesEndTokens(t, s.LDAP, "")
}

// TestAChangeInAnyOfSeveralDirectoriesEndsTokensAndSessionsWithinASecond does the
// same where people of one directory have the names of others' people.
func TestAChangeInAnyOfSeveralDirectoriesEndsTokensAndSessionsWithinASecond(t *testing.T) {
	t.Parallel()
	for kind, start := range map[string]func(testing.TB) *ldaptest.Server{
		"openldap": func(t testing.TB) *ldaptest.Server { return ldaptest.Start(t) },
		"389ds":    func(t testing.TB) *ldaptest.Server { return ldaptest.Start389(t, nil, nil) },
		"ad":       func(t testing.TB) *ldaptest.Server { return ldaptest.StartAD(t, nil, nil) },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s, students := startCampusOn(t, start(t), map[string]string{"clients.d/club.yaml": clubYAML}, watching)
			eventually(t, "both directories are watched", func() bool { return strings.Count(s.Log.String(), `"directory watched"`) == 2 })
			s.changesEndTokens(t, s.LDAP, "")
			s.changesEndTokens(t, students, "@students.example.org")
		})
	}
}

// changesEndTokens changes people of a directory whose names end in at, and watches
// what becomes of their tokens.
func (s *site) changesEndTokens(t *testing.T, ldap *ldaptest.Server, at string) {
	t.Helper()
	app := s.application("openid", "offline_access")
	bystander := app.idToken(app.tokens(newPerson(t).get(app.address()).signInAs("peter", at))).Subject
	for _, c := range []struct {
		what, uid string
		change    func()
		app       int  // tokens that are left at the client that wants no group
		session   bool // the session goes on
	}{
		{"out of the group", "alice", func() { ldap.RemoveMember("cn=staff,ou=groups,"+ldap.BaseDN, ldap.PersonDN("alice")) }, 1, true},
		{"disabled", "bob", func() { ldap.Disable("bob") }, 0, false},
		{"deleted", "carol", func() { ldap.DeleteUser("carol") }, 0, false},
	} {
		m := s.member(t, c.uid, at)
		late := ldaptest.Lateness()
		c.change()
		changed := time.Now()
		for s.held(m.subject, "club") > 0 || s.held(m.subject, "app") > c.app {
			if time.Since(changed) > 15*time.Second {
				t.Fatalf("%s: the grants live on", c.what)
			}
			time.Sleep(time.Millisecond)
		}
		took, stalled := time.Since(changed), late()
		t.Logf("%s%s: the grants ended after %v, of which nobody here could run for %v", c.what, at, took, stalled)
		if took-stalled > time.Second {
			t.Errorf("%s%s: it took %v", c.what, at, took)
		}
		if got := s.introspectAs("club", m.club.AccessToken); got["active"] != false {
			t.Errorf("%s: the token is good for %v", c.what, got)
		}
		if active := s.introspect(m.app.AccessToken)["active"]; active != (c.app == 1) {
			t.Errorf("%s: the other client's token is active: %v", c.what, active)
		}
		eventually(t, "the session is as it should be", func() bool {
			return (m.browser.get(s.application("openid").address()).Location != nil) == c.session
		})
	}
	if s.held(bystander, "app") != 1 {
		t.Error("somebody who has not changed has lost tokens")
	}
}

// member is somebody with tokens of both applications.
type member struct {
	subject   string
	browser   *person
	app, club *oauth2.Token
}

// signInAs types the name of somebody in one of several directories.
func (g page) signInAs(uid, at string) page {
	g.person.t.Helper()
	return g.submit("username", uid+at, "password", ldaptest.Password(uid))
}

// member has somebody sign in at both applications.
func (s *site) member(t *testing.T, uid, at string) member {
	t.Helper()
	app, club := s.application("openid", "offline_access"), s.application("openid", "offline_access")
	club.config.ClientID = "club"
	m := member{browser: newPerson(t)}
	m.app = app.tokens(m.browser.get(app.address()).signInAs(uid, at))
	m.club = club.tokens(m.browser.get(club.address()))
	m.subject = app.idToken(m.app).Subject
	if s.held(m.subject, "app") != 1 || s.held(m.subject, "club") != 1 {
		t.Fatalf("%s%s has no grants", uid, at)
	}
	return m
}
