package provider_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"gatehouse/oidc"
	"gatehouse/oidc/provider"
)

var allResponseTypes = []string{
	"code", "id_token", "id_token token", "code id_token", "code token", "code id_token token", "token",
}

// hybrid is a client that may do everything.
func (h *house) hybrid() {
	h.addClient("app", func(c *oidc.Client) {
		c.GrantTypes = []string{"authorization_code", "refresh_token", "implicit"}
		c.ResponseTypes = allResponseTypes
	})
}

func half(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// OAuth 2.0 Multiple Response Type Encoding Practices, section 5; OpenID Connect
// Core 1.0, sections 3.1, 3.2 and 3.3: row P2.
func TestEveryResponseTypeGivesWhatItNames(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.hybrid()
	for _, responseType := range allResponseTypes {
		t.Run(responseType, func(t *testing.T) {
			t.Parallel()
			parts := strings.Fields(responseType)
			step := h.next(request("response_type", responseType), h.signedIn("uuid-alice", 0))
			got := h.answer(step)
			for parameter, part := range map[string]string{"code": "code", "access_token": "token", "id_token": "id_token", "expires_in": "token", "token_type": "token"} {
				if got.Has(parameter) != slices.Contains(parts, part) {
					t.Errorf("%s: %v", parameter, got)
				}
			}
			if got.Get("state") != "st" || got.Get("iss") != issuer {
				t.Errorf("%v", got)
			}
			if fragment := strings.Contains(step.Response.Location, "#"); fragment != (responseType != "code") {
				t.Errorf("sent to %s", step.Response.Location)
			}
			if access := got.Get("access_token"); access != "" {
				if info := h.userinfo(access); info.text("email") != "alice@example.org" {
					t.Errorf("%v", info)
				}
			}
			if raw := got.Get("id_token"); raw != "" {
				h.checkFrontChannelIDToken(t, raw, got)
			}
			if code := got.Get("code"); code != "" {
				answer := h.post(h.provider.Token(), exchange(code))
				if answer.Status != http.StatusOK || h.idToken(answer)["sub"] != "uuid-alice" || h.idToken(answer)["c_hash"] != nil {
					t.Errorf("%v", answer)
				}
			}
		})
	}
}

func (h *house) checkFrontChannelIDToken(t *testing.T, raw string, got url.Values) {
	t.Helper()
	payload, err := h.keys.Verify(raw)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	if claims["nonce"] != "n-0S6_WzA2Mj" || claims["aud"] != "app" || claims["sub"] != "uuid-alice" {
		t.Errorf("%v", claims)
	}
	for claim, text := range map[string]string{"at_hash": got.Get("access_token"), "c_hash": got.Get("code")} {
		switch {
		case text == "" && claims[claim] != nil:
			t.Errorf("%s of nothing", claim)
		case text != "" && claims[claim] != half(text): // sections 3.2.2.10 and 3.3.2.11
			t.Errorf("%s is %v", claim, claims[claim])
		}
	}
	// Section 5.4: scope claims are here only if there is nothing to ask userinfo
	// with.
	if alone := !got.Has("access_token") && !got.Has("code"); (claims["email"] != nil) != alone {
		t.Errorf("%v", claims)
	}
}

func TestResponseModesCarryTheAnswerAndKeepTokensOutOfTheQuery(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.hybrid()
	ask := func(changes ...string) provider.Step { return h.next(request(changes...), h.signedIn("uuid-alice", 0)) }
	if got := ask("response_mode", "fragment"); !strings.Contains(got.Response.Location, redirect+"#") {
		t.Errorf("%s", got.Response.Location)
	}
	for _, responseType := range []string{"token", "id_token", "code token"} {
		got := ask("response_type", responseType, "response_mode", "query")
		if h.answer(got).Get("error") != "invalid_request" || strings.Contains(got.Response.Location, "?") {
			t.Errorf("%s: %s", responseType, got.Response.Location)
		}
	}
	for _, responseType := range allResponseTypes {
		step := ask("response_type", responseType, "response_mode", "form_post", "state", `"><script>alert(1)</script>`)
		w := httptest.NewRecorder()
		step.Response.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		policy := w.Header().Get("Content-Security-Policy")
		if w.Code != http.StatusOK || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") ||
			w.Header().Get("Cache-Control") != "no-store" || strings.Contains(w.Body.String(), "<script>alert") ||
			!strings.Contains(w.Body.String(), `action="`+redirect+`"`) {
			t.Errorf("%s: %v %s", responseType, w.Header(), w.Body)
		}
		got := h.answer(step)
		if got.Get("state") != `"><script>alert(1)</script>` || got.Get("error") != "" {
			t.Errorf("%v", got)
		}
		script := strings.Split(strings.Split(w.Body.String(), "<script>")[1], "</script>")[0]
		sum := sha256.Sum256([]byte(script))
		if !strings.Contains(policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
			t.Errorf("the policy does not allow the script: %s %s", policy, script)
		}
	}
	if got := h.answer(ask("response_mode", "form_post", "scope", "openid nonsense")); got.Get("error") != "access_denied" {
		t.Errorf("errors go the same way: %v", got)
	}
	h.addClient("strict", func(c *oidc.Client) { c.ResponseModes = []string{"query"} })
	if got := h.answer(ask("client_id", "strict", "response_mode", "form_post")); got.Get("error") != "unsupported_response_mode" {
		t.Errorf("%v", got)
	}
}

func TestTheImplicitFlowHasItsOwnRules(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.hybrid()
	h.addClient("plain", nil)
	for name, c := range map[string]struct {
		change []string
		error  string
	}{
		"no nonce (OpenID Connect Core 1.0, 3.2.2.1)": {[]string{"response_type", "id_token", "nonce", ""}, "invalid_request"},
		"no nonce in the hybrid flow (3.3.2.11)":      {[]string{"response_type", "code id_token", "nonce", ""}, "invalid_request"},
		"no openid":                                   {[]string{"response_type", "id_token", "scope", "profile"}, "invalid_scope"},
		"a client that has not registered it":         {[]string{"client_id", "plain", "response_type", "id_token"}, "unauthorized_client"},
		"an unknown response type":                    {[]string{"response_type", "thought"}, "unsupported_response_type"},
		"PKCE is asked for where there is a code":     {[]string{"response_type", "code token", "code_challenge", "", "code_challenge_method", ""}, "invalid_request"},
		"and not where there is none":                 {[]string{"response_type", "id_token token", "code_challenge", "", "code_challenge_method", ""}, ""},
		"the order does not matter (RFC 6749, 3.1.1)": {[]string{"response_type", "token id_token"}, ""},
		"code token needs no nonce":                   {[]string{"response_type", "code token", "nonce", ""}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := h.answer(h.next(request(c.change...), h.signedIn("uuid-alice", 0))); got.Get("error") != c.error {
				t.Errorf("%v", got)
			}
		})
	}
	// A code from the hybrid flow that is used twice takes the token of the front
	// channel along: row P14.
	got := h.answer(h.next(request("response_type", "code token"), h.signedIn("uuid-alice", 0)))
	for range 2 {
		h.post(h.provider.Token(), exchange(got.Get("code")))
	}
	if info := h.userinfo(got.Get("access_token")); info.Status != http.StatusUnauthorized {
		t.Errorf("%v", info)
	}
}

func TestACRIsReturnedWhereItIsAskedForAndTrue(t *testing.T) { // OpenID Connect Core 1.0, sections 2 and 3.1.2.1
	t.Parallel()
	h := newHouse(t)
	for values, want := range map[string]any{"": nil, "2 1": nil, "phr urn:gatehouse:acr:password": "urn:gatehouse:acr:password"} {
		if id := h.idToken(h.tokens("acr_values", values)); id["acr"] != want {
			t.Errorf("%q: %v", values, id["acr"])
		}
	}
	if id := h.idToken(h.tokens("claims", `{"id_token":{"acr":{"values":["urn:gatehouse:acr:password","phr"]}}}`)); id["acr"] != "urn:gatehouse:acr:password" {
		t.Errorf("%v", id["acr"])
	}
	// Section 5.5.1.1: an essential class that cannot be had is a failed sign-in.
	if got := h.answer(h.next(request("claims", `{"id_token":{"acr":{"essential":true,"values":["phr"]}}}`), h.signedIn("uuid-alice", 0))); got.Get("error") != "access_denied" {
		t.Errorf("%v", got)
	}
}
