package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc/keys"
)

// jsons are texts that have brought readers of JSON down, or made two readers see
// two things (RFC 8259, sections 4, 6, 8 and 9).
func jsons() map[string]string {
	deep := func(n int, open, inside, end string) string {
		return strings.Repeat(open, n) + inside + strings.Repeat(end, n)
	}
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"k%d":null,`, i)
		}
		return "{" + strings.TrimSuffix(b.String(), ",") + "}"
	}
	return map[string]string{
		"deep lists": deep(2500, "[", "", "]"), "deep objects": deep(900, `{"a":`, "1", "}"), "no end": deep(2500, "[", "", ""), "many names": many(500),
		"deep in userinfo": `{"userinfo":{"name":` + deep(900, `{"value":`, "1", "}") + `}}`, "many in userinfo": `{"userinfo":` + many(300) + `}`,
		"a huge number": `{"max_age":1e999999,"exp":1e999999,"userinfo":{"name":{"value":1e999999}}}`, "a long number": `{"exp":` + strings.Repeat("9", 3000) + `}`,
		"a name twice": `{"userinfo":{},"userinfo":{"email":null},"sub":"a","sub":"b"}`, "null": "null", "a text": `"x"`, "a list": "[]", "a number": "1", "nothing": "", "a blank": " ",
		"broken UTF-8": "{\"userinfo\":{\"\xff\xfe\":null}}", "half a surrogate": `{"userinfo":{"\ud800":null}}`, "NUL": `{"userinfo":{"\u0000":null}}`, "a comment": `{/**/"userinfo":{}}`,
		"two objects": `{} {}`, "wrong types": `{"userinfo":[],"id_token":"x"}`, "wrong members": `{"userinfo":{"name":{"essential":"yes","values":{}}}}`, "sub of lists": `{"id_token":{"sub":{"values":[[]]}}}`,
		"upper case": `{"USERINFO":{"email":null},"Exp":1}`, "a prototype": `{"__proto__":{"x":1},"userinfo":{"__proto__":null}}`, "NaN": `{"exp":NaN}`, "a BOM": "\ufeff{}", "a long text": `{"userinfo":{"name":{"value":"` + strings.Repeat("x", 3000) + `"}}}`,
	}
}

// No JSON that somebody sends is answered by a fault of ours, or slowly.
func TestNoJSONIsTooMuch(t *testing.T) {
	t.Parallel()
	op := startCertSite(t, ldaptest.Start(t), certFiles())
	p := newParty(t, op, "code", "")
	signs, asserts := p.as(p.id+"-signs"), p.as("asserts")
	begin := time.Now()
	judge := func(what string, g page) {
		t.Helper()
		if g.Status >= http.StatusInternalServerError && g.Status != http.StatusServiceUnavailable || strings.Contains(g.Body, "server_error") || strings.Contains(g.Body, "xxxxxxxxxx") {
			t.Errorf("%s: %d %.200s", what, g.Status, g.Body)
		}
	}
	form := func(claims string) url.Values {
		return url.Values{"grant_type": {"client_credentials"}, "client_assertion": {claims}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}
	}
	for name, text := range jsons() {
		judge("claims: "+name, p.fresh().browser.post(op.URL+"/oauth2/authorize", p.request("claims", text)))
		judge("claims pushed: "+name, p.browser.post(op.URL+"/oauth2/par", p.request("claims", text), p.id, appSecret))
		unsigned := b64([]byte(`{"alg":"none"}`)) + "." + b64([]byte(text)) + "."
		object := url.Values{"client_id": {p.id + "-unsigned"}, "response_type": {"code"}, "scope": {"openid"}, "redirect_uri": {appRedirect}, "request": {unsigned}}
		judge("request object: "+name, p.fresh().browser.post(op.URL+"/oauth2/authorize", object))
		object.Set("client_id", signs.id)
		for _, header := range []string{text, `{"alg":"RS256","kid":` + text + `}`, `{"alg":` + text + `}`} {
			token := b64([]byte(header)) + "." + b64([]byte(text)) + ".AAAA"
			object.Set("request", token)
			judge("header of a request object: "+name, p.fresh().browser.post(op.URL+"/oauth2/authorize", object))
			judge("client assertion: "+name, p.browser.post(op.URL+"/oauth2/token", form(token)))
			judge("hint: "+name, p.fresh().browser.post(op.URL+"/oauth2/authorize", p.request("id_token_hint", token)))
		}
	}
	// The keys of a client: each set at an address of its own, since they are kept.
	for name, text := range jsons() {
		for _, set := range []string{text, `{"keys":` + text + `}`, `{"keys":[` + text + `]}`} {
			op.web.serve("/jwks", set)
			op.clock.advance(48 * time.Hour)
			token := asserts.assertion(func(claims map[string]any) string { return asserts.signed(keys.RS256, claims) }, op.URL)
			token.Set("grant_type", "client_credentials")
			g := p.browser.post(op.URL+"/oauth2/token", token)
			if g.Status != http.StatusUnauthorized && g.Status != http.StatusServiceUnavailable {
				t.Errorf("keys of a client: %s: %d %s", name, g.Status, g.Body)
			}
		}
	}
	op.web.serve("/jwks", string(op.keys.JWKS()))
	op.clock.advance(48 * time.Hour)
	certPrivateKeyJWT(p) // and it works again
	if took := time.Since(begin); took > 60*time.Second {
		t.Errorf("it took %v", took)
	}
}
