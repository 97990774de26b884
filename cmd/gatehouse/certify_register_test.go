package main

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// Clients that register themselves (OpenID Connect Dynamic Client Registration 1.0,
// RFC 7591 and RFC 7592).

// metadata are what a relying party of this response type registers; pairs are names
// and values in turn.
func (p *party) metadata(pairs ...any) map[string]any {
	grants := []string{}
	if p.gets("code") {
		grants = append(grants, "authorization_code", "refresh_token")
	}
	if p.types != "code" {
		grants = append(grants, "implicit")
	}
	m := map[string]any{"redirect_uris": []string{p.callback}, "response_types": []string{p.types}, "grant_types": grants, "client_name": "A relying party"}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	return m
}

// register posts metadata, with an initial access token unless it is "".
func (p *party) register(metadata map[string]any, token string) (int, map[string]any) {
	p.Helper()
	headers := []string{"Content-Type", "application/json"}
	if token != "" {
		headers = append(headers, "Authorization", "Bearer "+token)
	}
	g := newPerson(p.T).send(http.MethodPost, p.discovery()["registration_endpoint"].(string), string(jsonOf(metadata)), headers...)
	return g.Status, p.json(g)
}

// registered returns the relying party that metadata make, and all that it was told.
func (p *party) registered(pairs ...any) (*party, map[string]any) {
	p.Helper()
	status, answer := p.register(p.metadata(pairs...), "")
	if status != http.StatusCreated {
		p.Fatalf("%d %v", status, answer)
	}
	q := p.as(answer["client_id"].(string)).fresh()
	q.secret, _ = answer["client_secret"].(string)
	return q, answer
}

func certRegistered(p *party) {
	q, answer := p.registered()
	for _, name := range []string{"client_id_issued_at", "registration_access_token", "registration_client_uri", "client_secret", "client_secret_expires_at", "token_endpoint_auth_method"} {
		if answer[name] == nil {
			p.Errorf("%s is missing: %v", name, answer)
		}
	}
	if answer["id_token_signed_response_alg"] != "RS256" || answer["application_type"] != "web" {
		p.Errorf("%v", answer)
	}
	if claims := q.claims(q.all("mia", "scope", "openid email")); claims["email"] != "mia@example.org" {
		p.Errorf("%v", claims)
	}
	other, _ := p.registered("id_token_signed_response_alg", "ES256")
	form := other.request()
	answered := other.signIn("alice", form)
	raw := answered.Get("id_token")
	if raw == "" {
		_, body := other.token(other.redeem(answered))
		raw, _ = body["id_token"].(string)
	}
	if jwtPart(raw, 0)["alg"] != "ES256" {
		p.Errorf("signed with %v", jwtPart(raw, 0))
	}
}

// tokenSigned posts to the token endpoint with a client assertion.
func (p *party) tokenSigned(form url.Values, audience any) (int, map[string]any) {
	p.Helper()
	maps.Copy(form, p.assertion(func(claims map[string]any) string { return p.signed(keys.RS256, claims) }, audience))
	g := newPerson(p.T).post(p.op.URL+"/oauth2/token", form)
	return g.Status, p.json(g)
}

func certRegisteredKeys(p *party) {
	for name, value := range map[string]any{"jwks": json.RawMessage(p.op.keys.JWKS()), "jwks_uri": p.op.tls.URL + "/jwks"} {
		for _, audience := range []any{p.op.URL, p.op.URL + "/oauth2/token"} {
			q, answer := p.registered("token_endpoint_auth_method", "private_key_jwt", name, value)
			if answer["client_secret"] != nil {
				p.Errorf("%s: a secret that nobody needs", name)
			}
			form := q.request()
			var k tokens
			status, body := q.tokenSigned(q.redeem(q.signIn("alice", form)), audience)
			if status != http.StatusOK {
				p.Fatalf("%s: %d %v", name, status, body)
			}
			k.take(q, body, form.Get("nonce"))
		}
	}
}

// certRegisteredRotation is OP-Rotation-RP-Sig.
func certRegisteredRotation(p *party) {
	path := "/rotating.jwks"
	q, _ := p.registered("token_endpoint_auth_method", "private_key_jwt", "jwks_uri", p.op.tls.serve(path, string(p.op.keys.JWKS())))
	form := q.request("scope", "openid offline_access")
	status, body := q.tokenSigned(q.redeem(q.signIn("alice", form)), p.op.URL)
	if status != http.StatusOK {
		p.Fatalf("%d %v", status, body)
	}
	if _, err := p.op.keys.RotateAfter(keys.RS256, 0); err != nil {
		p.Fatal(err)
	}
	if _, err := p.op.keys.Reload(); err != nil {
		p.Fatal(err)
	}
	p.op.tls.serve(path, string(p.op.keys.JWKS()))
	p.op.web.serve("/jwks", string(p.op.keys.JWKS()))
	p.op.clock.advance(time.Minute)
	refresh, _ := body["refresh_token"].(string)
	if status, body := q.tokenSigned(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}, p.op.URL); status != http.StatusOK {
		p.Errorf("the new key: %d %v", status, body)
	}
}

func certRegisteredPages(p *party) {
	logo := p.op.tls.serve("/logo.png", "\x89PNG\r\n\x1a\n and so on")
	q, _ := p.registered("logo_uri", logo, "policy_uri", "https://app.example.org/policy", "tos_uri", "https://app.example.org/tos")
	g := q.visit(q.request())
	for _, want := range []string{"data:image/png;base64,", "https://app.example.org/policy", "https://app.example.org/tos"} {
		if !strings.Contains(g.Body, want) {
			p.Errorf("the sign-in page lacks %s", want)
		}
	}
	if strings.Contains(g.Body, logo) {
		p.Error("people's browsers ask the relying party for the logo")
	}
}

func certRegisteredFragment(p *party) {
	for _, uris := range [][]string{{appRedirect + "#foo"}, {appRedirect, appRedirect + "#"}, {}, {"http://app.example.org/cb"}, {"https://*.example.org/cb"}, {"javascript:x"}, {"https://user@app.example.org/cb"}} {
		if status, body := p.register(p.metadata("redirect_uris", uris), ""); status != http.StatusBadRequest || body["error"] != "invalid_redirect_uri" || body["client_id"] != nil {
			p.Errorf("%v: %d %v", uris, status, body)
		}
	}
	for name, value := range map[string]any{
		"grant_types": []string{"nonsense"}, "response_types": []string{"nonsense"}, "token_endpoint_auth_method": "nonsense", "id_token_signed_response_alg": "nonsense", "jwks": "x",
		"jwks_uri": "http://app.example.org/jwks", "logo_uri": "javascript:x", "subject_type": "nonsense", "contacts": "x", "default_max_age": -1, "client_name": []string{"x"}, "id_token_encrypted_response_alg": "RSA-OAEP",
	} {
		if status, body := p.register(p.metadata(name, value), ""); status != http.StatusBadRequest || body["error"] != "invalid_client_metadata" {
			p.Errorf("%s=%v: %d %v", name, value, status, body)
		}
	}
	if status, body := p.register(p.metadata("software_statement", "x"), ""); status != http.StatusBadRequest || body["error"] != "invalid_software_statement" {
		p.Errorf("a software statement: %d %v", status, body)
	}
	if status, _ := p.register(p.metadata("foo", "bar", "client_name#de", "Ein Name", "tls_client_auth_subject_dn", nil), ""); status != http.StatusCreated { // RFC 7591, section 2
		p.Errorf("members that nobody knows: %d", status)
	}
}

func certRegisteredQuery(p *party) {
	p.callback = ownQuery
	q, answer := p.registered()
	if uris, _ := answer["redirect_uris"].([]any); !slices.Equal(uris, []any{ownQuery}) {
		p.Errorf("%v", answer)
	}
	g := q.visit(q.request()).signIn("alice").submit("allow", "1")
	if g.Location == nil || !strings.HasPrefix(g.Location.String(), ownQuery+"&") {
		p.Errorf("%d %v", g.Status, g.Location)
	}
	for _, uri := range []string{appRedirect, appRedirect + "?foo=bar", ownQuery + "&a=b"} {
		if g := q.visit(q.request("redirect_uri", uri)); g.Location != nil || g.Status != http.StatusBadRequest {
			p.Errorf("%s: %d %v", uri, g.Status, g.Location)
		}
	}
}

func certRegisteredSector(p *party) {
	good := p.op.tls.serve("/sector.json", `["`+appRedirect+`","`+otherRedirect+`"]`)
	bad := p.op.tls.serve("/bad-sector.json", `["`+otherRedirect+`"]`)
	both := []string{appRedirect, otherRedirect}
	q, _ := p.registered("subject_type", "pairwise", "sector_identifier_uri", good, "redirect_uris", both)
	r, _ := p.registered("subject_type", "pairwise", "sector_identifier_uri", good)
	_, one := q.all("alice").id()
	_, two := r.all("alice").id()
	_, public := p.fresh().all("alice").id()
	if one["sub"] != two["sub"] || one["sub"] == public["sub"] {
		p.Errorf("of one sector: %v and %v; public: %v", one["sub"], two["sub"], public["sub"])
	}
	for _, m := range []map[string]any{
		p.metadata("subject_type", "pairwise", "sector_identifier_uri", bad), p.metadata("sector_identifier_uri", bad),
		p.metadata("subject_type", "pairwise", "sector_identifier_uri", p.op.tls.URL+"/nowhere"), p.metadata("subject_type", "pairwise", "redirect_uris", both),
	} {
		if status, body := p.register(m, ""); status != http.StatusBadRequest || body["error"] != "invalid_client_metadata" {
			p.Errorf("%v: %d %v", m, status, body)
		}
	}
}

func certRegisteredObjects(p *party) {
	address := p.op.tls.URL + "/registered.jwt"
	q, _ := p.registered("request_object_signing_alg", "none", "request_uris", []string{address}, "userinfo_signed_response_alg", "RS256", "id_token_signed_response_alg", "none")
	form := q.request("scope", "openid email")
	p.op.tls.serve("/registered.jwt", q.unsigned(ask(form)))
	answer := q.answered(q.visit(beside(form, "request_uri", address)).signIn("alice").submit("allow", "1"), form)
	_, body := q.token(q.redeem(answer))
	raw, _ := body["id_token"].(string)
	access, _ := body["access_token"].(string)
	if jwtPart(raw, 0)["alg"] != "none" || claimsOf(raw)["nonce"] != form.Get("nonce") {
		p.Errorf("%v", body)
	}
	g := p.browser.send(http.MethodGet, p.op.URL+"/oauth2/userinfo", "", "Authorization", "Bearer "+access)
	if g.Header.Get("Content-Type") != "application/jwt" || claimsOf(g.Body)["email"] != "alice@example.org" || !p.signedBy(g.Body) {
		p.Errorf("%d %s", g.Status, g.Body)
	}
	// Signed with RS256, by reference (OP-request_uri-Sig).
	address = p.op.tls.URL + "/registered-signed.jwt"
	r, _ := p.registered("request_object_signing_alg", "RS256", "request_uris", []string{address}, "jwks", json.RawMessage(p.op.keys.JWKS()))
	form = r.request()
	p.op.tls.serve("/registered-signed.jwt", r.signed(keys.RS256, ask(form)))
	r.collect(r.answered(r.visit(beside(form, "request_uri", address)).signIn("alice").submit("allow", "1"), form), form)
	if _, body := p.register(p.metadata("id_token_signed_response_alg", "none", "response_types", []string{"code id_token"}, "grant_types", []string{"authorization_code", "implicit"}), ""); body["error"] != "invalid_client_metadata" {
		p.Errorf("unsigned ID tokens through the browser: %v", body)
	}
}

// signedBy reports whether userinfo is signed by a key of jwks_uri.
func (p *party) signedBy(raw string) bool {
	return slices.Contains(p.published(), jwtPart(raw, 0)["kid"].(string))
}

func certThirdParty(p *party) {
	uri := "https://app.example.org/start?from=op"
	_, answer := p.registered("initiate_login_uri", uri)
	g := p.browser.send(http.MethodGet, answer["registration_client_uri"].(string), "", "Authorization", "Bearer "+answer["registration_access_token"].(string))
	if read := p.json(g); g.Status != http.StatusOK || answer["initiate_login_uri"] != uri || read["initiate_login_uri"] != uri {
		p.Errorf("%v, then %d %v", answer, g.Status, read)
	}
}

func certThirdPartyPlain(p *party) {
	for _, uri := range []string{"http://app.example.org/start", "javascript:x", "//app.example.org/start", "https://user@app.example.org/"} {
		if status, body := p.register(p.metadata("initiate_login_uri", uri), ""); status != http.StatusBadRequest || body["error"] != "invalid_client_metadata" {
			p.Errorf("%s: %d %v", uri, status, body)
		}
	}
}

func certInitiate(p *party) {
	begin := func(id string, pairs ...string) page {
		query := url.Values{}
		for i := 0; i+1 < len(pairs); i += 2 {
			query.Set(pairs[i], pairs[i+1])
		}
		return stranger(p.T).get(p.op.URL + "/login/" + id + "?" + query.Encode())
	}
	g := begin("dressed", "login_hint", "alice", "target_link_uri", "https://app.example.org/deep?x=y")
	if g.Location == nil || !strings.HasPrefix(g.Location.String(), "https://app.example.org/start?") {
		p.Fatalf("%d %v", g.Status, g.Location)
	}
	if q := g.Location.Query(); q.Get("iss") != p.op.URL || q.Get("login_hint") != "alice" || q.Get("target_link_uri") != "https://app.example.org/deep?x=y" {
		p.Errorf("%v", q)
	}
	for _, target := range []string{
		"https://evil.example/", "//evil.example/", "javascript:x", "https://app.example.org@evil.example/", `https://app.example.org\@evil.example/`, "https://app.example.org.evil.example/",
		"http://app.example.org/", "https://app.example.org:8443/", "https://evil.example#https://app.example.org/", " https://app.example.org/", "https:app.example.org", "https:///app.example.org/",
	} {
		if g := begin("dressed", "target_link_uri", target); g.Location == nil || g.Location.Query().Has("target_link_uri") || g.Location.Host != "app.example.org" {
			p.Errorf("target_link_uri=%s: %d %v", target, g.Status, g.Location)
		}
	}
	_, answer := p.registered("initiate_login_uri", "https://app.example.org/begin")
	if g := begin(answer["client_id"].(string)); g.Status != http.StatusOK || g.Location != nil || !strings.Contains(g.Body, "https://app.example.org/begin?iss=") {
		p.Errorf("a client that registered itself: %d %v", g.Status, g.Location)
	}
	for _, id := range []string{"rp-code", "nobody", "..%2f", "dressed%00"} {
		if g := begin(id); g.Location != nil || g.Status < 400 || g.Status > 499 {
			p.Errorf("%s: %d %v", id, g.Status, g.Location)
		}
	}
}

func certManaged(p *party) {
	q, answer := p.registered()
	other, theirs := p.registered()
	address, token := answer["registration_client_uri"].(string), answer["registration_access_token"].(string)
	manage := func(method, address, token string, body map[string]any) (int, map[string]any) {
		g := p.browser.send(method, address, string(jsonOf(body)), "Authorization", "Bearer "+token, "Content-Type", "application/json")
		if g.Status == http.StatusNoContent {
			return g.Status, nil
		}
		return g.Status, p.json(g)
	}
	access := q.all("alice").access
	for name, wrong := range map[string][2]string{
		"no token": {address, ""}, "another client's token": {address, theirs["registration_access_token"].(string)}, "the client's secret": {address, q.secret},
		"an access token": {address, access}, "nobody's client": {address + "x", token}, "another client": {theirs["registration_client_uri"].(string), token},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			if status, body := manage(method, wrong[0], wrong[1], p.metadata("client_id", q.id)); status != http.StatusUnauthorized || len(body) > 2 {
				p.Errorf("%s with %s: %d %v", method, name, status, body)
			}
		}
	}
	if status, body := manage(http.MethodPut, address, token, p.metadata("client_id", other.id)); status != http.StatusBadRequest {
		p.Errorf("another client_id: %d %v", status, body)
	}
	if status, body := manage(http.MethodPut, address, token, p.metadata("client_id", q.id, "redirect_uris", []string{otherRedirect}, "registration_access_token", "mine", "client_secret_expires_at", 0)); status != http.StatusOK || body["registration_access_token"] != token {
		p.Errorf("%d %v", status, body)
	}
	if g := q.visit(q.request()); g.Status != http.StatusBadRequest {
		p.Errorf("the old redirect_uri still counts: %d", g.Status)
	}
	if status, _ := manage(http.MethodDelete, address, token, nil); status != http.StatusNoContent {
		p.Errorf("%d", status)
	}
	if status, _ := manage(http.MethodGet, address, token, nil); status != http.StatusUnauthorized {
		p.Errorf("after the end: %d", status)
	}
	if g := p.browser.send(http.MethodGet, p.op.URL+"/oauth2/userinfo", "", "Authorization", "Bearer "+access); g.Status != http.StatusUnauthorized {
		p.Errorf("a token outlives its client: %d", g.Status)
	}
}

func certInitialToken(p *party) {
	token := oidc.NewSecret("ghi_")
	now := p.op.clock.Now()
	if err := p.op.house.store.CreateRegistrationToken(p.Context(), oidc.RegistrationToken{
		ID: oidc.NewID(), Hash: oidc.HashOf(token), Uses: 2, UsesLeft: 2, CreatedAt: now, ExpiresAt: now.Add(time.Hour),
	}); err != nil {
		p.Fatal(err)
	}
	for i, want := range []int{http.StatusCreated, http.StatusCreated, http.StatusUnauthorized} {
		if status, body := p.register(p.metadata(), token); status != want {
			p.Errorf("use %d: %d %v", i+1, status, body)
		}
	}
	for _, wrong := range []string{"nonsense", base64.StdEncoding.EncodeToString([]byte(token))} {
		if status, _ := p.register(p.metadata(), wrong); status != http.StatusUnauthorized {
			p.Errorf("%s: %d", wrong, status)
		}
	}
}
