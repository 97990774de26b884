package provider_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
	"gatehouse/oidc/provider"
)

const grantJWTBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// bearerHouse has the clients "job" and "other", each with an issuer of its own that
// it may bring assertions of, and the signers of both. Job's sub is the sign-in name.
func bearerHouse(t *testing.T, change ...func(*provider.Options)) (h *house, job, other signer) {
	t.Helper()
	h = newHouse(t, change...)
	job, other = newSigner(t, h, "https://ci.example.org"), newSigner(t, h, "https://hr.example.org")
	for id, s := range map[string]signer{"job": job, "other": other} {
		h.addClient(id, func(c *oidc.Client) {
			c.GrantTypes = []string{grantJWTBearer, "refresh_token"}
			c.AssertionIssuers = []oidc.AssertionIssuer{{Issuer: s.id, JWKS: s.ring.JWKS(), Subject: oidc.AssertionSubjectName}}
		})
	}
	return h, job, other
}

// speaks is what an issuer says of alice, with changes; nil takes a claim out.
func (h *house) speaks(from string, changes map[string]any) map[string]any {
	m := h.assertion(from, map[string]any{"sub": "alice", "aud": issuer + "/oauth2/token"})
	for name, value := range changes {
		m[name] = value
		if value == nil {
			delete(m, name)
		}
	}
	return m
}

// brings has a client exchange an assertion.
func (h *house) brings(client, assertion string, changes ...string) answer {
	h.t.Helper()
	form := url.Values{"grant_type": {grantJWTBearer}, "assertion": {assertion}, "scope": {"openid profile offline_access"}}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return h.post(h.provider.Token(), form, client, "secret-of-"+client)
}

func TestAClientActsForAPersonByTheWordOfItsIssuer(t *testing.T) { // RFC 7523, section 2.1
	t.Parallel()
	h, job, _ := bearerHouse(t)
	assertion := job.sign(t, "ES256", h.speaks(job.id, nil))
	got := h.brings("job", assertion)
	if got.Status != http.StatusOK || got.text("scope") != "openid profile" {
		t.Fatalf("%d %v", got.Status, got.Body)
	}
	if got.text("refresh_token") != "" || got.text("id_token") != "" { // RFC 7521, section 4.1: a new assertion does as well
		t.Errorf("nobody has signed in, and there is %v", got.Body)
	}
	if info := h.userinfo(got.text("access_token")); info.text("sub") != "uuid-alice" || info.text("name") != "Alice Archer" {
		t.Errorf("%v", info.Body)
	}
	seen := h.introspect(got.text("access_token"), "job", "secret-of-job")
	if seen.Body["active"] != true || seen.Body["auth_time"] != nil || seen.text("sub") != "uuid-alice" {
		t.Errorf("%v", seen.Body)
	}
	if again := h.brings("job", assertion); again.text("error") != "invalid_grant" {
		t.Errorf("an assertion was taken twice: %v", again.Body)
	}
	// Promise 1.
	h.disable("uuid-alice")
	if info := h.userinfo(got.text("access_token")); info.Status != http.StatusUnauthorized {
		t.Errorf("%v", info.Body)
	}
	if got := h.brings("job", job.sign(t, "ES256", h.speaks(job.id, nil))); got.text("error") != "invalid_grant" {
		t.Errorf("a disabled account: %v", got.Body)
	}
}

func TestWhatSubNamesIsTheOperatorsWord(t *testing.T) {
	t.Parallel()
	h, job, _ := bearerHouse(t)
	trust := &h.clients["job"].AssertionIssuers[0]
	for _, c := range []struct {
		names, sub string
		ok         bool
	}{
		{"id", "uuid-alice", true},
		{"id", "alice", false},
		{"name", "alice", true},
		{"name", "uuid-alice", false},
		{"mail", "alice@example.org", false}, // a directory that can't look attributes up
	} {
		trust.Subject = c.names
		got := h.brings("job", job.sign(t, "ES256", h.speaks(job.id, map[string]any{"sub": c.sub})))
		if (got.Status == http.StatusOK) != c.ok {
			t.Errorf("sub %s as %s: %d %v", c.sub, c.names, got.Status, got.Body)
		}
	}
}

// byMail is a directory that looks attributes up.
type byMail struct{ oidc.Directory }

func (d byMail) UserByAttribute(ctx context.Context, attribute, value string) (*oidc.User, error) {
	switch attribute + "=" + value {
	case "mail=alice@example.org":
		return d.User(ctx, "uuid-alice")
	case "mail=twins@example.org":
		return nil, &oidc.SignInError{Reason: oidc.ReasonAmbiguous}
	}
	return nil, oidc.ErrNotFound
}

func TestSubMayBeAnAttributeThatOnePersonHas(t *testing.T) {
	t.Parallel()
	h, job, _ := bearerHouse(t, func(o *provider.Options) { o.Directory = byMail{o.Directory} })
	h.clients["job"].AssertionIssuers[0].Subject = "mail"
	for sub, status := range map[string]int{
		"alice@example.org": http.StatusOK, "twins@example.org": http.StatusBadRequest, "nobody@example.org": http.StatusBadRequest,
	} {
		if got := h.brings("job", job.sign(t, "ES256", h.speaks(job.id, map[string]any{"sub": sub}))); got.Status != status {
			t.Errorf("%s: %d %v", sub, got.Status, got.Body)
		}
	}
}

func TestAnAssertionIsForThisServerThisClientAndThisMoment(t *testing.T) { // RFC 7523, section 3
	t.Parallel()
	h, job, other := bearerHouse(t)
	stranger := newSigner(t, h, job.id)
	now := h.clock.Now().Unix()
	typed := func(typ string) string {
		token, err := job.ring.Sign("ES256", typ, h.speaks(job.id, nil))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	plain := func(changes map[string]any) string { return job.sign(t, "ES256", h.speaks(job.id, changes)) }
	payload, err := json.Marshal(h.speaks(job.id, nil))
	if err != nil {
		t.Fatal(err)
	}
	for name, assertion := range map[string]string{
		"of another client's issuer":                other.sign(t, "ES256", h.speaks(other.id, nil)),
		"of another client's issuer, by job's name": other.sign(t, "ES256", h.speaks(job.id, nil)),
		"of a stranger with the same name":          stranger.sign(t, "ES256", h.speaks(job.id, nil)),
		"of nobody":                                 plain(map[string]any{"iss": nil}),
		"of the server itself":                      plain(map[string]any{"iss": issuer}),
		"for another server":                        plain(map[string]any{"aud": "https://sso.example.com"}),
		"for the client":                            plain(map[string]any{"aud": "job"}),
		"for nobody":                                plain(map[string]any{"aud": nil}),
		"without exp":                               plain(map[string]any{"exp": nil}),
		"expired for longer than the leeway":        plain(map[string]any{"exp": now - 10}),
		"good for years":                            plain(map[string]any{"exp": now + 365*24*3600}),
		"not good yet":                              plain(map[string]any{"nbf": now + 11}),
		"from the future":                           plain(map[string]any{"iat": now + 11}),
		"without jti":                               plain(map[string]any{"jti": nil}),
		"without sub":                               plain(map[string]any{"sub": nil}),
		"about nobody":                              plain(map[string]any{"sub": "zoe"}),
		"about two":                                 plain(map[string]any{"sub": []string{"alice", "bob"}}),
		"that is a request object (RFC 8725, 3.11)": typed("oauth-authz-req+jwt"),
		"that is an access token":                   typed("at+jwt"),
		"that is a logout token":                    typed("logout+jwt"),
		"unsigned":                                  b64(`{"alg":"none"}`) + "." + b64(string(payload)) + ".",
		"signed with the public key as a secret":    hs(t, keys.HS256, string(job.ring.JWKS()), h.speaks(job.id, nil)),
		"signed with the client's secret":           hs(t, keys.HS256, "secret-of-job-that-is-long-enough-for-it", h.speaks(job.id, nil)),
		"cut":                                       plain(nil)[:40],
		"that is no JWT":                            "alice",
	} {
		if got := h.brings("job", assertion); got.text("error") != "invalid_grant" || got.Status != http.StatusBadRequest {
			t.Errorf("an assertion %s: %d %v", name, got.Status, got.Body)
		}
	}
	for name, assertion := range map[string]string{
		"expired within the leeway": plain(map[string]any{"exp": now - 9}),
		"for the issuer":            plain(map[string]any{"aud": []string{"https://x.example.org", issuer}}),
		"that says it is a JWT":     typed("JWT"),
		"by RS256":                  job.sign(t, "RS256", h.speaks(job.id, nil)),
	} {
		if got := h.brings("job", assertion); got.Status != http.StatusOK {
			t.Errorf("an assertion %s: %d %v", name, got.Status, got.Body)
		}
	}
	if got := h.brings("job", ""); got.text("error") != "invalid_request" {
		t.Errorf("%v", got.Body)
	}
	if got := h.brings("job", plain(nil), "scope", ""); got.text("error") != "invalid_scope" {
		t.Errorf("%v", got.Body)
	}
	// Rows S3 and S5 hold for those who are spoken of as for those who come themselves.
	if got := h.brings("job", plain(map[string]any{"sub": "bob"})); got.text("error") != "invalid_scope" {
		t.Errorf("%v", got.Body)
	}
}

func TestTheJWTBearerGrantIsForThoseThatTheOperatorHasNamed(t *testing.T) {
	t.Parallel()
	h, job, _ := bearerHouse(t)
	assertion := job.sign(t, "ES256", h.speaks(job.id, nil))
	if got := h.brings("app", assertion); got.text("error") != "unauthorized_client" {
		t.Errorf("a client without the grant type: %v", got.Body)
	}
	if got := h.brings("other", assertion); got.text("error") != "invalid_grant" {
		t.Errorf("another client: %v", got.Body)
	}
	h.clients["job"].TokenEndpointAuthMethod = "none"
	form := url.Values{"grant_type": {grantJWTBearer}, "assertion": {assertion}, "scope": {"openid"}, "client_id": {"job"}}
	if got := h.postBare(h.provider.Token(), form); got.text("error") != "unauthorized_client" {
		t.Errorf("a public client: %v", got.Body)
	}
	h.clients["job"].TokenEndpointAuthMethod = "client_secret_basic"
	if got := h.brings("job", assertion); got.Status != http.StatusOK {
		t.Errorf("refusals have used it up: %v", got.Body)
	}
}

func TestAnAssertionThatSeveralClientsTrustIsUsedOnceByAllOfThem(t *testing.T) {
	t.Parallel()
	h, job, _ := bearerHouse(t)
	h.clients["other"].AssertionIssuers = append(h.clients["other"].AssertionIssuers, h.clients["job"].AssertionIssuers[0])
	assertion := job.sign(t, "ES256", h.speaks(job.id, nil))
	var mu sync.Mutex
	won := 0
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			if got := h.brings([]string{"job", "other"}[i%2], assertion); got.Status == http.StatusOK {
				mu.Lock()
				won++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if won != 1 {
		t.Errorf("%d got tokens", won)
	}
	// Nor does it come to life again with another key of its issuer's.
	again := job.sign(t, "ES256", h.speaks(job.id, map[string]any{"jti": "1"}))
	if got := h.brings("job", again); got.Status != http.StatusOK {
		t.Fatalf("%v", got.Body)
	}
	if _, err := job.ring.Create("ES384"); err != nil {
		t.Fatal(err)
	}
	h.clients["job"].AssertionIssuers[0].JWKS = job.ring.JWKS()
	for _, alg := range []string{"ES256", "ES384"} {
		if got := h.brings("job", job.sign(t, alg, h.speaks(job.id, map[string]any{"jti": "1"}))); got.text("error") != "invalid_grant" {
			t.Errorf("%v", got.Body)
		}
	}
}

func TestADirectoryThatIsDownCostsNoAssertion(t *testing.T) { // promise 3
	t.Parallel()
	h, job, _ := bearerHouse(t)
	assertion := job.sign(t, "ES256", h.speaks(job.id, nil))
	h.people.SetDown(true)
	if got := h.brings("job", assertion); got.Status != http.StatusServiceUnavailable {
		t.Errorf("%d %v", got.Status, got.Body)
	}
	h.people.SetDown(false)
	if got := h.brings("job", assertion); got.Status != http.StatusOK {
		t.Errorf("%d %v", got.Status, got.Body)
	}
	// Nor does an address of keys that can't be reached.
	h.clients["job"].AssertionIssuers[0].JWKS, h.clients["job"].AssertionIssuers[0].JWKSURI = nil, "https://ci.example.org/jwks"
	if got := h.brings("job", job.sign(t, "ES256", h.speaks(job.id, nil))); got.Status != http.StatusServiceUnavailable {
		t.Errorf("%d %v", got.Status, got.Body)
	}
}

func TestDiscoveryListsTheGrantTypesThatWork(t *testing.T) {
	t.Parallel()
	for _, with := range []bool{false, true} {
		h := newHouse(t, func(o *provider.Options) {
			if with {
				o.Passwords = passwordHouse(t, &bytes.Buffer{}, nil).provider.Passwords
			}
		})
		r, err := http.NewRequest(http.MethodGet, "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		document := h.send(h.provider.Discovery(), r)
		listed, err := json.Marshal(document.Body["grant_types_supported"])
		if err != nil {
			t.Fatal(err)
		}
		for grant, want := range map[string]bool{
			"authorization_code": true, "implicit": true, "refresh_token": true, "client_credentials": true,
			grantDevice: true, grantJWTBearer: true, "password": with,
		} {
			if strings.Contains(string(listed), `"`+grant+`"`) != want {
				t.Errorf("with passwords %v: %s", with, listed)
			}
		}
		if document.text("device_authorization_endpoint") != issuer+"/oauth2/device_authorization" { // RFC 8628, section 4
			t.Errorf("%v", document.Body["device_authorization_endpoint"])
		}
	}
}
