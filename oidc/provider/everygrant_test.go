package provider_test

import (
	"bytes"
	"net/http"
	"slices"
	"testing"

	"gatehouse/oidc"
)

// Row L11, RFC 9068 and RFC 8707: however a token was got, it is of the form and for
// the resources that the client's file allows.
func TestEveryGrantGivesTokensOfOneForm(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	passwords, devices := passwordHouse(t, &log, nil), deviceHouse(t)
	bearers, job, _ := bearerHouse(t)
	api := func(c *oidc.Client) { c.AccessTokenSignedResponseAlg, c.Audience = "ES256", []string{apiA, apiB} }
	api(passwords.clients["old"])
	api(devices.clients["tv"])
	api(bearers.clients["job"])
	device := func(changes ...string) answer {
		started := devices.device()
		devices.allow(started)
		return devices.poll(started, changes...)
	}
	bearer := func(changes ...string) answer {
		return bearers.brings("job", job.sign(t, "ES256", bearers.speaks(job.id, nil)), changes...)
	}
	for name, c := range map[string]struct {
		h     *house
		grant func(changes ...string) answer
	}{
		"password": {passwords, passwords.byPassword}, "device": {devices, device}, "jwt-bearer": {bearers, bearer},
	} {
		got := c.grant("resource", apiA)
		header, claims := c.h.claimsOf(got.text("access_token"))
		if header.Typ != "at+jwt" || claims["aud"] != apiA || claims["sub"] != "uuid-alice" || claims["iss"] != issuer {
			t.Errorf("%s: %+v %v", name, header, claims)
		}
		if info := c.h.userinfo(got.text("access_token")); info.Status != http.StatusUnauthorized {
			t.Errorf("%s: a token for an API opened userinfo: %v", name, info.Body)
		}
		if (got.Body["refresh_expires_in"] == nil) != (got.Body["refresh_token"] == nil) {
			t.Errorf("%s: %v", name, got.Body)
		}
		whole := c.grant()
		_, claims = c.h.claimsOf(whole.text("access_token"))
		if aud, _ := claims["aud"].([]any); !slices.Equal(aud, []any{apiA, apiB, issuer}) {
			t.Errorf("%s, without a resource: %v", name, claims["aud"])
		}
		if info := c.h.userinfo(whole.text("access_token")); info.text("sub") != "uuid-alice" {
			t.Errorf("%s: %v", name, info.Body)
		}
		if refused := c.grant("resource", "https://evil.example"); refused.text("error") != "invalid_target" {
			t.Errorf("%s: %v", name, refused.Body)
		}
	}
}

func TestADeviceThatAskedForOneAPIGetsNoTokenForAnother(t *testing.T) { // RFC 8707, section 2.2
	t.Parallel()
	h := deviceHouse(t)
	h.clients["tv"].AccessTokenSignedResponseAlg, h.clients["tv"].Audience = "ES256", []string{apiA, apiB}
	started := h.device("resource", apiA)
	h.allow(started)
	got := h.poll(started)
	_, claims := h.claimsOf(got.text("access_token"))
	if aud, _ := claims["aud"].([]any); !slices.Equal(aud, []any{apiA, issuer}) {
		t.Errorf("%v", claims["aud"])
	}
	again := started
	if wider := h.poll(again, "resource", apiB); wider.text("error") != "invalid_target" && wider.text("error") != "invalid_grant" {
		t.Errorf("%v", wider.Body)
	}
}

func TestAJWTOfAClientsOwnIssuerIsNobodyElses(t *testing.T) { // row D2
	t.Parallel()
	h := newHouseWithIssuers(t)
	for _, id := range []string{"one", "two", "app"} {
		h.clients[id].AccessTokenSignedResponseAlg = "ES256"
	}
	token := h.tokensAt("one").text("access_token")
	if info := h.userinfoAt("one", token); info.text("sub") != "uuid-alice" {
		t.Errorf("its own userinfo: %v", info.Body)
	}
	for _, address := range []string{"", "two"} {
		if info := h.userinfoAt(address, token); info.Status != http.StatusUnauthorized {
			t.Errorf("userinfo at %q: %v", address, info.Body)
		}
	}
	if _, err := h.keys.Verify(token); err == nil {
		t.Error("it is signed with a key of the server's own")
	}
	if v, err := h.provider.CheckToken(t.Context(), token, ""); err != nil || !v.Active || v.Claims["iss"] != issuerOf("one") {
		t.Errorf("%+v %v", v, err)
	}
}
