package provider_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
	"gatehouse/oidc/provider"
)

// newHouseWithIssuers has the clients one and two with issuers of their own, beside
// app, which has the server's.
func newHouseWithIssuers(t *testing.T) *house {
	t.Helper()
	var own *keys.Clients
	dir := t.TempDir()
	h := newHouse(t, func(o *provider.Options) {
		own = keys.NewClients(filepath.Join(dir, "keys"), o.Now)
		o.ClientKeys = func(c *oidc.Client) (provider.Keys, error) {
			return own.Ring(c.ID, []string{c.IDTokenSignedResponseAlg})
		}
		o.SecretOf = func(c *oidc.Client) ([]byte, error) {
			return []byte("shared-secret-that-is-long-enough-for-all-of-them-" + c.ID), nil
		}
	})
	for _, id := range []string{"one", "two"} {
		h.addClient(id, func(c *oidc.Client) { c.OwnIssuer, c.Audience = true, nil })
	}
	return h
}

func issuerOf(id string) string { return issuer + "/oauth2/openid/" + id }

// at addresses requests to a client's own issuer.
func at(id string, handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(provider.At(r.Context(), id)))
	})
}

// answerAt signs alice in at some issuer and returns what the client gets, or the
// error that is shown on a page.
func (h *house) answerAt(address string, form url.Values) (url.Values, error) {
	h.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/oauth2/authorize?"+form.Encode(), nil)
	a, response, err := h.provider.Begin(r.WithContext(provider.At(r.Context(), address)))
	if err != nil {
		return nil, err
	}
	if response == nil {
		step, err := h.provider.Next(r.Context(), a, h.signedIn("uuid-alice", 0))
		if err != nil || step.Response == nil {
			h.t.Fatalf("no answer but %+v, %v", step, err)
		}
		response = step.Response
	}
	return parametersOf(h.t, response), nil
}

func (h *house) codeAt(id string) string {
	h.t.Helper()
	address := id
	if id == "app" {
		address = ""
	}
	parameters, err := h.answerAt(address, request("client_id", id))
	if err != nil || parameters.Get("code") == "" {
		h.t.Fatalf("no code but %v, %v", parameters, err)
	}
	return parameters.Get("code")
}

func (h *house) tokensAt(id string) answer {
	h.t.Helper()
	handler := at(id, h.provider.Token())
	if id == "app" {
		handler = h.provider.Token()
	}
	got := h.post(handler, exchange(h.codeAt(id)), id, "secret-of-"+id)
	if got.Status != http.StatusOK {
		h.t.Fatalf("no tokens for %s but %d %v", id, got.Status, got.Body)
	}
	return got
}

func (h *house) userinfoAt(address, token string) answer {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return h.send(at(address, h.provider.UserInfo()), r)
}

// document gets discovery or keys of an issuer.
func (h *house) document(address string, handler http.Handler) (status int, body []byte) {
	w := httptest.NewRecorder()
	at(address, handler).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	return w.Code, w.Body.Bytes()
}

func TestAClientsOwnIssuerIsInAllThatItGets(t *testing.T) {
	t.Parallel()
	h := newHouseWithIssuers(t)
	good, err := h.answerAt("one", request("client_id", "one"))
	if err != nil || good.Get("iss") != issuerOf("one") { // RFC 9207
		t.Errorf("the answer names %v, %v", good, err)
	}
	bad, err := h.answerAt("one", request("client_id", "one", "prompt", "create"))
	if err != nil || bad.Get("iss") != issuerOf("one") || bad.Get("error") == "" {
		t.Errorf("the error names %v, %v", bad, err)
	}
	tokens := h.tokensAt("one")
	_, jwks := h.document("one", h.provider.JWKS())
	set, err := keys.ParseSet(jwks)
	if err != nil {
		t.Fatal(err)
	}
	_, payload, err := set.Verify(tokens.text("id_token"), []string{keys.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil || claims["iss"] != issuerOf("one") || claims["aud"] != "one" {
		t.Errorf("the ID token says %v, %v", claims, err)
	}
	seen := h.post(at("one", h.provider.Introspection()), url.Values{"token": {tokens.text("access_token")}}, "one", "secret-of-one")
	if seen.Body["active"] != true || seen.Body["iss"] != issuerOf("one") {
		t.Errorf("introspection says %v", seen.Body)
	}
	if got := h.userinfoAt("one", tokens.text("access_token")); got.Status != http.StatusOK || got.text("name") != "Alice Archer" {
		t.Errorf("userinfo says %d %v", got.Status, got.Body)
	}
	if got := h.post(at("one", h.provider.Token()), refresh(tokens.text("refresh_token")), "one", "secret-of-one"); got.Status != http.StatusOK {
		t.Errorf("refresh says %d %v", got.Status, got.Body)
	}
	if got := h.post(at("one", h.provider.Revocation()), url.Values{"token": {tokens.text("access_token")}}, "one", "secret-of-one"); got.Status != http.StatusOK {
		t.Errorf("revocation says %d %v", got.Status, got.Body)
	}
}

func TestTokensOfOneIssuerAreWorthlessAtAnother(t *testing.T) {
	t.Parallel()
	h := newHouseWithIssuers(t)
	address := map[string]string{"app": "", "one": "one", "two": "two"}
	for _, from := range []string{"app", "one", "two"} {
		tokens := h.tokensAt(from)
		for _, to := range []string{"app", "one", "two"} {
			if from == to {
				continue
			}
			name, where, auth := from+" at "+to, address[to], []string{to, "secret-of-" + to}
			if got := h.userinfoAt(where, tokens.text("access_token")); got.Status != http.StatusUnauthorized || got.text("error") != "invalid_token" {
				t.Errorf("%s: userinfo says %d %v", name, got.Status, got.Body)
			}
			for _, token := range []string{"access_token", "refresh_token"} {
				seen := h.post(at(where, h.provider.Introspection()), url.Values{"token": {tokens.text(token)}}, auth...)
				if len(seen.Body) != 1 || seen.Body["active"] != false {
					t.Errorf("%s: introspection of the %s says %v", name, token, seen.Body)
				}
				if got := h.post(at(where, h.provider.Revocation()), url.Values{"token": {tokens.text(token)}}, auth...); got.text("error") != "invalid_grant" {
					t.Errorf("%s: revocation of the %s says %v", name, token, got.Body)
				}
			}
			for what, form := range map[string]url.Values{"code": exchange(h.codeAt(from)), "refresh token": refresh(tokens.text("refresh_token"))} {
				if got := h.post(at(where, h.provider.Token()), form, auth...); got.text("error") != "invalid_grant" {
					t.Errorf("%s: the %s gives %v", name, what, got.Body)
				}
			}
			_, jwks := h.document(where, h.provider.JWKS())
			set, err := keys.ParseSet(jwks)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := set.Verify(tokens.text("id_token"), keys.Asymmetric()); !errors.Is(err, keys.ErrInvalid) {
				t.Errorf("%s: the ID token verifies: %v", name, err)
			}
			hinted, err := h.answerAt(where, request("client_id", to, "prompt", "none", "id_token_hint", tokens.text("id_token")))
			if err != nil || hinted.Get("error") != "invalid_request" {
				t.Errorf("%s: the ID token as a hint gives %v, %v", name, hinted, err)
			}
		}
		if got := h.userinfoAt(address[from], tokens.text("access_token")); got.Status != http.StatusOK {
			t.Errorf("%s: what others tried has ended the token: %v", from, got.Body)
		}
	}
}

func TestAClientIsAnsweredAtTheAddressesOfItsIssuerAlone(t *testing.T) {
	t.Parallel()
	h := newHouseWithIssuers(t)
	h.addClient("open", func(c *oidc.Client) { c.OwnIssuer, c.TokenEndpointAuthMethod, c.SecretHash = true, "none", "" })
	for _, c := range []struct{ client, address string }{{"one", ""}, {"one", "two"}, {"app", "one"}, {"open", ""}, {"open", "one"}} {
		name := c.client + " at the addresses of " + c.address
		// RFC 9700, section 4.4: not even an error goes to a client from an endpoint of
		// another issuer.
		if answer, err := h.answerAt(c.address, request("client_id", c.client)); !isPage(err, provider.PageInvalidRequest) {
			t.Errorf("%s: authorize answers %v, %v", name, answer, err)
		}
		auth := []string{c.client, "secret-of-" + c.client}
		form := func(pairs ...string) url.Values {
			f := url.Values{}
			for i := 0; i < len(pairs); i += 2 {
				f.Set(pairs[i], pairs[i+1])
			}
			if c.client == "open" {
				f.Set("client_id", "open")
			}
			return f
		}
		if c.client == "open" {
			auth = []string{""}
		}
		for what, got := range map[string]answer{
			"token":      h.post(at(c.address, h.provider.Token()), form("grant_type", "refresh_token", "refresh_token", "x"), auth...),
			"introspect": h.post(at(c.address, h.provider.Introspection()), form("token", "x"), auth...),
			"revoke":     h.post(at(c.address, h.provider.Revocation()), form("token", "x"), auth...),
			"par":        h.post(at(c.address, h.provider.PushedAuthorization()), request("client_id", c.client), auth...),
		} {
			if got.Status != http.StatusUnauthorized || got.text("error") != "invalid_client" {
				t.Errorf("%s: %s answers %d %v", name, what, got.Status, got.Body)
			}
		}
	}
}

func TestAPushedRequestIsGoodAtItsOwnIssuerAlone(t *testing.T) {
	t.Parallel()
	h := newHouseWithIssuers(t)
	pushed := h.post(at("one", h.provider.PushedAuthorization()), request("client_id", "one"), "one", "secret-of-one")
	if pushed.Status != http.StatusCreated {
		t.Fatalf("%d %v", pushed.Status, pushed.Body)
	}
	form := url.Values{"client_id": {"one"}, "request_uri": {pushed.text("request_uri")}}
	if answer, err := h.answerAt("", form); !isPage(err, provider.PageInvalidRequest) {
		t.Errorf("the server's own address answers %v, %v", answer, err)
	}
	if answer, err := h.answerAt("one", form); err != nil || answer.Get("code") == "" || answer.Get("iss") != issuerOf("one") {
		t.Errorf("the client's own address answers %v, %v", answer, err)
	}
}

func TestDiscoveryOfAClientsOwnIssuerIsAboutThatClient(t *testing.T) {
	t.Parallel()
	h := newHouseWithIssuers(t)
	h.addClient("open", func(c *oidc.Client) { c.OwnIssuer, c.TokenEndpointAuthMethod = true, "none" })
	status, body := h.document("one", h.provider.Discovery())
	var document map[string]any
	if err := json.Unmarshal(body, &document); err != nil || status != http.StatusOK {
		t.Fatal(status, err)
	}
	for name, value := range map[string]string{
		"issuer": "", "authorization_endpoint": "/authorize", "token_endpoint": "/token", "userinfo_endpoint": "/userinfo",
		"introspection_endpoint": "/introspect", "revocation_endpoint": "/revoke", "pushed_authorization_request_endpoint": "/par",
		"jwks_uri": "/public_key.jwk",
	} {
		if document[name] != issuerOf("one")+value {
			t.Errorf("%s is %v", name, document[name])
		}
	}
	for name, value := range document {
		// OpenID Connect Discovery 1.0, section 4.3; no address leads to another issuer.
		if text, ok := value.(string); ok && strings.HasPrefix(text, issuer) && !strings.HasPrefix(text, issuerOf("one")) {
			t.Errorf("%s leads to %s", name, text)
		}
	}
	for name, want := range map[string][]any{
		"id_token_signing_alg_values_supported": {"ES256"}, "response_types_supported": {"code"},
		"grant_types_supported": {"authorization_code", "refresh_token"}, "subject_types_supported": {"public"},
		"token_endpoint_auth_methods_supported": {"client_secret_basic", "client_secret_post"},
	} {
		if got, _ := document[name].([]any); !slices.Equal(got, want) {
			t.Errorf("%s is %v", name, document[name])
		}
	}
	if _, body := h.document("open", h.provider.Discovery()); strings.Contains(string(body), "introspection") || strings.Contains(string(body), "client_secret") {
		t.Errorf("the document of a public client: %s", body)
	}
	for _, id := range []string{"app", "nobody", "../one", ""} {
		status, body := h.document(id, h.provider.Discovery())
		if id == "" && (status != http.StatusOK || strings.Contains(string(body), "/openid/")) {
			t.Errorf("the server's own document: %d %s", status, body)
		}
		if id != "" && status != http.StatusNotFound {
			t.Errorf("%q has a document: %d %s", id, status, body)
		}
	}
}

func TestAnAssertionNamesTheClientsOwnIssuer(t *testing.T) {
	t.Parallel()
	h := newHouseWithIssuers(t)
	h.addClient("signer", func(c *oidc.Client) { c.OwnIssuer, c.TokenEndpointAuthMethod = true, "client_secret_jwt" })
	h.addClient("strict", func(c *oidc.Client) {
		c.OwnIssuer, c.TokenEndpointAuthMethod, c.StrictAssertionAudience = true, "client_secret_jwt", true
	})
	post := func(id string, aud any, jti string) answer {
		secret, err := h.provider.SecretOf(h.clients[id])
		if err != nil {
			t.Fatal(err)
		}
		now := h.clock.Now()
		assertion, err := keys.SignMAC("HS256", "JWT", secret, map[string]any{
			"iss": id, "sub": id, "aud": aud, "jti": jti, "exp": now.Add(time.Minute).Unix(), "iat": now.Unix(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return h.post(at(id, h.provider.Revocation()), url.Values{
			"token": {"x"}, "client_assertion": {assertion},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		}, "")
	}
	for _, c := range []struct {
		client string
		aud    any
		want   int
	}{
		{"signer", issuerOf("signer"), http.StatusOK},
		{"signer", issuerOf("signer") + "/token", http.StatusOK},
		{"signer", []string{issuerOf("signer") + "/revoke", "https://other.example.org"}, http.StatusOK},
		{"signer", issuer, http.StatusUnauthorized},
		{"signer", issuer + provider.PathToken, http.StatusUnauthorized},
		{"signer", issuerOf("strict"), http.StatusUnauthorized},
		{"strict", issuerOf("strict"), http.StatusOK},
		{"strict", issuerOf("strict") + "/token", http.StatusUnauthorized},
		{"strict", []string{issuerOf("strict")}, http.StatusUnauthorized},
		{"strict", issuer, http.StatusUnauthorized},
	} {
		if got := post(c.client, c.aud, oidc.NewID()); got.Status != c.want {
			t.Errorf("%s with aud %v: %d %v", c.client, c.aud, got.Status, got.Body)
		}
	}
	// RFC 7523, section 3: once per client, whoever else has used the same jti.
	for _, c := range []struct {
		client string
		want   int
	}{{"signer", http.StatusOK}, {"strict", http.StatusOK}, {"signer", http.StatusUnauthorized}} {
		if got := post(c.client, issuerOf(c.client), "the-same"); got.Status != c.want {
			t.Errorf("%s: %d %v", c.client, got.Status, got.Body)
		}
	}
}

func TestARequestObjectNamesTheClientsOwnIssuer(t *testing.T) {
	t.Parallel()
	h := newHouseWithIssuers(t)
	h.addClient("jar", func(c *oidc.Client) {
		c.OwnIssuer, c.SecretSealed, c.RequireSignedRequestObject = true, "sealed", true
	})
	secret, err := h.provider.SecretOf(h.clients["jar"])
	if err != nil {
		t.Fatal(err)
	}
	for aud, good := range map[string]bool{issuerOf("jar"): true, issuer: false, issuerOf("one"): false} {
		claims := map[string]any{"iss": "jar", "aud": aud, "exp": h.clock.Now().Add(time.Minute).Unix()}
		for name, values := range request("client_id", "jar") {
			claims[name] = values[0]
		}
		object, err := keys.SignMAC("HS256", "oauth-authz-req+jwt", secret, claims)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := h.answerAt("jar", url.Values{"client_id": {"jar"}, "redirect_uri": {redirect}, "request": {object}})
		if err != nil || (answer.Get("code") != "") != good {
			t.Errorf("aud %s: %v, %v", aud, answer, err)
		}
	}
}

func TestKeysThatCannotBeReadAreAnOutageAndNoRefusal(t *testing.T) {
	t.Parallel()
	broken := false
	var own *keys.Clients
	dir := t.TempDir()
	h := newHouse(t, func(o *provider.Options) {
		own = keys.NewClients(filepath.Join(dir, "keys"), o.Now)
		o.ClientKeys = func(c *oidc.Client) (provider.Keys, error) {
			if broken {
				return nil, errors.New("input/output error")
			}
			return own.Ring(c.ID, []string{keys.ES256})
		}
	})
	h.addClient("one", func(c *oidc.Client) { c.OwnIssuer = true })
	code := h.codeAt("one")
	broken = true
	got := h.post(at("one", h.provider.Token()), exchange(code), "one", "secret-of-one")
	if got.Status != http.StatusServiceUnavailable {
		t.Errorf("%d %v", got.Status, got.Body)
	}
	if status, _ := h.document("one", h.provider.JWKS()); status != http.StatusServiceUnavailable {
		t.Errorf("the key set answers %d", status)
	}
	broken = false // and nothing was used up
	if got := h.post(at("one", h.provider.Token()), exchange(code), "one", "secret-of-one"); got.Status != http.StatusOK {
		t.Errorf("%d %v", got.Status, got.Body)
	}
}
