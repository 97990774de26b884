package main

import (
	"encoding/base64"
	"encoding/json"

	"gatehouse/oidc/keys"
)

// Request objects (OpenID Connect Core 1.0, section 6; RFC 9101).

// unsigned makes a request object with the algorithm none.
func (p *party) unsigned(claims map[string]any) string {
	p.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		p.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none"}`)) + "." + encode(payload) + "."
}

// signed makes a JWT with the relying party's key.
func (p *party) signed(alg string, claims map[string]any) string {
	p.Helper()
	token, err := p.op.keys.Sign(alg, "", claims)
	if err != nil {
		p.Fatal(err)
	}
	return token
}

func certObjectUnsigned(p *party) {
	q := p.as(p.id + "-unsigned")
	form := q.request("scope", "openid email", "max_age", "10000")
	outer := beside(form, "request", q.unsigned(ask(form)), "state", "not this one", "nonce", "nor this one")
	g := q.visit(outer)
	q.collect(q.answered(g.signIn("alice"), form), form)
}

func certObjectUnsignedElsewhere(p *party) {
	form := p.request()
	outer := beside(form, "request", p.unsigned(ask(form)), "redirect_uri", appRedirect, "state", form.Get("state"))
	if got := p.refused(p.visit(outer), form); got != "invalid_request_object" {
		p.Errorf("an unsigned request object of a client that registered none: %q", got)
	}
}

func certObjectRedirect(p *party) {
	q := p.as(p.id + "-unsigned")
	form := q.request()
	outer := beside(form, "request", q.unsigned(ask(form)), "redirect_uri", "https://evil.example/cb", "state", "not this one")
	q.collect(q.answered(q.visit(outer).signIn("alice"), form), form)
	// And the other way round: what is inside is what is judged.
	form.Set("redirect_uri", "https://evil.example/cb")
	outer = beside(form, "request", q.unsigned(ask(form)), "redirect_uri", appRedirect)
	if g := q.visit(outer); g.Location != nil || g.Status < 400 {
		p.Errorf("a redirect_uri of a request object that is not registered: %d, sent to %v", g.Status, g.Location)
	}
}

// objectURI publishes a request object.
func (p *party) objectURI(object string) string {
	name := "/" + p.id
	if p.mode != "" {
		name += "." + p.mode
	}
	return p.op.web.serve(name+".jwt", object)
}

func certObjectByURI(p *party) {
	q := p.as(p.id + "-unsigned")
	form := q.request()
	outer := beside(form, "request_uri", q.objectURI(q.unsigned(ask(form))))
	q.collect(q.answered(q.visit(outer).signIn("alice"), form), form)
	outer.Set("request_uri", p.op.web.serve("/unregistered.jwt", q.unsigned(ask(form))))
	outer.Set("redirect_uri", appRedirect)
	outer.Set("state", form.Get("state"))
	if got := q.refused(q.visit(outer), form); got != "invalid_request_uri" {
		p.Errorf("a request_uri that is not registered: %q", got)
	}
}

func certObjectSigned(p *party) {
	q := p.as(p.id + "-signs")
	for _, alg := range []string{keys.RS256, keys.ES256} {
		r := q.fresh()
		form := r.request("scope", "openid email")
		object := ask(form)
		object["iss"], object["aud"] = r.id, p.op.URL
		r.collect(r.answered(r.visit(beside(form, "request", r.signed(alg, object))).signIn("alice"), form), form)
	}
}

func certObjectSignedByURI(p *party) {
	q := p.as(p.id + "-signs")
	form := q.request()
	object := ask(form)
	object["iss"], object["aud"] = q.id, p.op.URL
	outer := beside(form, "request_uri", q.objectURI(q.signed(keys.RS256, object)))
	q.collect(q.answered(q.visit(outer).signIn("alice"), form), form)
}
