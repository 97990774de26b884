package provider_test

import (
	"testing"
	"time"

	"gatehouse/oidc"
)

func TestEachTokenLivesAsLongAsTheClientsFileSays(t *testing.T) { // row L7
	t.Parallel()
	h := newHouse(t)
	h.addClient("app", func(c *oidc.Client) {
		c.Lifespans = oidc.Lifespans{Code: 30 * time.Second, Access: 2 * time.Minute, ID: 3 * time.Minute, Refresh: time.Hour}
	})
	got, now := h.tokens(), h.clock.Now()
	if got.Body["expires_in"] != 120.0 || got.Body["refresh_expires_in"] != 3600.0 || h.idToken(got)["exp"] != float64(now.Add(3*time.Minute).Unix()) {
		t.Errorf("%v", got.Body)
	}
	late := h.code(request())
	h.clock.Advance(30 * time.Second)
	if a := h.post(h.provider.Token(), exchange(late)); a.text("error") != "invalid_grant" {
		t.Errorf("a code outlived its time: %v", a.Body)
	}
	h.clock.Advance(90 * time.Second)
	if a := h.userinfo(got.text("access_token")); a.Status != 401 {
		t.Errorf("an access token outlived its time: %v", a.Body)
	}
	h.clock.Advance(57 * time.Minute) // an hour has passed but for a minute
	second := h.post(h.provider.Token(), refresh(got.text("refresh_token")))
	if second.Body["refresh_expires_in"] != 3600.0 || second.Body["expires_in"] != 120.0 {
		t.Errorf("%v", second.Body)
	}
	h.clock.Advance(time.Hour)
	if a := h.post(h.provider.Token(), refresh(second.text("refresh_token"))); a.text("error") != "invalid_grant" {
		t.Errorf("a refresh token outlived its time: %v", a.Body)
	}
}

func TestWithoutARefreshTokenNobodyIsToldWhenItEnds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if got := h.tokens("scope", "openid"); got.Body["refresh_expires_in"] != nil || got.Body["refresh_token"] != nil {
		t.Errorf("%v", got.Body)
	}
}

// OpenID Connect Core 1.0, section 12.2.
func TestARefreshedIDTokenSpeaksOfTheSameSignIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	got := h.tokens()
	first := h.idToken(got)
	h.clock.Advance(20 * time.Minute)
	again := h.post(h.provider.Token(), refresh(got.text("refresh_token"), "scope", "openid email"))
	second := h.idToken(again)
	for _, name := range []string{"iss", "sub", "aud", "azp", "auth_time", "sid"} {
		if first[name] == nil || first[name] != second[name] {
			t.Errorf("%s was %v and is %v", name, first[name], second[name])
		}
	}
	if _, there := second["nonce"]; there {
		t.Error("there is a nonce")
	}
	if second["iat"] != float64(h.clock.Now().Unix()) || second["jti"] == first["jti"] {
		t.Errorf("not a new token: %v", second)
	}
	if again.text("scope") != "openid email" {
		t.Errorf("RFC 6749, section 6: %v", again.Body)
	}
	if a := h.introspect(again.text("access_token")); a.text("scope") != "openid email" {
		t.Errorf("the access token has more than was asked for: %v", a.Body)
	}
	if a := h.post(h.provider.Token(), refresh(again.text("refresh_token"), "scope", "openid phone")); a.text("error") != "invalid_scope" {
		t.Errorf("more than was granted: %v", a.Body)
	}
	if a := h.post(h.provider.Token(), refresh(again.text("refresh_token"))); a.text("scope") != got.text("scope") {
		t.Errorf("asking for less once must not last: %v", a.Body)
	}
	alone := h.post(h.provider.Token(), refresh(h.tokens().text("refresh_token"), "scope", "email"))
	if alone.Status != 200 || alone.Body["id_token"] != nil {
		t.Errorf("an ID token without openid: %v", alone.Body)
	}
}
