package main

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// Codes, refresh tokens, redirect URIs and client authentication.

// reused uses a code for the second time.
func (p *party) reused(later time.Duration) {
	p.Helper()
	form := p.request()
	answer := p.signIn("alice", form)
	k := p.collect(answer, form)
	p.userinfo(k.access)
	p.op.clock.advance(later)
	if status, body := p.token(p.redeem(answer)); status != http.StatusBadRequest || body["error"] != "invalid_grant" {
		p.Errorf("a code used twice: %d %v", status, body)
	}
	for _, access := range []string{k.access, answer.Get("access_token")} { // RFC 6749, section 4.1.2
		if access == "" {
			continue
		}
		if g := p.browser.send(http.MethodGet, p.op.URL+"/oauth2/userinfo", "", "Authorization", "Bearer "+access); g.Status != http.StatusUnauthorized {
			p.Errorf("an access token survives the second use of its code: %d", g.Status)
		}
	}
}

func certCodeReuse(p *party)      { p.reused(0) }
func certCodeReuseLater(p *party) { p.reused(31 * time.Second) }

func certRedirectUnknown(p *party) {
	for _, uri := range []string{"https://app.example.org/other", appRedirect + "/", appRedirect + "?x=y", "https://evil.example/cb"} {
		if g := p.visit(p.request("redirect_uri", uri)); g.Location != nil || g.Status != http.StatusBadRequest || strings.Contains(g.Body, "submit()") {
			p.Errorf("%s: %d, sent to %v", uri, g.Status, g.Location)
		}
	}
}

func certRedirectMissing(p *party) {
	if g := p.visit(p.request("redirect_uri", "")); g.Location != nil || g.Status != http.StatusBadRequest {
		p.Errorf("%d, sent to %v", g.Status, g.Location)
	}
}

func certSecretPost(p *party) {
	form := p.request()
	request := p.redeem(p.signIn("alice", form))
	request.Set("client_id", p.id)
	request.Set("client_secret", appSecret)
	g := p.browser.post(p.op.URL+"/oauth2/token", request)
	var k tokens
	if g.Status != http.StatusOK {
		p.Fatalf("client_secret_post: %d %s", g.Status, g.Body)
	}
	k.take(p, p.json(g), form.Get("nonce"))
}

func certPKCE(p *party) {
	verifier := oauth2.GenerateVerifier()
	form := p.request("code_challenge", oauth2.S256ChallengeFromVerifier(verifier), "code_challenge_method", "S256")
	request := p.redeem(p.signIn("alice", form))
	if status, body := p.token(request); status != http.StatusBadRequest || body["error"] != "invalid_grant" {
		p.Errorf("without a verifier: %d %v", status, body)
	}
	request.Set("code_verifier", oauth2.GenerateVerifier())
	if status, body := p.token(request); status != http.StatusBadRequest || body["error"] != "invalid_grant" {
		p.Errorf("another verifier: %d %v", status, body)
	}
	request.Set("code_verifier", verifier)
	if status, body := p.token(request); status != http.StatusOK {
		p.Errorf("the right verifier: %d %v", status, body)
	}
}

var refreshText = regexp.MustCompile(`^[\x20-\x7E]+$`) // RFC 6749, appendix A.17

func certRefresh(p *party) {
	k := p.all("alice", "scope", "openid offline_access", "prompt", "consent")
	if !refreshText.MatchString(k.refresh) {
		p.Fatalf("no refresh token: %v", k.answer)
	}
	other := p.as(flowClient("code") + "-unsigned") // another client
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {k.refresh}}
	if status, body := other.token(form); status != http.StatusBadRequest || body["error"] != "invalid_grant" {
		p.Errorf("another client's refresh token: %d %v", status, body)
	}
	status, body := p.token(form)
	if status != http.StatusOK {
		p.Fatalf("%d %v", status, body)
	}
	var again tokens
	again.take(p, body, "") // OpenID Connect Core 1.0, section 12.2: should have no nonce
	for _, name := range []string{"iss", "sub", "aud", "azp", "auth_time"} {
		if k.back[name] != again.back[name] {
			p.Errorf("%s was %v and is %v", name, k.back[name], again.back[name])
		}
	}
	if again.back["iat"].(float64) < k.back["iat"].(float64) || again.access == k.access {
		p.Errorf("the refreshed tokens are the old ones: %v", again.back)
	}
	p.userinfo(again.access)
	// Narrower, as asked; never wider (RFC 6749, section 6).
	form.Set("refresh_token", again.refresh)
	form.Set("scope", "openid email")
	if status, body := p.token(form); status != http.StatusBadRequest || body["error"] != "invalid_scope" {
		p.Errorf("a wider scope: %d %v", status, body)
	}
	form.Set("scope", "openid")
	status, body = p.token(form)
	if status != http.StatusOK || body["scope"] != "openid" {
		p.Errorf("a narrower scope: %d %v", status, body)
	}
	// The first one once more: the family ends (RFC 9700, section 4.14.2).
	if status, body := p.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {k.refresh}}); body["error"] != "invalid_grant" {
		p.Errorf("a refresh token used twice: %d %v", status, body)
	}
	newest, _ := body["refresh_token"].(string)
	if status, body := p.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {newest}}); body["error"] != "invalid_grant" {
		p.Errorf("the family lives on: %d %v", status, body)
	}
}

// ownQuery is a redirect URI with a query of its own.
const (
	otherRedirect = "https://other.example.org/cb"
	ownQuery      = appRedirect + "?foo=bar&x=%20y"
)

func certRedirectQuery(p *party) {
	q := p.as("own-query")
	form := q.request("redirect_uri", ownQuery)
	g := q.visit(form)
	g = g.signIn("alice")
	if g.Location == nil || !strings.HasPrefix(g.Location.String(), ownQuery+"&") {
		p.Fatalf("%d, sent to %v", g.Status, g.Location)
	}
	request := p.redeem(g.Location.Query())
	if status, body := q.token(request); body["error"] != "invalid_grant" {
		p.Errorf("the code was taken without the query: %d %v", status, body)
	}
	request.Set("redirect_uri", ownQuery)
	if status, body := q.token(request); status != http.StatusOK {
		p.Errorf("%d %v", status, body)
	}
}

func certRedirectQueryMismatch(p *party) {
	q := p.as("own-query")
	for _, uri := range []string{
		appRedirect, appRedirect + "?foo=bar", appRedirect + "?x=%20y&foo=bar", appRedirect + "?foo=bar&x=+y", appRedirect + "?foo=bar&x=%20z",
		appRedirect + "?foo=baz&x=%20y", ownQuery + "&", ownQuery + "&a=b",
	} {
		if g := q.visit(q.request("redirect_uri", uri)); g.Location != nil || g.Status != http.StatusBadRequest {
			p.Errorf("%s: %d, sent to %v", uri, g.Status, g.Location)
		}
	}
}

func certRedirectQueryAdded(p *party) {
	for _, uri := range []string{appRedirect + "?", appRedirect + "?foo=bar", appRedirect + "?code=x"} {
		if g := p.visit(p.request("redirect_uri", uri)); g.Location != nil || g.Status != http.StatusBadRequest {
			p.Errorf("%s: %d, sent to %v", uri, g.Status, g.Location)
		}
	}
}

// certFiles are the clients of single rules.
func certFiles() map[string]string {
	files := map[string]string{}
	add := func(id, rest string) { files["clients.d/"+id+".yaml"] = clientYAML(id, certScopes+rest) }
	add("own-query", "require_pkce: false\nid_token_signed_response_alg: RS256\n")
	files["clients.d/own-query.yaml"] = strings.Replace(files["clients.d/own-query.yaml"], "["+appRedirect+"]", `["`+ownQuery+`"]`, 1)
	add("jwt-access", "require_pkce: false\nid_token_signed_response_alg: RS256\naccess_token_signed_response_alg: RS256\naudience: [\"https://api.example.org\", \"https://files.example.org\"]\n")
	add("userinfo-signed", "require_pkce: false\nid_token_signed_response_alg: RS256\nuserinfo_signed_response_alg: RS256\n")
	add("id-unsigned", "require_pkce: false\nid_token_signed_response_alg: none\n")
	add("api", "resource_identifiers: [\"https://api.example.org\"]\n")
	add("own", "require_pkce: false\nid_token_signed_response_alg: RS256\nown_issuer: true\n")
	add("machine", "")
	files["clients.d/machine.yaml"] = strings.Replace(files["clients.d/machine.yaml"], "redirect_uris: ["+appRedirect+"]\n", "", 1)
	files["clients.d/machine.yaml"] = strings.Replace(files["clients.d/machine.yaml"], "[authorization_code, refresh_token, client_credentials]", "[client_credentials]", 1)
	add("dressed", "require_pkce: false\nlogo_uri: https://logo.example.org/a.png\npolicy_uri: https://app.example.org/policy\ntos_uri: https://app.example.org/tos\ninitiate_login_uri: https://app.example.org/start\n")
	for id, uri := range map[string]string{"pairwise-a": appRedirect, "pairwise-b": otherRedirect} {
		add(id, "require_pkce: false\nid_token_signed_response_alg: RS256\nsubject_type: pairwise\n")
		files["clients.d/"+id+".yaml"] = strings.Replace(files["clients.d/"+id+".yaml"], "["+appRedirect+"]", "["+uri+"]", 1)
	}
	files["clients.d/asserts.yaml"] = "client_id: asserts\ngrant_types: [client_credentials]\ntoken_endpoint_auth_method: private_key_jwt\njwks_uri: RPWEB/jwks\nscopes: {everyone: [email]}\n"
	add("ci", "assertion_issuers:\n  https://ci.example.org: {jwks_uri: RPWEB/jwks, subject: name}\n")
	add("legacy", "id_token_signed_response_alg: RS256\n")
	for id, grant := range map[string]string{"ci": grantJWTBearer, "legacy": "password"} {
		file := "clients.d/" + id + ".yaml"
		files[file] = strings.Replace(files[file], "[authorization_code, refresh_token, client_credentials]", "[\""+grant+"\"]", 1)
		files[file] = strings.Replace(files[file], "redirect_uris: ["+appRedirect+"]\n", "", 1)
	}
	for _, id := range []string{"tv", "tv-2"} {
		files["clients.d/"+id+".yaml"] = "client_id: " + id + "\ntoken_endpoint_auth_method: none\ngrant_types: [\"" + grantDevice + "\", refresh_token]\nconsent: none\n" +
			"id_token_signed_response_alg: RS256\n" + certScopes
	}
	files["clients.d/native.yaml"] = "client_id: native\ntoken_endpoint_auth_method: none\nredirect_uris: [\"org.example.app:/cb\", http://127.0.0.1/cb, \"http://[::1]/cb\"]\nconsent: none\nscopes: {everyone: [openid]}\n"
	return files
}

// ask returns the parameters as an object, for a request object.
func ask(form url.Values) map[string]any {
	object := map[string]any{}
	for name, values := range form {
		object[name] = values[0]
	}
	return object
}

// beside returns the parameters that stand beside a request object (OpenID Connect
// Core 1.0, section 6.1).
func beside(form url.Values, pairs ...string) url.Values {
	outer := url.Values{}
	for name, values := range form {
		if slices.Contains([]string{"response_type", "client_id", "scope", "response_mode"}, name) {
			outer[name] = values
		}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		outer.Set(pairs[i], pairs[i+1])
	}
	return outer
}
