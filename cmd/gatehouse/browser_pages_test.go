package main

import (
	"testing"

	"gatehouse/ldapstore/ldaptest"
)

func accessibleSignIn(t *testing.T, c *chromium, s *stage) {
	b := c.window(t)
	b.goTo(s.apps["wiki"]+"/signin", "#username")
	b.examine("sign-in")
	b.signIn("carol", "wrong", "#problem")
	b.examine("sign-in with a wrong password")
	b.signIn("carol", ldaptest.Password("carol"), "#allow")
	b.examine("consent")
	b.goTo(s.apps["cloud"]+"/signin?prompt=login", "#username")
	b.tells("Confirm that it’s you")
	b.examine("sign-in once more")

	for range 4 { // as many as one account may have
		newPerson(t).get(s.request()).submit("username", "peter", "password", "wrong")
	}
	b = c.window(t)
	b.goTo(s.request(), "#username")
	b.signIn("peter", ldaptest.Password("peter"), "#problem")
	b.tells("There were too many tries.")
	b.examine("sign-in after too many tries")
}

func accessibleErrors(t *testing.T, c *chromium, s *stage) {
	b := c.window(t)
	for address, tells := range map[string]string{
		s.request("client_id", "nobody"):                       "Unknown application",
		s.request("redirect_uri", "https://evil.example.org/"): "an address that isn’t registered",
		s.URL + "/oauth2/authorize":                            "That request can’t be understood",
		s.URL + "/nowhere":                                     "Page not found",
		s.URL + "/signin":                                      "has run out",
	} {
		b.goTo(address, "#reference")
		b.tells(tells, "Reference")
		b.examine(address)
	}
}

func accessibleSignOut(t *testing.T, c *chromium, s *stage) {
	b := c.window(t)
	b.goTo(s.apps["cloud"]+"/signin", "#username")
	b.signIn("alice", ldaptest.Password("alice"), "#name")
	b.goTo(s.URL+"/signout", "#signout")
	b.tells("Sign out?")
	b.examine("the question whether to sign out")
	b.click("signout", ".sign-done")
	b.tells("You are signed out")
	b.examine("signed out")
}
