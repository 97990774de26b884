package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/ldapstore/ldaptest"
)

// RFC 8628, section 5: guesses, phishing, and who reads over somebody's shoulder.
func TestNobodyGuessesOrGiftsADeviceCode(t *testing.T) {
	t.Parallel()
	op := startCertSite(t, ldaptest.Start(t), certFiles())
	p := newParty(t, op, "code", "").as("tv")

	// Of a hundred polls at once one gets the tokens.
	code, user := p.device("openid offline_access")
	p.browser.get(op.URL+"/device").submit("user_code", user).signIn("alice").submit("allow", "1")
	won := hundred(t, http.StatusOK, func() *http.Request {
		return formRequest(t, op.URL+"/oauth2/token", url.Values{"grant_type": {grantDevice}, "device_code": {code}, "client_id": {"tv"}})
	})
	if won != 1 {
		t.Errorf("one device code was taken %d times", won)
	}

	// What mallory's browser was given opens nothing in alice's, and nothing that alice
	// saw allows another device.
	mallory, alice := newPerson(t), op.signedIn("alice")
	code, user = p.device("openid")
	other, otherUser := p.device("openid")
	_, theirs := mallory.get(op.URL + "/device?user_code=" + user).form()
	theirs.Set("user_code", user)
	if g := alice.post(op.URL+"/device", theirs); g.Status != http.StatusBadRequest {
		t.Errorf("a form of another browser: %d", g.Status)
	}
	consent := alice.get(op.URL+"/device").submit("user_code", otherUser)
	_, fields := consent.form()
	fields.Set("user_code", user)
	fields.Set("allow", "1")
	alice.post(op.URL+"/consent", fields)
	p.polled(code, "authorization_pending")
	if status, _ := p.poll(other); status != http.StatusOK {
		t.Errorf("the device that alice allowed: %d", status)
	}
	for _, link := range []string{"/device?user_code=" + user + "&allow=1", "/consent?user_code=" + user + "&allow=1", "/signin?user_code=" + user} {
		alice.get(op.URL + link)
	}
	p.polled(code, "slow_down")

	// Texts of the code become no markup, and no picture of anything else.
	for _, evil := range []string{`"><script>x()</script>`, strings.Repeat("B", 5000), user + `"onx="x`} {
		for _, g := range []page{newPerson(t).get(op.URL + "/device?user_code=" + url.QueryEscape(evil)), newPerson(t).get(op.URL+"/device").submit("user_code", evil), newPerson(t).get(op.URL + "/device/qr.svg?user_code=" + url.QueryEscape(evil))} {
			if found := foreign(g.Body); len(found) > 0 || g.Status >= 500 {
				t.Errorf("%.30s: %d %v", evil, g.Status, found)
			}
		}
	}

	// Guessing stops long before it can succeed, with many browsers too, and the right
	// code is no exception then.
	stopped := 0
	for i := range 60 {
		guess := fmt.Sprintf("BBBB-BB%c%c", "BCDFGHJKLM"[i/10], "BCDFGHJKLM"[i%10])
		if g := newPerson(t).get(op.URL+"/device").submit("user_code", guess); g.Status == http.StatusTooManyRequests {
			stopped++
		}
	}
	if stopped < 30 {
		t.Errorf("only %d of 60 guesses were stopped", stopped)
	}
	if g := newPerson(t).get(op.URL+"/device").submit("user_code", user); g.Status != http.StatusTooManyRequests {
		t.Errorf("the right code after many wrong ones: %d", g.Status)
	}
}

// The name of a public client is no secret: whoever knows it must not be able to fill
// the database with what it may have kept.
func TestStrangersHaveLittleKept(t *testing.T) {
	t.Parallel()
	op := startCertSite(t, ldaptest.Start(t), certFiles())
	p := newParty(t, op, "code", "")
	challenge := []string{"code_challenge", strings.Repeat("A", 43), "code_challenge_method", "S256", "redirect_uri", "org.example.app:/cb"}
	stopped := 0
	for i := range 330 {
		r := formRequest(t, op.URL+"/oauth2/par", p.as("native").request(challenge...))
		if i%5 == 0 { // what proves nothing
			r.SetBasicAuth("native", "")
		}
		switch g := p.browser.do(r); g.Status {
		case http.StatusTooManyRequests:
			stopped++
			if g.Header.Get("Retry-After") == "" {
				t.Error("nobody is told how long to wait")
			}
		case http.StatusCreated:
		default:
			t.Fatalf("%d %s", g.Status, g.Body)
		}
	}
	if stopped < 20 {
		t.Errorf("of 330 only %d were stopped", stopped)
	}
	p.push(p.request()) // clients with a secret are not held up
	op.clock.advance(5 * time.Minute)
	if g := p.browser.do(formRequest(t, op.URL+"/oauth2/par", p.as("native").request(challenge...))); g.Status != http.StatusCreated {
		t.Errorf("after a while: %d %s", g.Status, g.Body)
	}
}
