package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
)

// tokens are what a relying party has in the end.
type tokens struct {
	front, back       map[string]any // claims of the ID tokens of the authorisation and the token endpoint
	rawFront, rawBack string
	access, refresh   string
	answer            map[string]any // of the token endpoint
}

// id returns the ID token that there is, and its claims: the later one.
func (k tokens) id() (string, map[string]any) {
	if k.rawBack != "" {
		return k.rawBack, k.back
	}
	return k.rawFront, k.front
}

// authTime returns auth_time of the ID token.
func (k tokens) authTime() time.Time {
	_, claims := k.id()
	at, _ := claims["auth_time"].(float64)
	return time.Unix(int64(at), 0)
}

// all signs a person in and collects everything.
func (p *party) all(uid string, pairs ...string) tokens {
	p.Helper()
	form := p.request(pairs...)
	return p.collect(p.signIn(uid, form), form)
}

// collect takes what an answer gives and judges all of it: each response type
// gives what it names and nothing else, and every ID token is valid (OpenID Connect
// Core 1.0, sections 3.1.3.7, 3.2.2.11 and 3.3.2.12).
func (p *party) collect(answer, form url.Values) tokens {
	p.Helper()
	want := []string{"state", "iss"}
	if form.Get("state") == "" {
		want = want[1:]
	}
	if p.gets("code") {
		want = append(want, "code")
	}
	if p.gets("id_token") {
		want = append(want, "id_token")
	}
	if p.gets("token") {
		want = append(want, "access_token", "token_type", "expires_in", "scope")
		if answer.Get("token_type") != "Bearer" {
			p.Errorf("token_type is %q", answer.Get("token_type"))
		}
	}
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(answer)); !slices.Equal(got, want) {
		p.Fatalf("response_type=%s was answered with %v %s", p.types, got, answer.Get("error_description"))
	}
	k := tokens{access: answer.Get("access_token"), rawFront: answer.Get("id_token")}
	if k.rawFront != "" {
		k.front = p.idToken(k.rawFront, form.Get("nonce"), k.access, answer.Get("code"))
	}
	if !p.gets("code") {
		return k
	}
	status, body := p.token(p.redeem(answer))
	if status != http.StatusOK {
		p.Fatalf("the code was not taken: %d %v", status, body)
	}
	k.take(p, body, form.Get("nonce"))
	if k.front != nil {
		for _, name := range []string{"iss", "sub"} { // OpenID Connect Core 1.0, section 3.3.3.6
			if k.front[name] != k.back[name] {
				p.Errorf("the two ID tokens differ in %s: %v and %v", name, k.front, k.back)
			}
		}
	}
	return k
}

// take reads an answer of the token endpoint (RFC 6749, section 5.1).
func (k *tokens) take(p *party, body map[string]any, nonce string) {
	p.Helper()
	k.answer = body
	k.access, _ = body["access_token"].(string)
	k.rawBack, _ = body["id_token"].(string)
	k.refresh, _ = body["refresh_token"].(string)
	if lives, _ := body["expires_in"].(float64); k.access == "" || body["token_type"] != "Bearer" || lives < 1 {
		p.Fatalf("the token endpoint answered %v", body)
	}
	k.back = p.idToken(k.rawBack, nonce, k.access, "")
}

// usualClaims are what an ID token may hold without being asked.
var usualClaims = []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "c_hash", "jti", "sid"}

// idToken judges an ID token and returns its claims.
func (p *party) idToken(raw, nonce, access, code string) map[string]any {
	p.Helper()
	id, err := p.op.provider.Verifier(&goidc.Config{ClientID: p.id, SupportedSigningAlgs: []string{"RS256"}, Now: p.op.clock.Now}).Verify(context.Background(), raw)
	if err != nil {
		p.Fatalf("an ID token that is not valid: %v", err)
	}
	claims := claimsOf(raw)
	if id.Nonce != nonce {
		p.Errorf("nonce is %q instead of %q", id.Nonce, nonce)
	}
	if access != "" {
		if err := id.VerifyAccessToken(access); err != nil {
			p.Errorf("at_hash: %v", err)
		}
	}
	if code != "" && claims["c_hash"] != halfSHA256(code) {
		p.Errorf("c_hash is %v", claims["c_hash"])
	}
	if (claims["at_hash"] != nil) != (access != "") || (claims["c_hash"] != nil) != (code != "") {
		p.Errorf("hashes of what is not there: %v", claims)
	}
	if sub, _ := claims["sub"].(string); sub == "" || len(sub) > 255 {
		p.Errorf("sub is %q", sub)
	}
	if age := p.op.clock.Now().Sub(id.IssuedAt); age < -time.Second || age > time.Minute || !id.Expiry.After(p.op.clock.Now()) {
		p.Errorf("iat is %v, exp %v", id.IssuedAt, id.Expiry)
	}
	return claims
}

// unasked returns the claims of an ID token that nobody asked for (OpenID Connect
// Core 1.0, sections 2 and 5.4).
func unasked(claims map[string]any, asked ...string) []string {
	var found []string
	for name := range claims {
		if !slices.Contains(usualClaims, name) && !slices.Contains(asked, name) {
			found = append(found, name)
		}
	}
	return found
}

// claimsOf reads the claims of a JWT without judging it.
func claimsOf(raw string) map[string]any { return jwtPart(raw, 1) }

func jwtPart(raw string, i int) map[string]any {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[i])
	if err != nil {
		return nil
	}
	var claims map[string]any
	if err := json.Unmarshal(text, &claims); err != nil {
		return nil
	}
	return claims
}

func halfSHA256(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// userinfo asks for the claims of an access token.
func (p *party) userinfo(access string) map[string]any {
	p.Helper()
	return p.info(newPerson(p.T).send(http.MethodGet, p.op.URL+"/oauth2/userinfo", "", "Authorization", "Bearer "+access))
}

func (p *party) info(g page) map[string]any {
	p.Helper()
	if g.Status != http.StatusOK {
		p.Fatalf("userinfo: %d %v %s", g.Status, g.Header["Www-Authenticate"], g.Body)
	}
	return p.json(g)
}

// claims are the claims of the scopes, wherever this response type has them: in
// userinfo, or in the ID token where there is no access token (OpenID Connect
// Core 1.0, section 5.4).
func (p *party) claims(k tokens) map[string]any {
	p.Helper()
	if p.types == "id_token" {
		return k.front
	}
	for _, claims := range []map[string]any{k.front, k.back} {
		if found := unasked(claims); len(found) > 0 {
			p.Errorf("response_type=%s: the ID token holds %v, which belongs to userinfo", p.types, found)
		}
	}
	info := p.userinfo(k.access)
	if _, id := k.id(); id["sub"] != info["sub"] {
		p.Errorf("sub is %v in userinfo and %v in the ID token", info["sub"], id["sub"]) // section 5.3.2
	}
	return info
}
