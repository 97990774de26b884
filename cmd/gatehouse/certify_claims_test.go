package main

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Claims: what scopes and the claims parameter give, where, and of which type.

// valid reports whether an ID token verifies.
func (p *party) valid(raw string) bool {
	_, err := p.op.provider.Verifier(&goidc.Config{ClientID: p.id, SupportedSigningAlgs: []string{"RS256"}, Now: p.op.clock.Now}).Verify(context.Background(), raw)
	return err == nil
}

// signedByUs reports whether a JWT verifies by the keys of jwks_uri, whoever it is for.
func (p *party) signedByUs(raw string) bool {
	config := &goidc.Config{SkipClientIDCheck: true, SupportedSigningAlgs: []string{"RS256"}, Now: p.op.clock.Now}
	_, err := p.op.provider.Verifier(config).Verify(context.Background(), raw)
	return err == nil
}

// discovery returns the server's metadata.
func (p *party) discovery() map[string]any {
	p.Helper()
	g := p.browser.get(p.op.URL + "/.well-known/openid-configuration")
	var document map[string]any
	if err := json.Unmarshal([]byte(g.Body), &document); err != nil || g.Status != http.StatusOK {
		p.Fatalf("%d %v", g.Status, err)
	}
	return document
}

// profileClaims are the claims of the scope profile (OpenID Connect Core 1.0,
// section 5.4).
var profileClaims = []string{
	"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile",
	"picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
}

// standard returns the claims that are not about the token.
func standard(claims map[string]any) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		if !slices.Contains(usualClaims, name) {
			names = append(names, name)
		}
	}
	return names
}

func (p *party) scopeGives(scope string, want ...string) map[string]any {
	p.Helper()
	claims := p.claims(p.all("mia", "scope", scope))
	slices.Sort(want)
	if got := standard(claims); !slices.Equal(got, want) {
		p.Errorf("scope=%s gives %v instead of %v", scope, got, want)
	}
	return claims
}

func certScopeProfile(p *party) {
	claims := p.scopeGives("openid profile", profileClaims...)
	for name, want := range map[string]any{
		"name": "Mia Maximal", "family_name": "Maximal", "given_name": "Mia", "middle_name": "Q", "nickname": "Mimi", "preferred_username": "mia",
		"profile": "https://people.example.org/mia", "website": "https://people.example.org/mia", "gender": "female", "birthdate": "1990-02-28",
		"zoneinfo": "Europe/Berlin", "locale": "de-DE",
	} {
		if claims[name] != want {
			p.Errorf("%s is %v", name, claims[name])
		}
	}
	if _, number := claims["updated_at"].(float64); !number {
		p.Errorf("updated_at is %v", claims["updated_at"])
	}
	picture, _ := claims["picture"].(string)
	if !strings.HasPrefix(picture, p.op.URL+"/picture/") || newPerson(p.T).get(picture).Status != http.StatusOK {
		p.Errorf("picture is %q", picture)
	}
}

func certScopeEmail(p *party) {
	claims := p.scopeGives("openid email", "email", "email_verified")
	if claims["email"] != "mia@example.org" || claims["email_verified"] != true {
		p.Errorf("%v", claims)
	}
}

func certScopeAddress(p *party) {
	address, _ := p.scopeGives("openid address", "address")["address"].(map[string]any)
	for name, want := range map[string]any{
		"formatted": "Straße 1\n10115 Berlin", "street_address": "Straße 1", "locality": "Berlin", "region": "Berlin", "postal_code": "10115",
	} {
		if address[name] != want {
			p.Errorf("address.%s is %v", name, address[name])
		}
	}
}

func certScopePhone(p *party) {
	claims := p.scopeGives("openid phone", "phone_number", "phone_number_verified")
	if claims["phone_number"] != "+49 30 1234567" || claims["phone_number_verified"] != true {
		p.Errorf("%v", claims)
	}
}

func certScopeAll(p *party) {
	p.scopeGives("openid profile email address phone", append([]string{"email", "email_verified", "address", "phone_number", "phone_number_verified"}, profileClaims...)...)
}

func certScopeNone(p *party) {
	p.scopeGives("openid")
}

func certClaimsEssential(p *party) {
	asked := `{"userinfo":{"name":{"essential":true},"nonsense":{"essential":true}}}`
	if p.types == "id_token" {
		asked = strings.Replace(asked, "userinfo", "id_token", 1)
	}
	claims := p.claims(p.all("alice", "claims", asked))
	if claims["name"] != "Alice Adams" || len(standard(claims)) != 1 {
		p.Errorf("%v", claims)
	}
}

func certClaimsInIDToken(p *party) {
	k := p.all("alice", "claims", `{"id_token":{"email":null,"auth_time":{"essential":true}}}`)
	for _, claims := range []map[string]any{k.front, k.back} {
		if claims != nil && (claims["email"] != "alice@example.org" || claims["auth_time"] == nil || len(unasked(claims, "email")) > 0) {
			p.Errorf("an ID token: %v", claims)
		}
	}
}

func certClaimsSub(p *party) {
	_, id := p.all("alice").id()
	sub, _ := id["sub"].(string)
	form := p.request("prompt", "none", "claims", `{"id_token":{"sub":{"value":"`+sub+`"}}}`)
	p.collect(p.answered(p.visit(form), form), form)
	form = p.request("prompt", "none", "claims", `{"id_token":{"sub":{"value":"somebody else"}}}`)
	if got := p.refused(p.visit(form), form); got != "login_required" {
		p.Errorf("another sub is wanted: %q", got)
	}
}

func certClaimsACR(p *party) {
	supported := p.discovery()["acr_values_supported"].([]any)[0].(string)
	if _, id := p.all("alice", "claims", `{"id_token":{"acr":{"essential":true,"values":["urn:other","`+supported+`"]}}}`).id(); id["acr"] != supported {
		p.Errorf("acr is %v", id["acr"])
	}
	form := p.request("claims", `{"id_token":{"acr":{"essential":true,"value":"urn:other"}}}`)
	if got := p.refused(p.visit(form), form); got != "access_denied" {
		p.Errorf("a class that nobody has: %q", got)
	}
}

func certUserinfoSigned(p *party) {
	q := p.as("userinfo-signed")
	k := q.all("alice", "scope", "openid email")
	g := p.browser.send(http.MethodGet, p.op.URL+"/oauth2/userinfo", "", "Authorization", "Bearer "+k.access)
	claims := claimsOf(g.Body)
	if g.Status != http.StatusOK || g.Header.Get("Content-Type") != "application/jwt" || jwtPart(g.Body, 0)["alg"] != "RS256" {
		p.Fatalf("%d %v %s", g.Status, g.Header, g.Body)
	}
	if claims["iss"] != p.op.URL || claims["aud"] != q.id || claims["sub"] != k.back["sub"] || claims["email"] != "alice@example.org" {
		p.Errorf("%v", claims)
	}
	// go-oidc verifies it by jwks_uri.
	info, err := p.op.provider.UserInfo(context.Background(), oauth2.StaticTokenSource(&oauth2.Token{AccessToken: k.access, TokenType: "Bearer"}))
	if err != nil || info.Subject != k.back["sub"] {
		p.Errorf("%v %v", info, err)
	}
	form := q.request("prompt", "none", "id_token_hint", g.Body)
	if got := q.refused(q.visit(form), form); got != "invalid_request" {
		p.Errorf("userinfo as a hint: %q", got)
	}
}

func certIDTokenUnsigned(p *party) {
	q := p.as("id-unsigned")
	form := q.request()
	status, body := q.token(q.redeem(q.signIn("alice", form)))
	raw, _ := body["id_token"].(string)
	claims := claimsOf(raw)
	if status != http.StatusOK || jwtPart(raw, 0)["alg"] != "none" || !strings.HasSuffix(raw, ".") || claims["nonce"] != form.Get("nonce") || claims["aud"] != q.id {
		p.Errorf("%d %v", status, body)
	}
	form = q.request("prompt", "none", "id_token_hint", raw)
	if got := q.refused(q.visit(form), form); got != "invalid_request" {
		p.Errorf("an unsigned hint: %q", got)
	}
}
