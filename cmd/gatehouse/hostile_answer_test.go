package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"gatehouse/config"
	"gatehouse/ldapstore/ldaptest"
)

// What is about a person is kept by nobody, framed by nobody, and says nothing to
// the site that is visited next.
func TestEveryPageIsProtectedAndKeptByNobody(t *testing.T) {
	t.Parallel()
	s := startSite(t, map[string]string{"clients.d/asker.yaml": asker})
	app, asks := s.application("openid", "offline_access"), s.application("openid", "email")
	asks.config.ClientID = "asker"
	p := stranger(t)
	signIn := p.get(app.address())
	answers := map[string]page{
		"sign-in": signIn, "wrong password": signIn.submit("username", "alice", "password", "x"), "a code": signIn.signIn("alice"),
		"consent": p.get(asks.address()), "sign-out": p.get(s.URL + "/signout"), "an unknown page": p.get(s.URL + "/nowhere"), "an unknown client": p.get(s.URL + "/oauth2/authorize?client_id=x"),
		"a wrong method": p.send(http.MethodDelete, s.URL+"/signin", ""), "an error to the application": p.get(app.address(oauth2.SetAuthURLParam("prompt", "none"), oauth2.SetAuthURLParam("scope", "x"))),
		"no token": p.get(s.URL + "/oauth2/userinfo"), "health": p.get(s.URL + "/healthz"), "HEAD": p.send(http.MethodHead, app.address(), ""),
	}
	token := app.tokens(answers["a code"])
	answers["userinfo"] = p.send(http.MethodGet, s.URL+"/oauth2/userinfo", "", "Authorization", "Bearer "+token.AccessToken)
	answers["tokens"] = s.refresh(token.RefreshToken)
	answers["introspection"] = p.post(s.URL+"/oauth2/introspect", url.Values{"token": {token.AccessToken}}, "app", appSecret)
	answers["a wrong secret"] = p.post(s.URL+"/oauth2/token", url.Values{"grant_type": {"client_credentials"}}, "app", "x")
	answers["signed out"] = answers["sign-out"].submit()
	for name, g := range answers {
		h := g.Header
		policy := h.Get("Content-Security-Policy")
		switch {
		case !strings.Contains(h.Get("Cache-Control"), "no-store"):
			t.Errorf("%s may be kept: %q", name, h.Get("Cache-Control"))
		case h.Get("X-Frame-Options") != "DENY" || !strings.Contains(policy, "frame-ancestors 'none'"):
			t.Errorf("%s may be framed: %q %q", name, h.Get("X-Frame-Options"), policy)
		case !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "base-uri 'none'") || strings.Contains(policy, "script-src") || strings.Contains(policy, "unsafe"):
			t.Errorf("%s: %q", name, policy)
		case h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") == "" || h.Get("Access-Control-Allow-Origin") != "":
			t.Errorf("%s: %v", name, h)
		case h.Get("Server") != "" || h.Get("X-Powered-By") != "":
			t.Errorf("%s tells what it runs on: %v", name, h)
		}
		for _, c := range h.Values("Set-Cookie") {
			if !strings.Contains(c, "; HttpOnly") || !strings.Contains(c, "; SameSite=Lax") || !strings.Contains(c, "; Path=/") || strings.Contains(c, "Domain") {
				t.Errorf("%s: the cookie %s", name, c)
			}
		}
	}
}

func TestCookiesOfAnHTTPSIssuerAreBoundToItsHost(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil, func(c *config.Config) {
		c.Issuer, c.TrustedProxies = "https://sso.example.org", []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	})
	// The site listens for plain HTTP, as behind a proxy: this is the proxy.
	jar := map[string]string{}
	send := func(method, path string, form url.Values) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
		r.RemoteAddr, r.Host = "127.0.0.1:1", "sso.example.org"
		r.Header.Set("X-Forwarded-Proto", "https")
		r.Header.Set("Content-Type", formType)
		for name, value := range jar {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		w := httptest.NewRecorder()
		s.house.web.Handler().ServeHTTP(w, r)
		for _, c := range w.Result().Cookies() {
			jar[c.Name] = c.Value
			if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode {
				t.Errorf("%+v", c)
			}
		}
		if !strings.HasPrefix(w.Header().Get("Strict-Transport-Security"), "max-age=31536000") {
			t.Errorf("%v", w.Header())
		}
		return w
	}
	address := "/oauth2/authorize?" + url.Values{
		"client_id": {"app"}, "redirect_uri": {appRedirect}, "response_type": {"code"}, "scope": {"openid"}, "code_challenge_method": {"S256"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(oauth2.GenerateVerifier())},
	}.Encode()
	w := send(http.MethodGet, address, nil)
	request := regexp.MustCompile(`name="request" value="([^"]+)"`).FindStringSubmatch(w.Body.String())
	if request == nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	w = send(http.MethodPost, "/signin", url.Values{"request": {request[1]}, "username": {"alice"}, "password": {ldaptest.Password("alice")}})
	if w.Code != http.StatusSeeOther || jar["__Host-gatehouse_session"] == "" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	// A cookie that a neighbour host or a plain connection could have set counts for nothing.
	jar = map[string]string{"gatehouse_session": jar["__Host-gatehouse_session"], "__Secure-gatehouse_session": jar["__Host-gatehouse_session"]}
	if w := send(http.MethodGet, address, nil); w.Code != http.StatusOK {
		t.Errorf("a cookie without the prefix was believed: %d", w.Code)
	}
}

// Everything that happens, at debug level, with everything secret that there is.
func TestTheLogHoldsNoSecretAndEachLineIsOneEvent(t *testing.T) {
	t.Parallel()
	s := startSite(t, map[string]string{
		"clients.d/asker.yaml":  asker,
		"clients.d/legacy.yaml": strings.Replace(clientYAML("legacy", "scopes: {everyone: [openid]}\n"), "sha256:", "sha256:", 1),
	})
	app := s.application("openid", "email", "offline_access")
	secrets := map[string]string{"the client's secret": appSecret, "the service account's password": s.LDAP.ServicePassword}
	p := newPerson(t)
	const forged = "\n{\"level\":\"INFO\",\"msg\":\"audit\",\"event\":\"sign_in\",\"subject\":\"forged\"}\r\n\x1b[2J"
	signIn := p.get(app.address(oauth2.SetAuthURLParam("login_hint", "hinted-zqx-name"+forged), oauth2.SetAuthURLParam("nonce", "nonce-zqx-secret")))
	_, fields := signIn.form()
	secrets["a sealed request"] = fields.Get("request")
	signIn.submit("username", "typed-zqx-name"+forged, "password", "password-zqx-typed"+forged)
	secrets["a typed name"], secrets["a typed password"], secrets["a hinted name"], secrets["a nonce"] = "typed-zqx-name", "password-zqx-typed", "hinted-zqx-name", "nonce-zqx-secret"
	g := signIn.signIn("alice")
	secrets["a code"], secrets["the right password"] = g.Location.Query().Get("code"), ldaptest.Password("alice")
	token := app.tokens(g)
	secrets["an access token"], secrets["a refresh token"], secrets["a verifier"] = token.AccessToken, token.RefreshToken, app.verifier
	secrets["an ID token"], _ = token.Extra("id_token").(string)
	secrets["a session"], secrets["a browser's id"] = p.cookie(s, "gatehouse_session"), p.cookie(s, "gatehouse_browser")
	app.userinfo(token)
	s.introspect(token.AccessToken)
	for _, path := range []string{"/oauth2/userinfo?access_token=" + token.AccessToken, "/oauth2/token?client_secret=" + appSecret, "/nowhere?code=" + secrets["a code"]} {
		newPerson(t).get(s.URL + path)
	}
	for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/userinfo", "/oauth2/revoke", "/oauth2/authorize", "/signin"} {
		stranger(t).post(s.URL+path, url.Values{"client_id": {"app"}, "client_secret": {appSecret + "x"}, "code": {secrets["a code"]}, "token": {token.RefreshToken}, "access_token": {token.AccessToken}, "password": {ldaptest.Password("alice")}}, "app"+forged, appSecret+forged)
		stranger(t).send(http.MethodPost, s.URL+path, "x=%zz"+token.AccessToken, "Content-Type", formType, "Authorization", "Bearer "+token.AccessToken, "User-Agent", "agent-zqx"+"\t{}")
		stranger(t).send("EVIL-ZQX", s.URL+path, "")
	}
	newPerson(t).get(s.URL + "/" + url.PathEscape("path"+forged))
	s.refresh(token.RefreshToken)
	s.refresh(token.RefreshToken + "x")
	used := s.refresh(token.RefreshToken)
	secrets["another refresh token"] = regexp.MustCompile(`ghr_[A-Za-z0-9_-]+|no token`).FindString(used.Body + "no token")
	p.get(s.URL + "/signout").submit()

	file, err := os.ReadFile(filepath.Join(s.Dir, "keys", "server.secret"))
	if err != nil {
		t.Fatal(err)
	}
	secrets["the server's secret"] = strings.TrimSpace(string(file))
	log := s.Log.String()
	for what, secret := range secrets {
		if len(secret) < 8 {
			t.Fatalf("%s is %q", what, secret)
		}
		for _, form := range []string{secret, url.QueryEscape(secret)} {
			if strings.Contains(log, form) {
				t.Errorf("the log holds %s", what)
			}
		}
	}
	for _, name := range []string{"Alice", "Adams", "alice@example.org", "uid=alice", "agent-zqx"} {
		if strings.Contains(log, name) {
			t.Errorf("the log holds %s", name)
		}
	}
	for line := range strings.Lines(log) {
		var event map[string]any
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("a line is not one event: %q", line)
		}
		if event["subject"] == "forged" || strings.ContainsRune(line, 0x1b) {
			t.Errorf("a line was forged: %s", line)
		}
	}
	for _, event := range []string{"sign_in", "sign_in_refused", "code_issued", "token_issued", "sign_out"} {
		if !strings.Contains(log, `"event":"`+event+`"`) {
			t.Errorf("no line tells of %s", event)
		}
	}
}
