package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"gatehouse/config"
	"gatehouse/ldapstore/ldaptest"
)

// Row A7: a stranger who guesses here locks nobody out of the directory.
func TestFiftyWrongPasswordsOverTwoNamesOfOnePersonDoNotLockTheAccount(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil, func(c *config.Config) { c.Directory.LoginAttributes = []string{"uid", "mail"} })
	s.LDAP.Modify(ldaptest.PersonDN("alice"), "mail", "a.adams@example.org") // no part of it is the uid
	app := s.application("openid")
	own := newPerson(t)
	app.tokens(own.get(app.address()).signIn("alice"))
	var guesses sync.WaitGroup
	for i := range 50 {
		name := []string{"alice", "A.Adams@example.org"}[i%2]
		guesses.Go(func() {
			if g := newPerson(t).get(app.address()).submit("username", name, "password", fmt.Sprint("guess ", i)); g.Status == http.StatusSeeOther {
				t.Errorf("a guess was let in: %v", g.Location)
			}
		})
	}
	guesses.Wait()
	for range 5 { // one after the other too
		newPerson(t).get(app.address()).submit("username", "a.adams@example.org", "password", "guess")
	}
	if n := len(s.LDAP.Values(ldaptest.PersonDN("alice"), "pwdFailureTime")); n != 3 {
		t.Errorf("the directory counted %d failures, want 3: one is kept for browsers that know the person", n)
	}
	if locked := s.LDAP.Values(ldaptest.PersonDN("alice"), "pwdAccountLockedTime"); len(locked) != 0 {
		t.Errorf("the account is locked: %v", locked)
	}
	subject := s.LDAP.Values(ldaptest.PersonDN("alice"), "entryUUID")[0]
	if log := s.Log.String(); !strings.Contains(log, `"subject":"`+subject+`","reason":"throttled","throttled_by":"person"`) {
		t.Error("no audit line says that the throttle kept a password from the directory")
	}
	again := app.address(oauth2.SetAuthURLParam("prompt", "login"))
	if got := newPerson(t).get(again).signIn("alice"); got.Status != http.StatusTooManyRequests {
		t.Errorf("a browser that nobody knows: %d", got.Status)
	}
	app.tokens(own.get(again).signIn("alice")) // nobody is kept out of their own
}
