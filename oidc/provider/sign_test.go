package provider_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// OpenID Connect Core 1.0, sections 2, 3.1.2.1 and 10.1.
func TestIDTokensAreSignedAsTheClientRegistered(t *testing.T) {
	t.Parallel()
	h, _ := assertionHouse(t)
	for _, alg := range keys.Asymmetric()[2:] {
		if _, err := h.keys.Create(alg); err != nil {
			t.Fatal(err)
		}
	}
	c := h.addClient("app", func(c *oidc.Client) { c.SecretSealed = clientSecret })
	for _, alg := range append(keys.Asymmetric(), keys.Symmetric()...) {
		c.IDTokenSignedResponseAlg = alg
		token := h.tokens().text("id_token")
		j, err := keys.ParseJWS(token)
		if err != nil || j.Header.Alg != alg {
			t.Fatalf("%s: %+v %v", alg, j, err)
		}
		if err := j.VerifyMAC([]byte(clientSecret), keys.Symmetric()); (err == nil) != (j.Header.Kid == "") {
			t.Errorf("%s: %v", alg, err)
		}
		var claims map[string]any
		if err := json.Unmarshal(j.Payload, &claims); err != nil || claims["at_hash"] == nil {
			t.Errorf("%s: %v %v", alg, claims, err)
		}
		h.clock.Advance(2 * time.Hour) // an expired token is as good a hint
		if got := h.outcome(request("id_token_hint", token, "prompt", "none")); got != "code" {
			t.Errorf("%s as a hint: %s", alg, got)
		}
	}
	forged := hs(t, "HS256", "another secret of more than thirty-two bytes", map[string]any{"iss": issuer, "sub": "uuid-alice", "exp": h.clock.Now().Add(time.Hour).Unix()})
	c.IDTokenSignedResponseAlg = "HS256"
	if got := h.outcome(request("id_token_hint", forged)); got != "invalid_request" {
		t.Errorf("a forged hint: %s", got)
	}
	c.SecretSealed = ""
	if got := h.post(h.provider.Token(), exchange(h.code(request()))); got.Status != http.StatusInternalServerError || got.text("id_token") != "" {
		t.Errorf("without a secret to sign with: %d %v", got.Status, got.Body)
	}
}
