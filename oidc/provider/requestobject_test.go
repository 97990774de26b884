package provider_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
	"gatehouse/oidc/provider"
	"gatehouse/oidc/store"
)

// object returns the claims of a good request object with changes; nil takes one
// out.
func object(changes map[string]any) map[string]any {
	m := map[string]any{"iss": "keyed", "aud": issuer}
	for name, values := range request("client_id", "keyed") {
		m[name] = values[0]
	}
	for name, value := range changes {
		m[name] = value
		if value == nil {
			delete(m, name)
		}
	}
	return m
}

// byObject is an authorisation request whose parameters are all in its object.
func byObject(token string, changes ...string) url.Values {
	form := url.Values{"client_id": {"keyed"}, "request": {token}}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return form
}

// outcome is the code's presence, or the error, or the page.
func (h *house) outcome(form url.Values) string {
	h.t.Helper()
	a, response, err := h.begin(form)
	var got url.Values
	switch {
	case isPage(err, provider.PageInvalidRequest), isPage(err, provider.PageRedirectMismatch), isPage(err, provider.PageUnknownClient):
		return "page"
	case err != nil:
		h.t.Fatal(err)
	case response != nil:
		got = h.answer(provider.Step{Response: response})
	default:
		step, err := h.provider.Next(context.Background(), a, h.signedIn("uuid-alice", 0))
		if err != nil {
			h.t.Fatal(err)
		}
		if step.SignIn != nil {
			return "sign-in"
		}
		got = h.answer(step)
	}
	if got.Get("code") != "" {
		return "code"
	}
	return got.Get("error")
}

// OpenID Connect Core 1.0, section 6; RFC 9101.
func TestRequestObjectsAreTakenWithEveryAlgorithm(t *testing.T) {
	t.Parallel()
	h, s := assertionHouse(t)
	h.clients["keyed"].SecretSealed = clientSecret
	for _, alg := range keys.Asymmetric() {
		if got := h.outcome(byObject(s.sign(t, alg, object(nil)))); got != "code" {
			t.Errorf("%s: %s", alg, got)
		}
	}
	for _, alg := range keys.Symmetric() {
		if got := h.outcome(byObject(hs(t, alg, clientSecret, object(nil)))); got != "code" {
			t.Errorf("%s: %s", alg, got)
		}
	}
	if got := h.outcome(byObject(unsigned(t, object(nil)))); got != "page" {
		t.Errorf("unsigned, not registered for it: %s", got)
	}
	h.clients["keyed"].RequestObjectSigningAlg = "none"
	if got := h.outcome(byObject(unsigned(t, object(nil)))); got != "code" {
		t.Errorf("unsigned, as registered: %s", got)
	}
	if got := h.outcome(byObject(s.sign(t, "ES256", object(nil)))); got != "page" {
		t.Errorf("signed, where none is registered: %s", got)
	}
	h.clients["keyed"].RequestObjectSigningAlg = "PS256"
	if got := h.outcome(byObject(s.sign(t, "ES256", object(nil)))); got != "page" {
		t.Errorf("signed with another than the registered algorithm: %s", got)
	}
}

func TestRequestObjectsAreJudged(t *testing.T) {
	t.Parallel()
	h, s := assertionHouse(t)
	other := newSigner(t, h, "keyed")
	now := h.clock.Now().Unix()
	type claims = map[string]any
	signed := func(changes claims) string { return s.sign(t, "ES256", object(changes)) }
	typed := func(typ string) string {
		token, err := s.ring.Sign("ES256", typ, object(nil))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	// With a redirect URI beside it, the client hears of it.
	beside := []string{"redirect_uri", redirect, "response_type", "code", "state", "outer"}
	for name, c := range map[string]struct {
		form url.Values
		want string
	}{
		"as it should be":                    {byObject(signed(nil)), "code"},
		"without iss and aud":                {byObject(signed(claims{"iss": nil, "aud": nil})), "code"},
		"aud as a list":                      {byObject(signed(claims{"aud": []string{"https://x.example", issuer}})), "code"},
		"that lasts":                         {byObject(signed(claims{"exp": now + 60, "nbf": now, "iat": now})), "code"},
		"without a client_id of its own":     {byObject(signed(claims{"client_id": nil})), "code"},
		"what is missing stands beside it":   {byObject(signed(claims{"redirect_uri": nil, "scope": nil}), "redirect_uri", redirect, "scope", "openid"), "code"},
		"typed as one":                       {byObject(typed("oauth-authz-req+jwt")), "code"},
		"typed as another":                   {byObject(typed("at+jwt"), beside...), "invalid_request_object"},
		"by somebody else":                   {byObject(other.sign(t, "ES256", object(nil)), beside...), "invalid_request_object"},
		"by somebody else, nothing beside":   {byObject(other.sign(t, "ES256", object(nil))), "page"},
		"a MAC with the JWKS as secret":      {byObject(hs(t, "HS256", string(s.ring.JWKS()), object(nil)), beside...), "invalid_request_object"},
		"unsigned":                           {byObject(unsigned(t, object(nil)), beside...), "invalid_request_object"},
		"of another issuer":                  {byObject(signed(claims{"iss": "app"}), beside...), "invalid_request_object"},
		"for another server":                 {byObject(signed(claims{"aud": "https://x.example"}), beside...), "invalid_request_object"},
		"expired":                            {byObject(signed(claims{"exp": now - 11}), beside...), "invalid_request_object"},
		"not valid yet":                      {byObject(signed(claims{"nbf": now + 60}), beside...), "invalid_request_object"},
		"of another client":                  {byObject(signed(claims{"client_id": "app"}), beside...), "invalid_request_object"},
		"a client assertion":                 {byObject(s.sign(t, "ES256", h.assertion("keyed", nil)), beside...), "invalid_request_object"},
		"with a request in it":               {byObject(signed(claims{"request": "x"}), beside...), "invalid_request_object"},
		"with a request_uri in it":           {byObject(signed(claims{"request_uri": "https://x.example"}), beside...), "invalid_request_object"},
		"with another response_type":         {byObject(signed(claims{"response_type": "token"}), beside...), "invalid_request_object"},
		"with a list as scope":               {byObject(signed(claims{"scope": []string{"openid"}}), beside...), "invalid_request_object"},
		"with null as scope":                 {byObject(signed(claims{"scope": json.RawMessage("null")}), beside...), "invalid_request_object"},
		"with a scope that is refused":       {byObject(signed(claims{"scope": "openid wizard"}), beside...), "access_denied"},
		"a redirect that isn't registered":   {byObject(signed(claims{"redirect_uri": "https://evil.example"}), beside...), "page"},
		"a claims parameter of great depth":  {byObject(signed(claims{"claims": json.RawMessage(strings.Repeat(`{"a":`, 3000) + "1" + strings.Repeat("}", 3000))}), beside...), "invalid_request"},
		"a megabyte":                         {byObject(strings.Repeat("A", 1<<20), beside...), "invalid_request_object"},
		"an encrypted one":                   {byObject("a.b.c.d.e", beside...), "invalid_request_object"},
		"beside a request_uri":               {byObject(signed(nil), append(beside, "request_uri", "https://x.example")...), "invalid_request"},
		"of a client that isn't there":       {byObject(signed(nil), "client_id", "nobody"), "page"},
		"with a PKCE challenge that is bare": {byObject(signed(claims{"code_challenge": nil, "code_challenge_method": nil}), beside...), "invalid_request"},
	} {
		if got := h.outcome(c.form); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// OpenID Connect Core 1.0, section 6.1: what is inside wins, in its own type.
func TestParametersOfARequestObjectArriveIntact(t *testing.T) {
	t.Parallel()
	h, s := assertionHouse(t)
	wanted := `{"id_token":{"email":{"essential":true}},"userinfo":{"name":null}}`
	token := s.sign(t, "ES256", object(map[string]any{"max_age": 1, "claims": json.RawMessage(wanted), "state": "inner", "login_hint": "<alice>"}))
	a, _, err := h.begin(byObject(token, "state", "outer", "nonce", "outer", "prompt", "none"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"max_age": "1", "claims": wanted, "state": "inner", "nonce": "n-0S6_WzA2Mj", "prompt": "none", "login_hint": "<alice>", "request": ""} {
		if got := a.Form.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	step, err := h.provider.Next(t.Context(), a, h.signedIn("uuid-alice", 10*time.Second))
	if err != nil || h.answer(step).Get("error") != "login_required" || h.answer(step).Get("state") != "inner" {
		t.Errorf("max_age: %+v %v", step, err)
	}
}

// RFC 9101, sections 6.3 and 10.5.
func TestAClientMayBeHeldToSignedRequests(t *testing.T) {
	t.Parallel()
	h, s := assertionHouse(t)
	h.clients["keyed"].RequireSignedRequestObject = true
	exp := h.clock.Now().Unix() + 60
	type claims = map[string]any
	for name, c := range map[string]struct {
		form url.Values
		want string
	}{
		"signed, with exp":         {byObject(s.sign(t, "ES256", object(claims{"exp": exp}))), "code"},
		"without exp":              {byObject(s.sign(t, "ES256", object(nil)), "redirect_uri", redirect), "invalid_request_object"},
		"without iss":              {byObject(s.sign(t, "ES256", object(claims{"exp": exp, "iss": nil})), "redirect_uri", redirect), "invalid_request_object"},
		"without aud":              {byObject(s.sign(t, "ES256", object(claims{"exp": exp, "aud": nil})), "redirect_uri", redirect), "invalid_request_object"},
		"plain":                    {request("client_id", "keyed"), "invalid_request"},
		"with a seal of one's own": {request("client_id", "keyed", "gatehouse_seal", "AAAA"), "invalid_request"},
		"half of it beside it":     {byObject(s.sign(t, "ES256", object(claims{"exp": exp, "scope": nil})), "scope", "openid"), "invalid_scope"},
	} {
		if got := h.outcome(c.form); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	// Back from the sign-in page it needs no second signature, and its seal moves to
	// no other request.
	a, _, err := h.begin(byObject(s.sign(t, "ES256", object(claims{"exp": exp}))))
	if err != nil {
		t.Fatal(err)
	}
	h.clock.Advance(time.Hour)
	if _, response, err := h.provider.Resume(t.Context(), a.Form, a.RequestedAt); err != nil || response != nil {
		t.Errorf("%+v %v", response, err)
	}
	changed := url.Values{}
	for name, values := range a.Form {
		changed[name] = values
	}
	changed.Set("scope", "openid email")
	if _, response, err := h.provider.Resume(t.Context(), changed, a.RequestedAt); err != nil || response == nil {
		t.Errorf("a changed request was taken: %v", err)
	}
	h.clock.Advance(time.Hour)
	if _, response, err := h.provider.Resume(t.Context(), a.Form, a.RequestedAt); err != nil || response == nil {
		t.Errorf("a request of two hours ago was taken: %v", err)
	}
}

// OpenID Connect Core 1.0, section 6.2.
func TestRequestObjectsAreFetchedFromRegisteredAddresses(t *testing.T) {
	t.Parallel()
	web := &pages{}
	h, s := assertionHouse(t, func(o *provider.Options) { o.Fetch = web })
	token := s.sign(t, "ES256", object(nil))
	sum := sha256.Sum256([]byte(token))
	hash := "#" + base64.RawURLEncoding.EncodeToString(sum[:])
	const address, sealed = "https://app.example.org/r.jwt", "https://app.example.org/sealed.jwt"
	web.set(address, token)
	web.set(sealed, token)
	web.set("https://app.example.org/other.jwt", token)
	h.clients["keyed"].RequestURIs = []string{address, sealed + hash}
	for name, c := range map[string]struct{ uri, want string }{
		"as registered":                   {address, "code"},
		"with the hash of the content":    {address + hash, "code"},
		"with a fragment that is no hash": {address + "#1", "code"},
		"registered with the hash":        {sealed + hash, "code"},
		"with another hash":               {address + "#" + base64.RawURLEncoding.EncodeToString(make([]byte, 32)), "invalid_request_uri"},
		"registered with a hash, without": {sealed, "invalid_request_uri"},
		"not registered":                  {"https://app.example.org/other.jwt", "invalid_request_uri"},
		"of the same beginning":           {address + "/../other.jwt", "invalid_request_uri"},
		"private":                         {"https://169.254.169.254/", "invalid_request_uri"},
		"pushed by nobody":                {"urn:ietf:params:oauth:request_uri:x", "invalid_request_uri"},
	} {
		before := web.count()
		form := url.Values{"client_id": {"keyed"}, "request_uri": {c.uri}, "redirect_uri": {redirect}}
		if got := h.outcome(form); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if name == "not registered" && web.count() != before {
			t.Error("an address that isn't registered was asked")
		}
	}
}

// push pushes a request as the client app and returns its request_uri.
func (h *house) push(form url.Values, auth ...string) (string, answer) {
	got := h.post(h.provider.PushedAuthorization(), form, auth...)
	return got.text("request_uri"), got
}

func byPushed(uri string, changes ...string) url.Values {
	form := url.Values{"client_id": {"app"}, "request_uri": {uri}}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return form
}

// RFC 9126; FAPI 2.0 Security Profile, section 5.3.2.2: a request_uri survives
// visits before the sign-in ends, and nothing afterwards.
func TestAPushedRequestLastsUntilItsSignInEnds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	uri, got := h.push(request())
	if got.Status != http.StatusCreated || !strings.HasPrefix(uri, "urn:ietf:params:oauth:request_uri:") || got.Body["expires_in"] != 60.0 || got.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v %v", got.Status, got.Body, got.Header)
	}
	var first *provider.Authorization
	for range 3 { // a person reloads the page
		a, response, err := h.begin(byPushed(uri, "nonce", "injected", "scope", "openid phone", "state", "injected", "redirect_uri", "https://evil.example"))
		if err != nil || response != nil {
			t.Fatal(response, err)
		}
		if a.Form.Get("nonce") != "n-0S6_WzA2Mj" || a.Form.Get("state") != "st" || a.RedirectURI != redirect || strings.Contains(strings.Join(a.Scopes, " "), "phone") {
			t.Errorf("merged from outside: %v", a.Form)
		}
		step, err := h.provider.Next(t.Context(), a, provider.Visitor{})
		if err != nil || step.SignIn == nil {
			t.Fatal(step, err)
		}
		first = a
	}
	h.clock.Advance(10 * time.Minute) // signing in takes a while, and the row is cleaned away
	if _, err := h.store.Clean(t.Context(), h.clock.Now(), 100); err != nil {
		t.Fatal(err)
	}
	a, response, err := h.provider.Resume(t.Context(), first.Form, first.RequestedAt)
	if err != nil || response != nil {
		t.Fatal(response, err)
	}
	step, err := h.provider.Next(t.Context(), a, h.signedIn("uuid-alice", 0))
	if err != nil || h.answer(step).Get("code") == "" {
		t.Fatalf("%+v %v", step, err)
	}
	if got := h.outcome(byPushed(uri)); got != "page" {
		t.Errorf("used again: %s", got)
	}
	// A page that was left open in another tab.
	step, err = h.provider.Next(t.Context(), a, h.signedIn("uuid-alice", 0))
	if err != nil || h.answer(step).Get("error") != "invalid_request" || h.answer(step).Get("code") != "" {
		t.Errorf("used by another tab: %+v %v", step, err)
	}
}

func TestAPushedRequestDiesWithARefusalOrItsTime(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	uri, _ := h.push(request())
	a, _, err := h.begin(byPushed(uri))
	if err != nil {
		t.Fatal(err)
	}
	h.provider.Deny(t.Context(), a, "uuid-alice")
	if got := h.outcome(byPushed(uri)); got != "page" {
		t.Errorf("after a refusal: %s", got)
	}
	uri, _ = h.push(request())
	h.clock.Advance(time.Minute)
	if got := h.outcome(byPushed(uri)); got != "page" {
		t.Errorf("after a minute: %s", got)
	}
	uri, _ = h.push(request())
	h.addClient("other", nil)
	if got := h.outcome(byPushed(uri, "client_id", "other")); got != "page" {
		t.Errorf("by another client: %s", got)
	}
	if got := h.outcome(byPushed(uri)); got != "code" {
		t.Errorf("another client's try has burnt it: %s", got)
	}
	uri, _ = h.push(request())
	form := byPushed(uri)
	form.Del("client_id")
	if got := h.outcome(form); got != "page" { // RFC 9126, section 4
		t.Errorf("without client_id: %s", got)
	}
}

func TestOfAHundredSignInsByOnePushedRequestExactlyOneEndsWell(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	uri, _ := h.push(request())
	var wins atomic.Int32
	var all sync.WaitGroup
	var visits []*provider.Authorization
	for range 100 {
		a, response, err := h.begin(byPushed(uri))
		if err != nil || response != nil {
			t.Fatal(response, err)
		}
		visits = append(visits, a)
	}
	for _, a := range visits {
		all.Go(func() {
			step, err := h.provider.Next(context.Background(), a, h.signedIn("uuid-alice", 0))
			if err == nil && step.Response != nil && strings.Contains(step.Response.Location, "code=") {
				wins.Add(1)
			}
		})
	}
	all.Wait()
	if wins.Load() != 1 {
		t.Errorf("%d ended well", wins.Load())
	}
}

func TestWhatIsPushedIsJudgedAtOnce(t *testing.T) {
	t.Parallel()
	h, s := assertionHouse(t)
	h.addClient("spa", func(c *oidc.Client) { c.TokenEndpointAuthMethod, c.SecretHash = "none", "" })
	h.clients["keyed"].RequireSignedRequestObject = true
	exp := h.clock.Now().Unix() + 60
	good := s.sign(t, "ES256", object(map[string]any{"exp": exp}))
	for name, c := range map[string]struct {
		form url.Values
		auth []string
		want string
	}{
		"as it should be":           {request(), nil, ""},
		"by a public client":        {request("client_id", "spa"), []string{anonymous}, ""},
		"with another's client_id":  {request("client_id", "spa"), nil, "invalid_request"},
		"without a secret":          {request(), []string{anonymous}, "invalid_client"},
		"with a wrong secret":       {request(), []string{"app", "wrong"}, "invalid_client"},
		"with a request_uri":        {request("request_uri", "urn:ietf:params:oauth:request_uri:x"), nil, "invalid_request"},
		"with another redirect URI": {request("redirect_uri", "https://evil.example"), nil, "invalid_request"},
		"without a redirect URI":    {request("redirect_uri", ""), nil, "invalid_request"},
		"without a challenge":       {request("code_challenge", ""), nil, "invalid_request"},
		"with a bad response type":  {request("response_type", "coke"), nil, "unsupported_response_type"},
		"with a bad prompt":         {request("prompt", "none login"), nil, "invalid_request"},
		"signed":                    {withAssertion(s.sign(t, "ES256", h.assertion("keyed", map[string]any{"aud": issuer + "/oauth2/par"})), "request", good), []string{anonymous}, ""},
		"signed by nobody":          {withAssertion(s.sign(t, "ES256", h.assertion("keyed", nil)), "request", unsigned(t, object(nil))), []string{anonymous}, "invalid_request_object"},
		"unsigned where it must be": {withAssertion(s.sign(t, "ES256", h.assertion("keyed", nil)), "redirect_uri", redirect, "response_type", "code"), []string{anonymous}, "invalid_request"},
		"for another client":        {withAssertion(s.sign(t, "ES256", h.assertion("keyed", nil)), "request", s.sign(t, "ES256", object(map[string]any{"exp": exp, "client_id": "app"}))), []string{anonymous}, "invalid_request_object"},
	} {
		uri, got := h.push(c.form, c.auth...)
		if got.text("error") != c.want || (uri != "") != (c.want == "") {
			t.Errorf("%s: %d %v, want %q", name, got.Status, got.Body, c.want)
		}
		if name == "signed" {
			if got := h.outcome(byPushed(uri, "client_id", "keyed")); got != "code" {
				t.Errorf("signed and pushed: %s", got)
			}
		}
	}
}

func TestPushingMayBeDemanded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.clients["app"].RequirePushedAuthorizationRequests = true
	everyone := newHouse(t, func(o *provider.Options) { o.RequirePushed, o.PushedLife = true, 5*time.Minute })
	for _, h := range []*house{h, everyone} {
		if got := h.outcome(request()); got != "invalid_request" {
			t.Errorf("not pushed: %s", got)
		}
		uri, _ := h.push(request())
		if got := h.outcome(byPushed(uri)); got != "code" {
			t.Errorf("pushed: %s", got)
		}
	}
	_, got := everyone.push(request())
	w := httptest.NewRecorder()
	everyone.provider.Discovery().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if got.Body["expires_in"] != 300.0 || !strings.Contains(w.Body.String(), `"require_pushed_authorization_requests":true`) {
		t.Errorf("%v %s", got.Body, w.Body)
	}
}

// Promise 2: whoever has the database learns nothing about people from it.
func TestNothingThatIsPushedIsInTheDatabaseInTheClear(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	path := filepath.Join(t.TempDir(), "pushed.db")
	s, err := store.Open(t.Context(), path, store.Options{Now: h.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	other := newHouse(t, func(o *provider.Options) { o.Store = s })
	form := request("login_hint", "alice@example.org")
	form.Set("client_secret", "secret-of-app")
	form.Set("client_id", "app")
	uri, got := other.push(form, anonymous)
	if uri == "" {
		t.Fatal(got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"alice", "secret-of-app", "n-0S6_WzA2Mj", strings.TrimPrefix(uri, "urn:ietf:params:oauth:request_uri:")} {
		if bytes.Contains(data, []byte(text)) {
			t.Errorf("%q is in the database", text)
		}
	}
}

func FuzzRequestObject(f *testing.F) {
	payload, err := json.Marshal(object(nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b64(`{"alg":"none"}`)+"."+b64(string(payload))+".", "")
	f.Add(b64(`{"alg":"ES256","kid":"x"}`)+"."+b64(`{"max_age":1e400,"claims":{},"scope":[]}`)+".AAAA", "https://x#y")
	f.Fuzz(func(t *testing.T, token, uri string) {
		h := newHouse(t)
		h.addClient("keyed", func(c *oidc.Client) { c.RequestObjectSigningAlg = "none" })
		form := byObject(token)
		if uri != "" {
			form = url.Values{"client_id": {"keyed"}, "request_uri": {uri}}
		}
		a, response, err := h.begin(form)
		if a == nil && response == nil && err == nil {
			t.Fatal("no answer")
		}
	})
}
