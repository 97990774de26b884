package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"gatehouse/ldapstore/ldaptest"
)

// ownYAML is the file of a client with an issuer of its own.
func ownYAML(id, rest string) string {
	return clientYAML(id, "own_issuer: true\nscopes: {everyone: [openid, profile, email]}\n"+rest)
}

func (s *site) issuerOf(id string) string { return s.URL + "/oauth2/openid/" + id }

func (a *application) verify(issuer *application, token *oauth2.Token) error {
	raw, _ := token.Extra("id_token").(string)
	_, err := issuer.provider.Verifier(&goidc.Config{ClientID: a.config.ClientID, SupportedSigningAlgs: []string{"ES256", "RS256", "EdDSA"}}).Verify(context.Background(), raw)
	return err
}

func TestAClientWithAnIssuerOfItsOwn(t *testing.T) { // row D2
	t.Parallel()
	s := startSite(t, map[string]string{
		"clients.d/one.yaml": ownYAML("one", ""), "clients.d/two.yaml": ownYAML("two", "id_token_signed_response_alg: EdDSA\n"),
	})
	app, one, two := s.application("openid", "email"), s.applicationAt("one", s.issuerOf("one"), "openid", "email", "offline_access"), s.applicationAt("two", s.issuerOf("two"), "openid", "email")
	alice := newPerson(t)
	answered := alice.get(one.address()).signIn("alice")
	if iss := answered.Location.Query().Get("iss"); iss != s.issuerOf("one") { // RFC 9207
		t.Errorf("the answer comes from %s", iss)
	}
	ofOne := one.tokens(answered)
	if id := one.idToken(ofOne); id.Issuer != s.issuerOf("one") || id.Subject == "" {
		t.Errorf("%+v", id)
	}
	if info := one.userinfo(ofOne); info["email"] != "alice@example.org" {
		t.Errorf("%v", info)
	}
	// The sign-in is everybody's: no password is asked again.
	ofTwo, ofApp := two.tokens(alice.get(two.address())), app.tokens(alice.get(app.address()))

	for name, c := range map[string]struct {
		a, at *application
		token *oauth2.Token
	}{
		"one at two": {one, two, ofOne}, "two at one": {two, one, ofTwo}, "one at the server": {one, app, ofOne}, "the server at one": {app, one, ofApp},
	} {
		if err := c.a.verify(c.a, c.token); err != nil {
			t.Errorf("%s: its own keys: %v", name, err)
		}
		raw, _ := c.token.Extra("id_token").(string)
		keySet := goidc.NewRemoteKeySet(context.Background(), jwksURI(t, c.at))
		if _, err := keySet.VerifySignature(context.Background(), raw); err == nil {
			t.Errorf("%s: an ID token verifies with the other's keys", name)
		}
		if _, err := c.at.provider.UserInfo(context.Background(), oauth2.StaticTokenSource(c.token)); err == nil || !strings.Contains(err.Error(), "invalid_token") {
			t.Errorf("%s: userinfo says %v", name, err)
		}
	}
	if refreshed, err := one.config.TokenSource(context.Background(), &oauth2.Token{RefreshToken: ofOne.RefreshToken}).Token(); err != nil || one.idToken(refreshed).Issuer != s.issuerOf("one") {
		t.Errorf("refresh: %v", err)
	}
}

func jwksURI(t *testing.T, a *application) string {
	t.Helper()
	var document struct {
		JWKS string `json:"jwks_uri"`
	}
	if err := a.provider.Claims(&document); err != nil {
		t.Fatal(err)
	}
	return document.JWKS
}

func TestTheAddressesOfAClientsOwnIssuer(t *testing.T) {
	t.Parallel()
	s := startSite(t, map[string]string{"clients.d/one.yaml": ownYAML("one", "")})
	alice := newPerson(t)
	own := "/oauth2/openid/one"
	var first string
	for _, path := range []string{ // OpenID Connect Discovery 1.0, section 4; RFC 8414, section 3.1
		own + "/.well-known/openid-configuration", own + "/.well-known/oauth-authorization-server",
		"/.well-known/openid-configuration" + own, "/.well-known/oauth-authorization-server" + own,
	} {
		g := alice.get(s.URL + path)
		if first == "" {
			first = g.Body
		}
		if g.Status != http.StatusOK || g.Body != first || g.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %s", path, g.Status, g.Body)
		}
		if other := alice.get(s.URL + strings.Replace(path, "/one", "/app", 1)); other.Status != http.StatusNotFound {
			t.Errorf("%s of a client without an issuer: %d", path, other.Status)
		}
	}
	if stdout, _, _ := s.command("doctor"); !strings.Contains(stdout, "applications find their way: "+s.issuerOf("one")+"/.well-known/openid-configuration") {
		t.Errorf("the doctor does not look there:\n%s", stdout)
	}
	var document map[string]any
	if err := json.Unmarshal([]byte(first), &document); err != nil || document["issuer"] != s.issuerOf("one") {
		t.Errorf("%v %s", err, first)
	}
	if a, b := alice.get(s.issuerOf("one")+"/jwks"), alice.get(s.issuerOf("one")+"/public_key.jwk"); a.Status != http.StatusOK || a.Body != b.Body || strings.Contains(a.Body, `"d"`) {
		t.Errorf("%d %s\n%d %s", a.Status, a.Body, b.Status, b.Body)
	}
	for _, path := range []string{"/token", "/introspect", "/revoke", "/par"} {
		if g := alice.post(s.issuerOf("one")+path, url.Values{"token": {"x"}, "grant_type": {"client_credentials"}}, "app", appSecret); g.Status != http.StatusUnauthorized {
			t.Errorf("another client at %s: %d %s", path, g.Status, g.Body)
		}
		if g := alice.post(s.URL+"/oauth2"+path, url.Values{"token": {"x"}, "grant_type": {"client_credentials"}}, "one", appSecret); g.Status != http.StatusUnauthorized {
			t.Errorf("the client at the server's %s: %d %s", path, g.Status, g.Body)
		}
	}
	app, one := s.application("openid"), s.applicationAt("one", s.issuerOf("one"), "openid")
	app.config.Endpoint, one.config.Endpoint = one.config.Endpoint, app.config.Endpoint
	for name, a := range map[string]*application{"app": app, "one": one} {
		if g := alice.get(a.address()); g.Status != http.StatusBadRequest || g.Location != nil {
			t.Errorf("%s at the address of another issuer: %d %v", name, g.Status, g.Location)
		}
	}
	if !strings.Contains(s.Log.String(), "belongs to another issuer") {
		t.Error("the log doesn't say what is wrong")
	}
}

func TestACrossSitePOSTToAClientsOwnIssuerStaysThere(t *testing.T) {
	t.Parallel()
	s := startSite(t, map[string]string{"clients.d/one.yaml": ownYAML("one", "")})
	app, one := s.application("openid"), s.applicationAt("one", s.issuerOf("one"), "openid")
	post := func(to, of *application) page {
		u, err := url.Parse(of.address())
		if err != nil {
			t.Fatal(err)
		}
		// The browser has no cookie of ours, as if SameSite had kept them back.
		return newPerson(t).post(to.config.Endpoint.AuthURL, u.Query())
	}
	if g := post(one, one).signIn("alice"); g.Location == nil || g.Location.Query().Get("iss") != s.issuerOf("one") {
		t.Errorf("%d %v %s", g.Status, g.Location, g.Body)
	}
	for name, g := range map[string]page{"app": post(one, app), "one": post(app, one)} {
		if g.Status != http.StatusBadRequest {
			t.Errorf("%s at the address of another issuer: %d %s", name, g.Status, g.Body)
		}
	}
}

func TestAClientGetsItsIssuerWhileTheServerRuns(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	alice := newPerson(t)
	discovery := s.issuerOf("late") + "/.well-known/openid-configuration"
	if g := alice.get(discovery); g.Status != http.StatusNotFound {
		t.Fatalf("%d %s", g.Status, g.Body)
	}
	made := s.must("client", "create", "late", "Late", "https://late.example.org", "--own-issuer", "--implicit-scope", "openid")
	if !strings.Contains(made, discovery) {
		t.Errorf("the command names another discovery document:\n%s", made)
	}
	eventually(t, "the client has its issuer", func() bool { return alice.get(discovery).Status == http.StatusOK })
	if entries, err := os.ReadDir(filepath.Join(s.Dir, "keys", "clients", "late")); err != nil || len(entries) != 2 { // one of them the lock
		t.Errorf("its keys: %v %v", entries, err)
	}
	s.must("client", "set", "late", "own_issuer")
	eventually(t, "and loses it", func() bool { return alice.get(discovery).Status == http.StatusNotFound })
}

func TestWhatEndsOneClientsKeysAndTokensLeavesOthersAlone(t *testing.T) { // row L6
	t.Parallel()
	s := startSite(t, map[string]string{"clients.d/one.yaml": ownYAML("one", "id_token_signed_response_alg: RS256\n"), "clients.d/two.yaml": ownYAML("two", "")})
	scopes := []string{"openid", "offline_access"}
	alice := newPerson(t)
	app, two := s.application(scopes...), s.applicationAt("two", s.issuerOf("two"), scopes...)
	signIn := func(a *application) *oauth2.Token {
		g := alice.get(a.address())
		if g.Location == nil {
			g = g.signIn("alice")
		}
		return a.tokens(g)
	}
	ofApp, ofTwo := signIn(app), signIn(two)
	// A fresh application of the client, which has read its keys just now.
	one := func() *application { return s.applicationAt("one", s.issuerOf("one"), scopes...) }
	othersGoOn := func(after string) {
		t.Helper()
		for _, c := range []struct {
			a     *application
			token *oauth2.Token
		}{{app, ofApp}, {two, ofTwo}} {
			fresh := *c.a
			fresh.provider = s.applicationAt(c.a.config.ClientID, issuerIn(t, c.a)).provider
			if err := fresh.verify(&fresh, c.token); err != nil {
				t.Errorf("after %s: the ID token of %s: %v", after, c.a.config.ClientID, err)
			}
			fresh.userinfo(c.token)
			if _, err := fresh.config.TokenSource(context.Background(), &oauth2.Token{RefreshToken: c.token.RefreshToken}).Token(); after == "the end" && err != nil {
				t.Errorf("the refresh token of %s: %v", c.a.config.ClientID, err)
			}
		}
	}
	before := one()
	first := signIn(before)

	s.must("key", "rotate", "--client", "one", "--now")
	var second *oauth2.Token
	eventually(t, "the client's new key signs", func() bool {
		second = signIn(before)
		return rawKid(t, second) != rawKid(t, first)
	})
	if a := one(); a.verify(a, first) != nil || a.verify(a, second) != nil {
		t.Error("rotation ends what the old key has signed")
	}
	s.must("key", "retire", "--client", "one", "--now", rawKid(t, first))
	eventually(t, "the retired key's tokens are refused", func() bool { a := one(); return a.verify(a, first) != nil })
	if a := one(); a.verify(a, second) != nil {
		t.Error("retiring one key ends what another has signed")
	}
	othersGoOn("rotate and retire")

	if out := s.must("key", "rotate", "--client", "one", "--revoke"); !strings.Contains(out, "grants ended: ") || strings.Contains(out, "grants ended: 0") {
		t.Error(out)
	}
	if got := newPerson(t).bearer(s.issuerOf("one")+"/userinfo", second.AccessToken); got != http.StatusUnauthorized {
		t.Errorf("an access token after --revoke: %d", got)
	}
	eventually(t, "the revoked keys are gone", func() bool { a := one(); return a.verify(a, second) != nil })
	third := signIn(one())
	othersGoOn("rotate --revoke")

	secret := newSecretIn(s.must("client", "reset-secret", "one"))
	for name, got := range map[string]int{
		"the access token": newPerson(t).bearer(s.issuerOf("one")+"/userinfo", third.AccessToken),
		"the refresh token": newPerson(t).post(s.issuerOf("one")+"/token", url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {third.RefreshToken},
		}, "one", appSecret).Status,
	} {
		if got < 400 {
			t.Errorf("%s after reset-secret: %d", name, got)
		}
	}
	eventually(t, "the key has changed with the secret", func() bool { a := one(); return a.verify(a, third) != nil })
	eventually(t, "the new secret counts", func() bool {
		a := one()
		a.config.ClientSecret = secret
		token, err := a.config.Exchange(context.Background(), "no code")
		return token == nil && strings.Contains(err.Error(), "invalid_grant")
	})
	hinted := one()
	raw, _ := third.Extra("id_token").(string)
	if g := alice.get(hinted.address(oauth2.SetAuthURLParam("id_token_hint", raw))); g.Location == nil || g.Location.Query().Get("error") != "invalid_request" {
		t.Errorf("an ID token of the old key is taken for a hint: %d %v", g.Status, g.Location)
	}
	othersGoOn("the end")

	s.must("client", "remove", "one")
	if _, err := os.Stat(filepath.Join(s.Dir, "keys", "clients", "one")); !os.IsNotExist(err) {
		t.Errorf("the keys of a client that is removed: %v", err)
	}
}

func issuerIn(t *testing.T, a *application) string {
	t.Helper()
	var document struct {
		Issuer string `json:"issuer"`
	}
	if err := a.provider.Claims(&document); err != nil {
		t.Fatal(err)
	}
	return document.Issuer
}

func rawKid(t *testing.T, token *oauth2.Token) string {
	t.Helper()
	raw, _ := token.Extra("id_token").(string)
	return kidOf(t, raw)
}

// newSecretIn finds the secret in what a command has printed.
func newSecretIn(stdout string) string {
	for line := range strings.Lines(stdout) {
		if rest, found := strings.CutPrefix(line, "client secret "); found {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

func TestADeviceOfAClientWithAnIssuerOfItsOwn(t *testing.T) {
	t.Parallel()
	s := startSite(t, map[string]string{"clients.d/tv.yaml": strings.ReplaceAll(tvYAML, "%STAFF%", ldaptest.GroupDN("cn=staff")) + "own_issuer: true\n"})
	tv := s.applicationAt("tv", s.issuerOf("tv"), "openid")
	tv.config.ClientSecret = ""
	codes, err := tv.config.DeviceAuth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	newPerson(t).get(codes.VerificationURIComplete).submit().signIn("alice").submit("allow", "1")
	form := url.Values{"client_id": {"tv"}, "grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {codes.DeviceCode}}
	if g := newPerson(t).post(s.URL+"/oauth2/token", form); g.Status != http.StatusUnauthorized {
		t.Errorf("at the server's own address: %d %s", g.Status, g.Body)
	}
	token, err := tv.config.DeviceAccessToken(t.Context(), codes)
	if err != nil {
		t.Fatal(err)
	}
	if id := tv.idToken(token); id.Issuer != s.issuerOf("tv") {
		t.Errorf("the ID token is of %s", id.Issuer)
	}
}

func TestATokenByCommandIsOfTheClientsOwnIssuer(t *testing.T) { // row O1
	t.Parallel()
	s := startSite(t, map[string]string{"clients.d/one.yaml": ownYAML("one", "")})
	var made struct {
		Access string `json:"access_token"`
		ID     string `json:"id_token"`
	}
	if err := json.Unmarshal([]byte(s.must("token", "create", "--client", "one", "--user", "alice", "--id-token", "-o", "json")), &made); err != nil {
		t.Fatal(err)
	}
	one := s.applicationAt("one", s.issuerOf("one"), "openid")
	token := (&oauth2.Token{AccessToken: made.Access}).WithExtra(map[string]any{"id_token": made.ID})
	if err := one.verify(one, token); err != nil {
		t.Error(err)
	}
	one.userinfo(token)
	if got := newPerson(t).bearer(s.URL+"/oauth2/userinfo", made.Access); got != http.StatusUnauthorized {
		t.Errorf("at the server's own userinfo: %d", got)
	}
}

func TestNoPathLeadsFromOneIssuerToAnother(t *testing.T) {
	t.Parallel()
	s := startSite(t, map[string]string{"clients.d/one.yaml": ownYAML("one", ""), "clients.d/two.yaml": ownYAML("two", "")})
	app := s.application("openid")
	token := app.tokens(newPerson(t).get(app.address()).signIn("alice"))
	for _, path := range []string{
		"/oauth2/openid/one/userinfo", "/oauth2/openid/one%2F..%2Ftwo/userinfo", "/oauth2/openid//userinfo", "/oauth2/openid/./userinfo",
		"/oauth2/openid/../userinfo", "/oauth2/openid/%2e%2e/userinfo", "/oauth2/openid/one/../../userinfo", "/oauth2/openid/ONE/userinfo",
		"/oauth2/openid/one%00/userinfo", "/oauth2/openid/app/userinfo", "/oauth2/openid/%61pp/userinfo", "/oauth2/openid/one;two/userinfo",
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Opaque = path // letter by letter
		r.Header.Set("Authorization", "Bearer "+token.AccessToken)
		if g := newPerson(t).do(r); g.Status < 300 {
			t.Errorf("%s: %d %s", path, g.Status, g.Body)
		}
	}
}

// Whoever holds the old secret goes on asking for tokens while it is replaced: none
// that they got outlives it (row L6).
func TestNothingThatAnOldSecretBringsOutlivesIt(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	thief := newPerson(t)
	ask := func(secret string) (token string) {
		g := thief.post(s.URL+"/oauth2/token", url.Values{"grant_type": {"client_credentials"}}, "app", secret)
		var answer struct {
			Token string `json:"access_token"`
		}
		if err := json.Unmarshal([]byte(g.Body), &answer); err != nil {
			t.Fatalf("%d %s", g.Status, g.Body)
		}
		return answer.Token
	}
	var stolen []string
	if stolen = append(stolen, ask(appSecret)); stolen[0] == "" {
		t.Fatal("the client gets no token")
	}
	secret := newSecretIn(s.must("client", "reset-secret", "app"))
	eventually(t, "the old secret is refused", func() bool {
		token := ask(appSecret)
		if token != "" {
			stolen = append(stolen, token)
		}
		return token == ""
	})
	if len(stolen) < 2 {
		t.Skip("the server was faster than the thief")
	}
	active := func(token string) bool {
		g := thief.post(s.URL+"/oauth2/introspect", url.Values{"token": {token}}, "app", secret)
		return g.Status != http.StatusOK || strings.Contains(g.Body, "true")
	}
	for i, token := range stolen {
		eventually(t, fmt.Sprintf("token %d of %d is dead", i+1, len(stolen)), func() bool { return !active(token) })
	}
	mine := ask(secret)
	for range 2 { // as often as the server looks back
		s.house.reload(t.Context(), &tellOnce{})
	}
	if !active(mine) {
		t.Error("a token of the new secret is dead")
	}
}
