package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// What the RFCs ask of a provider beyond what is certified.

// at posts to an endpoint as a client that has a secret.
func (p *party) at(path string, form url.Values) (int, map[string]any) {
	p.Helper()
	g := newPerson(p.T).post(p.op.URL+path, form, p.id, p.secret)
	if g.Body == "" {
		return g.Status, nil
	}
	return g.Status, p.json(g)
}

func certIntrospection(p *party) {
	k := p.all("alice", "scope", "openid email offline_access")
	_, body := p.at("/oauth2/introspect", url.Values{"token": {k.access}})
	if body["active"] != true || body["client_id"] != p.id || body["sub"] != k.back["sub"] || body["token_type"] != "Bearer" || body["iss"] != p.op.URL || body["exp"] == nil {
		p.Errorf("%v", body)
	}
	_, refresh := p.at("/oauth2/introspect", url.Values{"token": {k.refresh}, "token_type_hint": {"refresh_token"}})
	if refresh["active"] != true || refresh["exp"].(float64) <= body["exp"].(float64) {
		p.Errorf("a refresh token has not its own exp: %v", refresh)
	}
	other := p.as(p.id + "-unsigned")
	if _, body := other.at("/oauth2/introspect", url.Values{"token": {k.access}}); len(body) != 1 || body["active"] != false {
		p.Errorf("another client learns %v", body)
	}
	if _, body := p.at("/oauth2/introspect", url.Values{"token": {"nonsense"}}); len(body) != 1 || body["active"] != false {
		p.Errorf("nonsense is %v", body)
	}
	if g := p.browser.post(p.op.URL+"/oauth2/introspect", url.Values{"token": {k.access}}); g.Status != http.StatusUnauthorized || g.Header.Get("WWW-Authenticate") == "" {
		p.Errorf("a stranger: %d %s", g.Status, g.Body)
	}
}

func certRevocation(p *party) {
	k := p.all("alice", "scope", "openid offline_access")
	other := p.as(p.id + "-unsigned")
	if status, body := other.at("/oauth2/revoke", url.Values{"token": {k.access}}); status != http.StatusBadRequest || body["error"] != "invalid_grant" {
		p.Errorf("another client: %d %v", status, body)
	}
	p.userinfo(k.access)
	for _, token := range []string{"nonsense", k.refresh, k.refresh} { // RFC 7009, section 2.2
		if status, body := p.at("/oauth2/revoke", url.Values{"token": {token}}); status != http.StatusOK {
			p.Errorf("%d %v", status, body)
		}
	}
	if _, body := p.at("/oauth2/introspect", url.Values{"token": {k.access}}); body["active"] != false {
		p.Errorf("the access token outlives its refresh token: %v", body)
	}
}

func certClientCredentials(p *party) {
	q := p.as("machine")
	status, body := q.token(url.Values{"grant_type": {"client_credentials"}, "scope": {"email"}})
	if status != http.StatusOK || body["scope"] != "email" || body["refresh_token"] != nil || body["id_token"] != nil {
		p.Errorf("%d %v", status, body)
	}
	for scope, want := range map[string]string{"openid": "invalid_scope", "nonsense": "invalid_scope", "offline_access": "invalid_scope"} {
		if status, body := q.token(url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}); status != http.StatusBadRequest || body["error"] != want {
			p.Errorf("scope=%s: %d %v", scope, status, body)
		}
	}
	access, _ := body["access_token"].(string)
	if g := p.browser.send(http.MethodGet, p.op.URL+"/oauth2/userinfo", "", "Authorization", "Bearer "+access); g.Status != http.StatusForbidden {
		p.Errorf("userinfo of a machine: %d", g.Status)
	}
}

func certTokenErrors(p *party) {
	for _, c := range []struct {
		form   url.Values
		id     string
		status int
		want   string
	}{
		{url.Values{}, p.id, 400, "invalid_request"},
		{url.Values{"grant_type": {"nonsense"}}, p.id, 400, "unsupported_grant_type"},
		{url.Values{"grant_type": {"authorization_code"}}, p.id, 400, "invalid_request"},
		{url.Values{"grant_type": {"authorization_code"}, "code": {"nonsense"}}, p.id, 400, "invalid_grant"},
		{url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"nonsense"}}, p.id, 400, "invalid_grant"},
		{url.Values{"grant_type": {"client_credentials"}}, "nobody", 401, "invalid_client"},
		{url.Values{"grant_type": {"refresh_token"}}, "machine", 400, "unauthorized_client"},
	} {
		status, body := p.as(c.id).token(c.form)
		if status != c.status || body["error"] != c.want || len(body) > 2 {
			p.Errorf("%v of %s: %d %v", c.form, c.id, status, body)
		}
	}
	g := newPerson(p.T).post(p.op.URL+"/oauth2/token", url.Values{"grant_type": {"client_credentials"}}, "nobody", "wrong")
	if !strings.HasPrefix(g.Header.Get("WWW-Authenticate"), "Basic ") { // RFC 6749, section 5.2
		p.Errorf("401 with WWW-Authenticate %q", g.Header.Get("WWW-Authenticate"))
	}
}

func certBearerErrors(p *party) {
	for header, want := range map[string]string{"": "Bearer", "Bearer nonsense": `error="invalid_token"`} {
		headers := []string{"Authorization", header}
		if header == "" {
			headers = nil
		}
		g := p.browser.send(http.MethodGet, p.op.URL+"/oauth2/userinfo", "", headers...)
		if g.Status != http.StatusUnauthorized || !strings.Contains(g.Header.Get("WWW-Authenticate"), want) || !strings.HasPrefix(g.Header.Get("WWW-Authenticate"), "Bearer") {
			p.Errorf("%q: %d %q", header, g.Status, g.Header.Get("WWW-Authenticate"))
		}
	}
}

// assertion makes a client assertion (RFC 7523, section 3).
func (p *party) assertion(sign func(claims map[string]any) string, audience any) url.Values {
	now := p.op.clock.Now().Unix()
	return url.Values{
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {sign(map[string]any{"iss": p.id, "sub": p.id, "aud": audience, "exp": now + 60, "iat": now, "jti": oidc.NewID()})},
	}
}

func certPrivateKeyJWT(p *party) {
	q := p.as("asserts")
	sign := func(claims map[string]any) string { return q.signed(keys.RS256, claims) }
	for _, audience := range []any{p.op.URL, p.op.URL + "/oauth2/token", []string{p.op.URL, "https://elsewhere.example"}} {
		form := q.assertion(sign, audience)
		form.Set("grant_type", "client_credentials")
		if g := p.browser.post(p.op.URL+"/oauth2/token", form); g.Status != http.StatusOK {
			p.Errorf("aud %v: %d %s", audience, g.Status, g.Body)
		}
		if g := p.browser.post(p.op.URL+"/oauth2/token", form); g.Status != http.StatusUnauthorized {
			p.Errorf("an assertion twice: %d %s", g.Status, g.Body)
		}
	}
	form := q.assertion(sign, "https://elsewhere.example")
	form.Set("grant_type", "client_credentials")
	if g := p.browser.post(p.op.URL+"/oauth2/token", form); g.Status != http.StatusUnauthorized || g.Header.Get("WWW-Authenticate") == "" {
		p.Errorf("an assertion for another server: %d", g.Status)
	}
	if status, _ := q.token(url.Values{"grant_type": {"client_credentials"}}); status != http.StatusUnauthorized {
		p.Errorf("a secret of a client that signs: %d", status)
	}
}

// certKeyRotationOfClient is OP-Rotation-RP-Sig: the client publishes another key at
// its jwks_uri and signs with it.
func certKeyRotationOfClient(p *party) {
	q := p.as("asserts")
	sign := func(claims map[string]any) string { return q.signed(keys.RS256, claims) }
	ask := func() int {
		form := q.assertion(sign, p.op.URL)
		form.Set("grant_type", "client_credentials")
		return p.browser.post(p.op.URL+"/oauth2/token", form).Status
	}
	if status := ask(); status != http.StatusOK {
		p.Fatalf("%d", status)
	}
	if _, err := p.op.keys.RotateAfter(keys.RS256, 0); err != nil {
		p.Fatal(err)
	}
	if _, err := p.op.keys.Reload(); err != nil {
		p.Fatal(err)
	}
	p.op.web.serve("/jwks", string(p.op.keys.JWKS()))
	p.op.clock.advance(time.Minute)
	if status := ask(); status != http.StatusOK {
		p.Errorf("the new key of the client: %d", status)
	}
}

// push pushes a request and returns what to send the browser with.
func (p *party) push(form url.Values) url.Values {
	p.Helper()
	status, body := p.at("/oauth2/par", form)
	uri, _ := body["request_uri"].(string)
	if lives, _ := body["expires_in"].(float64); status != http.StatusCreated || lives < 5 || !strings.HasPrefix(uri, "urn:ietf:params:oauth:request_uri:") {
		p.Fatalf("%d %v", status, body)
	}
	return url.Values{"client_id": {p.id}, "request_uri": {uri}}
}

func certPAR(p *party) {
	form := p.request("scope", "openid email")
	visit := p.push(form)
	spoilt := maps.Clone(visit)
	maps.Copy(spoilt, url.Values{"scope": {"openid profile"}, "state": {"x"}, "nonce": {"x"}, "redirect_uri": {"https://evil.example/"}})
	if g := p.as(p.id + "-unsigned").fresh().visit(url.Values{"client_id": {p.id + "-unsigned"}, "request_uri": visit["request_uri"]}); asksToSignIn(g) || g.Location != nil {
		p.Errorf("another client's request_uri: %d %v", g.Status, g.Location)
	}
	p.visit(spoilt) // shows the sign-in page, and may be loaded again
	k := p.collect(p.signIn("alice", byURI(form, visit)), form)
	if k.answer["scope"] != "openid email" {
		p.Errorf("what stood beside the request_uri counted: %v", k.answer["scope"])
	}
	if g := p.visit(visit); g.Location != nil || g.Status < 400 {
		p.Errorf("a request_uri after its sign-in: %d %v", g.Status, g.Location)
	}
	for _, bad := range []url.Values{p.request("redirect_uri", "https://evil.example/"), p.request("request_uri", "urn:x"), p.request("scope", ""), p.request("response_type", "nonsense")} {
		if status, body := p.at("/oauth2/par", bad); status != http.StatusBadRequest || body["error"] == nil {
			p.Errorf("%v was pushed: %d %v", bad, status, body)
		}
	}
}

// byURI sends the browser by request_uri while the answer is to that of form.
func byURI(form, visit url.Values) url.Values {
	out := maps.Clone(visit)
	out["state"] = form["state"]
	return out
}

func certPARExpires(p *party) {
	visit := p.push(p.request())
	p.op.clock.advance(61 * time.Second)
	if g := p.visit(visit); g.Location != nil || g.Status < 400 {
		p.Errorf("a request_uri after its time: %d %v", g.Status, g.Location)
	}
}

// A native application listens at a port of its own (RFC 8252, section 7.3).
func certLoopback(p *party) {
	q := p.as("native")
	q.browser = stranger(p.T)
	for uri, want := range map[string]bool{
		"http://127.0.0.1:51004/cb": true, "http://[::1]:61023/cb": true, "http://127.0.0.1/cb": true,
		"http://localhost:51004/cb": false, "https://127.0.0.1:51004/cb": false, "http://127.0.0.1:51004/other": false,
	} {
		g := q.visit(q.request("redirect_uri", uri, "code_challenge", strings.Repeat("A", 43), "code_challenge_method", "S256"))
		if asksToSignIn(g) != want {
			p.Errorf("%s: %d", uri, g.Status)
		}
	}
	form := q.request("redirect_uri", "http://127.0.0.1:51004/cb")
	if g := q.visit(form); g.Location == nil || g.Location.Query().Get("error") != "invalid_request" {
		p.Errorf("a public client without PKCE: %d %v", g.Status, g.Location)
	}
}

func certPublicClient(p *party) {
	verifier := strings.Repeat("v", 50)
	sum := sha256.Sum256([]byte(verifier))
	q := p.as("native")
	form := q.request("redirect_uri", "org.example.app:/cb", "code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]), "code_challenge_method", "S256")
	q.browser = stranger(p.T)
	g := q.visit(form).signIn("alice")
	if g.Location == nil || g.Location.Scheme != "org.example.app" {
		p.Fatalf("%d %v", g.Status, g.Location)
	}
	request := p.redeem(g.Location.Query())
	request.Set("client_id", "native")
	request.Set("redirect_uri", "org.example.app:/cb")
	request.Set("code_verifier", verifier)
	if g := p.browser.post(p.op.URL+"/oauth2/token", request); g.Status != http.StatusOK {
		p.Errorf("%d %s", g.Status, g.Body)
	}
}

func certPairwise(p *party) {
	subjects := map[any]bool{}
	for _, id := range []string{"pairwise-a", "pairwise-a", "pairwise-b"} {
		q := p.as(id).fresh()
		q.callback = map[string]string{"pairwise-a": appRedirect, "pairwise-b": otherRedirect}[id]
		_, claims := q.all("alice").id()
		subjects[claims["sub"]] = true
	}
	_, public := p.fresh().all("alice").id()
	if subjects[public["sub"]] {
		p.Error("a pairwise sub is the public one")
	}
	if len(subjects) != 2 {
		p.Errorf("two hosts, two visits of one: %v", subjects)
	}
}

func certPageLinks(p *party) {
	g := p.as("dressed").visit(p.as("dressed").request())
	for _, want := range []string{"https://logo.example.org/a.png", "https://app.example.org/policy", "https://app.example.org/tos"} {
		if !strings.Contains(g.Body, want) {
			p.Errorf("the sign-in page lacks %s", want)
		}
	}
}

func certJWTAccess(p *party) {
	q := p.as("jwt-access")
	k := q.all("alice", "scope", "openid email")
	header, claims := jwtPart(k.access, 0), claimsOf(k.access)
	if header["typ"] != "at+jwt" || header["alg"] != "RS256" || !p.signedByUs(k.access) {
		p.Errorf("%v %v", header, claims)
	}
	for _, name := range []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} { // RFC 9068, section 2.2
		if claims[name] == nil {
			p.Errorf("%s is missing: %v", name, claims)
		}
	}
	if claims["client_id"] != "jwt-access" || claims["sub"] != k.back["sub"] || claims["scope"] != "openid email" || claims["email"] != nil {
		p.Errorf("%v", claims)
	}
	if info := q.userinfo(k.access); info["email"] != "alice@example.org" {
		p.Errorf("%v", info)
	}
	if status, _ := q.at("/oauth2/revoke", url.Values{"token": {k.access}}); status != http.StatusOK {
		p.Errorf("%d", status)
	}
	if _, body := q.at("/oauth2/introspect", url.Values{"token": {k.access}}); body["active"] != false {
		p.Errorf("a revoked one is active: %v", body)
	}
}

func certResource(p *party) {
	q := p.as("jwt-access")
	k := q.all("alice", "resource", "https://api.example.org")
	if aud := claimsOf(k.access)["aud"]; aud != "https://api.example.org" && !isListWith(aud, "https://api.example.org") || isListWith(claimsOf(k.access)["aud"], "https://files.example.org") {
		p.Errorf("aud is %v", aud)
	}
	if _, body := p.as("api").at("/oauth2/introspect", url.Values{"token": {k.access}}); body["active"] != true {
		p.Errorf("the API that it is for sees %v", body)
	}
	if _, body := p.at("/oauth2/introspect", url.Values{"token": {k.access}}); len(body) != 1 {
		p.Errorf("another client sees %v", body)
	}
	form := q.request("resource", "https://elsewhere.example")
	if got := q.refused(q.visit(form), form); got != "invalid_target" {
		p.Errorf("a resource that the client may not ask for: %q", got)
	}
	answer := q.signIn("alice", q.request("resource", "https://api.example.org"))
	request := q.redeem(answer)
	request.Set("resource", "https://files.example.org")
	if status, body := q.token(request); status != http.StatusBadRequest || body["error"] != "invalid_target" {
		p.Errorf("a resource that was not granted: %d %v", status, body)
	}
}

func isListWith(value any, text string) bool {
	values, _ := value.([]any)
	for _, v := range values {
		if v == text {
			return true
		}
	}
	return false
}

// certOwnIssuer is row D2: nothing of one issuer is worth anything at another.
func certOwnIssuer(p *party) {
	issuer := p.op.URL + "/oauth2/openid/own"
	own, err := goidc.NewProvider(context.Background(), issuer)
	if err != nil {
		p.Fatal(err)
	}
	var document map[string]any
	if err := own.Claims(&document); err != nil || document["issuer"] != issuer {
		p.Fatalf("%v %v", document, err)
	}
	for name, value := range document {
		if address, ok := value.(string); ok && strings.HasSuffix(name, "_endpoint") && !strings.HasPrefix(address, issuer+"/") {
			p.Errorf("%s is %s", name, address)
		}
	}
	q := p.as("own")
	form := q.request("scope", "openid email")
	g := p.browser.get(own.Endpoint().AuthURL + "?" + form.Encode()).signIn("alice")
	if g.Location == nil || g.Location.Query().Get("iss") != issuer {
		p.Fatalf("%d %v", g.Status, g.Location)
	}
	request := q.redeem(g.Location.Query())
	if status, body := q.token(request); status != http.StatusUnauthorized {
		p.Errorf("the server's own endpoint takes the code: %d %v", status, body)
	}
	answered := p.browser.post(own.Endpoint().TokenURL, request, "own", appSecret)
	body := q.json(answered)
	raw, _ := body["id_token"].(string)
	access, _ := body["access_token"].(string)
	if _, err := own.Verifier(&goidc.Config{ClientID: "own", SupportedSigningAlgs: []string{"RS256"}}).Verify(context.Background(), raw); err != nil {
		p.Error(err)
	}
	if p.as("own").valid(raw) {
		p.Error("the server's own keys verify it too")
	}
	for address, want := range map[string]int{p.op.URL + "/oauth2/userinfo": http.StatusUnauthorized, issuer + "/userinfo": http.StatusOK} {
		if g := p.browser.send(http.MethodGet, address, "", "Authorization", "Bearer "+access); g.Status != want {
			p.Errorf("%s: %d", address, g.Status)
		}
	}
	if g := p.browser.send(http.MethodGet, issuer+"/userinfo", "", "Authorization", "Bearer "+p.fresh().all("alice").access); g.Status != http.StatusUnauthorized {
		p.Errorf("a token of the server's own issuer opens the client's: %d", g.Status)
	}
	hint := p.request("prompt", "none", "id_token_hint", raw)
	if got := p.refused(p.visit(hint), hint); got != "invalid_request" {
		p.Errorf("a hint of another issuer: %q", got)
	}
}
