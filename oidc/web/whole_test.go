package web

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/claims"
	"gatehouse/oidc/keys"
	"gatehouse/oidc/oidctest"
	"gatehouse/oidc/provider"
)

const testVerifier = "dBjftJeZ4CVP-mBUhX0lOf7iuN0ZU8ZPUlkE1LfuMbE"

type someClients map[string]*oidc.Client

func (s someClients) Client(id string) (*oidc.Client, error) {
	if c, ok := s[id]; ok {
		return c, nil
	}
	return nil, oidc.ErrNotFound
}

type plainSecrets struct{}

func (plainSecrets) VerifySecret(_ context.Context, c *oidc.Client, secret string) (bool, error) {
	return secret == "secret-of-"+c.ID, nil
}

// newWholeHouse is the house with the real provider and real keys.
func newWholeHouse(t *testing.T) (*house, *oidctest.Directory) {
	t.Helper()
	people := &oidctest.Directory{}
	people.Add(oidc.User{ID: "uuid-ada", Username: "ada", Attributes: map[string][]string{"cn": {"Ada A."}}}, "right-ada")
	people.Add(oidc.User{ID: "uuid-ben", Username: "ben", Attributes: map[string][]string{"cn": {"Ben B."}}}, "right-ben")
	return newHouse(t, func(o *Options) {
		ring, err := keys.Open(filepath.Join(t.TempDir(), "keys"), o.Now)
		if err != nil {
			t.Fatal(err)
		}
		set := someClients{}
		for id, consent := range map[string]oidc.Consent{"app": oidc.ConsentNone, "asker": oidc.ConsentExplicit, "rememberer": oidc.ConsentRemembered} {
			set[id] = &oidc.Client{
				ID: id, Name: "The application", SecretHash: "sha256:x", RedirectURIs: []string{"https://app.example.com/cb"},
				GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"},
				TokenEndpointAuthMethod: "client_secret_basic", Consent: consent, RequirePKCE: true, OnMissingScope: oidc.MissingRefuse,
				Scopes: oidc.ScopeMaps{Everyone: []string{"openid", "profile"}}, SubjectType: "public", IDTokenSignedResponseAlg: "ES256",
			}
		}
		set["tv"] = &oidc.Client{
			ID: "tv", Name: "The television", GrantTypes: []string{"urn:ietf:params:oauth:grant-type:device_code"}, ResponseTypes: []string{"code"},
			TokenEndpointAuthMethod: "none", Consent: oidc.ConsentNone, RequirePKCE: true, OnMissingScope: oidc.MissingRefuse,
			Scopes: oidc.ScopeMaps{Everyone: []string{"openid", "profile"}}, SubjectType: "public", IDTokenSignedResponseAlg: "ES256",
		}
		p, err := provider.New(provider.Options{
			Issuer: o.Issuer, Clients: set, Secrets: plainSecrets{}, Directory: people, Store: storeOf(t, o), Keys: ring,
			Claims: claims.DefaultTable(), PairwiseSalt: ring.Derive("pairwise", 32), Derive: ring.Derive, Log: o.Log, Now: o.Now,
			Lifespans: oidc.Lifespans{Code: time.Minute, Access: time.Hour, ID: time.Hour, Refresh: 24 * time.Hour},
		})
		if err != nil {
			t.Fatal(err)
		}
		o.Provider, o.Directory, o.Derive = p, people, ring.Derive
		o.Endpoints = Endpoints{
			Token: p.Token(), PushedAuthorization: p.PushedAuthorization(), DeviceAuthorization: p.DeviceAuthorization(), UserInfo: p.UserInfo(), Introspection: p.Introspection(), Revocation: p.Revocation(),
			JWKS: p.JWKS(), Discovery: p.Discovery(),
		}
	}), people
}

// storeOf returns the store that newHouse has opened.
func storeOf(t *testing.T, o *Options) provider.Store {
	t.Helper()
	s, ok := o.Sessions.(provider.Store)
	if !ok {
		t.Fatal("the store of sessions is not the whole store")
	}
	return s
}

func wholeForm(client string, more ...string) url.Values {
	sum := sha256.Sum256([]byte(testVerifier))
	more = append([]string{"code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]), "code_challenge_method", "S256", "nonce", "a-nonce-of-some-length"}, more...)
	return authorizeForm(client, more...)
}

func wholeURL(client string, more ...string) string {
	return "/oauth2/authorize?" + wholeForm(client, more...).Encode()
}

// redeem exchanges the code that v carries and returns the ID token's claims and
// the access token.
func (b *browser) redeem(client string, v view) (claims map[string]any, access string) {
	b.t.Helper()
	wantStatus(b.t, v, http.StatusSeeOther)
	u, err := url.Parse(v.location())
	if err != nil || u.Query().Get("code") == "" {
		b.t.Fatalf("no code in %q", v.location())
	}
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {u.Query().Get("code")}, "redirect_uri": {"https://app.example.com/cb"}, "code_verifier": {testVerifier},
	}
	r := httptest.NewRequest(http.MethodPost, "/oauth2/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", formType)
	r.SetBasicAuth(client, "secret-of-"+client)
	answer := b.do(r, false)
	wantStatus(b.t, answer, http.StatusOK)
	var tokens struct {
		ID     string `json:"id_token"`
		Access string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(answer.body), &tokens); err != nil {
		b.t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(tokens.ID+"..", ".")[1])
	if err != nil {
		b.t.Fatal(err)
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		b.t.Fatalf("%s: %v", payload, err)
	}
	return claims, tokens.Access
}

func TestTheRealProviderGoesFromSignInToUserInfo(t *testing.T) {
	t.Parallel()
	h, people := newWholeHouse(t)
	b := h.browser()
	page := b.get(wholeURL("app"))
	wantStatus(t, page, http.StatusOK)
	got, access := b.redeem("app", b.fill(page, "ada", "right-ada"))
	if got["sub"] != "uuid-ada" || got["auth_time"] != float64(h.clock.Now().Unix()) || got["sid"] == "" {
		t.Errorf("the ID token says %v", got)
	}
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodHead} {
		r := httptest.NewRequest(method, "/oauth2/userinfo", nil)
		r.Header.Set("Authorization", "Bearer "+access)
		info := b.do(r, false)
		wantStatus(t, info, http.StatusOK)
		wantText(t, info, `"sub":"uuid-ada"`)
		if info.header.Get("Cache-Control") != "no-store" {
			t.Errorf("userinfo may be kept: %v", info.header)
		}
	}
	h.clock.Advance(time.Minute)
	again, _ := b.redeem("app", b.get(wholeURL("app", "prompt", "none")))
	if again["auth_time"] != got["auth_time"] || again["sid"] != got["sid"] || people.Binds() != 1 {
		t.Errorf("the second ID token says %v after %d binds", again, people.Binds())
	}
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/oauth2/jwks"} {
		doc := b.get(path)
		wantStatus(t, doc, http.StatusOK)
		if !strings.Contains(doc.header.Get("Cache-Control"), "public") {
			t.Errorf("%s cannot be kept", path)
		}
	}
}

func TestTheRealProviderAsksForConsentOnceWhereItIsRemembered(t *testing.T) {
	t.Parallel()
	h, people := newWholeHouse(t)
	for client, askedAgain := range map[string]bool{"rememberer": false, "asker": true} {
		b := h.browser()
		sent := b.fill(b.get(wholeURL(client)), "ada", "right-ada")
		wantStatus(t, sent, http.StatusSeeOther)
		page := b.get(sent.location())
		wantText(t, page, "Ada A.")
		b.redeem(client, b.post("/consent", url.Values{"request": {page.request(t)}, "allow": {"1"}}))
		if asked := b.get(wholeURL(client)).status == http.StatusOK; asked != askedAgain {
			t.Errorf("%s asks again: %v", client, asked)
		}
	}
	// The directory is away just as the person allows.
	b := h.browser()
	page := b.get(b.fill(b.get(wholeURL("asker")), "ada", "right-ada").location())
	people.SetDown(true)
	sent := b.post("/consent", url.Values{"request": {page.request(t)}, "allow": {"1"}})
	wantStatus(t, sent, http.StatusSeeOther)
	wantStatus(t, b.get(sent.location()), http.StatusServiceUnavailable)
	wantStatus(t, b.get(wholeURL("app")), http.StatusServiceUnavailable)
	people.SetDown(false)
	wantText(t, b.get(sent.location()), `name="allow"`)
}

func TestTheRealProviderSignsInAnewWhenAsked(t *testing.T) {
	t.Parallel()
	h, _ := newWholeHouse(t)
	b := h.browser()
	b.redeem("app", b.fill(b.get(wholeURL("app")), "ada", "right-ada"))
	for _, ask := range [][2]string{{"prompt", "login"}, {"max_age", "0"}, {"prompt", "select_account"}} {
		h.clock.Advance(time.Minute)
		start := h.clock.Now()
		// Once by address, once by a form from another site.
		for _, page := range []view{b.get(wholeURL("app", ask[:]...)), b.get(b.postFrom("https://app.example.com", "/oauth2/authorize", wholeForm("app", ask[:]...)).location())} {
			wantStatus(t, page, http.StatusOK)
			wantText(t, page, `name="password"`)
			h.clock.Advance(time.Minute)
			got, _ := b.redeem("app", b.fill(page, "ada", "right-ada"))
			if at := int64(got["auth_time"].(float64)); at < start.Unix() {
				t.Errorf("%v: auth_time %d is before the request at %d", ask, at, start.Unix())
			}
			h.clock.Advance(time.Minute)
		}
	}
	// With consent: signed in for this request, and not asked a second time.
	h.clock.Advance(time.Minute)
	page := b.get(wholeURL("asker", "prompt", "login"))
	h.clock.Advance(time.Minute)
	consent := b.get(b.fill(page, "ada", "right-ada").location())
	b.redeem("asker", b.post("/consent", url.Values{"request": {consent.request(t)}, "allow": {"1"}}))

	// The application wants somebody else: who signs in rightly is told that it doesn't do.
	page = b.get(wholeURL("app", "claims", `{"id_token":{"sub":{"value":"uuid-ben"}}}`))
	wantStatus(t, page, http.StatusOK)
	page = b.fill(page, "ada", "right-ada")
	wantStatus(t, page, http.StatusUnprocessableEntity)
	if got, _ := b.redeem("app", b.fill(page, "ben", "right-ben")); got["sub"] != "uuid-ben" {
		t.Errorf("the ID token says %v", got)
	}
}

func TestTheRealProviderSignsOutWhoIsGoneOrDisabled(t *testing.T) {
	t.Parallel()
	h, people := newWholeHouse(t)
	ada, ben := h.browser(), h.browser()
	ada.redeem("app", ada.fill(ada.get(wholeURL("app")), "ada", "right-ada"))
	ben.redeem("app", ben.fill(ben.get(wholeURL("app")), "ben", "right-ben"))
	people.Remove("uuid-ada")
	people.Change("uuid-ben", func(u *oidc.User) { u.State = oidc.StateDisabled })
	for _, b := range []*browser{ada, ben} {
		page := b.get(wholeURL("app"))
		wantStatus(t, page, http.StatusOK)
		wantText(t, page, `name="password"`)
		if _, kept := b.cookies[sessionCookie]; kept {
			t.Error("the session is kept")
		}
	}
}

func TestRequestsThatTheRealProviderRefusesGoWhereTheyMay(t *testing.T) {
	t.Parallel()
	h, _ := newWholeHouse(t)
	b := h.browser()
	for path, want := range map[string]string{
		wholeURL("app", "prompt", "none"):         "error=login_required",
		wholeURL("app", "scope", "openid secret"): "", // asked first, refused after the sign-in
		wholeURL("app", "code_challenge", ""):     "error=invalid_request",
		wholeURL("app", "response_type", "token"): "error=un",
	} {
		v := b.get(path)
		if want == "" {
			v = b.fill(v, "ada", "right-ada")
			want = "error=access_denied"
		}
		wantStatus(t, v, http.StatusSeeOther)
		// In the fragment where tokens were asked for there.
		to, _, _ := strings.Cut(strings.Replace(v.location(), "#", "?", 1), "?")
		if to != "https://app.example.com/cb" || !strings.Contains(v.location(), want) || !strings.Contains(v.location(), "state=some-state") {
			t.Errorf("%s: sent to %q, want %s", path, v.location(), want)
		}
		clear(b.cookies)
	}
	for _, path := range []string{
		wholeURL("nobody"), wholeURL("app", "redirect_uri", "https://app.example.com/cb2"), wholeURL("app", "redirect_uri", ""),
		"/oauth2/authorize", "/oauth2/authorize?client_id=app&client_id=app2",
	} {
		wantStatus(t, b.get(path), http.StatusBadRequest)
	}
}

func TestNoPasswordAndNoAttributeIsLogged(t *testing.T) {
	t.Parallel()
	h, people := newWholeHouse(t)
	people.Change("uuid-ada", func(u *oidc.User) {
		u.Attributes = map[string][]string{"cn": {"Unmistakable Name"}, "mail": {"u@example.org"}}
	})
	b := h.browser()
	page := b.get(wholeURL("asker", "login_hint", "hinted-name"))
	b.fill(page, "right-ada", "ada") // the fields mixed up
	consent := b.get(b.fill(page, "ada", "right-ada").location())
	b.redeem("asker", b.post("/consent", url.Values{"request": {consent.request(t)}, "allow": {"1"}}))
	logs := h.logs.String()
	for _, secret := range []string{"right-ada", "Unmistakable", "u@example.org", "hinted-name", "some-state", b.cookies[sessionCookie], "request=" + page.request(t)} {
		if strings.Contains(logs, secret) {
			t.Errorf("the log holds %q:\n%s", secret, logs)
		}
	}
}
