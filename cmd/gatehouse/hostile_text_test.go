package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/oauth2"

	"gatehouse/config"
	"gatehouse/ldapstore/ldaptest"
)

// evil is found in an answer if it was taken for text, and its signs if not.
const evil = `<evil onx="'>{{.}}</title></script>`

// said is all of an answer but what is random: a seal, the request's id.
func (g page) said() string {
	h := g.Header.Clone()
	h.Del("X-Request-Id")
	h.Del("Set-Cookie")
	return fmt.Sprint(h, perRequest.ReplaceAllString(g.Body, ""))
}

// foreign returns what of evil a browser would take for markup: elements and
// attributes that no page of ours has.
func foreign(body string) (found []string) {
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		return []string{err.Error()}
	}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if n.Data == "evil" || n.Data == "script" || n.Data == "iframe" || n.Data == "base" || n.Data == "object" {
			found = append(found, "<"+n.Data+">")
		}
		for _, a := range n.Attr {
			value := strings.ToLower(strings.TrimSpace(a.Val))
			if strings.HasPrefix(strings.ToLower(a.Key), "on") || a.Key == "style" || strings.HasPrefix(value, "javascript:") || strings.HasPrefix(value, "data:text") {
				found = append(found, n.Data+" "+a.Key+"="+a.Val)
			}
		}
	}
	return found
}

func TestNoTextOfARequestBecomesMarkup(t *testing.T) {
	t.Parallel()
	s := startSite(t, map[string]string{"clients.d/asker.yaml": asker})
	app := s.application("openid")
	asks := s.application("openid", "profile")
	asks.config.ClientID = "asker"
	alice := s.signedIn("alice")
	param := oauth2.SetAuthURLParam
	signIn := newPerson(t).get(app.address(param("login_hint", evil), param("ui_locales", evil), param("state", evil), param("nonce", evil), param("display", evil), param("acr_values", evil)))
	if _, fields := signIn.form(); signIn.Status != http.StatusOK || fields.Get("username") != evil {
		t.Errorf("%d, and the hint became %q", signIn.Status, fields.Get("username"))
	}
	wrong := signIn.submit("username", evil, "password", evil)
	if wrong.Status != http.StatusUnprocessableEntity || strings.Count(wrong.said(), "evil") != 1 { // in the name's field
		t.Errorf("%d: %s", wrong.Status, wrong.said())
	}
	pages := map[string]page{
		"sign-in": signIn, "wrong password": wrong,
		"consent": alice.get(asks.address(param("ui_locales", evil), param("state", evil), param("claims", `{"userinfo":{"<evil>":{"value":"<evil>"},"email":null}}`))),
		"german":  newPerson(t).send(http.MethodGet, app.address(), "", "Accept-Language", "de;q=1,"+evil, "User-Agent", evil),
	}
	// Error pages hold nothing that was sent.
	q := url.QueryEscape(evil)
	for _, path := range []string{
		"/" + url.PathEscape(evil), "/static/" + url.PathEscape(evil), "/signin?request=" + q, "/signin?posted=" + q, "/consent?request=" + q, "/signin?" + q, "/oauth2/" + url.PathEscape(evil),
		"/oauth2/authorize?client_id=" + q, "/oauth2/authorize?client_id=app&redirect_uri=" + q, "/oauth2/authorize?error=" + q + "&error_description=" + q, "/signout?state=" + q + "&ui_locales=" + q,
	} {
		for _, headers := range [][]string{{"Accept", "text/html"}, {"Accept", "application/json"}, {"X-Request-Id", "evil", "Referer", evil, "Cookie", "evil=" + q, "Accept-Language", evil}} {
			g := newPerson(t).send(http.MethodGet, s.URL+path, "", headers...)
			if strings.Contains(g.said(), "evil") {
				t.Errorf("%s echoes what was sent: %s", path, g.said())
			}
			pages[path+fmt.Sprint(headers)] = g
		}
	}
	for _, path := range []string{"/signin", "/consent", "/signout", "/oauth2/authorize", "/oauth2/token", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/userinfo"} {
		form := url.Values{"request": {evil}, "username": {evil}, "password": {evil}, "client_id": {"app<evil>"}, "token": {evil}, "grant_type": {evil}, "code": {evil}, "access_token": {evil}, evil: {evil}}
		g := stranger(t).post(s.URL+path, form)
		if strings.Contains(g.said(), "evil") || g.Status >= 500 {
			t.Errorf("POST %s: %d %s", path, g.Status, g.said())
		}
		pages["POST "+path] = g
	}
	for name, g := range pages {
		if found := foreign(g.Body); len(found) > 0 {
			t.Errorf("%s: %v", name, found)
		}
	}
}

// A client file is an operator's, but its texts often come from somebody else.
func TestNoTextOfAClientFileOrOfTheDirectoryBecomesMarkup(t *testing.T) {
	t.Parallel()
	quoted, err := json.Marshal(evil) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	nasty := strings.Replace(clientYAML("nasty", `
client_uri: "https://app.example.org/'onx='evil"
logo_uri: "https://logo.example.org/;script-src%20data:;/a.png?'onx='evil"
policy_uri: "https://app.example.org/?'onx='evil&lt=%3Cevil%3E"
tos_uri: "https://app.example.org/(evil)"
software_id: `+string(quoted)+`
scopes: {everyone: [openid, profile, "<evil>onx='evil'", "javascript:evil()"]}
`), "consent: none", "consent: explicit", 1)
	nasty = strings.Replace(nasty, "client_name: The nasty", "client_name: "+string(quoted), 1)
	s := startSite(t, map[string]string{"clients.d/nasty.yaml": nasty})
	s.LDAP.AddPerson(ldaptest.Person{UID: "mallory", GivenName: evil, Surname: evil, More: map[string][]string{"displayName": {evil}, "mail": {"<evil>@example.org"}}})
	app := s.application("openid", "profile", "<evil>onx='evil'", "javascript:evil()")
	app.config.ClientID = "nasty"
	signIn := newPerson(t).get(app.address())
	consent := signIn.signIn("mallory")
	if signIn.Status != http.StatusOK || consent.Status != http.StatusOK || !strings.Contains(consent.Body, "&lt;evil") {
		t.Fatalf("%d %d", signIn.Status, consent.Status)
	}
	for name, g := range map[string]page{"sign-in": signIn, "consent": consent} {
		if found := foreign(g.Body); len(found) > 0 {
			t.Errorf("%s: %v", name, found)
		}
		policy := g.Header.Get("Content-Security-Policy")
		if strings.Contains(policy, "script") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "data:;/") || strings.Contains(policy, "logo.example.org/") {
			t.Errorf("%s: the policy is %s", name, policy)
		}
	}
	// What could be no text but a way out is refused when the file is read.
	for key, value := range map[string]string{
		"logo_uri": "javascript:evil()", "policy_uri": "data:text/html,<evil>", "tos_uri": "https://app.example.org/<evil>", "client_uri": "https://evil@app.example.org/", "client_name": "\u202eevil",
	} {
		file := filepath.Join(s.Dir, "clients.d", "bad.yaml")
		if err := os.WriteFile(file, []byte(clientYAML("bad", key+": \""+value+"\"\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.house.clients.Reload(); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %s was taken: %v", key, value, err)
		}
	}
}

func TestNoTextOfARequestBecomesAHeader(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil, func(c *config.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} })
	alice := s.signedIn("alice")
	app := s.application("openid")
	const split = "x\r\nSet-Cookie: evil=1\r\n\r\n<evil>"
	for _, name := range []string{"state", "nonce", "login_hint", "scope", "prompt", "response_mode", "ui_locales", "claims", "code_challenge"} {
		g := alice.get(with(t, app.address(), name, split))
		if strings.Contains(strings.Join(g.Header.Values("Set-Cookie"), " "), "evil") || strings.ContainsAny(g.Header.Get("Location"), "\r\n<") {
			t.Errorf("%s: %v", name, g.Header)
		}
		if name == "state" && g.Location.Query().Get("state") != split {
			t.Errorf("the state came back as %q", g.Location.Query().Get("state"))
		}
	}
	// Even the id of a request, taken over from a trusted proxy, is held to its form.
	for _, id := range []string{"<evil>", "a b", strings.Repeat("x", 65), "x;y", "ü"} {
		if g := newPerson(t).send(http.MethodGet, s.URL+"/nowhere", "", "X-Request-Id", id); g.Header.Get("X-Request-Id") == id || strings.Contains(g.Body, id) {
			t.Errorf("the id %q was taken over", id)
		}
	}
	for _, raw := range []string{"X-Request-Id: a\rb", "X-Request-Id: a\x00b", "X-Forwarded-For: 1.2.3.4\x00", "Host: a\r\nHost: b"} {
		status, header, body := s.wire("GET /nowhere HTTP/1.1\r\nHost: x\r\n" + raw + "\r\nConnection: close\r\n\r\n")
		if status < 400 || status > 499 || strings.Contains(fmt.Sprint(header, body), "a\rb") {
			t.Errorf("%q: %d %v", raw, status, header)
		}
	}
	for _, address := range []string{"/oauth2/authorize?state=a%0d%0aX:y&client_id=app", "/signin?request=%0d%0aX:y", "/%0d%0aX:%20y"} {
		if status, header, _ := s.wire("GET " + address + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); status < 400 || header.Get("X") != "" {
			t.Errorf("%s: %d %v", address, status, header)
		}
	}
}

// Descriptions of errors are ours, whatever was sent (RFC 6749, section 5.2 allows
// printable ASCII without quotes and backslashes).
func TestDescriptionsOfErrorsHoldNothingThatWasSent(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	app := s.application("openid")
	people := map[string]*person{"alice": s.signedIn("alice"), "nobody": stranger(t)}
	people["alice"].client.CheckRedirect = stranger(t).client.CheckRedirect
	plain := regexp.MustCompile(`^[\x20\x21\x23-\x5B\x5D-\x7E]+$`)
	judge := func(what, code, description string) {
		t.Helper()
		if code == "" || !plain.MatchString(description) || strings.Contains(strings.ToLower(code+description), "zqx") {
			t.Errorf("%s: %q %q", what, code, description)
		}
	}
	const mark = `zQx9<">é`
	for _, name := range []string{
		"response_type", "response_mode", "scope", "prompt", "max_age", "claims", "id_token_hint", "request", "request_uri", "registration", "code_challenge", "code_challenge_method",
	} {
		for _, value := range []string{mark, "zqx9", "openid zqx9", `{"userinfo":{"sub":{"value":"zqx9"}},"id_token":{"sub":{"value":"zqx8"}}}`, strings.Repeat("zqx9", 3000)} {
			for who, p := range people {
				g := p.get(with(t, app.address(), name, value))
				if g.Location == nil || gained(g) != "" {
					if g.Status == http.StatusOK && name != "scope" && name != "claims" { // a page, for what is no fault
						t.Errorf("%s=%.20s of %s: %d %v", name, value, who, g.Status, g.Location)
					}
					continue
				}
				answer := g.answer()
				judge(name+"="+value[:min(20, len(value))]+" of "+who, answer.Get("error"), answer.Get("error_description"))
			}
		}
	}
	for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/userinfo"} {
		for _, form := range []url.Values{
			{"grant_type": {mark}},
			{"grant_type": {"authorization_code"}, "code": {mark}, "redirect_uri": {mark}, "code_verifier": {mark}},
			{"grant_type": {"refresh_token"}, "refresh_token": {mark}, "scope": {mark}},
			{"grant_type": {"client_credentials"}, "scope": {"zqx9"}},
			{"token": {mark}, "token_type_hint": {mark}},
			{"client_id": {mark}, "client_secret": {mark}},
			{"client_assertion": {mark}, "client_assertion_type": {mark}},
			{"access_token": {mark}},
			{mark: {mark}},
			{"grant_type": {mark, mark}},
			{},
		} {
			for _, auth := range [][]string{nil, {"app", appSecret}, {mark, mark}} {
				g := stranger(t).post(s.URL+path, form, auth...)
				if g.Status == http.StatusOK { // revoking what nobody knows; introspecting it
					continue
				}
				var body map[string]string
				if err := json.Unmarshal([]byte(g.Body), &body); err != nil || g.Status >= 500 {
					t.Errorf("%s %v: %d %s", path, form, g.Status, g.Body)
				}
				judge(fmt.Sprintf("%s %v %v", path, form, auth), body["error"], body["error_description"])
				if strings.Contains(g.said(), "zQx") {
					t.Errorf("%s: %s", path, g.said())
				}
			}
		}
	}
}
