package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"gatehouse/oidc/keys"
)

// Discovery (OpenID Connect Discovery 1.0; RFC 8414) and keys.

// list returns a member of the metadata that is a list of texts.
func list(p *party, document map[string]any, name string) []string {
	p.Helper()
	values, _ := document[name].([]any)
	var out []string
	for _, value := range values {
		text, ok := value.(string)
		if !ok || text == "" {
			p.Errorf("%s holds %v", name, value)
		}
		out = append(out, text)
	}
	if sorted := slices.Sorted(slices.Values(out)); len(slices.Compact(sorted)) != len(out) {
		p.Errorf("%s holds something twice: %v", name, out)
	}
	return out
}

func (p *party) holds(document map[string]any, name string, want ...string) {
	p.Helper()
	have := list(p, document, name)
	for _, w := range want {
		if !slices.Contains(have, w) {
			p.Errorf("%s lacks %q: %v", name, w, have)
		}
	}
}

func certDiscovery(p *party) {
	g := p.browser.get(p.op.URL + "/.well-known/openid-configuration")
	if g.Status != http.StatusOK || g.Header.Get("Content-Type") != "application/json" {
		p.Errorf("%d %q", g.Status, g.Header.Get("Content-Type"))
	}
	d := p.discovery()
	if d["issuer"] != p.op.URL {
		p.Errorf("issuer is %v", d["issuer"])
	}
	p.holds(d, "response_types_supported", "code", "id_token", "id_token token", "code id_token", "code token", "code id_token token")
	p.holds(d, "response_modes_supported", "query", "fragment", "form_post")
	p.holds(d, "grant_types_supported", "authorization_code", "implicit", "refresh_token", "client_credentials")
	p.holds(d, "subject_types_supported", "public", "pairwise")
	p.holds(d, "id_token_signing_alg_values_supported", "RS256", "ES256")
	p.holds(d, "request_object_signing_alg_values_supported", "RS256", "ES256", "none")
	p.holds(d, "token_endpoint_auth_methods_supported", "client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none")
	p.holds(d, "token_endpoint_auth_signing_alg_values_supported", "RS256", "ES256", "HS256")
	p.holds(d, "scopes_supported", "openid", "profile", "email", "address", "phone", "offline_access")
	p.holds(d, "claims_supported", append([]string{"sub", "email", "email_verified", "phone_number", "phone_number_verified", "address"}, profileClaims...)...)
	p.holds(d, "code_challenge_methods_supported", "S256")
	p.holds(d, "display_values_supported", "page")
	p.holds(d, "claim_types_supported", "normal")
	for _, name := range []string{"claims_parameter_supported", "request_parameter_supported", "request_uri_parameter_supported", "require_request_uri_registration", "authorization_response_iss_parameter_supported"} {
		if d[name] != true {
			p.Errorf("%s is %v", name, d[name])
		}
	}
	for name, value := range d {
		if strings.HasSuffix(name, "_signing_alg_values_supported") && name != "request_object_signing_alg_values_supported" && slices.Contains(list(p, d, name), "none") && !strings.HasPrefix(name, "id_token") && !strings.HasPrefix(name, "userinfo") {
			p.Errorf("%s has none: RFC 8414, section 2, forbids it", name)
		}
		if list, isList := value.([]any); isList && len(list) == 0 { // RFC 8414, section 3.2
			p.Errorf("%s is empty and should not be there", name)
		}
	}
}

func certOAuthDiscovery(p *party) {
	g := p.browser.get(p.op.URL + "/.well-known/oauth-authorization-server")
	var document map[string]any
	if err := json.Unmarshal([]byte(g.Body), &document); err != nil || g.Header.Get("Content-Type") != "application/json" {
		p.Fatalf("%d %v", g.Status, err)
	}
	for _, name := range []string{"issuer", "authorization_endpoint", "token_endpoint", "jwks_uri", "pushed_authorization_request_endpoint", "introspection_endpoint", "revocation_endpoint"} {
		if document[name] != p.discovery()[name] || document[name] == nil {
			p.Errorf("%s is %v", name, document[name])
		}
	}
}

// Every endpoint that the metadata name is there and is ours.
func certEndpoints(p *party) {
	d := p.discovery()
	found := 0
	for _, name := range slices.Sorted(maps.Keys(d)) {
		address, _ := d[name].(string)
		if !strings.HasSuffix(name, "_endpoint") && name != "jwks_uri" {
			continue
		}
		found++
		u, err := url.Parse(address)
		if err != nil || !strings.HasPrefix(address, p.op.URL+"/") || u.Fragment != "" {
			p.Errorf("%s is %q", name, address)
			continue
		}
		method := http.MethodPost
		if name == "jwks_uri" {
			method = http.MethodGet
		}
		if g := stranger(p.T).send(method, address, "", "Content-Type", formType); g.Status == http.StatusNotFound || g.Status == http.StatusMethodNotAllowed || g.Status >= 500 {
			p.Errorf("%s: %s %s answers %d", name, method, address, g.Status)
		}
	}
	if found < 7 {
		p.Errorf("only %d endpoints in %v", found, d)
	}
}

func certKeys(p *party) {
	d := p.discovery()
	g := p.browser.get(d["jwks_uri"].(string))
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal([]byte(g.Body), &set); err != nil || len(set.Keys) == 0 {
		p.Fatalf("%d %s", g.Status, g.Body)
	}
	kids := map[any]bool{}
	for _, k := range set.Keys {
		if k["kid"] == nil || k["use"] != "sig" || k["alg"] == nil || kids[k["kid"]] {
			p.Errorf("a key without kid, use or alg, or twice: %v", k)
		}
		kids[k["kid"]] = true
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k", "oth"} {
			if k[private] != nil {
				p.Errorf("key %v has %s", k["kid"], private)
			}
		}
		for _, name := range []string{"n", "e", "x", "y"} { // RFC 7518, section 2
			if text, there := k[name].(string); there && strings.ContainsAny(text, "=+/") {
				p.Errorf("%s of key %v is not base64url: %s", name, k["kid"], text)
			}
		}
	}
}

// certLocales holds languages to BCP 47, scopes to RFC 6749, section 3.3.
func certLocales(p *party) {
	d := p.discovery()
	for _, tag := range list(p, d, "ui_locales_supported") {
		if g := p.fresh().visit(p.request("ui_locales", tag)); !strings.Contains(g.Body, `lang="`+tag+`"`) {
			p.Errorf("ui_locales=%s: %.200s", tag, g.Body)
		}
	}
	for _, scope := range list(p, d, "scopes_supported") {
		if strings.ContainsAny(scope, " \"\\") {
			p.Errorf("scope %q", scope)
		}
	}
}

// certPrompts holds the metadata to what the endpoint does.
func certPrompts(p *party) {
	have := list(p, p.discovery(), "prompt_values_supported")
	for _, prompt := range []string{"none", "login", "consent", "select_account", "create"} {
		form := p.request("prompt", prompt)
		g := p.fresh().visit(form)
		taken := asksToSignIn(g) || g.answer().Get("error") == "login_required"
		if taken != slices.Contains(have, prompt) {
			p.Errorf("prompt=%s: supported %v, taken %v", prompt, have, taken)
		}
	}
}

// certRotation is what the certification asks of key rotation: a new key, and the
// old one beside it.
func certRotation(p *party) {
	before := p.published()
	ring, err := keys.Load(p.op.config.KeysDir, p.op.clock.Now)
	if err != nil {
		p.Fatal(err)
	}
	k := p.all("alice")
	if _, err := ring.Rotate(keys.RS256); err != nil {
		p.Fatal(err)
	}
	var after []string
	eventually(p.T, "the new key is published", func() bool {
		after = p.published()
		return len(after) == len(before)+1
	})
	for _, kid := range before {
		if !slices.Contains(after, kid) {
			p.Errorf("key %s is gone", kid)
		}
	}
	p.op.clock.advance(keys.PublicationDelay * 2)
	again := p.fresh().all("alice")
	if a, b := jwtPart(k.rawBack, 0)["kid"], jwtPart(again.rawBack, 0)["kid"]; a == b {
		p.Errorf("still signed by %v", a)
	}
	hint := p.request("prompt", "none", "id_token_hint", k.rawBack) // signed by the old key
	q := p.fresh()
	q.all("alice")
	q.collect(q.answered(q.visit(hint), hint), hint)
}

// published returns the ids of the server's keys.
func (p *party) published() []string {
	p.Helper()
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.Unmarshal([]byte(p.browser.get(p.op.URL+"/oauth2/jwks").Body), &set); err != nil {
		p.Fatal(err)
	}
	var ids []string
	for _, k := range set.Keys {
		ids = append(ids, k.ID)
	}
	return ids
}
