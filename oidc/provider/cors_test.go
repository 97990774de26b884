package provider_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"gatehouse/oidc"
	"gatehouse/oidc/provider"
)

const (
	ownOrigin   = "https://app.example.org"
	otherOrigin = "https://other.example.org"
)

// newScriptHouse has two clients with an origin each.
func newScriptHouse(t *testing.T) *house {
	t.Helper()
	h := newHouse(t, func(o *provider.Options) { o.Origins = o.Clients.(clientSet) })
	h.addClient("spa", func(c *oidc.Client) {
		c.TokenEndpointAuthMethod, c.SecretHash = "none", ""
		c.AllowedCORSOrigins = []string{"https://dev.example.org"}
	})
	h.addClient("other", func(c *oidc.Client) { c.RedirectURIs = []string{otherOrigin + "/cb"} })
	return h
}

// script sends a request as a browser does for a script of an origin.
func (h *house) script(handler http.Handler, method, origin string, form url.Values, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/", strings.NewReader(form.Encode()))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

func TestScriptsOfAClientMayAskInItsNameAndNoOthers(t *testing.T) {
	t.Parallel()
	h := newScriptHouse(t)
	tokens := func(origin string) *httptest.ResponseRecorder {
		form := exchange(h.code(request("client_id", "spa")), "client_id", "spa")
		return h.script(h.provider.Token(), http.MethodPost, origin, form)
	}
	for origin, want := range map[string]string{
		ownOrigin: ownOrigin, "https://dev.example.org": "https://dev.example.org", otherOrigin: "", "https://evil.example": "", "null": "",
		"https://app.example.org.evil.example": "", "http://app.example.org": "", "https://app.example.org:8443": "", "": "",
	} {
		w := tokens(origin)
		if got := w.Header().Get("Access-Control-Allow-Origin"); w.Code != http.StatusOK || got != want {
			t.Errorf("tokens for %q: %d %q", origin, w.Code, got)
		}
		if w.Header().Get("Access-Control-Allow-Credentials") != "" || w.Header().Get("Vary") != "Origin" {
			t.Errorf("%q: %v", origin, w.Header())
		}
	}
	var answer map[string]any
	if err := json.Unmarshal(tokens(ownOrigin).Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	access, _ := answer["access_token"].(string)
	for origin, want := range map[string]string{ownOrigin: ownOrigin, otherOrigin: "", "https://evil.example": ""} {
		w := h.script(h.provider.UserInfo(), http.MethodGet, origin, nil, "Authorization", "Bearer "+access)
		if got := w.Header().Get("Access-Control-Allow-Origin"); w.Code != http.StatusOK || got != want {
			t.Errorf("userinfo for %q: %d %q", origin, w.Code, got)
		}
		w = h.script(h.provider.Revocation(), http.MethodPost, origin, url.Values{"token": {"x"}, "client_id": {"spa"}})
		if got := w.Header().Get("Access-Control-Allow-Origin"); w.Code != http.StatusOK || got != want {
			t.Errorf("revocation for %q: %d %q", origin, w.Code, got)
		}
		w = h.script(h.provider.Introspection(), http.MethodPost, origin, url.Values{"token": {"x"}})
		if got := w.Header().Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("introspection for %q: %q", origin, got)
		}
	}
	// What is wrong can be read, too, or nobody could mend it.
	w := h.script(h.provider.Token(), http.MethodPost, ownOrigin, url.Values{"grant_type": {"authorization_code"}, "client_id": {"spa"}})
	if w.Code != http.StatusBadRequest || w.Header().Get("Access-Control-Allow-Origin") != ownOrigin {
		t.Errorf("an error: %d %v", w.Code, w.Header())
	}
	w = h.script(h.provider.UserInfo(), http.MethodGet, ownOrigin, nil, "Authorization", "Bearer unknown")
	if w.Code != http.StatusUnauthorized || w.Header().Get("Access-Control-Allow-Origin") != ownOrigin ||
		!strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), "WWW-Authenticate") {
		t.Errorf("a token that has ended: %d %v", w.Code, w.Header())
	}
}

func TestATelevisionMadeOfAPageMayStartAndPoll(t *testing.T) { // row L10
	t.Parallel()
	h := newScriptHouse(t)
	h.clients["spa"].GrantTypes = []string{grantDevice}
	form := url.Values{"client_id": {"spa"}, "scope": {"openid"}}
	for origin, want := range map[string]string{"https://dev.example.org": "https://dev.example.org", otherOrigin: ""} {
		w := h.script(h.provider.DeviceAuthorization(), http.MethodPost, origin, form)
		if got := w.Header().Get("Access-Control-Allow-Origin"); w.Code != http.StatusOK || got != want {
			t.Errorf("%s: %d %q", origin, w.Code, got)
		}
		if w := h.script(h.provider.DeviceAuthorization(), http.MethodOptions, origin, nil); w.Code != http.StatusNoContent {
			t.Errorf("preflight of %s: %d", origin, w.Code)
		}
	}
}

func TestPreflightsAreAnsweredToOriginsOfClients(t *testing.T) {
	t.Parallel()
	h := newScriptHouse(t)
	for name, handler := range map[string]http.Handler{
		"token": h.provider.Token(), "userinfo": h.provider.UserInfo(), "revocation": h.provider.Revocation(), "par": h.provider.PushedAuthorization(),
	} {
		for origin, want := range map[string]int{ownOrigin: 204, otherOrigin: 204, "https://evil.example": 403, "null": 403, "": 403} {
			w := h.script(handler, http.MethodOptions, origin, nil, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
			if w.Code != want || w.Body.Len() > 0 || w.Header().Get("Vary") != "Origin" || w.Header().Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s for %q: %d %v", name, origin, w.Code, w.Header())
			}
			if allowed := w.Header().Get("Access-Control-Allow-Origin"); (want == 204) != (allowed == origin && allowed != "") {
				t.Errorf("%s for %q: %q", name, origin, allowed)
			}
		}
	}
	for name, handler := range map[string]http.Handler{"discovery": h.provider.Discovery(), "jwks": h.provider.JWKS(), "webfinger": h.provider.WebFinger()} {
		w := h.script(handler, http.MethodOptions, "https://evil.example", nil)
		if w.Code != http.StatusNoContent || w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
}

// RFC 7033; OpenID Connect Discovery 1.0, section 2.
func TestWebFingerNamesTheIssuerWhoeverIsAskedFor(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ask := func(query string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.provider.WebFinger().ServeHTTP(w, httptest.NewRequest(http.MethodGet, provider.PathWebFinger+"?"+query, nil))
		return w
	}
	const rel = "http://openid.net/specs/connect/1.0/issuer"
	for _, resource := range []string{"acct:alice@example.org", "acct:nobody@example.org", "acct:a%40b@example.org", "https://example.org/alice", "https://sso.example.org:8443"} {
		w := ask(url.Values{"resource": {resource}, "rel": {rel}}.Encode())
		want := `{"links":[{"rel":"` + rel + `","href":"` + issuer + `"}],"subject":"` + resource + `"}`
		if w.Code != http.StatusOK || w.Body.String() != want || w.Header().Get("Content-Type") != "application/jrd+json" || w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %s %v", resource, w.Code, w.Body, w.Header())
		}
	}
	if w := ask("resource=acct:alice@example.org&rel=http://webfinger.net/rel/avatar"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"links":[]`) {
		t.Errorf("another rel: %d %s", w.Code, w.Body)
	}
	if w := ask("resource=acct:alice@example.org&rel=a&rel=" + url.QueryEscape(rel)); !strings.Contains(w.Body.String(), issuer) {
		t.Errorf("two rels: %s", w.Body)
	}
	for _, query := range []string{
		"", "rel=a", "resource=", "resource=alice", "resource=alice@example.org", "resource=acct:alice", "resource=acct:@example.org", "resource=acct:alice@",
		"resource=http://example.org/", "resource=https:", "resource=javascript:alert(1)", "resource=acct:a@b&resource=acct:c@d", "resource=%zz",
		"resource=acct:" + strings.Repeat("a", 2000) + "@b", "resource=acct:a@b" + strings.Repeat("&rel=x", 50), "resource=acct:a/b@c",
	} {
		if w := ask(query); w.Code != http.StatusBadRequest || strings.Contains(w.Body.String(), "alice") {
			t.Errorf("%.80s: %d %s", query, w.Code, w.Body)
		}
	}
}
