package provider_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/provider"
)

// RFC 6749, sections 3.1.2.4 and 4.1.2.1: what may lead anywhere is shown on a
// page of ours.
func TestABrowserIsNeverSentToAnUnregisteredAddress(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.addClient("native", func(c *oidc.Client) {
		c.RedirectURIs = []string{"http://127.0.0.1/cb", "https://app.example.org/cb?tenant=1"}
	})
	for uri, good := range map[string]bool{
		redirect:                                true,
		"https://app.example.org/cb/":           false,
		"https://app.example.org/CB":            false,
		"https://app.example.org/cb?x=1":        false,
		"https://app.example.org/cb#f":          false,
		"https://app.example.org:443/cb":        false,
		"https://app.example.org@evil.org/cb":   false,
		"https://app.example.org/cb/../evil":    false,
		"https://app.example.org/%63b":          false,
		"http://app.example.org/cb":             false,
		"//app.example.org/cb":                  false,
		"https://app.example.org.evil.org/cb":   false,
		"javascript:alert(1)":                   false,
		"https://app.example.org/cb\\@evil.org": false,
	} {
		a, response, err := h.begin(request("redirect_uri", uri))
		if good && (a == nil || err != nil) {
			t.Errorf("%s was refused: %v", uri, err)
		}
		if !good && (!isPage(err, provider.PageRedirectMismatch) || response != nil) {
			t.Errorf("%s: %v, %v", uri, response, err)
		}
	}
	for uri, good := range map[string]bool{ // RFC 8252, section 7.3
		"http://127.0.0.1/cb":                 true,
		"http://127.0.0.1:51004/cb":           true,
		"https://127.0.0.1:51004/cb":          false,
		"http://localhost:51004/cb":           false,
		"http://127.0.0.2:51004/cb":           false,
		"http://[::1]:51004/cb":               false,
		"http://127.0.0.1:51004/cb2":          false,
		"http://127.0.0.1:51004/cb?x=1":       false,
		"http://a@127.0.0.1:51004/cb":         false,
		"http://127.0.0.1:51004/cb#f":         false,
		"https://app.example.org/cb?tenant=1": true,
		"https://app.example.org/cb":          false,
	} {
		if a, _, err := h.begin(request("client_id", "native", "redirect_uri", uri)); (a != nil) != good {
			t.Errorf("native %s: %v", uri, err)
		}
	}
	if _, _, err := h.begin(request("client_id", "nobody")); !isPage(err, provider.PageUnknownClient) {
		t.Errorf("an unknown client: %v", err)
	}
	if _, _, err := h.begin(request("redirect_uri", "")); !isPage(err, provider.PageInvalidRequest) {
		t.Errorf("no redirect_uri: %v", err)
	}
}

func TestEachFaultOfARequestGetsTheCodeOfItsRFC(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.addClient("public", func(c *oidc.Client) { c.TokenEndpointAuthMethod, c.RequirePKCE = "none", false })
	h.addClient("machine", func(c *oidc.Client) { c.GrantTypes = []string{"client_credentials"} })
	for name, c := range map[string]struct {
		change []string
		code   string
	}{
		"no response type (RFC 6749, 4.1.2.1)":               {[]string{"response_type", ""}, "invalid_request"},
		"implicit (RFC 6749, 4.1.2.1)":                       {[]string{"response_type", "token"}, "unauthorized_client"},
		"hybrid":                                             {[]string{"response_type", "code id_token"}, "unauthorized_client"},
		"response mode":                                      {[]string{"response_mode", "web_message"}, "unsupported_response_mode"},
		"no scope":                                           {[]string{"scope", ""}, "invalid_scope"},
		"scope with a quote (RFC 6749, 3.3)":                 {[]string{"scope", `openid "x"`}, "invalid_scope"},
		"no challenge (RFC 7636, 4.4.1)":                     {[]string{"code_challenge", "", "code_challenge_method", ""}, "invalid_request"},
		"plain (RFC 9700, 2.1.1)":                            {[]string{"code_challenge_method", "plain"}, "invalid_request"},
		"method left out, which means plain":                 {[]string{"code_challenge_method", ""}, "invalid_request"},
		"challenge too short":                                {[]string{"code_challenge", "abc"}, "invalid_request"},
		"method without challenge":                           {[]string{"code_challenge", ""}, "invalid_request"},
		"public client without PKCE, whatever its file says": {[]string{"client_id", "public", "code_challenge", "", "code_challenge_method", ""}, "invalid_request"},
		"grant type not registered":                          {[]string{"client_id", "machine"}, "unauthorized_client"},
		"unknown prompt":                                     {[]string{"prompt", "create"}, "invalid_request"},
		"prompt none with login":                             {[]string{"prompt", "none login"}, "invalid_request"},
		"max_age no number":                                  {[]string{"max_age", "soon"}, "invalid_request"},
		"max_age negative":                                   {[]string{"max_age", "-1"}, "invalid_request"},
		"claims no JSON":                                     {[]string{"claims", "{"}, "invalid_request"},
		"claims with two subjects":                           {[]string{"claims", `{"id_token":{"sub":{"value":"a"}},"userinfo":{"sub":{"value":"b"}}}`}, "invalid_request"},
		"id_token_hint no token":                             {[]string{"id_token_hint", "x.y.z"}, "invalid_request"},
		"request object (OIDC Core, 3.1.2.6)":                {[]string{"request", "x"}, "invalid_request_object"},
		"request_uri":                                        {[]string{"request_uri", "https://x"}, "request_uri_not_supported"},
		"registration":                                       {[]string{"registration", "{}"}, "registration_not_supported"},
		"too long":                                           {[]string{"state", strings.Repeat("x", 9000)}, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, response, err := h.begin(request(c.change...))
			if err != nil || response == nil {
				t.Fatalf("no answer to the client: %v", err)
			}
			if !strings.HasPrefix(response.Location, redirect) {
				t.Fatalf("sent to %s", response.Location)
			}
			got := parametersOf(t, response)
			if got.Get("error") != c.code || got.Get("iss") != issuer {
				t.Errorf("%v; want %s", got, c.code)
			}
			if got.Get("state") == "" {
				t.Error("state is lost")
			}
			for name := range got {
				if !slices.Contains([]string{"error", "error_description", "state", "iss"}, name) {
					t.Errorf("a parameter that no RFC knows: %s", name)
				}
			}
			for _, b := range []byte(got.Get("error_description")) { // RFC 6749, section 4.1.2.1
				if b < 0x20 || b > 0x7E || b == '"' || b == '\\' {
					t.Errorf("a byte that error_description may not have: %q", b)
				}
			}
		})
	}
}

func TestAParameterGivenTwiceIsRefused(t *testing.T) { // RFC 6749, section 3.1
	t.Parallel()
	h := newHouse(t)
	form := request()
	form["nonce"] = []string{"a", "b"}
	if got := h.answer(h.next(form, provider.Visitor{})); got.Get("error") != "invalid_request" {
		t.Error(got)
	}
	form = request("unknown", "x")
	form["unknown"] = []string{"x", "y"}
	if step := h.next(form, provider.Visitor{}); step.SignIn == nil {
		t.Errorf("unknown parameters are not ignored: %+v", step)
	}
}

func TestAuthorizeWorksByPOSTAndThenReadsTheBodyOnly(t *testing.T) { // OpenID Connect Core 1.0, section 3.1.2.1
	t.Parallel()
	h := newHouse(t)
	r := httptest.NewRequest(http.MethodPost, "/oauth2/authorize?nonce=from-the-query", strings.NewReader(request().Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	a, _, err := h.provider.Begin(r)
	if err != nil || a.Form.Get("nonce") != "n-0S6_WzA2Mj" {
		t.Fatalf("%v %v", a, err)
	}
}

func TestStateIsReturnedAsItCameAndMayBeMissing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, state := range []string{"", "a", "ü &=+%20\"<>"} {
		got := h.answer(h.next(request("state", state), h.signedIn("uuid-alice", 0)))
		if got.Get("code") == "" || got.Get("state") != state || got.Has("state") != (state != "") || got.Get("iss") != issuer {
			t.Errorf("state %q: %v", state, got)
		}
		if got.Has("scope") {
			t.Error("the code's answer has a scope parameter that nobody asked for")
		}
	}
}

func TestARedirectURIKeepsItsOwnQuery(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	uri := "https://app.example.org/cb?b=2&a=%7e"
	h.addClient("query", func(c *oidc.Client) { c.RedirectURIs = []string{uri} })
	step := h.next(request("client_id", "query", "redirect_uri", uri), h.signedIn("uuid-alice", 0))
	if step.Response == nil || !strings.HasPrefix(step.Response.Location, uri+"&") {
		t.Fatalf("%+v", step)
	}
}

func TestPromptAndMaxAgeDecideAboutTheSession(t *testing.T) { // OpenID Connect Core 1.0, section 3.1.2.1
	t.Parallel()
	h := newHouse(t)
	hint := func(id string) string {
		token, err := h.keys.Sign("ES256", "JWT", map[string]any{"iss": issuer, "sub": id, "exp": 1})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		change []string
		age    time.Duration // negative: nobody is signed in
		want   string        // code, sign in, again, or an error
	}{
		"nobody is signed in":                {nil, -1, "sign in"},
		"a session is enough":                {nil, day, "code"},
		"none with a session":                {[]string{"prompt", "none"}, day, "code"},
		"none without":                       {[]string{"prompt", "none"}, -1, "login_required"},
		"login":                              {[]string{"prompt", "login"}, time.Minute, "again"},
		"login within the same second":       {[]string{"prompt", "login"}, 0, "again"},
		"select_account":                     {[]string{"prompt", "select_account"}, time.Minute, "again"},
		"max_age kept":                       {[]string{"max_age", "100"}, 99 * time.Second, "code"},
		"max_age passed":                     {[]string{"max_age", "100"}, 101 * time.Second, "again"},
		"max_age 0 is login":                 {[]string{"max_age", "0"}, 0, "again"},
		"max_age passed and none":            {[]string{"max_age", "100", "prompt", "none"}, day, "login_required"},
		"hint of the same person, expired":   {[]string{"id_token_hint", hint("uuid-alice")}, day, "code"},
		"hint of somebody else":              {[]string{"id_token_hint", hint("uuid-bob")}, day, "again"},
		"hint of somebody else and none":     {[]string{"id_token_hint", hint("uuid-bob"), "prompt", "none"}, day, "login_required"},
		"sub asked for by claims":            {[]string{"claims", `{"id_token":{"sub":{"value":"uuid-alice"}}}`}, day, "code"},
		"another sub asked for by claims":    {[]string{"claims", `{"id_token":{"sub":{"value":"uuid-bob"}}}`, "prompt", "none"}, day, "login_required"},
		"consent though the client has none": {[]string{"prompt", "consent"}, day, "consent"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			visitor := provider.Visitor{}
			if c.age >= 0 {
				visitor = h.signedIn("uuid-alice", c.age)
			}
			step := h.next(request(c.change...), visitor)
			var got string
			switch {
			case step.SignIn != nil && step.SignIn.Again:
				got = "again"
			case step.SignIn != nil:
				got = "sign in"
			case step.Consent != nil:
				got = "consent"
			default:
				parameters := h.answer(step)
				if got = parameters.Get("error"); parameters.Get("code") != "" {
					got = "code"
				}
			}
			if got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestASignInForThisRequestSatisfiesPromptLogin(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a, _, err := h.begin(request("prompt", "login", "max_age", "0"))
	if err != nil {
		t.Fatal(err)
	}
	h.clock.Advance(3 * time.Second)
	session := *h.signedIn("uuid-alice", 0).Session
	user := alice()
	step, err := h.provider.Next(context.Background(), a, provider.Visitor{
		User: &user, Change: &oidc.SessionChange{Session: withExpiry(session, h.clock.Now().Add(time.Hour)), Hash: oidc.HashOf("cookie")},
	})
	if err != nil || step.Response == nil {
		t.Fatalf("%+v %v", step, err)
	}
	if saved, err := h.store.Session(context.Background(), oidc.HashOf("cookie")); err != nil || saved.Subject != "uuid-alice" {
		t.Errorf("the session was not written with the code: %+v %v", saved, err)
	}
	// A session from before the request does not do, not even when resumed.
	resumed, _, err := h.provider.Resume(context.Background(), a.Form, a.RequestedAt)
	if err != nil {
		t.Fatal(err)
	}
	if step, err := h.provider.Next(context.Background(), resumed, h.signedIn("uuid-alice", time.Hour)); err != nil || step.SignIn == nil {
		t.Errorf("an old session passed for a new sign-in: %+v %v", step, err)
	}
	if step, err := h.provider.Next(context.Background(), resumed, h.signedIn("uuid-alice", 0)); err != nil || step.Response == nil {
		t.Errorf("a sign-in during the request was asked for again: %+v %v", step, err)
	}
}

func withExpiry(s oidc.Session, at time.Time) oidc.Session {
	s.ExpiresAt, s.LastSeenAt = at, at
	return s
}

func TestConsentIsAskedRememberedAndAskedAgainWhenScopesGrow(t *testing.T) { // row A2
	t.Parallel()
	h := newHouse(t)
	h.addClient("app", func(c *oidc.Client) { c.Consent = oidc.ConsentRemembered })
	ask := func(scope string, approved []string) provider.Step {
		v := h.signedIn("uuid-alice", time.Minute)
		v.Approved = approved
		return h.next(request("scope", scope), v)
	}
	first := ask("openid profile", nil)
	if first.Consent == nil || !slices.Equal(first.Consent.Scopes, []string{"openid", "profile"}) || first.Consent.User.ID != "uuid-alice" {
		t.Fatalf("%+v", first)
	}
	if h.answer(ask("openid profile", first.Consent.Scopes)).Get("code") == "" {
		t.Error("an approval did not lead to a code")
	}
	if h.answer(ask("openid profile", nil)).Get("code") == "" || h.answer(ask("openid", nil)).Get("code") == "" {
		t.Error("the consent was not remembered")
	}
	grown := ask("openid profile email", nil)
	if grown.Consent == nil || !slices.Equal(grown.Consent.New, []string{"email"}) {
		t.Errorf("scopes grew silently: %+v", grown)
	}
	if forged := ask("openid profile email", []string{"openid"}); forged.Consent == nil {
		t.Errorf("an approval of less gave more: %+v", forged)
	}
	if got := h.answer(h.next(request("prompt", "none"), h.signedIn("uuid-alice", 0))); got.Get("error") != "consent_required" {
		t.Error(got)
	}
	bob := h.next(request("scope", "openid"), h.signedIn("uuid-bob", 0))
	if bob.Consent == nil {
		t.Error("one person's consent served another")
	}
	h.addClient("app", func(c *oidc.Client) { c.Consent = oidc.ConsentExplicit })
	if ask("openid", nil).Consent == nil {
		t.Error("an explicit client was not asked for")
	}
	a, _, _ := h.begin(request())
	if got := h.answer(provider.Step{Response: h.provider.Deny(context.Background(), a, "uuid-alice")}); got.Get("error") != "access_denied" || got.Get("state") != "st" {
		t.Error(got)
	}
}

func TestAMissingScopeIsRefusedByNameOrNarrowed(t *testing.T) { // rows S3, S4, S5
	t.Parallel()
	h := newHouse(t)
	got := h.answer(h.next(request(), h.signedIn("uuid-bob", 0)))
	if got.Get("error") != "access_denied" || !strings.Contains(got.Get("error_description"), "profile email groups") {
		t.Error(got)
	}
	h.addClient("narrow", func(c *oidc.Client) { c.OnMissingScope = oidc.MissingNarrow })
	if got := h.answer(h.next(request("client_id", "narrow"), h.signedIn("uuid-bob", 0))); got.Get("code") == "" {
		t.Error(got)
	}
	h.addClient("closed", func(c *oidc.Client) { c.AllowedGroups = []oidc.DN{staff} })
	if got := h.answer(h.next(request("client_id", "closed", "scope", "openid"), h.signedIn("uuid-bob", 0))); got.Get("error") != "access_denied" {
		t.Error(got)
	}
	if got := h.answer(h.next(request("client_id", "closed", "scope", "openid"), h.signedIn("uuid-alice", 0))); got.Get("code") == "" {
		t.Error(got)
	}
}

func TestTheDirectoryDecidesAtAuthorisation(t *testing.T) { // row S9, promise 3
	t.Parallel()
	h := newHouse(t)
	h.people.SetDown(true)
	a, _, err := h.begin(request())
	if err != nil {
		t.Fatal(err)
	}
	if step, err := h.provider.Next(context.Background(), a, h.signedIn("uuid-alice", 0)); !isUnavailable(err) {
		t.Errorf("%+v %v", step, err)
	}
	if got := h.answer(h.next(request("prompt", "none"), h.signedIn("uuid-alice", 0))); got.Get("error") != "temporarily_unavailable" {
		t.Error(got)
	}
	h.people.SetDown(false)
	h.people.Change("uuid-alice", func(u *oidc.User) { u.State = oidc.StateDisabled })
	if step := h.next(request(), h.signedIn("uuid-alice", 0)); step.SignIn == nil || !step.SignIn.EndSession {
		t.Errorf("a disabled account still has a session: %+v", step)
	}
	h.people.Remove("uuid-alice")
	if step := h.next(request(), h.signedIn("uuid-alice", 0)); step.SignIn == nil || !step.SignIn.EndSession {
		t.Errorf("a deleted account still has a session: %+v", step)
	}
}
