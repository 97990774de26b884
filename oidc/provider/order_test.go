package provider_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
	"gatehouse/oidc/provider"
)

func order(change func(*provider.TokenOrder)) provider.TokenOrder {
	o := provider.TokenOrder{ClientID: "app", Username: "alice", Scopes: []string{"openid", "email"}, IDToken: true, By: "uid 33"}
	if change != nil {
		change(&o)
	}
	return o
}

func TestATokenIsMadeByTheRulesOfASignIn(t *testing.T) { // row O1
	t.Parallel()
	var log bytes.Buffer
	h := newHouse(t, func(o *provider.Options) { o.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
	h.clients["app"].Audience = []string{apiA}
	made, err := h.provider.MakeToken(t.Context(), order(nil))
	if err != nil {
		t.Fatal(err)
	}
	if info := h.userinfo(made.AccessToken); info.text("sub") != "uuid-alice" || info.text("email") != "alice@example.org" || info.Body["name"] != nil {
		t.Errorf("%v", info.Body)
	}
	seen := h.introspect(made.AccessToken)
	if seen.text("scope") != "openid email" || seen.Body["auth_time"] != nil || seen.Body["exp"] != float64(h.clock.Now().Add(time.Hour).Unix()) || made.ExpiresIn != time.Hour {
		t.Errorf("%v", seen.Body)
	}
	if _, claims := h.claimsOf(made.IDToken); claims["sub"] != "uuid-alice" || claims["aud"] != "app" || claims["auth_time"] != nil || claims["amr"] != nil || claims["email"] != nil {
		t.Errorf("nobody has signed in: %v", claims)
	}
	if text := log.String(); !strings.Contains(text, `"asked_by":"uid 33"`) || !strings.Contains(text, `"event":"token_issued"`) ||
		strings.Contains(text, made.AccessToken) || strings.Contains(text, "alice@") {
		t.Errorf("the audit log: %s", text)
	}
	bare, err := h.provider.MakeToken(t.Context(), order(func(o *provider.TokenOrder) {
		o.Username, o.Subject, o.IDToken, o.Resources = "", "uuid-alice", false, []string{apiA}
	}))
	if err != nil || bare.IDToken != "" || len(bare.Audience) != 1 || bare.Audience[0] != apiA {
		t.Errorf("%+v %v", bare, err)
	}
	h.people.Change("uuid-alice", func(u *oidc.User) { u.State = oidc.StateDisabled })
	if h.introspect(made.AccessToken).Body["active"] != false {
		t.Error("it is not looked at live: promise 1")
	}
}

func TestATokenIsNotMadeWhereNobodyCouldGetIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.addClient("closed", func(c *oidc.Client) { c.AllowedGroups = []oidc.DN{oidc.MustParseDN("cn=admins,dc=example,dc=org")} })
	h.people.Add(oidc.User{ID: "uuid-off", Username: "off", State: oidc.StateDisabled}, "secret")
	for name, c := range map[string]struct {
		change func(*provider.TokenOrder)
		want   string
	}{
		"an unknown client":           {func(o *provider.TokenOrder) { o.ClientID = "nobody" }, "invalid_request"},
		"nobody":                      {func(o *provider.TokenOrder) { o.Username = "" }, "invalid_request"},
		"two people":                  {func(o *provider.TokenOrder) { o.Subject = "uuid-bob" }, "invalid_request"},
		"an unknown person":           {func(o *provider.TokenOrder) { o.Username = "nobody" }, "access_denied"},
		"an unknown id":               {func(o *provider.TokenOrder) { o.Username, o.Subject = "", "uuid-nobody" }, "access_denied"},
		"a disabled account":          {func(o *provider.TokenOrder) { o.Username = "off" }, "access_denied"},
		"someone outside the groups":  {func(o *provider.TokenOrder) { o.ClientID = "closed" }, "access_denied"},
		"a scope that is not theirs":  {func(o *provider.TokenOrder) { o.Username = "bob" }, "access_denied"},
		"no scope":                    {func(o *provider.TokenOrder) { o.Scopes = nil }, "invalid_scope"},
		"a malformed scope":           {func(o *provider.TokenOrder) { o.Scopes = []string{`"`} }, "invalid_scope"},
		"a refresh token":             {func(o *provider.TokenOrder) { o.Scopes = append(o.Scopes, "offline_access") }, "invalid_scope"},
		"a resource that isn't named": {func(o *provider.TokenOrder) { o.Resources = []string{apiA} }, "invalid_target"},
	} {
		made, err := h.provider.MakeToken(t.Context(), order(c.change))
		var e *provider.Error
		if !errors.As(err, &e) || e.Code != c.want || made.AccessToken != "" {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	h.people.SetDown(true)
	if _, err := h.provider.MakeToken(t.Context(), order(nil)); !isUnavailable(err) {
		t.Errorf("can't tell: %v", err)
	}
}

func TestATokenIsJudgedWithTheReason(t *testing.T) { // row O1
	t.Parallel()
	h := newHouse(t)
	h.addClient("pair", func(c *oidc.Client) { c.SubjectType = "pairwise" })
	h.addClient("jwt", withJWT("ES256"))
	check := func(token string) provider.Verdict {
		t.Helper()
		v, err := h.provider.CheckToken(t.Context(), token, "uid 33")
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	no := func(what, token, reason string) {
		t.Helper()
		if v := check(token); v.Active || !strings.Contains(v.Reason, reason) || v.Claims != nil {
			t.Errorf("%s: %+v, want %q", what, v, reason)
		}
	}
	got := h.tokens()
	for kind, v := range map[string]provider.Verdict{
		"access_token": check(got.text("access_token")), "refresh_token": check(got.text("refresh_token")), "id_token": check(got.text("id_token")),
	} {
		if !v.Active || v.Kind != kind || v.Reason != "" || v.Claims["sub"] != "uuid-alice" {
			t.Errorf("%s: %+v", kind, v)
		}
	}
	pairCode := h.code(request("client_id", "pair"))
	pair := h.post(h.provider.Token(), exchange(pairCode), "pair", "secret-of-pair")
	if v := check(pair.text("id_token")); !v.Active || v.Note == "" {
		t.Errorf("a subject that leads nowhere is told so: %+v", v)
	}
	no("nonsense", "nonsense", "unknown here")
	no("a code", pairCode, "unknown here")
	parts := strings.Split(got.text("id_token"), ".")
	no("a changed ID token", parts[0]+"."+b64(`{"iss":"`+issuer+`","azp":"app","sub":"uuid-bob","exp":9999999999}`)+"."+parts[2], "signature")
	no("an unsigned one", b64(`{"alg":"none"}`)+"."+parts[1]+".", "signature")
	no("one for nobody", b64(`{"alg":"none"}`)+"."+b64(`{"sub":"x"}`)+".", "names no client")
	sign := func(typ string, m map[string]any) string {
		token, err := h.keys.Sign(keys.ES256, typ, m)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	no("signed userinfo", sign("", map[string]any{"iss": issuer, "aud": "app", "sub": "uuid-alice"}), "neither an access token nor")
	no("another issuer", sign("", map[string]any{"iss": issuer + "x", "aud": "app", "sub": "uuid-alice", "exp": 9999999999}), "another issuer")
	no("another audience", sign("", map[string]any{"iss": issuer, "aud": "pair", "azp": "app", "sub": "uuid-alice", "exp": 9999999999}), "not for the client")

	jwt := h.post(h.provider.Token(), exchange(h.code(request("client_id", "jwt"))), "jwt", "secret-of-jwt")
	if v := check(jwt.text("access_token")); !v.Active || v.Kind != "access_token" {
		t.Errorf("a JWT: %+v", v)
	}
	h.post(h.provider.Revocation(), map[string][]string{"token": {jwt.text("access_token")}}, "jwt", "secret-of-jwt")
	no("a revoked JWT", jwt.text("access_token"), "revoked or expired")
	h.post(h.provider.Token(), refresh(got.text("refresh_token")))
	no("a used refresh token", got.text("refresh_token"), "it was used at")

	h.people.SetDown(true)
	for name, token := range map[string]string{"access": got.text("access_token"), "ID": got.text("id_token")} {
		if _, err := h.provider.CheckToken(t.Context(), token, ""); !isUnavailable(err) {
			t.Errorf("can't tell about the %s token: %v", name, err)
		}
	}
	h.people.SetDown(false)
	h.people.Change("uuid-alice", func(u *oidc.User) { u.State = oidc.StateDisabled })
	no("of a disabled person", got.text("access_token"), "disabled")
	no("an ID token of a disabled person", got.text("id_token"), "disabled")
	h.people.Change("uuid-alice", func(u *oidc.User) { u.State = oidc.StateActive })
	h.clock.Advance(time.Hour)
	no("an old access token", got.text("access_token"), "it expired at")
	no("an old ID token", got.text("id_token"), "it expired at")
	delete(h.clients, "app")
	no("of a client that is gone", got.text("access_token"), "its client is no more")
	no("an ID token of a client that is gone", got.text("id_token"), "names no client")
}

func TestOtherProgramsAskInJSON(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	local := h.provider.Local(func(*http.Request) string { return "uid 33" })
	post := func(path, kind, body string) answer {
		t.Helper()
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		return h.send(local, r)
	}
	const json = "application/json"
	made := post("/token", json, `{"client_id":"app","username":"alice","scope":"openid email","id_token":true}`)
	if made.Status != http.StatusOK || made.text("token_type") != "Bearer" || made.Body["expires_in"] != 3600.0 || made.text("scope") != "openid email" ||
		made.text("grant_id") == "" || made.Header.Get("Cache-Control") != "no-store" || h.userinfo(made.text("access_token")).text("sub") != "uuid-alice" {
		t.Errorf("%v", made)
	}
	for _, name := range []string{"access_token", "id_token"} {
		if v := post("/check", json, `{"token":"`+made.text(name)+`"}`); v.Body["active"] != true || v.text("kind") != name {
			t.Errorf("%s: %v", name, v.Body)
		}
	}
	for name, c := range map[string]struct {
		path, kind, body, want string
	}{
		"a form":             {"/token", "application/x-www-form-urlencoded", "client_id=app", "invalid_request"},
		"no JSON":            {"/token", json, "client_id", "invalid_request"},
		"an unknown member":  {"/token", json, `{"client_id":"app","user":"alice"}`, "invalid_request"},
		"two objects":        {"/check", json, `{"token":"x"}{"token":"y"}`, "invalid_request"},
		"too much":           {"/check", json, `{"token":"` + strings.Repeat("x", 300<<10) + `"}`, "invalid_request"},
		"nothing to check":   {"/check", json, `{}`, "invalid_request"},
		"who may not":        {"/token", json, `{"client_id":"app","username":"bob","scope":"email"}`, "access_denied"},
		"a resource of none": {"/token", json, `{"client_id":"app","username":"alice","scope":"email","resource":["https://x.example"]}`, "invalid_target"},
	} {
		if got := post(c.path, c.kind, c.body); got.text("error") != c.want || got.Status != http.StatusBadRequest {
			t.Errorf("%s: %d %v", name, got.Status, got.Body)
		}
	}
	h.people.SetDown(true)
	if got := post("/check", json, `{"token":"`+made.text("access_token")+`"}`); got.Status != http.StatusServiceUnavailable {
		t.Errorf("can't tell: %v", got)
	}
}
