package provider_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/provider"
	"gatehouse/oidc/store"
)

func isUnavailable(err error) bool { return errors.Is(err, oidc.ErrUnavailable) }

func TestTheCodeFlowGivesTokensAndAnIDTokenThatSaysNothingUnasked(t *testing.T) { // row C4
	t.Parallel()
	h := newHouse(t)
	got := h.tokens()
	if got.text("token_type") != "Bearer" || got.Body["expires_in"] != 3600.0 || got.text("scope") != "openid profile email groups offline_access" ||
		got.text("refresh_token") == "" || got.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", got)
	}
	claims := h.idToken(got)
	sum := sha256.Sum256([]byte(got.text("access_token")))
	want := map[string]any{
		"iss": issuer, "sub": "uuid-alice", "aud": "app", "azp": "app", "nonce": "n-0S6_WzA2Mj", "sid": "sid-uuid-alice",
		"auth_time": float64(h.clock.Now().Unix()), "iat": float64(h.clock.Now().Unix()), "exp": float64(h.clock.Now().Add(time.Hour).Unix()),
		"at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]),
	}
	for name, value := range want {
		if claims[name] != value {
			t.Errorf("%s is %v, want %v", name, claims[name], value)
		}
		delete(claims, name)
	}
	delete(claims, "jti")
	if amr, ok := claims["amr"].([]any); !ok || len(amr) != 1 || amr[0] != "pwd" {
		t.Errorf("amr: %v", claims["amr"])
	}
	delete(claims, "amr")
	if len(claims) > 0 {
		t.Errorf("claims that nobody asked for: %v", claims)
	}
	info := h.userinfo(got.text("access_token"))
	if info.text("sub") != "uuid-alice" || info.text("email") != "alice@example.org" || info.Body["email_verified"] != true || info.text("name") != "Alice Archer" {
		t.Errorf("%v", info.Body)
	}
	if _, ok := info.Body["phone_number"]; ok {
		t.Error("userinfo has a claim of a scope that was not asked for")
	}
}

func TestOpenIDAloneDoesNotTellWhoThePersonIs(t *testing.T) { // row C8
	t.Parallel()
	h := newHouse(t)
	got := h.tokens("scope", "openid")
	if got.text("refresh_token") != "" {
		t.Error("a refresh token without offline_access: row P13")
	}
	if info := h.userinfo(got.text("access_token")); len(info.Body) != 1 || info.text("sub") != "uuid-alice" {
		t.Errorf("%v", info.Body)
	}
}

func TestTheClaimsParameterGivesWhatThePersonMayHave(t *testing.T) { // row C5
	t.Parallel()
	h := newHouse(t)
	claims := `{"id_token":{"email":{"essential":true},"acr":null},"userinfo":{"phone_number":null,"address":null,"nonsense":{"value":"x"}}}`
	got := h.tokens("scope", "openid", "claims", claims)
	if id := h.idToken(got); id["email"] != "alice@example.org" || id["phone_number"] != nil {
		t.Errorf("%v", id)
	}
	info := h.userinfo(got.text("access_token"))
	if info.text("phone_number") != "+49 30 1234" || info.Body["email"] != nil || info.Body["address"] != nil || info.Body["nonsense"] != nil {
		t.Errorf("%v", info.Body)
	}
	// Bob is in no group: no scope of his final set holds email.
	code := h.answer(h.next(request("scope", "openid", "claims", claims), h.signedIn("uuid-bob", 0))).Get("code")
	if id := h.idToken(h.post(h.provider.Token(), exchange(code))); id["email"] != nil {
		t.Errorf("a claim without its scope: %v", id)
	}
}

func TestACodeIsGoodForItsClientItsAddressItsVerifierAndItsMinute(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.addClient("other", nil)
	h.addClient("lax", func(c *oidc.Client) { c.RequirePKCE = false })
	for name, c := range map[string]struct {
		change []string
		auth   []string
		error  string
	}{
		"wrong redirect_uri (RFC 6749, 4.1.3)": {[]string{"redirect_uri", redirect + "2"}, nil, "invalid_grant"},
		"no redirect_uri":                      {[]string{"redirect_uri", ""}, nil, "invalid_grant"},
		"wrong verifier (RFC 7636, 4.6)":       {[]string{"code_verifier", strings.Repeat("x", 43)}, nil, "invalid_grant"},
		"no verifier":                          {[]string{"code_verifier", ""}, nil, "invalid_grant"},
		"short verifier":                       {[]string{"code_verifier", "x"}, nil, "invalid_grant"},
		"another client":                       {nil, []string{"other", "secret-of-other"}, "invalid_grant"},
		"no code":                              {[]string{"code", ""}, nil, "invalid_request"},
		"unknown code":                         {[]string{"code", "ghc_x"}, nil, "invalid_grant"},
		"wrong secret":                         {nil, []string{"app", "wrong"}, "invalid_client"},
		"unknown client":                       {nil, []string{"nobody", "x"}, "invalid_client"},
		"empty secret":                         {nil, []string{"app", ""}, "invalid_client"},
		"no grant type":                        {[]string{"grant_type", ""}, nil, "invalid_request"},
		"password grant":                       {[]string{"grant_type", "password"}, nil, "unsupported_grant_type"},
		"unknown grant type":                   {[]string{"grant_type", "urn:x"}, nil, "unsupported_grant_type"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code := h.code(request())
			got := h.post(h.provider.Token(), exchange(code, c.change...), c.auth...)
			if got.text("error") != c.error {
				t.Errorf("%v", got)
			}
			if want := c.error == "invalid_client"; (got.Status == http.StatusUnauthorized) != want || (got.Header.Get("WWW-Authenticate") != "") != want {
				t.Errorf("status %d, %v", got.Status, got.Header)
			}
			// Nothing was burnt: the rightful client can still use it.
			if again := h.post(h.provider.Token(), exchange(code)); again.Status != http.StatusOK {
				t.Errorf("the code is lost: %v", again)
			}
		})
	}
	code := h.code(request())
	h.clock.Advance(61 * time.Second)
	if got := h.post(h.provider.Token(), exchange(code)); got.text("error") != "invalid_grant" {
		t.Errorf("an old code: %v", got)
	}
	// RFC 9700, section 2.1.1: PKCE downgrade.
	code = h.code(request("client_id", "lax", "code_challenge", "", "code_challenge_method", ""))
	if got := h.post(h.provider.Token(), exchange(code), "lax", "secret-of-lax"); got.text("error") != "invalid_grant" {
		t.Errorf("a verifier for a code without challenge: %v", got)
	}
	if got := h.post(h.provider.Token(), exchange(code, "code_verifier", ""), "lax", "secret-of-lax"); got.Status != http.StatusOK {
		t.Errorf("PKCE switched off by the operator: %v", got)
	}
}

func TestBasicAndPostDoAlikeButNotBothAtOnce(t *testing.T) { // row L4
	t.Parallel()
	h := newHouse(t)
	h.addClient("odd", func(c *oidc.Client) { c.SecretHash = "plain:a+b%/ü" })
	h.addClient("public", func(c *oidc.Client) { c.TokenEndpointAuthMethod, c.SecretHash = "none", "" })
	post := func(client string, changes ...string) answer {
		form := exchange(h.code(request("client_id", client)), changes...)
		return h.post(h.provider.Token(), form, "none")
	}
	if got := post("app", "client_id", "app", "client_secret", "secret-of-app"); got.Status != http.StatusOK {
		t.Errorf("post: %v", got)
	}
	if got := post("public", "client_id", "public"); got.Status != http.StatusOK {
		t.Errorf("public: %v", got)
	}
	if got := post("public", "client_id", "public", "client_secret", "x"); got.text("error") != "invalid_client" {
		t.Errorf("public with a secret: %v", got)
	}
	if got := post("app", "client_id", "app"); got.text("error") != "invalid_client" {
		t.Errorf("confidential without a secret: %v", got)
	}
	for _, secret := range []string{"a+b%/ü", url.QueryEscape("a+b%/ü")} { // RFC 6749, section 2.3.1, and who does not keep to it
		if got := h.post(h.provider.Token(), exchange(h.code(request("client_id", "odd"))), "odd", secret); got.Status != http.StatusOK {
			t.Errorf("basic with %q: %v", secret, got)
		}
	}
	if got := h.post(h.provider.Token(), exchange(h.code(request()), "client_id", "app", "client_secret", "secret-of-app")); got.text("error") != "invalid_request" {
		t.Errorf("both: %v", got)
	}
	if got := h.post(h.provider.Token(), exchange(h.code(request()), "client_id", "odd")); got.text("error") != "invalid_request" {
		t.Errorf("two clients: %v", got)
	}
}

func TestTheTokenEndpointTakesOnePlainForm(t *testing.T) { // RFC 6749, section 3.2
	t.Parallel()
	h := newHouse(t)
	twice := exchange(h.code(request()))
	twice["code"] = append(twice["code"], "x")
	if got := h.post(h.provider.Token(), twice); got.text("error") != "invalid_request" {
		t.Errorf("a parameter twice: %v", got)
	}
	query := httptest.NewRequest(http.MethodPost, "/?"+exchange(h.code(request())).Encode(), strings.NewReader(""))
	query.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	query.SetBasicAuth("app", "secret-of-app")
	if got := h.send(h.provider.Token(), query); got.Status == http.StatusOK {
		t.Error("parameters in the query were taken")
	}
	jsonBody := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
	jsonBody.Header.Set("Content-Type", "application/json")
	if got := h.send(h.provider.Token(), jsonBody); got.text("error") != "invalid_request" {
		t.Errorf("JSON: %v", got)
	}
}

func TestACodeUsedTwiceEndsWhatItGave(t *testing.T) { // row P14
	t.Parallel()
	h := newHouse(t)
	code := h.code(request())
	first := h.post(h.provider.Token(), exchange(code))
	h.clock.Advance(30 * time.Second)
	if stranger := h.post(h.provider.Token(), exchange(code, "code_verifier", strings.Repeat("y", 43))); stranger.text("error") != "invalid_grant" {
		t.Errorf("%v", stranger)
	}
	if second := h.post(h.provider.Token(), exchange(code)); second.text("error") != "invalid_grant" {
		t.Errorf("%v", second)
	}
	if got := h.userinfo(first.text("access_token")); got.Status != http.StatusUnauthorized || got.text("error") != "invalid_token" {
		t.Errorf("the access token lives on: %v", got)
	}
	if got := h.post(h.provider.Token(), refresh(first.text("refresh_token"))); got.text("error") != "invalid_grant" {
		t.Errorf("the refresh token lives on: %v", got)
	}
}

func TestOneOfManyParallelUsesWins(t *testing.T) { // promise 4
	t.Parallel()
	h := newHouse(t)
	code := h.code(request())
	race := func(form url.Values) (won int) {
		var mu sync.Mutex
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() {
				if got := h.post(h.provider.Token(), form); got.Status == http.StatusOK {
					mu.Lock()
					won++
					mu.Unlock()
				}
			})
		}
		group.Wait()
		return won
	}
	if won := race(exchange(code)); won != 1 {
		t.Errorf("%d uses of one code won", won)
	}
	if won := race(refresh(h.tokens().text("refresh_token"))); won != 1 {
		t.Errorf("%d uses of one refresh token won", won)
	}
}

func TestRefreshRotatesAndReuseEndsTheFamily(t *testing.T) { // row P13
	t.Parallel()
	h := newHouse(t)
	first := h.tokens()
	signedIn := h.idToken(first)["auth_time"]
	h.clock.Advance(10 * time.Minute)
	second := h.post(h.provider.Token(), refresh(first.text("refresh_token")))
	if second.Status != http.StatusOK || second.text("refresh_token") == first.text("refresh_token") {
		t.Fatalf("%v", second)
	}
	if id := h.idToken(second); id["auth_time"] != signedIn || id["nonce"] != nil || id["sub"] != "uuid-alice" || id["iat"] == signedIn {
		t.Errorf("OpenID Connect Core 1.0, section 12.2: %v", id)
	}
	narrow := h.post(h.provider.Token(), refresh(second.text("refresh_token"), "scope", "openid email"))
	if narrow.text("scope") != "openid email" {
		t.Errorf("RFC 6749, section 6: %v", narrow)
	}
	third := h.post(h.provider.Token(), refresh(narrow.text("refresh_token")))
	if third.text("scope") != "openid profile email groups offline_access" {
		t.Errorf("narrowing once narrowed for ever: %v", third)
	}
	if got := h.post(h.provider.Token(), refresh(third.text("refresh_token"), "scope", "openid phone")); got.text("error") != "invalid_scope" {
		t.Errorf("a wider scope: %v", got)
	}
	h.addClient("other", nil)
	if got := h.post(h.provider.Token(), refresh(third.text("refresh_token")), "other", "secret-of-other"); got.text("error") != "invalid_grant" {
		t.Errorf("another client: %v", got)
	}
	if got := h.post(h.provider.Token(), refresh(first.text("refresh_token"))); got.text("error") != "invalid_grant" {
		t.Errorf("reuse: %v", got)
	}
	if got := h.post(h.provider.Token(), refresh(third.text("refresh_token"))); got.text("error") != "invalid_grant" {
		t.Errorf("the family outlived the reuse: %v", got)
	}
	if got := h.userinfo(third.text("access_token")); got.Status != http.StatusUnauthorized {
		t.Errorf("an access token outlived the reuse: %v", got)
	}
}

func TestALostAnswerCanBeFetchedAgainWithinTheGrace(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *provider.Options) { o.RefreshGrace = 10 * time.Second })
	first := h.tokens()
	lost := h.post(h.provider.Token(), refresh(first.text("refresh_token")))
	h.clock.Advance(5 * time.Second)
	if got := h.post(h.provider.Token(), refresh(first.text("refresh_token"))); got.Status != http.StatusOK {
		t.Errorf("%v", got)
	}
	h.clock.Advance(6 * time.Second)
	if got := h.post(h.provider.Token(), refresh(first.text("refresh_token"))); got.text("error") != "invalid_grant" {
		t.Errorf("the grace does not end: %v", got)
	}
	if got := h.userinfo(lost.text("access_token")); got.Status != http.StatusUnauthorized {
		t.Errorf("%v", got)
	}
}

func TestClientCredentialsGiveTheClientsOwnScopes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.addClient("machine", func(c *oidc.Client) {
		c.GrantTypes, c.Scopes.Everyone = []string{"client_credentials"}, []string{"openid", "reports"}
	})
	ask := func(scope string) answer {
		return h.post(h.provider.Token(), url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}, "machine", "secret-of-machine")
	}
	got := ask("reports")
	if got.Status != http.StatusOK || got.text("scope") != "reports" || got.text("id_token") != "" || got.text("refresh_token") != "" {
		t.Errorf("%v", got)
	}
	for _, scope := range []string{"openid", "profile", "nonsense", "offline_access"} {
		if got := ask(scope); got.text("error") != "invalid_scope" {
			t.Errorf("%s: %v", scope, got)
		}
	}
	if seen := h.introspect(got.text("access_token"), "machine", "secret-of-machine"); seen.Body["active"] != true || seen.text("sub") != "machine" {
		t.Errorf("%v", seen.Body)
	}
	if info := h.userinfo(got.text("access_token")); info.text("error") != "insufficient_scope" || info.Status != http.StatusForbidden {
		t.Errorf("%v", info)
	}
	if got := h.post(h.provider.Token(), url.Values{"grant_type": {"client_credentials"}}); got.text("error") != "unauthorized_client" {
		t.Errorf("a client without the grant type: %v", got)
	}
}

func TestEachKindOfTokenIsWhatItIs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	got := h.tokens()
	code := h.code(request())
	for name, token := range map[string]string{"refresh token": got.text("refresh_token"), "ID token": got.text("id_token"), "code": code, "nothing": "x"} {
		if info := h.userinfo(token); info.Status != http.StatusUnauthorized {
			t.Errorf("userinfo took a %s: %v", name, info)
		}
	}
	if refreshed := h.post(h.provider.Token(), refresh(got.text("access_token"))); refreshed.text("error") != "invalid_grant" {
		t.Errorf("an access token refreshed: %v", refreshed)
	}
	inQuery := httptest.NewRequest(http.MethodGet, "/?access_token="+got.text("access_token"), nil)
	if info := h.send(h.provider.UserInfo(), inQuery); info.Status != http.StatusUnauthorized {
		t.Error("an access token in the query was taken: RFC 6750, section 5.3")
	}
	posted := h.post(h.provider.UserInfo(), url.Values{"access_token": {got.text("access_token")}}, "none")
	if posted.text("sub") != "uuid-alice" {
		t.Errorf("RFC 6750, section 2.2: %v", posted)
	}
	h.clock.Advance(time.Hour)
	if info := h.userinfo(got.text("access_token")); info.Status != http.StatusUnauthorized || !strings.Contains(info.Header.Get("WWW-Authenticate"), `error="invalid_token"`) {
		t.Errorf("an old token: %v", info)
	}
}

func TestIntrospectionTellsOnlyThoseItConcerns(t *testing.T) { // RFC 7662
	t.Parallel()
	h := newHouse(t)
	h.addClient("other", nil)
	h.addClient("api", nil)
	h.addClient("public", func(c *oidc.Client) { c.TokenEndpointAuthMethod, c.SecretHash = "none", "" })
	h.addClient("app", func(c *oidc.Client) { c.Audience = []string{"api"} })
	got := h.tokens()
	token := got.text("access_token")
	for _, name := range []string{"app", "api"} {
		seen := h.introspect(token, name, "secret-of-"+name)
		if seen.Body["active"] != true || seen.text("client_id") != "app" || seen.text("sub") != "uuid-alice" || seen.text("username") != "alice" ||
			seen.Body["exp"] != float64(h.clock.Now().Add(time.Hour).Unix()) {
			t.Errorf("%s: %v", name, seen.Body)
		}
	}
	for name, seen := range map[string]answer{
		"another client": h.introspect(token, "other", "secret-of-other"), "unknown": h.introspect("x"),
	} {
		if len(seen.Body) != 1 || seen.Body["active"] != false {
			t.Errorf("%s: %v", name, seen.Body)
		}
	}
	if seen := h.post(h.provider.Introspection(), url.Values{"token": {token}, "client_id": {"public"}}, "none"); seen.text("error") != "invalid_client" {
		t.Errorf("a public client: %v", seen)
	}
	if seen := h.introspect(got.text("refresh_token")); seen.Body["exp"] != float64(h.clock.Now().Add(30*24*time.Hour).Unix()) {
		t.Errorf("a refresh token shows its own end: %v", seen.Body)
	}
}

func TestRevocationEndsWhatIsRevoked(t *testing.T) { // RFC 7009
	t.Parallel()
	h := newHouse(t)
	h.addClient("other", nil)
	revoke := func(token string, auth ...string) answer {
		return h.post(h.provider.Revocation(), url.Values{"token": {token}}, auth...)
	}
	got := h.tokens()
	if a := revoke(got.text("access_token"), "other", "secret-of-other"); a.Status != http.StatusBadRequest {
		t.Errorf("another client's token: %v", a)
	}
	if a := h.userinfo(got.text("access_token")); a.Status != http.StatusOK {
		t.Errorf("another client revoked it: %v", a)
	}
	if a := revoke(got.text("access_token")); a.Status != http.StatusOK {
		t.Errorf("%v", a)
	}
	if a := h.userinfo(got.text("access_token")); a.Status != http.StatusUnauthorized {
		t.Errorf("%v", a)
	}
	second := h.post(h.provider.Token(), refresh(got.text("refresh_token")))
	if second.Status != http.StatusOK {
		t.Errorf("the refresh token went with one access token: %v", second)
	}
	if a := revoke(second.text("refresh_token")); a.Status != http.StatusOK {
		t.Errorf("%v", a)
	}
	if a := h.userinfo(second.text("access_token")); a.Status != http.StatusUnauthorized {
		t.Errorf("an access token outlived its refresh token: %v", a)
	}
	if a := revoke("nonsense"); a.Status != http.StatusOK {
		t.Errorf("RFC 7009, section 2.2: %v", a)
	}
}

// Row S9 and promise 1: what the directory says now decides now.
func TestTheDirectoryDecidesAtEveryEndpoint(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(h *house)
		over   bool // the grant does not hold any more
	}{
		"removed from a group": {func(h *house) { h.people.Change("uuid-alice", func(u *oidc.User) { u.Groups = nil }) }, false},
		"disabled":             {func(h *house) { h.people.Change("uuid-alice", func(u *oidc.User) { u.State = oidc.StateDisabled }) }, true},
		"expired":              {func(h *house) { h.people.Change("uuid-alice", func(u *oidc.User) { u.State = oidc.StateExpired }) }, true},
		"deleted":              {func(h *house) { h.people.Remove("uuid-alice") }, true},
		"a required group lost": {func(h *house) {
			h.addClient("app", func(c *oidc.Client) { c.AllowedGroups = []oidc.DN{oidc.MustParseDN("cn=other,dc=example,dc=org")} })
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			got, code := h.tokens(), h.code(request())
			c.change(h)
			info, seen := h.userinfo(got.text("access_token")), h.introspect(got.text("access_token"))
			exchanged := h.post(h.provider.Token(), exchange(code))
			refreshed := h.post(h.provider.Token(), refresh(got.text("refresh_token")))
			if !c.over {
				if info.Status != http.StatusOK || info.Body["email"] != nil || seen.text("scope") != "openid offline_access" ||
					exchanged.text("scope") != "openid offline_access" || refreshed.text("scope") != "openid offline_access" {
					t.Errorf("%v\n%v\n%v\n%v", info.Body, seen.Body, exchanged.Body, refreshed.Body)
				}
				h.people.Add(alice(), "secret")
				if back := h.post(h.provider.Token(), refresh(refreshed.text("refresh_token"))); !strings.Contains(back.text("scope"), "email") {
					t.Errorf("back in the group: %v", back.Body)
				}
				return
			}
			if info.Status != http.StatusUnauthorized || seen.Body["active"] != false || exchanged.text("error") != "invalid_grant" || refreshed.text("error") != "invalid_grant" {
				t.Errorf("%v\n%v\n%v\n%v", info.Body, seen.Body, exchanged.Body, refreshed.Body)
			}
			h.people.Add(alice(), "secret")
			h.addClient("app", nil)
			if back := h.post(h.provider.Token(), refresh(got.text("refresh_token"))); back.text("error") != "invalid_grant" {
				t.Errorf("a revoked family came back: %v", back.Body)
			}
		})
	}
}

// Promise 3: can't tell revokes nothing and uses nothing up.
func TestADirectoryThatCannotTellCostsNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	got, code := h.tokens(), h.code(request())
	h.people.SetDown(true)
	for name, a := range map[string]answer{
		"userinfo": h.userinfo(got.text("access_token")), "introspection": h.introspect(got.text("access_token")),
		"code": h.post(h.provider.Token(), exchange(code)), "refresh": h.post(h.provider.Token(), refresh(got.text("refresh_token"))),
	} {
		if a.Status != http.StatusServiceUnavailable || a.text("error") != "temporarily_unavailable" || a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %v", name, a)
		}
	}
	h.people.SetDown(false)
	for name, a := range map[string]answer{
		"userinfo": h.userinfo(got.text("access_token")), "introspection": h.introspect(got.text("access_token")),
		"code": h.post(h.provider.Token(), exchange(code)), "refresh": h.post(h.provider.Token(), refresh(got.text("refresh_token"))),
	} {
		if a.Status != http.StatusOK || a.Body["active"] == false {
			t.Errorf("%s: %v", name, a)
		}
	}
}

func TestAClientThatIsRemovedTakesItsTokensWithIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.addClient("other", nil)
	got := h.tokens()
	delete(h.clients, "app")
	if a := h.userinfo(got.text("access_token")); a.Status != http.StatusUnauthorized {
		t.Errorf("%v", a)
	}
}

func TestSubjectsAndAlgorithmsAreTheClientsOwn(t *testing.T) { // rows C3, P4
	t.Parallel()
	h := newHouse(t)
	h.addClient("pair", func(c *oidc.Client) { c.SubjectType, c.IDTokenSignedResponseAlg = "pairwise", "RS256" })
	code := h.code(request("client_id", "pair"))
	got := h.post(h.provider.Token(), exchange(code), "pair", "secret-of-pair")
	id := h.idToken(got)
	if id["sub"] == "uuid-alice" || id["sub"] == "" || id["sub"] != h.userinfo(got.text("access_token")).Body["sub"] ||
		id["sub"] != h.introspect(got.text("access_token"), "pair", "secret-of-pair").Body["sub"] {
		t.Errorf("%v", id)
	}
	header, _ := base64.RawURLEncoding.DecodeString(strings.Split(got.text("id_token"), ".")[0])
	if !strings.Contains(string(header), `"RS256"`) {
		t.Errorf("%s", header)
	}
	// The hint of such a client names the person by that client's subject.
	if step := h.next(request("client_id", "pair", "id_token_hint", got.text("id_token"), "prompt", "none"), h.signedIn("uuid-alice", 0)); h.answer(step).Get("code") == "" {
		t.Errorf("%+v", step)
	}
}

func TestNothingOfThePersonIsKept(t *testing.T) { // promise 2, at this level
	t.Parallel()
	h := newHouse(t)
	h.tokens("login_hint", "alice@example.org", "claims", `{"userinfo":{"email":{"value":"alice@example.org"}}}`)
	grants, err := h.store.Grants(context.Background(), store.GrantFilter{}, h.clock.Now())
	if err != nil || len(grants) != 1 {
		t.Fatalf("%v %v", grants, err)
	}
	if g := grants[0]; g.Subject != "uuid-alice" || len(g.Claims.UserInfo) != 1 || g.Claims.UserInfo[0] != "email" {
		t.Errorf("%+v", g)
	}
}
