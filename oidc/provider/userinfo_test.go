package provider_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// OpenID Connect Core 1.0, section 5.3.2.
func TestUserinfoIsSignedWhereTheFileSaysSo(t *testing.T) {
	t.Parallel()
	h, _ := assertionHouse(t)
	for _, alg := range keys.Asymmetric()[2:] {
		if _, err := h.keys.Create(alg); err != nil {
			t.Fatal(err)
		}
	}
	c := h.addClient("app", func(c *oidc.Client) { c.SecretSealed = clientSecret })
	ask := func(token string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.provider.UserInfo().ServeHTTP(w, r)
		return w
	}
	for _, alg := range append(keys.Asymmetric(), keys.Symmetric()...) {
		c.UserInfoSignedResponseAlg = alg
		token := h.tokens().text("access_token")
		w := ask(token)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/jwt" || w.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("%s: %d %v %s", alg, w.Code, w.Header(), w.Body)
		}
		header, claims := h.claimsOf(w.Body.String())
		if header.Alg != alg || claims["iss"] != issuer || claims["aud"] != "app" || claims["sub"] != "uuid-alice" || claims["email"] != "alice@example.org" {
			t.Errorf("%s: %+v %v", alg, header, claims)
		}
		if claims["exp"] != nil {
			t.Errorf("%s: it could be taken for an ID token: %v", alg, claims)
		}
		if j, err := keys.ParseJWS(w.Body.String()); header.Kid == "" && (err != nil || j.VerifyMAC([]byte(clientSecret), []string{alg}) != nil) {
			t.Errorf("%s: not signed with the client's secret", alg)
		}
		// Nor does it say who is signed in (section 3.1.2.1), or open anything.
		c.IDTokenSignedResponseAlg = alg
		if got := h.outcome(request("id_token_hint", w.Body.String(), "prompt", "none")); got != "invalid_request" {
			t.Errorf("%s: as id_token_hint: %s", alg, got)
		}
		if info := ask(w.Body.String()); info.Code != http.StatusUnauthorized {
			t.Errorf("%s: as access token: %d", alg, info.Code)
		}
	}
	if w := ask("nonsense"); w.Code != http.StatusUnauthorized || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("an error is JSON: %d %v", w.Code, w.Header())
	}
	c.UserInfoSignedResponseAlg, c.IDTokenSignedResponseAlg = "HS256", "ES256"
	token := h.tokens().text("access_token")
	c.SecretSealed = ""
	if w := ask(token); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "alice") {
		t.Errorf("without a secret to sign with: %d %s", w.Code, w.Body)
	}
}

func TestDiscoveryTellsHowUserinfoCanBeSigned(t *testing.T) {
	t.Parallel()
	h, _ := assertionHouse(t)
	w := httptest.NewRecorder()
	h.provider.Discovery().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	var document struct {
		UserInfo []string `json:"userinfo_signing_alg_values_supported"`
		IDToken  []string `json:"id_token_signing_alg_values_supported"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	if strings.Join(document.UserInfo, " ") != "ES256 RS256 HS256 HS384 HS512" || strings.Join(document.IDToken, " ") != strings.Join(document.UserInfo, " ") {
		t.Errorf("%+v", document)
	}
}

// OpenID Connect Core 1.0, section 2.
func TestIDTokensAreUnsignedOnlyInTheCodeFlowOfWhoAskedForIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.addClient("app", func(c *oidc.Client) { c.IDTokenSignedResponseAlg = keys.None })
	got := h.tokens()
	token := got.text("id_token")
	j, err := keys.ParseJWS(token)
	if err != nil || j.VerifyNone() != nil || !strings.HasSuffix(token, ".") {
		t.Fatalf("%v: %s", err, token)
	}
	var claims map[string]any
	if err := json.Unmarshal(j.Payload, &claims); err != nil || claims["sub"] != "uuid-alice" || claims["nonce"] != "n-0S6_WzA2Mj" || claims["at_hash"] != nil {
		t.Errorf("%v %v", claims, err)
	}
	again := h.post(h.provider.Token(), refresh(got.text("refresh_token")))
	if j, err := keys.ParseJWS(again.text("id_token")); err != nil || j.VerifyNone() != nil {
		t.Errorf("%v: %v", err, again.Body)
	}
	// Anybody could have written it.
	if got := h.outcome(request("id_token_hint", token, "prompt", "none")); got != "invalid_request" {
		t.Errorf("as id_token_hint: %s", got)
	}
	h.addClient("signed", nil)
	if got := h.outcome(request("client_id", "signed", "id_token_hint", token, "prompt", "none")); got != "invalid_request" {
		t.Errorf("as another client's id_token_hint: %s", got)
	}
	h.hybrid()
	h.clients["app"].IDTokenSignedResponseAlg = keys.None
	for _, responseType := range []string{"id_token", "id_token token", "code id_token", "code id_token token"} {
		if got := h.outcome(request("response_type", responseType)); got != "unauthorized_client" {
			t.Errorf("%s: %s", responseType, got)
		}
	}
	if got := h.outcome(request("response_type", "code token")); got != "code" {
		t.Errorf("without an ID token through the browser: %s", got)
	}
}
