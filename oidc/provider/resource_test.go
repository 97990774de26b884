package provider_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"gatehouse/oidc"
	"gatehouse/oidc/provider"
)

const (
	apiA = "https://a.example.org"
	apiB = "https://b.example.org/v1"
)

// withResources adds resource parameters.
func withResources(form url.Values, resources ...string) url.Values {
	form["resource"] = resources
	return form
}

// audience returns what introspection says that a token of app is for.
func (h *house) audience(token string) []string {
	h.t.Helper()
	seen := h.introspect(token)
	list, _ := seen.Body["aud"].([]any)
	var aud []string
	for _, a := range list {
		aud = append(aud, a.(string))
	}
	return aud
}

// resourceHouse has the client app, whose tokens may be for A, B and the client api.
func resourceHouse(t *testing.T, change ...func(*provider.Options)) *house {
	h := newHouse(t, change...)
	h.addClient("app", func(c *oidc.Client) { c.Audience = []string{apiA, apiB, "api"} })
	return h
}

// RFC 8707, sections 2.1 and 2.2.
func TestResourcesAreKeptWithTheGrantAndNarrowed(t *testing.T) {
	t.Parallel()
	h := resourceHouse(t)
	got := h.post(h.provider.Token(), exchange(h.code(withResources(request(), apiA, apiB, apiA))))
	if aud := h.audience(got.text("access_token")); !slices.Equal(aud, []string{apiA, apiB, issuer}) {
		t.Errorf("asked for both at authorization: %v", aud)
	}
	narrowed := h.post(h.provider.Token(), withResources(exchange(h.code(withResources(request(), apiA, apiB))), apiB))
	if aud := h.audience(narrowed.text("access_token")); !slices.Equal(aud, []string{apiB}) {
		t.Errorf("narrowed at the exchange: %v", aud)
	}
	again := h.post(h.provider.Token(), withResources(refresh(narrowed.text("refresh_token")), apiA))
	if aud := h.audience(again.text("access_token")); !slices.Equal(aud, []string{apiA}) {
		t.Errorf("the other one at refresh: %v", aud)
	}
	whole := h.post(h.provider.Token(), refresh(again.text("refresh_token")))
	if aud := h.audience(whole.text("access_token")); !slices.Equal(aud, []string{apiA, apiB, issuer}) {
		t.Errorf("narrowing once must not last: %v", aud)
	}
	if a := h.post(h.provider.Token(), withResources(refresh(whole.text("refresh_token")), "api")); a.text("error") != "invalid_target" || a.Status != http.StatusBadRequest {
		t.Errorf("allowed, and not granted: %v", a)
	}
	if a := h.post(h.provider.Token(), refresh(whole.text("refresh_token"))); a.Status != http.StatusOK {
		t.Errorf("a refusal used the refresh token up: %v", a)
	}
}

func TestAResourceThatIsNotAllowedIsRefusedEverywhere(t *testing.T) { // RFC 8707, section 2: invalid_target
	t.Parallel()
	h := resourceHouse(t)
	h.clients["app"].GrantTypes = append(h.clients["app"].GrantTypes, "client_credentials")
	for _, resource := range []string{"https://evil.example", apiA + "/", apiA + "#x", strings.ToUpper(apiA), "*", "app", "x y"} {
		if got := h.outcome(withResources(request(), apiA, resource)); got != "invalid_target" {
			t.Errorf("authorization with %s: %s", resource, got)
		}
		if _, got := h.push(withResources(request(), resource)); got.text("error") != "invalid_target" {
			t.Errorf("pushed with %s: %v", resource, got.Body)
		}
		code := h.code(request())
		if got := h.post(h.provider.Token(), withResources(exchange(code), resource)); got.text("error") != "invalid_target" {
			t.Errorf("exchange with %s: %v", resource, got.Body)
		}
		if got := h.post(h.provider.Token(), exchange(code)); got.Status != http.StatusOK {
			t.Errorf("a refusal used the code up: %v", got.Body)
		}
		if got := h.post(h.provider.Token(), url.Values{"grant_type": {"client_credentials"}, "resource": {apiB, resource}}); got.text("error") != "invalid_target" {
			t.Errorf("client credentials with %s: %v", resource, got.Body)
		}
	}
	got := h.post(h.provider.Token(), url.Values{"grant_type": {"client_credentials"}, "resource": {apiB, "api"}})
	if aud := h.audience(got.text("access_token")); !slices.Equal(aud, []string{apiB, "api"}) {
		t.Errorf("client credentials: %v", aud)
	}
}

func TestResourcesMayBePushedAndSigned(t *testing.T) { // RFC 9126 and RFC 9101
	t.Parallel()
	h, s := assertionHouse(t)
	keyed := h.clients["keyed"]
	keyed.Audience = []string{apiA, apiB}
	keyed.Consent = oidc.ConsentNone
	tokens := func(form url.Values) []string {
		t.Helper()
		assertion := s.sign(t, "ES256", h.assertion("keyed", nil))
		exchanged := exchange(h.code(form), "client_assertion", assertion, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		got := h.postBare(h.provider.Token(), exchanged)
		seen := h.postBare(h.provider.Introspection(), withAssertion(s.sign(t, "ES256", h.assertion("keyed", nil)), "token", got.text("access_token")))
		var aud []string
		list, _ := seen.Body["aud"].([]any)
		for _, a := range list {
			aud = append(aud, a.(string))
		}
		return aud
	}
	for name, resource := range map[string]any{"a list": []string{apiA, apiB}, "a text": apiA} {
		want := []string{apiA, issuer}
		if name == "a list" {
			want = []string{apiA, apiB, issuer}
		}
		if aud := tokens(byObject(s.sign(t, "ES256", object(map[string]any{"resource": resource})), "response_type", "code", "scope", "openid")); !slices.Equal(aud, want) {
			t.Errorf("%s in a request object: %v", name, aud)
		}
	}
	for name, resource := range map[string]any{"a number": 7, "a list of numbers": []int{7}, "an object": map[string]any{"a": "b"}} {
		if got := h.outcome(byObject(s.sign(t, "ES256", object(map[string]any{"resource": resource})), "response_type", "code", "scope", "openid", "redirect_uri", redirect)); got != "invalid_request_object" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := h.outcome(byObject(s.sign(t, "ES256", object(map[string]any{"resource": []string{"https://evil.example"}})), "response_type", "code", "scope", "openid")); got != "invalid_target" {
		t.Errorf("one that is not allowed: %s", got)
	}
	form := withAssertion(s.sign(t, "ES256", h.assertion("keyed", nil)))
	for name, values := range withResources(request("client_id", "keyed"), apiB, apiA) {
		form[name] = values
	}
	uri, got := h.push(form, anonymous)
	if uri == "" {
		t.Fatal(got.Body)
	}
	if aud := tokens(byPushed(uri, "client_id", "keyed")); !slices.Equal(aud, []string{apiB, apiA, issuer}) {
		t.Errorf("pushed: %v", aud)
	}
}

func TestWithoutAResourceTheAudienceIsADefault(t *testing.T) { // RFC 9068, section 3
	t.Parallel()
	server := func(o *provider.Options) { o.DefaultResource = "https://default.example.org" }
	for name, c := range map[string]struct {
		change []func(*provider.Options)
		client func(*oidc.Client)
		scope  string
		want   []string
	}{
		"nothing is said":                {nil, nil, "openid", []string{issuer}},
		"the file's audience":            {nil, func(c *oidc.Client) { c.Audience = []string{apiA, "api"} }, "email", []string{apiA, "api"}},
		"the file's default":             {nil, func(c *oidc.Client) { c.Audience, c.DefaultResource = []string{apiA}, apiB }, "email", []string{apiB}},
		"the server's default":           {[]func(*provider.Options){server}, func(c *oidc.Client) { c.Audience = []string{apiA} }, "email", []string{"https://default.example.org"}},
		"the file's before the server's": {[]func(*provider.Options){server}, func(c *oidc.Client) { c.DefaultResource = apiB }, "email", []string{apiB}},
		"userinfo with openid":           {nil, func(c *oidc.Client) { c.DefaultResource = apiB }, "openid", []string{apiB, issuer}},
	} {
		h := newHouse(t, c.change...)
		h.addClient("app", c.client)
		if aud := h.audience(h.tokens("scope", c.scope).text("access_token")); !slices.Equal(aud, c.want) {
			t.Errorf("%s: %v, want %v", name, aud, c.want)
		}
	}
}

// OpenID Connect Core 1.0, section 5.3; RFC 9068, section 4; RFC 8707, section 2.
func TestUserinfoTakesOnlyWhatIsMeantForIt(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"", "ES256"} {
		h := resourceHouse(t)
		h.clients["app"].AccessTokenSignedResponseAlg = alg
		whole := h.post(h.provider.Token(), exchange(h.code(withResources(request(), apiA))))
		if info := h.userinfo(whole.text("access_token")); info.text("sub") != "uuid-alice" {
			t.Errorf("%q: not narrowed: %v", alg, info.Body)
		}
		narrowed := h.post(h.provider.Token(), withResources(refresh(whole.text("refresh_token")), apiA))
		if info := h.userinfo(narrowed.text("access_token")); info.text("error") != "invalid_token" || info.Status != http.StatusUnauthorized {
			t.Errorf("%q: what was handed to an API opened userinfo: %v", alg, info.Body)
		}
		ours := h.post(h.provider.Token(), withResources(refresh(narrowed.text("refresh_token")), apiA, issuer))
		if info := h.userinfo(ours.text("access_token")); info.text("sub") != "uuid-alice" {
			t.Errorf("%q: asked for: %v", alg, info.Body)
		}
	}
}

// RFC 7662, section 4: a resource server learns of tokens that are for it.
func TestAnAPISeesTokensThatAreForItAndNoOthers(t *testing.T) {
	t.Parallel()
	h := resourceHouse(t)
	h.addClient("api", nil)
	h.addClient("a", func(c *oidc.Client) { c.ResourceIdentifiers = []string{apiA} })
	h.addClient("b", func(c *oidc.Client) { c.ResourceIdentifiers = []string{"https://x.example.org", apiB} })
	h.addClient("stranger", func(c *oidc.Client) {
		c.ResourceIdentifiers = []string{"https://x.example.org"}
		c.Audience = []string{"app", apiA}
	})
	got := h.post(h.provider.Token(), exchange(h.code(withResources(request(), apiA, "api"))))
	sees := func(token, client string) bool {
		t.Helper()
		seen := h.introspect(token, client, "secret-of-"+client)
		if seen.Body["active"] != true && len(seen.Body) != 1 {
			t.Errorf("%s learns more than a no: %v", client, seen.Body)
		}
		return seen.Body["active"] == true
	}
	access, refreshToken := got.text("access_token"), got.text("refresh_token")
	for client, want := range map[string]bool{"app": true, "a": true, "api": true, "b": false, "stranger": false} {
		if sees(access, client) != want {
			t.Errorf("%s sees the access token: %v", client, !want)
		}
		if want := client == "app"; sees(refreshToken, client) != want {
			t.Errorf("%s sees the refresh token: %v", client, !want)
		}
	}
	if seen := h.introspect(refreshToken); seen.Body["aud"] != nil || seen.Body["token_type"] != nil || seen.Body["exp"] == h.introspect(access).Body["exp"] {
		t.Errorf("a refresh token is no access token: %v", seen.Body)
	}
	h.clients["app"].Audience = []string{apiB, "api"} // the operator takes A off the list
	if sees(access, "a") || !sees(access, "api") {
		t.Error("what the file says now does not count")
	}
	only := h.post(h.provider.Token(), withResources(refresh(refreshToken), apiA))
	if only.text("error") != "invalid_target" {
		t.Errorf("a resource that was taken off: %v", only.Body)
	}
	rest := h.post(h.provider.Token(), refresh(refreshToken))
	if aud := h.audience(rest.text("access_token")); !slices.Equal(aud, []string{"api", issuer}) {
		t.Errorf("what is left of the grant: %v", aud)
	}
	h.clients["app"].Audience = nil
	if a := h.post(h.provider.Token(), refresh(rest.text("refresh_token"))); a.text("error") != "invalid_target" {
		t.Errorf("nothing is left of the grant: %v", a.Body)
	}
}

func TestIntrospectionAndRevocationTakeEveryClientAuthentication(t *testing.T) { // RFC 7662, section 2.1; RFC 7009, section 2.1
	t.Parallel()
	h, s := assertionHouse(t)
	h.addClient("spa", func(c *oidc.Client) { c.TokenEndpointAuthMethod, c.SecretHash = "none", "" })
	for _, id := range []string{"keyed", "mac"} {
		h.clients[id].Consent, h.clients[id].GrantTypes = oidc.ConsentNone, []string{"authorization_code", "client_credentials"}
	}
	type auth func(form url.Values) answer
	with := func(id, assertion string) auth {
		return func(form url.Values) answer {
			form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
			form.Set("client_assertion", assertion)
			return h.postBare(h.provider.Introspection(), form)
		}
	}
	token := func(id string, form url.Values) string {
		t.Helper()
		got := h.postBare(h.provider.Token(), form)
		if got.text("access_token") == "" {
			t.Fatalf("%s: %v", id, got.Body)
		}
		return got.text("access_token")
	}
	keyed := token("keyed", withAssertion(s.sign(t, "ES256", h.assertion("keyed", nil))))
	mac := token("mac", withAssertion(hs(t, "HS256", clientSecret, h.assertion("mac", nil))))
	app := h.tokens().text("access_token")
	for name, c := range map[string]struct {
		token string
		ask   auth
	}{
		"client_secret_basic": {app, func(form url.Values) answer { return h.post(h.provider.Introspection(), form) }},
		"client_secret_post": {app, func(form url.Values) answer {
			form.Set("client_id", "app")
			form.Set("client_secret", "secret-of-app")
			return h.postBare(h.provider.Introspection(), form)
		}},
		"private_key_jwt":   {keyed, with("keyed", s.sign(t, "ES256", h.assertion("keyed", map[string]any{"aud": issuer + "/oauth2/introspect"})))},
		"client_secret_jwt": {mac, with("mac", hs(t, "HS256", clientSecret, h.assertion("mac", nil)))},
	} {
		if seen := c.ask(url.Values{"token": {c.token}}); seen.Body["active"] != true {
			t.Errorf("%s: %v", name, seen.Body)
		}
		if seen := c.ask(url.Values{"token": {"unknown"}}); seen.Body["active"] == true {
			t.Errorf("%s: %v", name, seen.Body)
		}
	}
	for name, form := range map[string]url.Values{
		"none": {"token": {app}, "client_id": {"spa"}}, "nobody": {"token": {app}},
		"a wrong secret": {"token": {app}, "client_id": {"app"}, "client_secret": {"wrong"}},
	} {
		if seen := h.postBare(h.provider.Introspection(), form); seen.text("error") != "invalid_client" || seen.Status != http.StatusUnauthorized {
			t.Errorf("%s: %d %v", name, seen.Status, seen.Body)
		}
	}
	revoked := h.postBare(h.provider.Revocation(), withAssertion(s.sign(t, "ES256", h.assertion("keyed", map[string]any{"aud": issuer + "/oauth2/revoke"})), "token", keyed))
	if seen := with("keyed", s.sign(t, "ES256", h.assertion("keyed", nil)))(url.Values{"token": {keyed}}); revoked.Status != http.StatusOK || seen.Body["active"] != false {
		t.Errorf("private_key_jwt: %v %v", revoked, seen.Body)
	}
}
