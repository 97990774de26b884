package main

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gatehouse/config"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

// Whoever may register says what they are called and where they are, and nothing of
// what is the operator's to say (RFC 7591, section 5).
func TestARegistrantGetsNothingThatTheOperatorDidNotGive(t *testing.T) {
	t.Parallel()
	ldap := ldaptest.Start(t)
	op := startCertSite(t, ldap, certFiles(), func(c *config.Config) {
		c.Registration.Scopes.Everyone = []string{"openid"}
		c.Registration.GrantTypes, c.Registration.ResponseTypes = []string{"authorization_code"}, []string{"code"}
	})
	p := newParty(t, op, "code", "")
	code := []string{"authorization_code"}
	q, answer := p.registered(
		"grant_types", code, "client_id", "rp-code", "client_secret", "chosen by me", "client_secret_hash", "sha256:"+sha256Hex("chosen"), "consent", "none", "scopes", map[string]any{"everyone": []string{"email", "groups"}},
		"scopes.everyone", []string{"email"}, "allowed_groups", []string{}, "require_pkce", false, "audience", []string{"rp-code", op.URL}, "resource_identifiers", []string{"https://api.example.org", op.URL},
		"own_issuer", true, "claims_in_id_token", true, "subject_attribute", "uid", "access_token_signed_response_alg", "RS256", "default_resource", "https://api.example.org", "on_missing_scope", "refuse",
		"lifespans", map[string]any{"access": "7d"}, "lifespans.access", "7d", "allowed_cors_origins", []string{"https://evil.example"}, "registration_client_uri", "https://evil.example/", "id_token_signed_response_alg", "RS256",
		"registration_access_token", "chosen by me", "client_secret_expires_at", 0, "client_id_issued_at", 1, "scope", "openid email groups admin",
	)
	if q.id == "rp-code" || q.secret == "chosen by me" || answer["registration_access_token"] == "chosen by me" || answer["scope"] != "openid" || !strings.HasPrefix(answer["registration_client_uri"].(string), op.URL) {
		t.Errorf("%v", answer)
	}
	c, err := op.house.registry.Client(q.id)
	if err != nil {
		t.Fatal(err)
	}
	if c.OwnIssuer || c.ClaimsInIDToken || len(c.Audience)+len(c.ResourceIdentifiers) > 0 || c.DefaultResource != "" || c.Consent != oidc.ConsentRemembered ||
		c.AccessTokenSignedResponseAlg != "" || c.Lifespans != (oidc.Lifespans{}) || c.SubjectAttribute != "" || c.OnMissingScope != oidc.MissingNarrow || len(c.Scopes.Groups) > 0 {
		t.Errorf("%+v", c)
	}
	form := q.request("scope", "openid email groups", "claims", `{"userinfo":{"email":{"essential":true},"groups":null},"id_token":{"email":null}}`)
	consent := q.visit(form).signIn("alice")
	if !strings.Contains(consent.Body, `id="allow"`) {
		t.Fatalf("nobody was asked: %d %v", consent.Status, consent.Location)
	}
	k := q.collect(q.answered(consent.submit("allow", "1"), form), form)
	if info := q.userinfo(k.access); len(standard(info)) > 0 || len(standard(k.back)) > 0 || k.answer["scope"] != "openid" {
		t.Errorf("%v %v %v", info, k.back, k.answer["scope"])
	}
	for name, m := range map[string]map[string]any{
		"implicit": p.metadata("grant_types", []string{"implicit"}, "response_types", []string{"id_token"}), "client_credentials": p.metadata("grant_types", []string{"client_credentials"}),
		"device": p.metadata("grant_types", []string{grantDevice}), "an attribute as sub": p.metadata("grant_types", code, "subject_type", "attribute"), "hybrid": p.metadata("response_types", []string{"code token"}),
		"refresh": p.metadata("grant_types", []string{"authorization_code", "refresh_token"}),
	} {
		if status, body := p.register(m, ""); status != http.StatusBadRequest || body["error"] != "invalid_client_metadata" {
			t.Errorf("%s: %d %v", name, status, body)
		}
	}
	// Another client's tokens stay that client's.
	theirs := p.all("alice", "scope", "openid email")
	for _, path := range []string{"/oauth2/introspect", "/oauth2/revoke"} {
		if status, body := q.at(path, map[string][]string{"token": {theirs.access}}); status == http.StatusOK && body["active"] != false {
			t.Errorf("%s: %d %v", path, status, body)
		}
	}
	p.userinfo(theirs.access)
}

// The texts of a registrant on our pages, and in headers.
func TestNoTextOfARegistrantBecomesMarkup(t *testing.T) {
	t.Parallel()
	op := startCertSite(t, ldaptest.Start(t), nil)
	p := newParty(t, op, "code", "")
	for name, logo := range map[string]string{
		"html": "<html><script>x()</script></html>", "svg": `<svg xmlns="http://www.w3.org/2000/svg"><script>x()</script></svg>`, "xml": "<?xml version=\"1.0\"?><svg onload='x()'/>",
		"gif": "GIF89a/*<script>x()</script>*/=1;", "png": "\x89PNG\r\n\x1a\n\"><script>x()</script>",
	} {
		q, _ := p.registered("client_name", evil, "logo_uri", op.tls.serve("/"+name, logo), "client_uri", "https://app.example.org/'onx='evil", "policy_uri", "https://app.example.org/?%22onx=%22evil",
			"tos_uri", "https://app.example.org/(evil)", "contacts", []string{evil}, "software_id", evil, "software_version", evil)
		signIn := q.visit(q.request("prompt", "consent"))
		consent := signIn.signIn("alice")
		if !strings.Contains(consent.Body, `id="allow"`) || !strings.Contains(consent.Body, "&lt;evil") {
			t.Fatalf("%d %s", consent.Status, consent.Body)
		}
		for _, g := range []page{signIn, consent} {
			if found := foreign(g.Body); len(found) > 0 || strings.Contains(g.Header.Get("Content-Security-Policy"), "script") {
				t.Errorf("%s: %v %s", name, found, g.Header.Get("Content-Security-Policy"))
			}
			if active := name == "html" || name == "svg" || name == "xml"; active && strings.Contains(g.Body, "base64,") {
				t.Errorf("a logo that is %s is shown", name)
			}
		}
	}
	for _, bad := range []string{"\u202egro.elpmaxe", "a\x00b", "a\nb", strings.Repeat("x", 5000), "\u200b", "\u3164", "\u2800 \u200d", "Your\u200b bank", "Your\u00ad bank", "a\u200e", "\ufeffa"} {
		status, answer := p.register(p.metadata("client_name", bad), "")
		if status != http.StatusBadRequest || answer["error"] != "invalid_client_metadata" {
			t.Errorf("the name %.20q was taken", bad)
		}
	}
	// Whose host it is stands before the name, since anybody can take any name.
	q, _ := p.registered("client_name", "Your bank", "redirect_uris", []string{appRedirect})
	if g := q.visit(q.request()); strings.Index(g.Body, "app.example.org") > strings.LastIndex(g.Body, "Your bank") || !strings.Contains(g.Body, "app.example.org") {
		t.Errorf("the page names the stranger as it likes: %s", g.Body)
	}
}

// What a registrant has this server fetch (SSRF; RFC 7591, section 5).
func TestNoAddressOfARegistrantLeadsInside(t *testing.T) {
	t.Parallel()
	op := startCertSite(t, ldaptest.Start(t), nil, func(c *config.Config) { c.Outbound.Allow = nil })
	p := newParty(t, op, "code", "")
	port := op.tls.Listener.Addr().(interface{ AddrPort() netip.AddrPort }).AddrPort().Port()
	op.tls.serve("/logo.png", "\x89PNG\r\n\x1a\n")
	op.tls.serve("/sector", `["`+appRedirect+`"]`)
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1", "2130706433", "169.254.169.254", "10.0.0.1", "[64:ff9b::7f00:1]", "localhost."} {
		at := fmt.Sprintf("https://%s:%d", host, port)
		if status, body := p.register(p.metadata("sector_identifier_uri", at+"/sector"), ""); status != http.StatusBadRequest || strings.Contains(fmt.Sprint(body), "127") {
			t.Errorf("sector_identifier_uri at %s: %d %v", host, status, body)
		}
		if status, answer := p.register(p.metadata("logo_uri", at+"/logo.png"), ""); status == http.StatusCreated {
			q := p.as(answer["client_id"].(string))
			if strings.Contains(q.visit(q.request()).Body, "data:image") {
				t.Errorf("a logo from %s", host)
			}
		}
		if status, answer := p.register(p.metadata("request_uris", []string{at + "/x.jwt"}, "token_endpoint_auth_method", "private_key_jwt", "jwks_uri", at+"/jwks"), ""); status == http.StatusCreated {
			q := p.as(answer["client_id"].(string))
			q.visit(q.request("request_uri", at+"/x.jwt"))
			if status, _ := q.tokenSigned(map[string][]string{"grant_type": {"authorization_code"}, "code": {"x"}}, op.URL); status == http.StatusOK || status == http.StatusBadRequest {
				t.Errorf("keys from %s: %d", host, status)
			}
		}
	}
	if len(op.tls.asked) != 0 {
		t.Errorf("the server asked %v", op.tls.asked)
	}
}

// Races, floods and odd JSON at the door that is open to strangers.
func TestRegistrationsAreAsManyAsWereGiven(t *testing.T) {
	t.Parallel()
	op := startCertSite(t, ldaptest.Start(t), nil, func(c *config.Config) { c.Registration.OpenLimit, c.Registration.OpenRate = 7, 400 })
	p := newParty(t, op, "code", "")
	body := string(jsonOf(p.metadata()))
	post := func(token string) func() *http.Request {
		return func() *http.Request {
			r := newFormRequest(t, http.MethodPost, op.URL+"/oauth2/register", body)
			r.Header.Set("Content-Type", "application/json")
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			return r
		}
	}
	token := oidc.NewSecret("ghi_")
	now := op.clock.Now()
	if err := op.house.store.CreateRegistrationToken(t.Context(), oidc.RegistrationToken{ID: oidc.NewID(), Hash: oidc.HashOf(token), Uses: 3, UsesLeft: 3, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if won := hundred(t, http.StatusCreated, post(token)); won != 3 {
		t.Errorf("an initial token of three uses gave %d clients", won)
	}
	for name, text := range jsons() {
		for _, document := range []string{text, `{"redirect_uris":` + text + `}`, `{"redirect_uris":["` + appRedirect + `"],"jwks":` + text + `,"token_endpoint_auth_method":"private_key_jwt"}`, `{"redirect_uris":["` + appRedirect + `"],"contacts":` + text + `,"grant_types":["nonsense"]}`} {
			if g := p.browser.send(http.MethodPost, op.URL+"/oauth2/register", document, "Content-Type", "application/json"); g.Status < 400 || g.Status > 499 {
				t.Errorf("%s: %d %s", name, g.Status, g.Body)
			}
		}
	}
	for _, kind := range []string{formType, "text/plain", "", "multipart/form-data; boundary=x"} { // what other sites can send unasked
		if g := p.browser.send(http.MethodPost, op.URL+"/oauth2/register", body, "Content-Type", kind); g.Status < 400 || g.Status > 499 {
			t.Errorf("%q: %d %s", kind, g.Status, g.Body)
		}
	}
	if won := hundred(t, http.StatusCreated, post("")); won != 7 {
		t.Errorf("seven may be open, and there are %d", won)
	}
	op.clock.advance(2 * time.Hour)
	if won := hundred(t, http.StatusCreated, post("")); won != 7 {
		t.Errorf("when those had ended, %d could register", won)
	}
	slow := 0
	for range 420 {
		if g := p.browser.send(http.MethodPost, op.URL+"/oauth2/register", body, "Content-Type", "application/json"); g.Status == http.StatusTooManyRequests {
			slow++
		}
	}
	if slow == 0 {
		t.Error("one address may ask without end")
	}
}
