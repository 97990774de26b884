package main

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

// What there is and is not there looks the same to who has no business with it: the
// answers are alike to the letter, and take as long.
func TestWhatIsAnothersLooksLikeWhatIsNotThere(t *testing.T) {
	t.Parallel()
	op := startCertSite(t, ldaptest.Start(t), certFiles())
	p := newParty(t, op, "code", "")
	other := p.as(p.id + "-unsigned")
	k := other.all("alice", "scope", "openid offline_access")
	code := other.fresh().signIn("alice", other.request()).Get("code")
	device, _ := p.as("tv").device("openid")
	_, registered := p.registered()
	post := func(path, id, secret string, pairs ...string) func() page {
		form := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
		return func() page { return stranger(t).post(op.URL+path, form, id, secret) }
	}
	get := func(path string, headers ...string) func() page {
		return func() page { return stranger(t).send(http.MethodGet, op.URL+path, "", headers...) }
	}
	for name, pair := range map[string][2]func() page{
		"a client": {post("/oauth2/token", p.id, "wrong", "grant_type", "client_credentials"), post("/oauth2/token", "nobody", "wrong", "grant_type", "client_credentials")},
		"a client that signs": {
			post("/oauth2/token", "asserts", "wrong", "grant_type", "client_credentials"), post("/oauth2/token", "nobody", "wrong", "grant_type", "client_credentials"),
		},
		"a public client": {post("/oauth2/token", "native", "wrong", "grant_type", "client_credentials"), post("/oauth2/token", "nobody", "wrong", "grant_type", "client_credentials")},
		"an access token": {post("/oauth2/introspect", p.id, appSecret, "token", k.access), post("/oauth2/introspect", p.id, appSecret, "token", oidc.NewSecret("gha_"))},
		"a refresh token": {
			post("/oauth2/token", p.id, appSecret, "grant_type", "refresh_token", "refresh_token", k.refresh),
			post("/oauth2/token", p.id, appSecret, "grant_type", "refresh_token", "refresh_token", oidc.NewSecret("ghr_")),
		},
		"a code": {
			post("/oauth2/token", p.id, appSecret, "grant_type", "authorization_code", "code", code, "redirect_uri", appRedirect),
			post("/oauth2/token", p.id, appSecret, "grant_type", "authorization_code", "code", oidc.NewSecret("ghc_"), "redirect_uri", appRedirect),
		},
		"a device": {
			post("/oauth2/token", "tv-2", "", "grant_type", grantDevice, "device_code", device), post("/oauth2/token", "tv-2", "", "grant_type", grantDevice, "device_code", oidc.NewSecret("ghd_")),
		},
		"a registration": {
			get("/oauth2/register/"+registered["client_id"].(string), "Authorization", "Bearer wrong"), get("/oauth2/register/dyn_AAAAAAAAAAAAAAAAAAAAAA", "Authorization", "Bearer wrong"),
		},
		"the beginning of a sign-in": {get("/login/" + p.id), get("/login/nobody")},
		"an issuer":                  {get("/oauth2/openid/" + p.id + "/jwks"), get("/oauth2/openid/nobody/jwks")},
		"a picture":                  {get("/picture/" + strings.Repeat("A", 60)), get("/picture/x")},
	} {
		var there, not []time.Duration
		for range 15 {
			start := time.Now()
			a := pair[0]()
			there = append(there, time.Since(start))
			start = time.Now()
			b := pair[1]()
			not = append(not, time.Since(start))
			if one, two := sameFor(a, "-"), sameFor(b, "-"); one != two {
				t.Errorf("%s that is another's:\n%s\nand one that is not there:\n%s", name, one, two)
				break
			}
			if a.Status < 400 && !strings.Contains(a.Body, `"active":false`) {
				t.Errorf("%s: %d, so nothing is shown", name, a.Status)
			}
		}
		slices.Sort(there)
		slices.Sort(not)
		// The best of many interleaved tries, and a bound that a slow hash or a look-up of
		// the directory would break.
		if a, b := there[0], not[0]; max(a, b)-min(a, b) > 100*time.Millisecond {
			t.Errorf("%s that is another's takes %v, one that is not there %v", name, a, b)
		}
	}
}
