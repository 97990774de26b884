package main

import (
	"strings"
	"testing"

	"gatehouse/ldapstore/demodir"
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

// signInTelevision is RFC 8628, section 3.3, with a finger.
func signInTelevision(t *testing.T, c *chromium, s *stage) {
	_, codes := s.television("openid", "profile")
	b := c.window(t)
	b.goTo(s.URL+"/device", "#user_code")
	b.examine("the page for a device's code")
	if at := read[string](b, `document.activeElement.id`); at != "user_code" {
		t.Errorf("typing begins in %q", at)
	}
	b.fill("user_code", "bcdfghjk")
	b.tap("next", "#problem")
	b.tells("Problem:", "No device is waiting with this code.")
	b.examine("the page for a device's code with a wrong one")
	b.fill("user_code", strings.ToLower(strings.ReplaceAll(codes.UserCode, "-", "")))
	b.tap("next", "#username")
	b.tells("Sign in to The television")
	b.signIn("alice", ldaptest.Password("alice"), "#allow")
	b.tells("Sign in to The television on another device?", codes.UserCode, "If somebody sent you this code", "Alice Adams")
	b.examine("the question whether another device is meant")
	b.tap("allow", ".sign-done")
	b.tells("Your device is being signed in")
	b.examine("the end of a device's sign-in")

	_, codes = s.television("openid", "profile")
	b.goTo(codes.VerificationURIComplete, "#user_code")
	b.tap("next", "#deny")
	b.tap("deny", ".sign-problem")
	b.tells("The device is not signed in")
	b.examine("the end of a device's sign-in that was declined")

	// What the television shows: the picture is one, and has the quiet zone that readers need.
	b.goTo(s.URL+"/device/qr.svg?user_code="+codes.UserCode, "svg")
	if size := read[float64](b, `document.documentElement.viewBox.baseVal.width - document.querySelectorAll('path')[1].getBBox().width`); size != 8 {
		t.Errorf("%v modules around the code, want 4 on each side", size)
	}
}

// demoTelevision looks at both screens: that of the device, and that of the phone.
func demoTelevision(t *testing.T, c *chromium, _ *stage) {
	issuer, apps := startDemo(t)
	account := demodir.Accounts()[0]
	screen, phone := c.window(t), c.window(t)
	screen.goTo(apps+"/tv/", "#login")
	screen.examine("the demonstration's television")
	screen.click("login", "#qr")
	screen.await(`document.getElementById('qr').naturalWidth > 0`)
	code := screen.text("user_code")
	phone.goTo(issuer+"/device?user_code="+code, "#user_code")
	phone.click("next", "#username")
	phone.signIn(account.Username, account.Password, "#allow")
	phone.tells("Sign in to Television on another device?", code)
	phone.click("allow", ".sign-done")
	screen.arrive("#name") // by itself
	if name := screen.text("name"); name != account.Name {
		t.Errorf("the television greets %q", name)
	}
	screen.examine("the demonstration's television with somebody signed in")
	screen.click("signout", "#login")
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
