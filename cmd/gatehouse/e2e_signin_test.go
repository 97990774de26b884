package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"gatehouse/config"
	"gatehouse/ldapstore/ldaptest"
)

// application is a relying party made of the libraries that Go programs use.
type application struct {
	t        *testing.T
	provider *goidc.Provider
	config   oauth2.Config
	verifier string
}

func (s *site) application(scopes ...string) *application {
	s.t.Helper()
	return s.applicationAt("app", s.URL, scopes...)
}

// applicationAt is the client with this id, which knows the server by this issuer.
func (s *site) applicationAt(id, issuer string, scopes ...string) *application {
	s.t.Helper()
	provider, err := goidc.NewProvider(context.Background(), issuer)
	if err != nil {
		s.t.Fatal(err)
	}
	return &application{t: s.t, provider: provider, verifier: oauth2.GenerateVerifier(), config: oauth2.Config{
		ClientID: id, ClientSecret: appSecret, Endpoint: provider.Endpoint(), RedirectURL: appRedirect, Scopes: scopes,
	}}
}

// address is where the application sends the browser.
func (a *application) address(options ...oauth2.AuthCodeOption) string {
	return a.config.AuthCodeURL("the state", append(options, oauth2.S256ChallengeOption(a.verifier), goidc.Nonce("the nonce"))...)
}

// tokens takes the answer that the browser brought.
func (a *application) tokens(g page) *oauth2.Token {
	a.t.Helper()
	if g.Location == nil {
		a.t.Fatalf("the browser was not sent back to the application but shown %d: %s", g.Status, g.Body)
	}
	answer := g.Location.Query()
	if answer.Get("state") != "the state" || answer.Get("iss") == "" {
		a.t.Fatalf("the answer is %v", answer)
	}
	token, err := a.config.Exchange(context.Background(), answer.Get("code"), oauth2.VerifierOption(a.verifier))
	if err != nil {
		a.t.Fatalf("%v: %v", answer, err)
	}
	return token
}

func (a *application) idToken(token *oauth2.Token) *goidc.IDToken {
	a.t.Helper()
	raw, _ := token.Extra("id_token").(string)
	id, err := a.provider.Verifier(&goidc.Config{ClientID: a.config.ClientID}).Verify(context.Background(), raw)
	if err != nil {
		a.t.Fatal(err)
	}
	if err := id.VerifyAccessToken(token.AccessToken); err != nil {
		a.t.Fatal(err)
	}
	return id
}

func (a *application) userinfo(token *oauth2.Token) map[string]any {
	a.t.Helper()
	info, err := a.provider.UserInfo(context.Background(), oauth2.StaticTokenSource(token))
	if err != nil {
		a.t.Fatal(err)
	}
	var claims map[string]any
	if err := info.Claims(&claims); err != nil {
		a.t.Fatal(err)
	}
	return claims
}

func TestAPersonSignsInToAnApplicationWithTheirDirectoryAccount(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	app := s.application("openid", "profile", "email", "groups", "offline_access")
	alice := newPerson(t)
	token := app.tokens(alice.get(app.address()).signIn("alice"))
	id := app.idToken(token)
	if id.Subject != s.LDAP.Values(ldaptest.PersonDN("alice"), "entryUUID")[0] || id.Nonce != "the nonce" {
		t.Errorf("%+v", id)
	}
	info := app.userinfo(token)
	if info["sub"] != id.Subject || info["preferred_username"] != "alice" || info["given_name"] != "Alice" {
		t.Errorf("%v", info)
	}
	groups, _ := json.Marshal(info["groups"])
	for _, name := range []string{"staff", "developers", "engineering", "company"} { // row S2, and nesting
		if !strings.Contains(string(groups), `"`+name+`"`) {
			t.Errorf("groups without %s: %s", name, groups)
		}
	}
	// Row A1: the second time nobody types a password.
	if again := app.tokens(alice.get(app.address())); app.idToken(again).Subject != id.Subject {
		t.Error("the session belongs to somebody else")
	}
	// Row P13.
	source := app.config.TokenSource(context.Background(), &oauth2.Token{RefreshToken: token.RefreshToken})
	refreshed, err := source.Token()
	if err != nil || refreshed.RefreshToken == token.RefreshToken {
		t.Fatalf("%v %v", refreshed, err)
	}
	app.idToken(refreshed)
	// RS256 for a client that asks for it, picked up while the server runs: rows L1, P4.
	legacy := strings.ReplaceAll(appYAML, "client_id: app", "client_id: legacy") + "id_token_signed_response_alg: RS256\n"
	if err := os.WriteFile(filepath.Join(s.Dir, "clients.d", "legacy.yaml"), []byte(legacy), 0o600); err != nil {
		t.Fatal(err)
	}
	old := s.application("openid")
	old.config.ClientID = "legacy"
	eventually(t, "the new client is known", func() bool {
		return newPerson(t).get(old.address()).Status == http.StatusOK
	})
	token = old.tokens(newPerson(t).get(old.address()).signIn("bob"))
	raw, _ := token.Extra("id_token").(string)
	if _, err := old.provider.Verifier(&goidc.Config{ClientID: "legacy", SupportedSigningAlgs: []string{"RS256"}}).Verify(context.Background(), raw); err != nil {
		t.Error(err)
	}
}

// eventually waits for something that another part of the server does by itself.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestABrokenClientFileLeavesTheRunningServerAsItWas(t *testing.T) { // row L1
	t.Parallel()
	s := startSite(t, nil)
	file := filepath.Join(s.Dir, "clients.d", "app.yaml")
	if err := os.WriteFile(file, []byte(appYAML+"redirect_urls: [https://x.example]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the log names file, key and mend", func() bool {
		log := s.Log.String()
		return strings.Contains(log, "not reloaded") && strings.Contains(log, "app.yaml") && strings.Contains(log, "redirect_uris")
	})
	app := s.application("openid")
	app.tokens(newPerson(t).get(app.address()).signIn("alice"))
}

// Promise 1, row S9, on a real directory.
func TestARemovedGroupBitesOnTheNextRequest(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	app := s.application("openid", "email", "groups", "offline_access")
	token := app.tokens(newPerson(t).get(app.address()).signIn("bob"))
	if info := app.userinfo(token); info["email"] == nil {
		t.Fatalf("%v", info)
	}
	s.LDAP.RemoveMember(ldaptest.GroupDN("cn=staff"), ldaptest.PersonDN("bob"))
	if info := app.userinfo(token); info["email"] != nil || info["groups"] != nil || info["sub"] == nil {
		t.Errorf("userinfo still says %v", info)
	}
	if seen := s.introspect(token.AccessToken); seen["active"] != true || seen["scope"] != "openid offline_access" {
		t.Errorf("introspection still says %v", seen)
	}
	s.LDAP.AddMember(ldaptest.GroupDN("cn=staff"), ldaptest.PersonDN("bob"))
	if info := app.userinfo(token); info["email"] == nil {
		t.Errorf("back in the group: %v", info)
	}
	s.LDAP.Disable("bob")
	if seen := s.introspect(token.AccessToken); seen["active"] != false || len(seen) != 1 {
		t.Errorf("a disabled account: %v", seen)
	}
	if got := s.refresh(token.RefreshToken); got.Status != http.StatusBadRequest || !strings.Contains(got.Body, "invalid_grant") {
		t.Errorf("a disabled account refreshed: %d %s", got.Status, got.Body)
	}
	s.LDAP.Enable("bob")
	if got := s.refresh(token.RefreshToken); !strings.Contains(got.Body, "invalid_grant") {
		t.Errorf("a revoked family came back: %s", got.Body)
	}
}

func (s *site) introspect(token string) map[string]any {
	s.t.Helper()
	got := newPerson(s.t).post(s.URL+"/oauth2/introspect", url.Values{"token": {token}}, "app", appSecret)
	var body map[string]any
	if err := json.Unmarshal([]byte(got.Body), &body); err != nil {
		s.t.Fatalf("%d %s", got.Status, got.Body)
	}
	return body
}

func (s *site) refresh(token string) page {
	s.t.Helper()
	return newPerson(s.t).post(s.URL+"/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, "app", appSecret)
}

// Promise 2: the raw database files hold no attribute value of anybody.
func TestTheDatabaseHoldsNothingAboutPeople(t *testing.T) {
	t.Parallel()
	s := startSite(t, map[string]string{"clients.d/asks.yaml": strings.Replace(clientYAML("asks", "scopes: {everyone: [openid, profile, email, groups, phone, address]}\n"), "consent: none", "consent: remembered", 1)})
	app := s.application("openid", "profile", "email", "groups", "offline_access")
	asks := s.application("openid", "profile", "email", "phone", "address")
	asks.config.ClientID = "asks"
	// Everything about them is too long to turn up in a log by chance.
	people := []string{"wilhelmina", "maximilian"}
	for i, name := range []string{"Wittgenstein", "Müßiggänger"} {
		uid := people[i]
		s.LDAP.AddPerson(ldaptest.Person{UID: uid, GivenName: uid + " Theodor", Surname: name, More: map[string][]string{
			"telephoneNumber": {"+49 30 1234567" + strconv.Itoa(i)},
			"l":               {"Charlottenburg"},
			"postalCode":      {"D-10115 Berlin"},
			"postalAddress":   {"Straße 1 $ D-10115 Berlin"},
		}})
		s.LDAP.AddMember(ldaptest.GroupDN("cn=staff"), ldaptest.PersonDN(uid))
		s.LDAP.AddMember(ldaptest.GroupDN("cn=developers"), ldaptest.PersonDN(uid))
	}
	for _, uid := range people {
		p := newPerson(t)
		token := app.tokens(p.get(app.address(oauth2.SetAuthURLParam("login_hint", uid+"@example.org"),
			oauth2.SetAuthURLParam("claims", `{"userinfo":{"email":{"value":"`+uid+`@example.org"}}}`))).signIn(uid))
		app.userinfo(token)
		asks.tokens(p.get(asks.address()).submit("allow", "allow"))
		p.get(app.address(oauth2.SetAuthURLParam("prompt", "login"))).submit("username", uid, "password", "a wrong password for "+uid)
	}
	var raw []byte
	for _, name := range []string{"gatehouse.db", "gatehouse.db-wal", "gatehouse.db-shm"} {
		content, err := os.ReadFile(filepath.Join(s.Dir, name))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		raw = append(raw, content...)
	}
	raw = bytes.ToLower(raw)
	id := s.LDAP.Values(ldaptest.PersonDN(people[0]), "entryUUID")[0]
	if !bytes.Contains(raw, []byte(id)) {
		t.Fatal("the search does not even find the directory's ids")
	}
	log := strings.ToLower(s.Log.String())
	for _, uid := range people {
		for _, name := range []string{"uid", "cn", "sn", "givenName", "displayName", "mail", "telephoneNumber", "l", "postalCode", "postalAddress", "memberOf"} {
			for _, value := range s.LDAP.Values(ldaptest.PersonDN(uid), name) {
				value = strings.ToLower(value)
				if len(value) < 8 {
					t.Fatalf("%q is short enough to turn up by chance", value)
				}
				if bytes.Contains(raw, []byte(value)) {
					t.Errorf("the database holds %s of %s: %q", name, uid, value)
				}
				if strings.Contains(log, value) {
					t.Errorf("the log holds %s of %s: %q", name, uid, value)
				}
			}
		}
		for _, secret := range []string{ldaptest.Password(uid), "a wrong password for " + uid} {
			if bytes.Contains(raw, []byte(strings.ToLower(secret))) || strings.Contains(log, strings.ToLower(secret)) {
				t.Errorf("a password of %s is kept or logged", uid)
			}
		}
	}
	if bytes.Contains(raw, []byte("staff")) || bytes.Contains(raw, []byte("developers")) {
		t.Error("the database holds names of groups")
	}
	if strings.Contains(log, strings.ToLower(appSecret)) {
		t.Error("the log holds a client's secret")
	}
}

// Promise 3: a directory that cannot tell costs nothing, and nobody waits long.
func TestAFrozenDirectoryLosesNothing(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	app := s.application("openid", "email", "offline_access")
	alice := newPerson(t)
	token := app.tokens(alice.get(app.address()).signIn("alice"))
	code := alice.get(app.address()).Location.Query().Get("code")
	exchange := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {appRedirect}, "code_verifier": {app.verifier}}
	signInPage := newPerson(t).get(app.address())

	s.LDAP.Pause()
	start := time.Now()
	if got := s.refresh(token.RefreshToken); got.Status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" || time.Since(start) > 4*time.Second {
		t.Errorf("refresh: %d after %v: %s", got.Status, time.Since(start), got.Body)
	}
	if got := newPerson(t).post(s.URL+"/oauth2/token", exchange, "app", appSecret); got.Status != http.StatusServiceUnavailable {
		t.Errorf("code: %d %s", got.Status, got.Body)
	}
	if got := alice.get(app.address()); got.Status != http.StatusServiceUnavailable || got.Location != nil || !strings.Contains(got.Body, "<h1") {
		t.Errorf("the person sees %d %s", got.Status, got.Body)
	}
	if got := signInPage.signIn("alice"); got.Status != http.StatusServiceUnavailable {
		t.Errorf("sign-in: %d %s", got.Status, got.Body)
	}
	s.LDAP.Resume()

	eventually(t, "the directory is back", func() bool {
		return s.refresh("unknown").Status == http.StatusBadRequest && s.house.directory.Ping(context.Background()) == nil
	})
	if got := s.refresh(token.RefreshToken); got.Status != http.StatusOK {
		t.Errorf("the refresh token was lost: %d %s", got.Status, got.Body)
	}
	if got := newPerson(t).post(s.URL+"/oauth2/token", exchange, "app", appSecret); got.Status != http.StatusOK {
		t.Errorf("the code was lost: %d %s", got.Status, got.Body)
	}
	app.tokens(signInPage.signIn("alice"))
}

// Promise 5, row A7: a password try is one bind, and our limit is below the
// directory's own lock-out of five.
func TestGuessesHereNeverLockTheAccountThere(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	app := s.application("openid")
	g := newPerson(t).get(app.address())
	if got := g.submit("username", "bob", "password", "wrong"); got.Status != http.StatusUnprocessableEntity {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	if n := len(s.LDAP.Values(ldaptest.PersonDN("bob"), "pwdFailureTime")); n != 1 {
		t.Errorf("one wrong password was counted %d times", n)
	}
	unknown := g.submit("username", "nobody-at-all", "password", "wrong")
	known := g.submit("username", "bob", "password", "wrong again")
	blank := func(p page, name string) string {
		_, fields := p.form()
		return strings.ReplaceAll(strings.ReplaceAll(p.Body, fields.Get("request"), ""), name, "")
	}
	if unknown.Status != known.Status || blank(unknown, "nobody-at-all") != blank(known, "bob") {
		t.Error("the page tells an unknown name from a wrong password")
	}
	for range 50 {
		g.submit("username", "bob", "password", "wrong")
	}
	if len(s.LDAP.Values(ldaptest.PersonDN("bob"), "pwdAccountLockedTime")) > 0 {
		t.Error("50 wrong passwords here locked the account there")
	}
	if got := g.signIn("bob"); got.Status != http.StatusTooManyRequests {
		t.Errorf("%d", got.Status)
	}
	app.tokens(newPerson(t).get(app.address()).signIn("carol")) // the same network, another person
}

func TestRefusalsAtSignInAreSaidPlainlyAndAudited(t *testing.T) { // row A6
	t.Parallel()
	s := startSite(t, nil)
	app := s.application("openid")
	for uid, reason := range map[string]string{"erin": "password_expired", "frank": "must_change", "judy": "account_expired"} {
		got := newPerson(t).get(app.address()).signIn(uid)
		if got.Location != nil || !strings.Contains(s.Log.String(), `"reason":"`+reason+`"`) {
			t.Errorf("%s: %d, and the log has no %s", uid, got.Status, reason)
		}
		wrong := newPerson(t).get(app.address()).submit("username", uid, "password", "wrong")
		if got.Body == wrong.Body {
			t.Errorf("%s is told nothing", uid)
		}
	}
	if got := newPerson(t).get(app.address()).signIn("dave"); got.Location != nil {
		t.Error("a disabled account signed in")
	}
	got := newPerson(t).get(app.address()).submit("username", "alice", "password", "")
	if got.Location != nil || len(s.LDAP.Values(ldaptest.PersonDN("alice"), "pwdFailureTime")) > 0 {
		t.Error("an empty password reached the directory, or worse")
	}
}

func TestWhoLacksAScopeIsRefusedWithItsName(t *testing.T) { // rows S3, S4
	t.Parallel()
	s := startSite(t, nil)
	app := s.application("openid", "email")
	got := newPerson(t).get(app.address()).signIn("jörg") // not in staff
	if got.Location == nil || got.Location.Query().Get("error") != "access_denied" || !strings.Contains(got.Location.Query().Get("error_description"), "email") {
		t.Errorf("%d %v %s", got.Status, got.Location, got.Body)
	}
}

func TestAnAuthorisationRequestByCrossSitePOSTFindsTheSession(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	app := s.application("openid")
	alice := newPerson(t)
	app.tokens(alice.get(app.address()).signIn("alice"))
	address, err := url.Parse(app.address())
	if err != nil {
		t.Fatal(err)
	}
	// The browser posts without our SameSite cookies, then follows with them.
	stranger := newPerson(t)
	stranger.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	posted := stranger.post(s.URL+"/oauth2/authorize", address.Query())
	if posted.Location == nil {
		t.Fatalf("%d %s", posted.Status, posted.Body)
	}
	app.tokens(alice.get(posted.Location.String()))
}

func TestAClaimOfTheOperatorsOwnReachesTheApplication(t *testing.T) { // row C6
	t.Parallel()
	s := startSite(t, map[string]string{"clients.d/cloud.yaml": clientYAML("cloud", "scopes: {everyone: [openid, storage]}\n")}, func(cfg *config.Config) {
		cfg.CustomClaims = map[string]config.CustomClaim{"quota": {Attributes: []string{"roomNumber"}, Type: "number", Scope: "storage"}}
	})
	s.LDAP.Modify(ldaptest.PersonDN("alice"), "roomNumber", "5368709120")
	cloud := s.application("openid", "storage")
	cloud.config.ClientID = "cloud"
	info := cloud.userinfo(cloud.tokens(newPerson(t).get(cloud.address()).signIn("alice")))
	if info["quota"] != 5368709120.0 {
		t.Errorf("%v", info)
	}
}
