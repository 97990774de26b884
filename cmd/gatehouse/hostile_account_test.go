package main

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"gatehouse/config"
	"gatehouse/ldapstore/ldaptest"
)

// Promise 1 for those who are signed in already.
func TestASessionEndsWithItsAccount(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	app := s.application("openid", "offline_access")
	for name, end := range map[string]func(uid string) (back func()){
		"disabled": func(uid string) func() { s.LDAP.Disable(uid); return func() { s.LDAP.Enable(uid) } },
		"expired": func(uid string) func() {
			s.LDAP.Modify(ldaptest.PersonDN(uid), "objectClass", "inetOrgPerson", "shadowAccount")
			s.LDAP.Modify(ldaptest.PersonDN(uid), "shadowExpire", "1")
			return func() { s.LDAP.Modify(ldaptest.PersonDN(uid), "shadowExpire") }
		},
		// Somebody else gets the name: the account is another one.
		"made anew": func(uid string) func() {
			s.LDAP.DeleteUser(uid)
			s.LDAP.AddPerson(ldaptest.Person{UID: uid, GivenName: "Another", Surname: "Person"})
			return func() {}
		},
	} {
		t.Run(name, func(t *testing.T) {
			uid := "victim-" + strings.ReplaceAll(name, " ", "-")
			s.LDAP.AddPerson(ldaptest.Person{UID: uid, GivenName: "V", Surname: "W"})
			p := stranger(t)
			token := app.tokens(p.get(app.address()).signIn(uid))
			code := p.get(app.address()).Location.Query().Get("code")
			back := end(uid)
			if g := p.get(app.address()); gained(g) != "" || g.Status != http.StatusOK || !strings.Contains(g.Body, `name="password"`) {
				t.Errorf("still signed in: %d %v", g.Status, g.Location)
			}
			if g := p.get(app.address(oauth2.SetAuthURLParam("prompt", "none"))); g.Location == nil || g.Location.Query().Get("error") != "login_required" {
				t.Errorf("silently: %d %v", g.Status, g.Location)
			}
			exchange := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {appRedirect}, "code_verifier": {app.verifier}}
			if g := stranger(t).post(s.URL+"/oauth2/token", exchange, "app", appSecret); !strings.Contains(g.Body, "invalid_grant") {
				t.Errorf("a code from before: %d %s", g.Status, g.Body)
			}
			if _, err := app.provider.UserInfo(context.Background(), oauth2.StaticTokenSource(token)); err == nil {
				t.Error("userinfo still answers")
			}
			back()
			if g := p.get(app.address()); gained(g) != "" {
				t.Error("the old session came back with the account")
			}
			if g := s.refresh(token.RefreshToken); name != "made anew" && g.Status != http.StatusOK && !strings.Contains(g.Body, "invalid_grant") {
				t.Errorf("%d %s", g.Status, g.Body)
			} else if name == "made anew" && !strings.Contains(g.Body, "invalid_grant") {
				t.Errorf("another person's tokens: %d %s", g.Status, g.Body)
			}
		})
	}
}

// perRequest is what of a page differs from one request to the next: the seal, the
// reference, and how many minutes there are to wait.
var perRequest = regexp.MustCompile(`(name="request" value=")[^"]*"|(<code id="reference">|"request_id":")[^<"]*|[0-9]+`)

// sameFor is what of an answer must not depend on whether an account exists.
func sameFor(g page, name string) string {
	h := g.Header.Clone()
	if h.Get("Retry-After") != "" {
		h.Set("Retry-After", "a while")
	}
	for _, changing := range []string{"Date", "X-Request-Id", "Content-Length", "Set-Cookie"} {
		h.Del(changing)
	}
	body := strings.ReplaceAll(perRequest.ReplaceAllString(g.Body, "$1$2"), name, "NAME")
	return fmt.Sprint(g.Status, h, len(g.Header.Values("Set-Cookie")), body)
}

func TestNobodyLearnsWhoHasAnAccount(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	app := s.application("openid")
	try := func(name, password string) (string, time.Duration) {
		g := newPerson(t).get(app.address())
		start := time.Now()
		got := g.submit("username", name, "password", password)
		return sameFor(got, name), time.Since(start)
	}
	// The same name, as long as it is: the throttle counts both alike, too.
	for _, password := range []string{"wrong", strings.Repeat("x", 2000)} {
		for range 6 { // four tries, then the throttle
			want, _ := try("nobodyx", password)
			for _, known := range []string{"alice", "dave", "erin", "frank", "judy"} { // active, disabled, expired, must change, past its end
				if got, _ := try(known, password); got != want {
					t.Errorf("%s differs from who does not exist:\n%s\n%s", known, got, want)
				}
			}
		}
	}
	for _, name := range []string{
		"*", "a*", "(uid=*)", `\2a`, strings.Repeat("n", 256), strings.Repeat("n", 257), strings.Repeat("n", 5000), "a\u0301", "\u202e", "uid=alice,ou=people,dc=example,dc=org", "alice)(uid=*", "alice@example.org", ",",
	} {
		got := newPerson(t).get(app.address()).submit("username", name, "password", "wrong")
		if got.Status != http.StatusUnprocessableEntity && got.Status != http.StatusTooManyRequests || gained(got) != "" {
			t.Errorf("%.20q: %d", name, got.Status)
		}
	}

	// Time, roughly: medians of interleaved tries, and a bound that only a missing
	// bind or a slow hash would break. ldapstore measures it closely.
	var known, unknown []time.Duration
	for i := range 12 {
		s.LDAP.AddPerson(ldaptest.Person{UID: fmt.Sprint("timed", i), GivenName: "T", Surname: "T"})
	}
	for i := range 12 {
		_, a := try(fmt.Sprint("timed", i), "wrong")
		_, b := try(fmt.Sprint("nobody", i+10), "wrong")
		known, unknown = append(known, a), append(unknown, b)
	}
	slices.Sort(known)
	slices.Sort(unknown)
	if a, b := known[len(known)/2], unknown[len(unknown)/2]; max(a, b)-min(a, b) > 100*time.Millisecond {
		t.Errorf("a wrong password takes %v, an unknown name %v", a, b)
	}
}

func TestNoSpellingNoHeaderAndNoHasteGivesMoreTries(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil, func(c *config.Config) {
		c.Directory.LoginAttributes = []string{"uid", "mail"}
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} // not us
	})
	s.LDAP.Modify(ldaptest.PersonDN("bob"), "mail", "bob@example.org", "robert.brown@example.org", "b.brown@example.com")
	app := s.application("openid")
	names := []string{
		"bob", "BOB", " bob ", "b\u00adob", "ｂｏｂ", "bob@example.org", "Robert.Brown@example.org", " robert.brown@EXAMPLE.org", "b.brown@example.com", "b\u200bob", "Bob\u3000", "\u2060bob",
	}
	var group sync.WaitGroup
	for i := range 60 { // all at once
		g := newPerson(t).get(app.address())
		action, fields := g.form()
		fields.Set("username", names[i%len(names)])
		fields.Set("password", fmt.Sprint("guess ", i))
		group.Go(func() {
			from := fmt.Sprintf("198.51.100.%d", i)
			got := g.person.send(http.MethodPost, action, fields.Encode(), "Content-Type", formType, "X-Forwarded-For", from, "X-Forwarded-For", from+", "+from,
				"X-Real-Ip", from, "Forwarded", "for="+from, "True-Client-Ip", from, "X-Client-Ip", from, "Cf-Connecting-Ip", from)
			if gained(got) != "" || got.Status != http.StatusUnprocessableEntity && got.Status != http.StatusTooManyRequests {
				t.Errorf("%d", got.Status)
			}
		})
	}
	group.Wait()
	if n := len(s.LDAP.Values(ldaptest.PersonDN("bob"), "pwdFailureTime")); n > 4 {
		t.Errorf("%d guesses reached the directory", n)
	}
	if len(s.LDAP.Values(ldaptest.PersonDN("bob"), "pwdAccountLockedTime")) > 0 {
		t.Error("strangers locked bob out of the directory")
	}
	app.tokens(newPerson(t).get(app.address()).signIn("alice")) // who has done nothing
	if strings.Contains(s.Log.String(), `"remote":"198.51.100`) {
		t.Error("a header of a stranger's is believed")
	}
}

// One network may not try for ever, whatever names it makes up; others go on.
func TestANetworkOfGuessersIsHeldBackAndNobodyElseIs(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil, func(c *config.Config) {
		c.Throttle.NetworkFailures = 20
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} // we are the proxy
	})
	app := s.application("openid")
	attempt := func(from, name, password string) page {
		g := newPerson(t).get(app.address())
		action, fields := g.form()
		fields.Set("username", name)
		fields.Set("password", password)
		// What stands to the left of the last address was written by the guesser.
		return g.person.send(http.MethodPost, action, fields.Encode(), "Content-Type", formType, "X-Forwarded-For", fmt.Sprintf("203.0.113.%d, 192.0.2.99", len(name)), "X-Forwarded-For", from)
	}
	held := 0
	for i := range 40 {
		if g := attempt(fmt.Sprintf("2001:db8:1:1::%x", i+1), fmt.Sprint("invented", i), "guess"); g.Status == http.StatusTooManyRequests { // one /64
			held++
		}
	}
	if held < 15 {
		t.Errorf("%d of 40 guesses of one network were held back", held)
	}
	if g := attempt("2001:db8:2::1", "alice", ldaptest.Password("alice")); gained(g) == "" {
		t.Errorf("a neighbour network is held back: %d", g.Status)
	}
}
