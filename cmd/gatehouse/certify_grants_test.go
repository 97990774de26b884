package main

import (
	"net/http"
	"net/url"
	"strings"

	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// Grants without a page, and what scripts in pages may ask.

const grantJWTBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// bearerAssertion is what the trusted issuer says; pairs change its claims.
func (p *party) bearerAssertion(pairs ...any) string {
	now := p.op.clock.Now().Unix()
	claims := map[string]any{"iss": "https://ci.example.org", "sub": "alice", "aud": p.op.URL, "exp": now + 60, "jti": oidc.NewID()}
	for i := 0; i+1 < len(pairs); i += 2 {
		claims[pairs[i].(string)] = pairs[i+1]
		if pairs[i+1] == nil {
			delete(claims, pairs[i].(string))
		}
	}
	return p.signed(keys.RS256, claims)
}

func certJWTBearer(p *party) {
	q := p.as("ci")
	ask := func(assertion string) (int, map[string]any) {
		return q.token(url.Values{"grant_type": {grantJWTBearer}, "assertion": {assertion}, "scope": {"openid email offline_access"}})
	}
	good := q.bearerAssertion()
	status, body := ask(good)
	access, _ := body["access_token"].(string)
	if status != http.StatusOK || body["refresh_token"] != nil || body["id_token"] != nil {
		p.Fatalf("%d %v", status, body)
	}
	if info := p.userinfo(access); info["email"] != "alice@example.org" {
		p.Errorf("%v", info)
	}
	now := p.op.clock.Now().Unix()
	for name, assertion := range map[string]string{
		"the same again": good, "another audience": q.bearerAssertion("aud", "https://elsewhere.example"), "no audience": q.bearerAssertion("aud", nil), "expired": q.bearerAssertion("exp", now-60),
		"no end": q.bearerAssertion("exp", nil), "an end far away": q.bearerAssertion("exp", now+1e6), "not yet": q.bearerAssertion("nbf", now+600), "no jti": q.bearerAssertion("jti", nil),
		"another issuer": q.bearerAssertion("iss", "https://evil.example"), "the client as issuer": q.bearerAssertion("iss", "ci", "sub", "ci"), "nobody": q.bearerAssertion("sub", "nobody"),
		"everybody": q.bearerAssertion("sub", "*"), "a filter": q.bearerAssertion("sub", "alice)(uid=*"), "a DN": q.bearerAssertion("sub", ldaptest.PersonDN("alice")), "somebody disabled": q.bearerAssertion("sub", "dave"),
		"unsigned":         q.unsigned(map[string]any{"iss": "https://ci.example.org", "sub": "alice", "aud": p.op.URL, "exp": now + 60, "jti": oidc.NewID()}),
		"a typ of its own": typed(p.T, p.op, "at+jwt", map[string]any{"iss": "https://ci.example.org", "sub": "alice", "aud": p.op.URL, "exp": now + 60, "jti": oidc.NewID()}),
	} {
		if status, body := ask(assertion); status != http.StatusBadRequest || body["error"] != "invalid_grant" {
			p.Errorf("%s: %d %v", name, status, body)
		}
	}
	if status, body := p.token(url.Values{"grant_type": {grantJWTBearer}, "assertion": {q.bearerAssertion()}, "scope": {"openid"}}); status != http.StatusBadRequest || body["error"] != "unauthorized_client" {
		p.Errorf("a client that has not been told: %d %v", status, body)
	}
}

func certPassword(p *party) {
	q := p.as("legacy")
	ask := func(name, password string) (int, map[string]any) {
		return q.token(url.Values{"grant_type": {"password"}, "username": {name}, "password": {password}, "scope": {"openid email"}})
	}
	status, body := ask("alice", ldaptest.Password("alice"))
	if status != http.StatusOK || body["id_token"] == nil {
		p.Fatalf("%d %v", status, body)
	}
	var said []any
	for _, try := range [][2]string{{"alice", "wrong"}, {"nobody", "wrong"}, {"dave", ldaptest.Password("dave")}, {"al*", ldaptest.Password("alice")}} {
		status, body := ask(try[0], try[1])
		if status != http.StatusBadRequest || body["error"] != "invalid_grant" {
			p.Errorf("%v: %d %v", try, status, body)
		}
		said = append(said, body["error_description"])
	}
	for _, text := range said {
		if text != said[0] {
			p.Errorf("the client learns who there is: %v", said)
		}
	}
	if status, body := ask("alice", ""); status != http.StatusBadRequest || body["error"] != "invalid_request" {
		p.Errorf("an empty password: %d %v", status, body)
	}
	if status, body := p.token(url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {ldaptest.Password("alice")}, "scope": {"openid"}}); status != http.StatusBadRequest || body["error"] != "unauthorized_client" {
		p.Errorf("a client that has not been told: %d %v", status, body)
	}
}

func certCORS(p *party) {
	const ours, theirs = "https://app.example.org", "https://evil.example"
	k := p.all("alice")
	allowed := func(g page) string { return g.Header.Get("Access-Control-Allow-Origin") }
	for _, path := range []string{"/oauth2/token", "/oauth2/userinfo", "/oauth2/revoke", "/oauth2/par"} {
		for origin, want := range map[string]string{ours: ours, theirs: "", "null": "", "https://app.example.org.evil.example": "", "http://app.example.org": ""} {
			g := stranger(p.T).send(http.MethodOptions, p.op.URL+path, "", "Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
			if allowed(g) != want || g.Header.Get("Access-Control-Allow-Credentials") != "" {
				p.Errorf("%s asked by %s: %d %v", path, origin, g.Status, g.Header)
			}
		}
	}
	for origin, want := range map[string]string{ours: ours, theirs: ""} {
		g := p.browser.send(http.MethodGet, p.op.URL+"/oauth2/userinfo", "", "Origin", origin, "Authorization", "Bearer "+k.access)
		if g.Status != http.StatusOK || allowed(g) != want || !strings.Contains(strings.Join(g.Header.Values("Vary"), " "), "Origin") {
			p.Errorf("userinfo of %s: %d %v", origin, g.Status, g.Header)
		}
	}
	for _, path := range []string{"/.well-known/openid-configuration", "/oauth2/jwks"} {
		if g := p.browser.send(http.MethodGet, p.op.URL+path, "", "Origin", theirs); allowed(g) != "*" {
			p.Errorf("%s: %v", path, g.Header)
		}
	}
	for _, path := range []string{"/oauth2/authorize?" + p.request("prompt", "none").Encode(), "/signin", "/device", "/signout", "/oauth2/introspect"} {
		if g := p.browser.send(http.MethodGet, p.op.URL+path, "", "Origin", ours); allowed(g) != "" {
			p.Errorf("%s is readable by scripts: %v", path, g.Header)
		}
	}
}

func certWebFinger(p *party) {
	const rel = "http://openid.net/specs/connect/1.0/issuer"
	ask := func(resource string) page {
		return p.browser.get(p.op.URL + "/.well-known/webfinger?" + url.Values{"resource": {resource}, "rel": {rel}}.Encode())
	}
	for _, resource := range []string{"acct:alice@example.org", "acct:nobody@example.org", "https://example.org/alice"} {
		g := ask(resource)
		if g.Status != http.StatusOK || g.Header.Get("Content-Type") != "application/jrd+json" || !strings.Contains(g.Body, `"href":"`+p.op.URL+`"`) || !strings.Contains(g.Body, rel) {
			p.Errorf("%s: %d %s", resource, g.Status, g.Body)
		}
	}
	for _, resource := range []string{"", "alice", "javascript:x", "acct:@", "acct:alice@"} {
		if g := ask(resource); g.Status != http.StatusBadRequest {
			p.Errorf("%q: %d", resource, g.Status)
		}
	}
}
