package provider_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// claimsOf reads a JWT that ours has signed, and the header's typ and alg.
func (h *house) claimsOf(token string) (header keys.Header, claims map[string]any) {
	h.t.Helper()
	j, err := keys.ParseJWS(token)
	if err != nil {
		h.t.Fatalf("%v: %s", err, token)
	}
	if !slices.Contains(keys.Symmetric(), j.Header.Alg) {
		if _, err := h.keys.Verify(token); err != nil {
			h.t.Fatal(err)
		}
	}
	if err := json.Unmarshal(j.Payload, &claims); err != nil {
		h.t.Fatal(err)
	}
	return j.Header, claims
}

func withJWT(alg string) func(*oidc.Client) {
	return func(c *oidc.Client) { c.AccessTokenSignedResponseAlg = alg }
}

// RFC 9068, section 2.2.
func TestAnAccessTokenIsAJWTWhereTheFileSaysSo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.addClient("app", func(c *oidc.Client) {
		c.AccessTokenSignedResponseAlg, c.Audience = "RS256", []string{"https://api.example.org"}
	})
	got := h.tokens("acr_values", "urn:gatehouse:acr:password")
	header, claims := h.claimsOf(got.text("access_token"))
	if header.Typ != "at+jwt" || header.Alg != "RS256" || header.Kid == "" {
		t.Errorf("%+v", header)
	}
	now := float64(h.clock.Now().Unix())
	for name, want := range map[string]any{
		"iss": issuer, "sub": "uuid-alice", "client_id": "app", "iat": now, "exp": now + 3600, "auth_time": now,
		"acr": "urn:gatehouse:acr:password", "scope": "openid profile email groups offline_access",
	} {
		if claims[name] != want {
			t.Errorf("%s is %v, want %v", name, claims[name], want)
		}
		delete(claims, name)
	}
	for name, want := range map[string][]any{
		"aud": {"https://api.example.org", issuer}, "amr": {"pwd"}, "groups": {"staff"},
	} {
		if list, ok := claims[name].([]any); !ok || !slices.Equal(list, want) {
			t.Errorf("%s is %v, want %v", name, claims[name], want)
		}
		delete(claims, name)
	}
	if jti, ok := claims["jti"].(string); !ok || len(jti) < 20 {
		t.Errorf("jti: %v", claims["jti"])
	}
	if delete(claims, "jti"); len(claims) > 0 {
		t.Errorf("claims that no API needs: %v", claims)
	}
	if info := h.userinfo(got.text("access_token")); info.text("email") != "alice@example.org" {
		t.Errorf("userinfo: %v", info.Body)
	}
	if seen := h.introspect(got.text("access_token")); seen.Body["active"] != true || seen.text("sub") != "uuid-alice" {
		t.Errorf("introspection: %v", seen.Body)
	}
	again := h.post(h.provider.Token(), refresh(got.text("refresh_token"), "scope", "email"))
	_, claims = h.claimsOf(again.text("access_token"))
	if claims["scope"] != "email" || claims["groups"] != nil || claims["aud"] != "https://api.example.org" {
		t.Errorf("a narrowed one: %v", claims)
	}
}

// RFC 9068, section 2.2.3.1, and row C2.
func TestRolesAndAPairwiseSubjectAreInTheTokenOfAnAPI(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.addClient("app", func(c *oidc.Client) {
		c.AccessTokenSignedResponseAlg, c.SubjectType = "ES256", "pairwise"
		c.Scopes.Everyone = []string{"openid", "roles"}
	})
	got := h.tokens("scope", "openid roles")
	_, claims := h.claimsOf(got.text("access_token"))
	if roles, ok := claims["roles"].([]any); !ok || len(roles) != 1 || roles[0] != "staff" || claims["groups"] != nil {
		t.Errorf("%v", claims)
	}
	if claims["sub"] == "uuid-alice" || claims["sub"] != h.idToken(got)["sub"] {
		t.Errorf("sub: %v", claims["sub"])
	}
}

func TestAMachinesJWTSpeaksOfItself(t *testing.T) { // RFC 9068, section 2.2
	t.Parallel()
	h := newHouse(t)
	h.addClient("machine", func(c *oidc.Client) {
		c.GrantTypes, c.Scopes.Everyone = []string{"client_credentials"}, []string{"reports"}
		c.AccessTokenSignedResponseAlg, c.DefaultResource = "ES256", "https://api.example.org"
	})
	got := h.post(h.provider.Token(), url.Values{"grant_type": {"client_credentials"}, "scope": {"reports"}}, "machine", "secret-of-machine")
	_, claims := h.claimsOf(got.text("access_token"))
	if claims["sub"] != "machine" || claims["client_id"] != "machine" || claims["aud"] != "https://api.example.org" || claims["scope"] != "reports" {
		t.Errorf("%v", claims)
	}
	for _, name := range []string{"auth_time", "acr", "amr", "groups", "roles"} {
		if claims[name] != nil {
			t.Errorf("a machine has %s: %v", name, claims[name])
		}
	}
}

func TestAccessTokensAreSignedWithEveryUsualAlgorithm(t *testing.T) {
	t.Parallel()
	h, _ := assertionHouse(t)
	for _, alg := range keys.Asymmetric()[2:] {
		if _, err := h.keys.Create(alg); err != nil {
			t.Fatal(err)
		}
	}
	c := h.addClient("app", func(c *oidc.Client) { c.SecretSealed = clientSecret })
	for _, alg := range append(keys.Asymmetric(), keys.Symmetric()...) {
		c.AccessTokenSignedResponseAlg = alg
		token := h.tokens().text("access_token")
		header, _ := h.claimsOf(token)
		if header.Alg != alg || header.Typ != "at+jwt" {
			t.Errorf("%s: %+v", alg, header)
		}
		if j, err := keys.ParseJWS(token); header.Kid == "" && (err != nil || j.VerifyMAC([]byte(clientSecret), []string{alg}) != nil) {
			t.Errorf("%s: not signed with the client's secret", alg)
		}
		if info := h.userinfo(token); info.text("sub") != "uuid-alice" {
			t.Errorf("%s: %v", alg, info.Body)
		}
	}
	c.AccessTokenSignedResponseAlg, c.SecretSealed = "HS256", ""
	code := h.code(request())
	if got := h.post(h.provider.Token(), exchange(code)); got.Status != http.StatusInternalServerError || got.text("access_token") != "" {
		t.Errorf("without a secret to sign with: %d %v", got.Status, got.Body)
	}
	c.SecretSealed = clientSecret
	if got := h.post(h.provider.Token(), exchange(code)); got.Status != http.StatusOK {
		t.Errorf("the code was used up by a failure: %v", got.Body)
	}
}

// RFC 9068, sections 2.1 and 4, and RFC 8725, sections 2.1 and 3.11.
func TestAJWTThatIsNotThatAccessTokenOpensNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.addClient("app", withJWT("ES256"))
	h.addClient("signer", withJWT("RS256"))
	got := h.tokens()
	good := got.text("access_token")
	parts := strings.Split(good, ".")
	_, claims := h.claimsOf(good)
	sign := func(alg, typ string, change map[string]any) string {
		m := map[string]any{}
		for name, value := range claims {
			m[name] = value
		}
		for name, value := range change {
			m[name] = value
		}
		token, err := h.keys.Sign(alg, typ, m)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	flip := func(s string, at int) string {
		letter := byte('A')
		if s[at] == letter {
			letter = 'B'
		}
		return s[:at] + string(letter) + s[at+1:]
	}
	for name, token := range map[string]string{
		"the ID token":                 got.text("id_token"),
		"a changed payload":            parts[0] + "." + flip(parts[1], 20) + "." + parts[2],
		"a changed signature":          parts[0] + "." + parts[1] + "." + flip(parts[2], 10),
		"other last bits, same bytes":  lastBits(good),
		"none, without a signature":    b64(`{"alg":"none","typ":"at+jwt"}`) + "." + parts[1] + ".",
		"without a signature":          parts[0] + "." + parts[1] + ".",
		"a blank after it":             good + "%20",
		"our key, never issued":        sign("ES256", "at+jwt", map[string]any{"jti": "another"}),
		"our key, another typ":         sign("ES256", "JWT", nil),
		"our key, another alg":         sign("RS256", "at+jwt", nil),
		"our key, a later end":         sign("ES256", "at+jwt", map[string]any{"exp": h.clock.Now().Add(time.Hour * 99).Unix()}),
		"a MAC with the public key":    hs(t, "HS256", string(h.keys.JWKS()), claims),
		"the payload alone":            parts[1],
		"a refresh token":              got.text("refresh_token"),
		"the id_token with at+jwt typ": b64(`{"alg":"ES256","typ":"at+jwt"}`) + strings.TrimLeft(got.text("id_token"), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
	} {
		if info := h.userinfo(token); info.Status != http.StatusUnauthorized || info.text("error") != "invalid_token" {
			t.Errorf("%s: userinfo answers %d %v", name, info.Status, info.Body)
		}
		if name == "a refresh token" {
			continue
		}
		if seen := h.introspect(token); len(seen.Body) != 1 || seen.Body["active"] != false {
			t.Errorf("%s: introspection answers %v", name, seen.Body)
		}
	}
	if info := h.userinfo(good); info.Status != http.StatusOK {
		t.Errorf("the token itself: %v", info.Body)
	}
	// Nor is it an ID token (OpenID Connect Core 1.0, section 3.1.2.1).
	if got := h.outcome(request("id_token_hint", good, "prompt", "none")); got != "invalid_request" {
		t.Errorf("an access token as id_token_hint: %s", got)
	}
}

// lastBits changes the bits of the last letter that stand for nothing.
func lastBits(token string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(token) - 1
	return token[:last] + string(letters[strings.IndexByte(letters, token[last])^1])
}

func TestLastBitsStandForNothing(t *testing.T) { // or the case above would be of a wrong signature
	t.Parallel()
	h := newHouse(t)
	h.addClient("app", withJWT("ES256"))
	token := h.tokens().text("access_token")
	decode := func(s string) string {
		b, err := base64.RawURLEncoding.DecodeString(s[strings.LastIndexByte(s, '.')+1:])
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if other := lastBits(token); other == token || decode(other) != decode(token) {
		t.Error("the changed token has another signature")
	}
}

// Promise 1: a JWT is as live as an opaque token where this server is asked.
func TestAJWTAccessTokenIsRevokedAndLookedAtLive(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.addClient("app", withJWT("ES256"))
	active := func(token string) bool { return h.introspect(token).Body["active"] == true }
	first, second := h.tokens(), h.tokens()
	token := first.text("access_token")
	if a := h.post(h.provider.Revocation(), url.Values{"token": {token}, "token_type_hint": {"access_token"}}); a.Status != http.StatusOK {
		t.Fatal(a)
	}
	if active(token) || h.userinfo(token).Status != http.StatusUnauthorized {
		t.Error("it outlived its revocation")
	}
	refreshed := h.post(h.provider.Token(), refresh(first.text("refresh_token")))
	if !active(refreshed.text("access_token")) {
		t.Error("the grant went with one access token")
	}
	h.post(h.provider.Revocation(), url.Values{"token": {refreshed.text("refresh_token")}})
	if active(refreshed.text("access_token")) {
		t.Error("it outlived its grant")
	}
	token = second.text("access_token")
	h.people.SetDown(true)
	if a := h.introspect(token); a.Status != http.StatusServiceUnavailable {
		t.Errorf("can't tell: %v", a)
	}
	h.people.SetDown(false)
	if !active(token) {
		t.Error("it was ended by a directory that couldn't tell")
	}
	h.people.Change("uuid-alice", func(u *oidc.User) { u.State = oidc.StateDisabled })
	if active(token) || h.userinfo(token).Status != http.StatusUnauthorized {
		t.Error("the token of a disabled person is active")
	}
	h.people.Change("uuid-alice", func(u *oidc.User) { u.State = oidc.StateActive })
	h.clock.Advance(time.Hour)
	if active(token) {
		t.Error("it outlived its time")
	}
}

func TestTheImplicitFlowGivesAJWTToo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.hybrid()
	h.clients["app"].AccessTokenSignedResponseAlg = "ES256"
	h.clients["app"].Audience = []string{"https://api.example.org"}
	got := h.answer(h.next(request("response_type", "id_token token", "resource", "https://api.example.org"), h.signedIn("uuid-alice", 0)))
	header, claims := h.claimsOf(got.Get("access_token"))
	if aud, ok := claims["aud"].([]any); !ok || header.Typ != "at+jwt" || !slices.Contains(aud, any("https://api.example.org")) {
		t.Errorf("%+v %v", header, claims)
	}
	h.checkFrontChannelIDToken(t, got.Get("id_token"), got)
}
