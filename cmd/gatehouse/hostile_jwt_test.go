package main

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// A signed text is taken at several doors. The same forgeries are tried at each.

// door is a place where a JWT opens something.
type door struct {
	name    string
	ring    []byte // the JWK Set of who may sign here
	header  map[string]any
	claims  func() map[string]any
	genuine func(claims map[string]any) string
	open    func(token string) bool // whether the token was taken
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func jsonOf(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // of literals
	}
	return data
}

// forged makes a JWS with any header; sign may be nil.
func forged(header map[string]any, claims []byte, sign func(text string) []byte) string {
	text := b64(jsonOf(header)) + "." + b64(claims)
	if sign == nil {
		return text + "."
	}
	return text + "." + b64(sign(text))
}

func hmacWith(key []byte) func(string) []byte {
	return func(text string) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
}

func rsaWith(t *testing.T, key *rsa.PrivateKey) func(string) []byte {
	return func(text string) []byte {
		sum := sha256.Sum256([]byte(text))
		signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
}

// rsaKey returns the RSA key of a JWK Set and its kid.
func rsaKey(t *testing.T, set []byte) (*rsa.PublicKey, map[string]any) {
	t.Helper()
	var parsed struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(set, &parsed); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(parsed.Keys, func(k map[string]any) bool { return k["alg"] == "RS256" })
	if i < 0 {
		t.Fatalf("no RSA key in %s", set)
	}
	n, err := base64.RawURLEncoding.DecodeString(parsed.Keys[i]["n"].(string))
	if err != nil {
		t.Fatal(err)
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}, parsed.Keys[i]
}

// forgeries are tokens that nobody with the right key has made.
func forgeries(t *testing.T, d *door, trap *rpWeb) map[string]string {
	t.Helper()
	public, jwk := rsaKey(t, d.ring)
	kid := jwk["kid"]
	mallory, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	malloryJWK := map[string]any{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "mallory", "n": b64(mallory.N.Bytes()), "e": "AQAB"}
	address := trap.serve("/mallory.jwks", string(jsonOf(map[string]any{"keys": []any{malloryJWK}})))
	with := func(pairs ...any) map[string]any {
		header := maps.Clone(d.header)
		for i := 0; i < len(pairs); i += 2 {
			header[pairs[i].(string)] = pairs[i+1]
			if pairs[i+1] == nil {
				delete(header, pairs[i].(string))
			}
		}
		return header
	}
	claims := func() []byte { return jsonOf(d.claims()) }
	out := map[string]string{}
	for _, none := range []string{"none", "None", "NONE", "nOnE", "", "none ", "null"} {
		out["alg "+none] = forged(with("alg", none), claims(), nil)
		out["alg "+none+" with kid and a signature"] = forged(with("alg", none, "kid", kid), claims(), rsaWith(t, mallory))
	}
	pkix, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := x509.MarshalPKCS1PublicKey(public)
	for name, secret := range map[string][]byte{
		"PKIX in PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pkix}), "PKIX": pkix, "PKCS #1": pkcs1,
		"PKCS #1 in PEM": pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: pkcs1}), "modulus": public.N.Bytes(), "JWK": jsonOf(jwk),
		"JWK Set": d.ring, "nothing": {}, "kid": []byte(fmt.Sprint(kid)), "a hash of a secret": []byte(sha256Hex(appSecret)),
	} {
		out["HS256 with "+name] = forged(with("alg", "HS256", "kid", kid), claims(), hmacWith(secret))
		out["HS256 with "+name+", no kid"] = forged(with("alg", "HS256", "kid", nil), claims(), hmacWith(secret))
		out["RS256 by name, HMAC with "+name] = forged(with("alg", "RS256", "kid", kid), claims(), hmacWith(secret))
	}
	for name, header := range map[string]map[string]any{
		"the right kid": with("kid", kid), "no kid": with("kid", nil), "an unknown kid": with("kid", "mallory"), "jwk": with("kid", "mallory", "jwk", malloryJWK),
		"jwk and the right kid": with("kid", kid, "jwk", malloryJWK), "jku": with("kid", "mallory", "jku", address), "jku and the right kid": with("kid", kid, "jku", address),
		"x5u": with("kid", "mallory", "x5u", address), "x5c": with("kid", "mallory", "x5c", []string{base64.StdEncoding.EncodeToString(pkix)}),
		"kid as path": with("kid", "../../../../dev/null"), "kid as SQL": with("kid", "' OR '1'='1"), "kid as address": with("kid", address), "kid as list": with("kid", []any{kid}),
		"kid as number": with("kid", 1), "kid as null": {"alg": "RS256", "kid": nil}, "empty kid": with("kid", ""),
	} {
		header["alg"] = "RS256"
		out["mallory's key, "+name] = forged(header, claims(), rsaWith(t, mallory))
	}
	for name, header := range map[string]map[string]any{"ES256": with("alg", "ES256", "kid", nil), "ES256 and the RSA kid": with("alg", "ES256", "kid", kid)} {
		out["a signature of zeros, "+name] = forged(header, claims(), func(string) []byte { return make([]byte, 64) }) // CVE-2022-21449
	}
	good := d.genuine(d.claims())
	parts := strings.Split(good, ".")
	out["no signature"] = parts[0] + "." + parts[1] + "."
	out["two parts"] = parts[0] + "." + parts[1]
	out["four parts"] = good + "."
	out["five parts"] = good + ".." + parts[2]
	out["JSON"] = string(jsonOf(map[string]any{"protected": parts[0], "payload": parts[1], "signature": parts[2]}))
	out["padding"] = parts[0] + "." + parts[1] + "." + parts[2] + "=="
	out["a line break"] = parts[0] + "." + parts[1] + "\n." + parts[2]
	out["another header"] = b64(jsonOf(with("alg", "RS512", "kid", kid))) + "." + parts[1] + "." + parts[2]
	out["another payload"] = parts[0] + "." + b64(jsonOf(map[string]any{"sub": "mallory"})) + "." + parts[2]
	out["crit"] = forged(with("alg", "RS256", "kid", kid, "crit", []string{"b64"}, "b64", false), claims(), rsaWith(t, mallory))
	out["deep"] = forged(with("alg", "RS256", "kid", kid), []byte(strings.Repeat("[", 2000)+strings.Repeat("]", 2000)), rsaWith(t, mallory))
	out["no JSON"] = forged(with("alg", "RS256", "kid", kid), []byte("\x00\xff"), rsaWith(t, mallory))
	return out
}

func sha256Hex(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

// doors are all places of this server that take a JWT.
func doors(p *party, set []byte) []door {
	_, hint := p.all("alice").id()
	signs, asserts, api := p.as(p.id+"-signs"), p.as("asserts"), p.as("jwt-access")
	access := api.fresh().all("alice")
	own := p.op.keys.JWKS()
	return []door{
		{
			name: "id_token_hint", ring: set, header: map[string]any{"alg": "RS256", "typ": "JWT"},
			claims:  func() map[string]any { return maps.Clone(hint) },
			genuine: func(map[string]any) string { token, _ := p.all("alice").id(); return token },
			open: func(token string) bool {
				form := p.request("prompt", "none", "id_token_hint", token)
				return p.answered(p.visit(form), form).Has("code")
			},
		},
		{
			name: "client assertion", ring: own, header: map[string]any{"alg": "RS256"},
			claims: func() map[string]any {
				now := p.op.clock.Now().Unix()
				return map[string]any{"iss": asserts.id, "sub": asserts.id, "aud": p.op.URL, "exp": now + 60, "iat": now, "jti": oidc.NewID()}
			},
			genuine: func(claims map[string]any) string { return p.signed(keys.RS256, claims) },
			open: func(token string) bool {
				g := newPerson(p.T).post(p.op.URL+"/oauth2/token", url.Values{
					"grant_type": {"client_credentials"}, "client_assertion": {token}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
				})
				if g.Status != http.StatusOK && g.Status != http.StatusUnauthorized {
					p.Errorf("client assertion: %d %s", g.Status, g.Body)
				}
				return g.Status == http.StatusOK
			},
		},
		{
			name: "request object", ring: own, header: map[string]any{"alg": "RS256"},
			claims: func() map[string]any {
				object := ask(signs.request())
				object["iss"], object["aud"] = signs.id, p.op.URL
				return object
			},
			genuine: func(claims map[string]any) string { return p.signed(keys.RS256, claims) },
			open: func(token string) bool {
				g := signs.visit(url.Values{"client_id": {signs.id}, "response_type": {"code"}, "scope": {"openid"}, "request": {token}})
				if g.Status >= 500 {
					p.Errorf("request object: %d", g.Status)
				}
				return asksToSignIn(g) || g.answer().Has("code")
			},
		},
		{
			name: "grant assertion", ring: own, header: map[string]any{"alg": "RS256"},
			claims: func() map[string]any {
				return map[string]any{"iss": "https://ci.example.org", "sub": "alice", "aud": p.op.URL, "exp": p.op.clock.Now().Unix() + 60, "jti": oidc.NewID()}
			},
			genuine: func(claims map[string]any) string { return p.signed(keys.RS256, claims) },
			open: func(token string) bool {
				status, body := p.as("ci").token(url.Values{"grant_type": {grantJWTBearer}, "assertion": {token}, "scope": {"openid"}})
				if status != http.StatusOK && body["error"] != "invalid_grant" {
					p.Errorf("grant assertion: %d %v", status, body)
				}
				return status == http.StatusOK
			},
		},
		{
			name: "access token", ring: set, header: map[string]any{"alg": "RS256", "typ": "at+jwt"},
			claims:  func() map[string]any { return claimsOf(access.access) },
			genuine: func(map[string]any) string { return access.access },
			open: func(token string) bool {
				g := newPerson(p.T).send(http.MethodGet, p.op.URL+"/oauth2/userinfo", "", "Authorization", "Bearer "+strings.ReplaceAll(token, "\n", ""))
				if g.Status != http.StatusOK && g.Status != http.StatusUnauthorized {
					p.Errorf("access token: %d %s", g.Status, g.Body)
				}
				_, body := api.at("/oauth2/introspect", url.Values{"token": {token}})
				if body["active"] != (g.Status == http.StatusOK) && !strings.Contains(token, "\n") {
					p.Errorf("userinfo and introspection disagree about %.60s: %d %v", token, g.Status, body)
				}
				return body["active"] == true
			},
		},
	}
}

// Algorithm confusion, keys that a token brings along, names of keys that are paths
// or SQL (RFC 8725, sections 2.1 to 2.4 and 3.1 to 3.10).
func TestNoForgedTokenOpensAnyDoor(t *testing.T) {
	t.Parallel()
	op := startCertSite(t, ldaptest.Start(t), certFiles())
	trap := startRPWeb(t)
	p := newParty(t, op, "code", "")
	set := []byte(p.browser.get(op.URL + "/oauth2/jwks").Body)
	for _, d := range doors(p, set) {
		if !d.open(d.genuine(d.claims())) {
			t.Errorf("%s: the genuine token is refused, so nothing is shown", d.name)
			continue
		}
		for name, token := range forgeries(t, &d, trap) {
			if d.open(token) {
				t.Errorf("%s: taken: %s", d.name, name)
			}
		}
	}
	if len(trap.asked) != 0 {
		t.Errorf("the server went where a token sent it: %v", trap.asked)
	}
}

// What was made for one door opens no other: an ID token is no access token, an
// access token no hint, an assertion no request object (RFC 8725, section 2.8).
func TestEachTokenOpensItsOwnDoorOnly(t *testing.T) {
	t.Parallel()
	op := startCertSite(t, ldaptest.Start(t), certFiles())
	p := newParty(t, op, "code", "")
	api, signs, asserts := p.as("jwt-access"), p.as(p.id+"-signs"), p.as("asserts")
	set := []byte(p.browser.get(op.URL + "/oauth2/jwks").Body)
	all := doors(p, set)
	k := p.all("alice", "scope", "openid offline_access")
	j := api.fresh().all("alice", "scope", "openid offline_access")
	now := op.clock.Now().Unix()
	tokens := map[string]string{
		"ID token": k.rawBack, "ID token of another client": j.rawBack, "opaque access token": k.access, "access token": j.access, "refresh token": k.refresh,
		"code": p.fresh().signIn("alice", p.request()).Get("code"), "request_uri": p.push(p.request()).Get("request_uri"),
		"client assertion of another client": signs.signed(keys.RS256, map[string]any{"iss": signs.id, "sub": signs.id, "aud": op.URL, "exp": now + 60, "jti": oidc.NewID()}),
		"client assertion":                   all[1].genuine(all[1].claims()),
		"request object":                     all[2].genuine(all[2].claims()),
		"grant assertion":                    all[3].genuine(all[3].claims()),
		"request object with a typ":          typed(t, op, "oauth-authz-req+jwt", map[string]any{"iss": asserts.id, "sub": asserts.id, "aud": op.URL, "exp": now + 60, "jti": oidc.NewID()}),
	}
	opens := map[string][]string{
		"id_token_hint":    {"ID token", "ID token of another client"}, // a hint needs no audience: OpenID Connect Core 1.0, section 3.1.2.1
		"client assertion": {"client assertion"}, "request object": {"request object"}, "grant assertion": {"grant assertion"}, "access token": {"access token"},
	}
	for _, d := range all {
		if d.name == "access token" {
			continue // the opaque ones and refresh tokens are what introspection is for
		}
		for name, token := range tokens {
			if taken := d.open(token); taken != slices.Contains(opens[d.name], name) {
				t.Errorf("%s at the door of the %s: taken %v", name, d.name, taken)
			}
		}
	}
	for name, token := range tokens {
		want := http.StatusUnauthorized
		if strings.HasSuffix(name, "access token") {
			want = http.StatusOK
		}
		if g := newPerson(t).send(http.MethodGet, op.URL+"/oauth2/userinfo", "", "Authorization", "Bearer "+token); g.Status != want {
			t.Errorf("%s at userinfo: %d", name, g.Status)
		}
		for _, grant := range []url.Values{{"grant_type": {"authorization_code"}, "code": {token}, "redirect_uri": {appRedirect}}, {"grant_type": {"refresh_token"}, "refresh_token": {token}}} {
			mine := grant.Has("code") && name == "code" || grant.Has("refresh_token") && name == "refresh token"
			if status, _ := p.token(grant); (status == http.StatusOK) != mine {
				t.Errorf("%s as %v: %d", name, grant["grant_type"], status)
			}
		}
	}
}

// typed signs with a typ of its own.
func typed(t *testing.T, op *certSite, typ string, claims map[string]any) string {
	t.Helper()
	token, err := op.keys.Sign(keys.RS256, typ, claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}
