package main

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// What OpenID certification asks of the authorisation endpoint, whatever the
// response type.

func certEverything(p *party) {
	p.claims(p.all("alice"))
}

func certTypeMissing(p *party) {
	p.types = "code" // nobody can tell how else to answer
	form := p.request("response_type", "")
	if got := p.refused(p.visit(form), form); got != "invalid_request" {
		p.Errorf("a request without response_type: %q", got)
	}
}

func certSignature(p *party) {
	k := p.all("alice")
	for _, raw := range []string{k.rawFront, k.rawBack} {
		if raw == "" {
			continue
		}
		header := jwtPart(raw, 0)
		if header["alg"] != "RS256" || header["kid"] == nil || header["typ"] != "JWT" {
			p.Errorf("the header of an ID token is %v", header)
		}
		parts := strings.Split(raw, ".")
		parts[1] = strings.TrimRight(parts[1][:len(parts[1])-4], "=") + "AAAA"
		if p.valid(strings.Join(parts, ".")) {
			p.Error("the signature of an ID token does not cover its claims")
		}
	}
}

func certUserinfo(p *party, send func(access string) page) {
	k := p.all("mia", "scope", "openid email")
	info := p.info(send(k.access))
	if _, id := k.id(); info["sub"] != id["sub"] || info["email"] != "mia@example.org" {
		p.Errorf("userinfo: %v", info)
	}
}

func certUserinfoGet(p *party) {
	certUserinfo(p, func(access string) page {
		return p.browser.send(http.MethodGet, p.op.URL+"/oauth2/userinfo", "", "Authorization", "Bearer "+access)
	})
}

func certUserinfoPostHeader(p *party) {
	certUserinfo(p, func(access string) page {
		return p.browser.send(http.MethodPost, p.op.URL+"/oauth2/userinfo", "", "Authorization", "Bearer "+access)
	})
}

func certUserinfoPostBody(p *party) {
	certUserinfo(p, func(access string) page {
		return p.browser.post(p.op.URL+"/oauth2/userinfo", url.Values{"access_token": {access}})
	})
}

func certNonceMissing(p *party) {
	form := p.request("nonce", "")
	if p.gets("id_token") {
		if got := p.refused(p.visit(form), form); got != "invalid_request" {
			p.Errorf("without nonce: %q", got)
		}
		return
	}
	if k := p.collect(p.signIn("alice", form), form); k.back["nonce"] != nil {
		p.Errorf("a nonce that nobody sent: %v", k.back)
	}
}

func certScopeOrder(p *party) {
	if claims := p.claims(p.all("alice", "scope", "email openid")); claims["email"] != "alice@example.org" {
		p.Errorf("scope=email openid: %v", claims)
	}
}

func certDisplay(p *party) {
	for _, display := range []string{"page", "popup", "touch", "wap"} {
		if g := p.fresh().visit(p.request("display", display)); !asksToSignIn(g) {
			p.Errorf("display=%s: %d %s", display, g.Status, g.Body)
		}
	}
	p.all("alice", "display", "popup")
}

func certPromptLogin(p *party) {
	first := p.all("alice")
	p.op.clock.advance(2 * time.Second)
	form := p.request("prompt", "login")
	g := p.visit(form)
	if !asksToSignIn(g) {
		p.Fatalf("prompt=login asks for no sign-in: %d %v", g.Status, g.Location)
	}
	second := p.collect(p.answered(g.signIn("alice"), form), form)
	if !second.authTime().After(first.authTime()) {
		p.Errorf("auth_time was %v and is %v", first.authTime(), second.authTime())
	}
}

func certPromptNoneStranger(p *party) {
	form := p.request("prompt", "none")
	if got := p.refused(p.visit(form), form); got != "login_required" {
		p.Errorf("prompt=none of somebody who is not signed in: %q", got)
	}
}

func certPromptNoneKnown(p *party) {
	first := p.all("alice")
	form := p.request("prompt", "none")
	second := p.collect(p.answered(p.visit(form), form), form)
	_, was := first.id()
	_, is := second.id()
	if was["sub"] != is["sub"] || was["auth_time"] != is["auth_time"] {
		p.Errorf("the same session has %v, then %v", was, is)
	}
}

func certPromptOdd(p *party) {
	for _, prompt := range []string{"none login", "create", "none consent", "nonsense"} {
		form := p.request("prompt", prompt)
		if got := p.refused(p.visit(form), form); got != "invalid_request" {
			p.Errorf("prompt=%s: %q", prompt, got)
		}
	}
}

func certPromptSelect(p *party) {
	p.all("alice")
	form := p.request("prompt", "select_account")
	g := p.visit(form)
	if !asksToSignIn(g) {
		p.Fatalf("prompt=select_account: %d %v", g.Status, g.Location)
	}
	k := p.collect(p.answered(g.signIn("bob"), form), form)
	if _, id := k.id(); id["sub"] == nil {
		p.Error("no sub")
	}
}

func certPromptConsent(p *party) {
	p.all("alice")
	form := p.request("prompt", "consent", "scope", "openid email")
	g := p.visit(form)
	if !strings.Contains(g.Body, `id="allow"`) {
		p.Fatalf("prompt=consent shows no consent page: %d %v", g.Status, g.Location)
	}
	p.collect(p.answered(g.submit("allow", "1"), form), form)
	form = p.request("prompt", "consent")
	if got := p.refused(p.visit(form).submit("deny", "1"), form); got != "access_denied" {
		p.Errorf("who says no: %q", got)
	}
}

func certMaxAgeShort(p *party) {
	first := p.all("alice")
	p.op.clock.advance(2 * time.Second)
	form := p.request("max_age", "1")
	g := p.visit(form)
	if !asksToSignIn(g) {
		p.Fatalf("max_age=1 after two seconds: %d %v", g.Status, g.Location)
	}
	second := p.collect(p.answered(g.signIn("alice"), form), form)
	if age := p.op.clock.Now().Sub(second.authTime()); !second.authTime().After(first.authTime()) || age > time.Minute {
		p.Errorf("auth_time was %v and is %v", first.authTime(), second.authTime())
	}
}

func certMaxAgeLong(p *party) {
	first := p.all("alice", "max_age", "15000")
	p.op.clock.advance(3 * time.Second)
	form := p.request("max_age", "10000")
	second := p.collect(p.answered(p.visit(form), form), form) // nobody is asked
	if !first.authTime().Equal(second.authTime()) || second.authTime().Unix() <= 0 {
		p.Errorf("auth_time was %v and is %v", first.authTime(), second.authTime())
	}
}

func certMaxAgeZero(p *party) {
	p.all("alice")
	form := p.request("max_age", "0")
	g := p.visit(form)
	if !asksToSignIn(g) {
		p.Fatalf("max_age=0: %d %v", g.Status, g.Location)
	}
	p.collect(p.answered(g.signIn("alice"), form), form)
	form = p.request("max_age", "0", "prompt", "none")
	if got := p.refused(p.visit(form), form); got != "login_required" {
		p.Errorf("max_age=0 with prompt=none: %q", got)
	}
}

func certUnknownParameter(p *party) {
	p.all("alice", "extra", "foobar", "claims_locales", "se", "code_challenge_methods", "plain", "vtr", "[]")
}

func certHint(p *party) {
	k := p.all("alice")
	hint, claims := k.id()
	form := p.request("prompt", "none", "id_token_hint", hint)
	again := p.collect(p.answered(p.visit(form), form), form)
	if _, id := again.id(); id["sub"] != claims["sub"] {
		p.Errorf("the hint is about %v, the answer about %v", claims["sub"], id["sub"])
	}
	other := p.fresh()
	other.all("bob")
	form = p.request("prompt", "none", "id_token_hint", hint)
	if got := p.refused(other.visit(form), form); got != "login_required" {
		p.Errorf("bob is signed in, alice is wanted: %q", got)
	}
	form = p.request("id_token_hint", hint[:len(hint)-6]+"AAAAAA")
	if got := p.refused(p.visit(form), form); got != "invalid_request" {
		p.Errorf("a hint with a broken signature: %q", got)
	}
}

func certHintExpired(p *party) {
	hint, claims := p.all("alice").id()
	p.op.clock.advance(2 * time.Hour)
	form := p.request("prompt", "none", "id_token_hint", hint)
	if _, id := p.collect(p.answered(p.visit(form), form), form).id(); id["sub"] != claims["sub"] {
		p.Errorf("%v", id)
	}
}

func certLoginHint(p *party) {
	form := p.request("login_hint", "alice")
	g := p.visit(form)
	if _, fields := g.form(); fields.Get("username") != "alice" {
		p.Errorf("the page asks for %q", fields.Get("username"))
	}
	p.collect(p.answered(g.signIn("alice"), form), form)
}

func certUILocales(p *party) {
	for _, locales := range []string{"se", "de", "fr-CA en", "xx yy"} {
		form := p.request("ui_locales", locales)
		g := p.fresh().visit(form)
		want := map[string]string{"de": `lang="de"`, "fr-CA en": `lang="fr"`}[locales]
		if !asksToSignIn(g) || !strings.Contains(g.Body, want) {
			p.Errorf("ui_locales=%s: %d %.200s", locales, g.Status, g.Body)
		}
	}
	p.all("alice", "ui_locales", "se")
}

func certClaimsLocales(p *party) {
	if claims := p.claims(p.all("mia", "claims_locales", "se", "scope", "openid profile")); claims["name"] != "Mia Maximal" {
		p.Errorf("%v", claims)
	}
}

func certACRValues(p *party) {
	supported := p.discovery()["acr_values_supported"].([]any)[0].(string)
	if _, id := p.all("alice", "acr_values", "1 "+supported).id(); id["acr"] != supported {
		p.Errorf("acr is %v", id["acr"])
	}
	if _, id := p.all("alice", "acr_values", "1 2").id(); id["acr"] != nil { // none of them is true
		p.Errorf("acr is %v", id["acr"])
	}
}

func certPostRequest(p *party) {
	form := p.request()
	g := p.browser.post(p.op.URL+"/oauth2/authorize", form)
	if !asksToSignIn(g) {
		p.Fatalf("a request by POST: %d %s", g.Status, g.Body)
	}
	p.collect(p.answered(g.signIn("alice"), form), form)
	form = p.request("prompt", "none")
	p.collect(p.answered(p.browser.post(p.op.URL+"/oauth2/authorize", form), form), form)
	// From another site: the browser keeps its cookies back, and brings them once it
	// is sent on.
	form = p.request("prompt", "none")
	outside := stranger(p.T)
	sent := outside.send(http.MethodPost, p.op.URL+"/oauth2/authorize", form.Encode(), "Content-Type", formType, "Sec-Fetch-Site", "cross-site", "Origin", "https://app.example.org")
	if sent.Location == nil || sent.Location.Host != strings.TrimPrefix(p.op.URL, "http://") {
		p.Fatalf("a request posted by another site: %d %v %s", sent.Status, sent.Location, sent.Body)
	}
	p.collect(p.answered(p.browser.get(sent.Location.String()), form), form)
}

func certErrorsHoldLittle(p *party) {
	for _, pairs := range [][]string{
		{"scope", ""},
		{"scope", "openid nonsense"},
		{"prompt", "none"},
		{"response_mode", "nonsense"},
		{"max_age", "x"},
		{"claims", "x"},
		{"request", "x"},
		{"request_uri", "https://evil.example/"},
		{"registration", "{}"},
		{"id_token_hint", "x"},
		{"code_challenge_method", "plain", "code_challenge", "x"},
	} {
		if pairs[0] == "code_challenge_method" && !p.gets("code") {
			continue // there is nothing to challenge
		}
		form := p.request(pairs...)
		q := *p
		if pairs[0] == "response_mode" {
			q.mode = ""
		}
		g := q.visit(form)
		if asksToSignIn(g) {
			g = g.signIn("alice")
		}
		if got := q.refused(g, form); got == "" {
			p.Errorf("%v is no error", pairs)
		}
		p.browser = newPerson(p.T)
	}
}
