package main

import (
	"net/http"
	"strings"
	"testing"

	"gatehouse/config"
	"gatehouse/ldapstore/ldaptest"
)

// Row A6: expired passwords can be changed.
func TestWhoMustChangeTheirPasswordDoesSoHereUnderTheDirectorysRules(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	frank := ldaptest.PersonDN("frank")
	s.LDAP.Modify(frank, "pwdPolicySubentry", ldaptest.PolicyStrict)
	app := s.application("openid", "profile")
	choose := func(g page, password, again string) page {
		t.Helper()
		return g.submit("new_password", password, "new_password_again", again, "change", "1")
	}
	g := newPerson(t).get(app.address()).signIn("frank")
	if g.Status != http.StatusOK || !strings.Contains(g.Body, `id="new_password"`) || strings.Contains(g.Body, `id="password"`) {
		t.Fatalf("no page for a new password: %d %s", g.Status, g.Body)
	}
	for _, c := range []struct{ password, again, want string }{
		{"a long enough one", "another", "isn’t the same in both fields"},
		{"brief", "brief", "The new password is too short"},
		{"brief", "brief", "The directory says: <bdi>Password fails quality checking policy</bdi>"},
		{ldaptest.Password("frank"), ldaptest.Password("frank"), "That is the password you have now"},
	} {
		if g = choose(g, c.password, c.again); g.Status != http.StatusUnprocessableEntity || !strings.Contains(g.Body, c.want) {
			t.Fatalf("%q: %d, not %q: %s", c.password, g.Status, c.want, g.Body)
		}
	}
	token := app.tokens(choose(g, "a long enough one", "a long enough one"))
	subject := s.LDAP.Values(frank, "entryUUID")[0]
	if app.idToken(token).Subject != subject || app.userinfo(token)["preferred_username"] != "frank" {
		t.Error("somebody else is signed in")
	}
	app.tokens(newPerson(t).get(app.address()).submit("username", "frank", "password", "a long enough one"))
	if g := newPerson(t).get(app.address()).signIn("frank"); g.Status != http.StatusUnprocessableEntity {
		t.Errorf("the old password still works: %d", g.Status)
	}

	// The administrator resets it; the directory remembers the last two.
	s.LDAP.Modify(frank, "userPassword", "set by an administrator")
	s.LDAP.Modify(frank, "pwdReset", "TRUE")
	g = newPerson(t).get(app.address()).submit("username", "frank", "password", "set by an administrator")
	if g = choose(g, "a long enough one", "a long enough one"); !strings.Contains(g.Body, "You have used that password before") {
		t.Errorf("an old password again: %d %s", g.Status, g.Body)
	}
	app.tokens(choose(g, "one more that is long", "one more that is long"))

	log := s.Log.String()
	for _, secret := range []string{"brief", "a long enough one", ldaptest.Password("frank"), "set by an administrator", "quality checking"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
	for _, line := range []string{`"event":"password_changed"`, `"event":"password_change_refused"`, `"subject":"` + subject + `","reason":"too_short"`} {
		if !strings.Contains(log, line) {
			t.Errorf("the log lacks %s", line)
		}
	}
}

func TestAnExpiredPasswordIsChangedByGraceOrElsewhere(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil, func(c *config.Config) { c.Directory.PasswordChangeURL = "https://password.example.org/" })
	app := s.application("openid")
	// No grace: the directory lets nobody in who could change it.
	g := newPerson(t).get(app.address()).signIn("erin")
	if g.Status != http.StatusUnprocessableEntity || !strings.Contains(g.Body, "Your password has expired") || !strings.Contains(g.Body, `href="https://password.example.org/"`) {
		t.Errorf("%d %s", g.Status, g.Body)
	}
	later := newPerson(t).get(app.address()).signIn("grace")
	if !strings.Contains(later.Body, `id="later"`) {
		t.Fatalf("%d %s", later.Status, later.Body)
	}
	app.tokens(later.submit("later", "1"))
	now := newPerson(t).get(app.address()).signIn("grace")
	app.tokens(now.submit("new_password", "a new one", "new_password_again", "a new one", "change", "1"))
	g = newPerson(t).get(app.address()).submit("username", "grace", "password", "a new one")
	app.tokens(g)
}

func TestPasswordsAreChangedElsewhereWhereTheOperatorWantsItSo(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil, func(c *config.Config) { c.Directory.PasswordChange = "off" })
	app := s.application("openid")
	g := newPerson(t).get(app.address()).signIn("frank")
	if g.Status != http.StatusUnprocessableEntity || !strings.Contains(g.Body, "You have to choose a new password first") || strings.Contains(g.Body, "new_password") {
		t.Errorf("%d %s", g.Status, g.Body)
	}
	app.tokens(newPerson(t).get(app.address()).signIn("grace"))
}
