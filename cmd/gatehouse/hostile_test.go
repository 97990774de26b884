package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"gatehouse/ldapstore/ldaptest"
)

// The tests of this file and of hostile_*_test.go are written by somebody who
// wants in: into the server, into another person's account, at a scope that is not
// theirs; or who wants to know, to break, or to fill.

// stranger is a browser that follows no redirect, so that each answer is seen.
func stranger(t *testing.T) *person {
	t.Helper()
	p := newPerson(t)
	p.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return p
}

// send sends any request; headers are name and value in turn.
func (p *person) send(method, address, body string, headers ...string) page {
	p.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, address, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return p.do(r)
}

const formType = "application/x-www-form-urlencoded"

// wire sends bytes that no HTTP library would, and returns the answer.
func (s *site) wire(request string) (status int, header http.Header, body string) {
	s.t.Helper()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(context.Background(), "tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		s.t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.t.Fatalf("no answer to %.80q: %v", request, err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(content)
}

// cookie returns the value of one of our cookies, or "".
func (p *person) cookie(s *site, name string) string {
	u, err := url.Parse(s.URL)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, c := range p.client.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (p *person) setCookie(s *site, name, value string) {
	u, err := url.Parse(s.URL)
	if err != nil {
		p.t.Fatal(err)
	}
	p.client.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

// signedIn returns a browser in which this person is signed in.
func (s *site) signedIn(uid string) *person {
	s.t.Helper()
	p := newPerson(s.t)
	app := s.application("openid")
	app.tokens(p.get(app.address()).signIn(uid))
	return p
}

// with returns an address with one parameter changed.
func with(t *testing.T, address, name, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String()
}

// asker is a client that asks for consent each time.
var asker = strings.Replace(clientYAML("asker", "scopes: {everyone: [openid, profile, email]}\n"), "consent: none", "consent: explicit", 1)

// gained says what a stranger got out of an answer that should give nothing.
func gained(g page) string {
	for _, c := range g.Header.Values("Set-Cookie") {
		if strings.HasPrefix(c, "gatehouse_session=") && !strings.HasPrefix(c, "gatehouse_session=;") {
			return "a session"
		}
	}
	if answer := g.answer(); answer.Has("code") || answer.Has("access_token") || answer.Has("id_token") {
		return "a code"
	}
	return ""
}

// answer returns the parameters that an application gets, however they travel.
func (g page) answer() url.Values {
	g.person.t.Helper()
	if g.Location == nil {
		if strings.Contains(g.Body, "document.forms[0].submit()") {
			_, fields := g.form()
			return fields
		}
		return url.Values{}
	}
	if g.Location.Fragment == "" {
		return g.Location.Query()
	}
	values, err := url.ParseQuery(g.Location.EscapedFragment())
	if err != nil {
		g.person.t.Fatal(err)
	}
	return values
}

// Login CSRF and forged consent: what is sealed for one browser, one purpose and
// one person is of no use with another.
func TestASealOpensForItsBrowserAndItsPurposeOnly(t *testing.T) {
	t.Parallel()
	s := startSite(t, map[string]string{"clients.d/asker.yaml": asker})
	app, asks := s.application("openid"), s.application("openid", "email")
	asks.config.ClientID = "asker"

	mallory, victim := newPerson(t), stranger(t)
	signIn := mallory.get(app.address())
	_, theirs := signIn.form()
	victim.get(app.address())                              // has a browser cookie of their own
	consent := mallory.get(asks.address()).signIn("carol") // mallory is carol
	_, allow := consent.form()
	for name, g := range map[string]page{
		"mallory's sign-in page, mallory's password, the victim's browser": victim.post(s.URL+"/signin", url.Values{
			"request": theirs["request"], "username": {"carol"}, "password": {ldaptest.Password("carol")}, "login": {"1"},
		}),
		"the same without any cookie": stranger(t).post(s.URL+"/signin", url.Values{
			"request": theirs["request"], "username": {"carol"}, "password": {ldaptest.Password("carol")}, "login": {"1"},
		}),
		"mallory's consent in the victim's browser":    victim.post(s.URL+"/consent", url.Values{"request": allow["request"], "allow": {"1"}}),
		"a consent at the sign-in":                     victim.post(s.URL+"/signin", url.Values{"request": allow["request"], "username": {"carol"}, "password": {ldaptest.Password("carol")}}),
		"a sign-in at the consent, in its own browser": mallory.post(s.URL+"/consent", url.Values{"request": theirs["request"], "allow": {"1"}}),
		"a consent at the sign-out":                    mallory.post(s.URL+"/signout", url.Values{"request": allow["request"]}),
		"a sign-in as a link":                          mallory.get(s.URL + "/signin?" + url.Values{"request": theirs["request"]}.Encode()),
		"a consent as a link":                          mallory.get(s.URL + "/consent?" + url.Values{"request": allow["request"]}.Encode()),
		"a consent as a posted request":                mallory.get(s.URL + "/signin?" + url.Values{"posted": allow["request"]}.Encode()),
		"a link of mallory's in the victim's browser":  victim.get(consent.URL.String()),
		"a request cut short":                          victim.post(s.URL+"/signin", url.Values{"request": {theirs.Get("request")[:40]}, "username": {"carol"}, "password": {ldaptest.Password("carol")}}),
		"no request":                                   victim.post(s.URL+"/signin", url.Values{"username": {"carol"}, "password": {ldaptest.Password("carol")}}),
	} {
		if got := gained(g); got != "" || g.Status < 400 || g.Status > 499 {
			t.Errorf("%s: %d, gained %q", name, g.Status, got)
		}
	}
	for i := range 60 { // every part of the seal is under the seal
		changed := []byte(theirs.Get("request"))
		at := i * len(changed) / 60
		changed[at] = map[bool]byte{true: 'B', false: 'A'}[changed[at] == 'A']
		if g := mallory.post(s.URL+"/signin", url.Values{"request": {string(changed)}, "username": {"carol"}, "password": {ldaptest.Password("carol")}}); g.Status != http.StatusBadRequest || gained(g) != "" {
			t.Errorf("byte %d changed: %d", at, g.Status)
		}
	}
	// The consent was shown to carol. Bob, who signs in at the same browser, has not seen it.
	app.tokens(mallory.get(app.address(oauth2.SetAuthURLParam("prompt", "login"))).signIn("bob"))
	if g := mallory.post(s.URL+"/consent", url.Values{"request": allow["request"], "allow": {"1"}}); gained(g) != "" {
		t.Errorf("carol's page consented for bob: %s", gained(g))
	}
}

// A form that another site posts is refused even where the browser sends cookies
// along, as one does for two minutes after a cookie was set, or for ever if it is old.
func TestFormsThatAnotherSitePostsAreRefused(t *testing.T) {
	t.Parallel()
	s := startSite(t, map[string]string{"clients.d/asker.yaml": asker})
	asks := s.application("openid", "email")
	asks.config.ClientID = "asker"
	p := newPerson(t)
	signIn := p.get(asks.address())
	_, signInForm := signIn.form()
	_, consentForm := signIn.signIn("alice").form()
	_, signOutForm := p.get(s.URL + "/signout").form()
	signInForm.Set("username", "carol")
	signInForm.Set("password", ldaptest.Password("carol"))
	consentForm.Set("allow", "1")
	for path, form := range map[string]url.Values{"/signin": signInForm, "/consent": consentForm, "/signout": signOutForm} {
		for _, headers := range [][]string{
			{"Sec-Fetch-Site", "cross-site"},
			{"Sec-Fetch-Site", "same-site", "Origin", "https://evil.example.org"},
			{"Origin", "https://evil.example.com"},
			{"Origin", "null"},
			{"Origin", strings.Replace(s.URL, "http:", "https:", 1) + ".evil.example"},
		} {
			g := p.send(http.MethodPost, s.URL+path, form.Encode(), append([]string{"Content-Type", formType}, headers...)...)
			if g.Status != http.StatusForbidden || gained(g) != "" {
				t.Errorf("%s with %v: %d %s", path, headers, g.Status, gained(g))
			}
		}
		// What a page of another site can send without asking first, but no form of ours.
		for _, kind := range []string{"text/plain", "multipart/form-data; boundary=x", "", "application/json"} {
			if g := p.send(http.MethodPost, s.URL+path, form.Encode(), "Content-Type", kind); g.Status != http.StatusUnsupportedMediaType {
				t.Errorf("%s as %q: %d", path, kind, g.Status)
			}
		}
		if g := p.send(http.MethodPost, s.URL+path+"?"+form.Encode(), "", "Content-Type", formType); g.Status < 400 || gained(g) != "" {
			t.Errorf("%s with the form in the address: %d", path, g.Status)
		}
	}
	if g := p.get(s.URL + "/signout"); !strings.Contains(g.Body, "<form") {
		t.Error("alice was signed out by somebody else")
	}
}

func TestASessionThatSomebodyChoseBeforehandIsWorthNothing(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	app := s.application("openid")
	chosen := strings.Repeat("A", 43)
	p := newPerson(t)
	p.setCookie(s, "gatehouse_session", chosen)
	app.tokens(p.get(app.address()).signIn("alice"))
	first := p.cookie(s, "gatehouse_session")
	if first == chosen || first == "" {
		t.Fatalf("alice's session is the one that was chosen for her: %q", first)
	}
	app.tokens(p.get(app.address(oauth2.SetAuthURLParam("prompt", "login"))).signIn("alice"))
	second := p.cookie(s, "gatehouse_session")
	for name, secret := range map[string]string{"chosen beforehand": chosen, "from before the second sign-in": first} {
		thief := stranger(t)
		thief.setCookie(s, "gatehouse_session", secret)
		if g := thief.get(app.address()); gained(g) != "" || g.Status != http.StatusOK {
			t.Errorf("a session %s opens the door: %d", name, g.Status)
		}
	}
	// Signing out ends it in the store, not in the browser alone.
	if g := p.get(s.URL + "/signout").submit(); g.Status != http.StatusOK {
		t.Fatalf("%d", g.Status)
	}
	thief := stranger(t)
	thief.setCookie(s, "gatehouse_session", second)
	if g := thief.get(app.address()); gained(g) != "" {
		t.Error("a session outlived its sign-out")
	}
	for _, odd := range []string{"", "x", strings.Repeat("A", 42), strings.Repeat("A", 44), strings.Repeat("A", 5000), strings.Repeat("'", 43)} {
		thief.setCookie(s, "gatehouse_session", odd)
		if g := thief.get(app.address()); gained(g) != "" || g.Status != http.StatusOK {
			t.Errorf("the cookie %.20q: %d", odd, g.Status)
		}
	}
}
