package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/config"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// The whole way of an application that signs instead of sending a secret: its keys
// are fetched from it, its request is pushed as a signed object, its assertions are
// taken once (RFC 7523, RFC 9101, RFC 9126).
func TestAnApplicationThatSignsWhatItAsks(t *testing.T) {
	t.Parallel()
	ring, err := keys.Open(filepath.Join(t.TempDir(), "application"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	var fetched atomic.Int32
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetched.Add(1)
		_, _ = w.Write(ring.JWKS())
	}))
	t.Cleanup(application.Close)
	client := "client_id: signer\nredirect_uris: [" + appRedirect + "]\nconsent: none\ntoken_endpoint_auth_method: private_key_jwt\n" +
		"jwks_uri: " + application.URL + "/jwks\nrequire_signed_request_object: true\nrequire_pushed_authorization_requests: true\n" +
		"scopes: {everyone: [openid, email]}\n"
	s := startSite(t, map[string]string{"clients.d/signer.yaml": client}, func(c *config.Config) {
		c.Outbound.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	})
	sign := func(claims map[string]any) string {
		now := time.Now().Unix()
		for name, value := range map[string]any{"iss": "signer", "aud": s.URL, "exp": now + 60, "jti": oidc.NewID()} {
			if _, there := claims[name]; !there {
				claims[name] = value
			}
		}
		token, err := ring.Sign(keys.ES256, "", claims)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	asClient := func(form url.Values) url.Values {
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", sign(map[string]any{"sub": "signer"}))
		return form
	}
	alice := newPerson(t)
	body := func(g page, status int) map[string]any {
		t.Helper()
		var out map[string]any
		if err := json.Unmarshal([]byte(g.Body), &out); err != nil || g.Status != status {
			t.Fatalf("%d %s", g.Status, g.Body)
		}
		return out
	}
	document := body(alice.get(s.URL+"/.well-known/openid-configuration"), http.StatusOK)
	pushed := body(alice.post(document["pushed_authorization_request_endpoint"].(string), asClient(url.Values{"request": {sign(map[string]any{
		"client_id": "signer", "response_type": "code", "redirect_uri": appRedirect, "scope": "openid email", "state": "st", "max_age": 3600,
		"code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256",
	})}})), http.StatusCreated)
	visit := s.URL + "/oauth2/authorize?" + url.Values{"client_id": {"signer"}, "request_uri": {pushed["request_uri"].(string)}}.Encode()
	alice.get(visit) // and again
	answered := alice.get(visit).submit("username", "alice", "password", ldaptest.Password("alice"))
	if answered.Location == nil || answered.Location.Query().Get("code") == "" || answered.Location.Query().Get("state") != "st" {
		t.Fatalf("%d %v %s", answered.Status, answered.Location, answered.Body)
	}
	form := asClient(url.Values{
		"grant_type": {"authorization_code"}, "code": {answered.Location.Query().Get("code")}, "redirect_uri": {appRedirect},
		"code_verifier": {"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
	})
	if tokens := body(alice.post(s.URL+"/oauth2/token", form), http.StatusOK); tokens["id_token"] == nil {
		t.Errorf("%v", tokens)
	}
	if again := alice.post(s.URL+"/oauth2/token", form); again.Status != http.StatusUnauthorized {
		t.Errorf("an assertion was taken twice: %d %s", again.Status, again.Body)
	}
	if g := alice.get(visit); g.Status != http.StatusBadRequest || g.Location != nil {
		t.Errorf("a pushed request was used again: %d %v", g.Status, g.Location)
	}
	if n := fetched.Load(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
	if strings.Contains(s.Log.String(), pushed["request_uri"].(string)) {
		t.Error("the log holds the request_uri")
	}
}
