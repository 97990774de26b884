package provider_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
	"gatehouse/oidc/provider"
)

const clientSecret = "a-secret-of-sixty-four-characters-which-is-enough-for-any-HS512!!"

// signer is a client with keys of its own.
type signer struct {
	ring *keys.Ring
	id   string
}

func newSigner(t *testing.T, h *house, id string) signer {
	t.Helper()
	ring, err := keys.Open(filepath.Join(t.TempDir(), "client-keys"), h.clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	return signer{ring, id}
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// claims are those of a good assertion with changes; nil takes one out.
func (h *house) assertion(id string, changes map[string]any) map[string]any {
	now := h.clock.Now().Unix()
	m := map[string]any{"iss": id, "sub": id, "aud": issuer, "exp": now + 60, "iat": now, "jti": oidc.NewID()}
	maps.Copy(m, changes)
	for name, value := range m {
		if value == nil {
			delete(m, name)
		}
	}
	return m
}

func (s signer) sign(t *testing.T, alg string, claims any) string {
	t.Helper()
	token, err := s.ring.Sign(alg, "", claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func hs(t *testing.T, alg, secret string, claims any) string {
	t.Helper()
	token, err := keys.SignMAC(alg, "", []byte(secret), claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// withAssertion is a token request of the client itself.
func withAssertion(assertion string, changes ...string) url.Values {
	form := url.Values{
		"grant_type":            {"client_credentials"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
	}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return form
}

// assertionHouse has the client "keyed", which signs with its keys, and "mac",
// which signs with its secret.
func assertionHouse(t *testing.T, change ...func(*provider.Options)) (*house, signer) {
	t.Helper()
	change = append(change, func(o *provider.Options) {
		o.SecretOf = func(c *oidc.Client) ([]byte, error) {
			if c.SecretSealed == "" {
				return nil, oidc.ErrNotFound
			}
			return []byte(c.SecretSealed), nil
		}
	})
	h := newHouse(t, change...)
	s := newSigner(t, h, "keyed")
	for _, alg := range keys.Asymmetric()[2:] {
		if _, err := s.ring.Create(alg); err != nil {
			t.Fatal(err)
		}
	}
	h.addClient("keyed", func(c *oidc.Client) {
		c.TokenEndpointAuthMethod, c.JWKS, c.SecretHash = "private_key_jwt", s.ring.JWKS(), ""
		c.GrantTypes = []string{"client_credentials", "authorization_code"}
		c.Scopes.Everyone = []string{"openid"}
	})
	h.addClient("mac", func(c *oidc.Client) {
		c.TokenEndpointAuthMethod, c.SecretSealed = "client_secret_jwt", clientSecret
		c.GrantTypes = []string{"client_credentials"}
	})
	return h, s
}

const anonymous = "" // three arguments of post: no credentials

func (h *house) postBare(handler http.Handler, form url.Values) answer {
	return h.post(handler, form, anonymous)
}

// RFC 7523, OpenID Connect Core 1.0, section 9.
func TestClientsProveThemselvesWithEveryAlgorithm(t *testing.T) {
	t.Parallel()
	h, s := assertionHouse(t)
	for _, alg := range keys.Asymmetric() {
		if got := h.postBare(h.provider.Token(), withAssertion(s.sign(t, alg, h.assertion("keyed", nil)))); got.Status != http.StatusOK {
			t.Errorf("%s: %d %v", alg, got.Status, got.Body)
		}
	}
	for _, alg := range keys.Symmetric() {
		if got := h.postBare(h.provider.Token(), withAssertion(hs(t, alg, clientSecret, h.assertion("mac", nil)))); got.Status != http.StatusOK {
			t.Errorf("%s: %d %v", alg, got.Status, got.Body)
		}
	}
	// The other endpoints that clients authenticate at.
	for _, handler := range []http.Handler{h.provider.Introspection(), h.provider.Revocation()} {
		form := withAssertion(s.sign(t, "ES256", h.assertion("keyed", nil)), "token", "unknown")
		if got := h.postBare(handler, form); got.Status != http.StatusOK {
			t.Errorf("%d %v", got.Status, got.Body)
		}
	}
}

func TestAssertionsAreJudged(t *testing.T) {
	t.Parallel()
	h, s := assertionHouse(t)
	other := newSigner(t, h, "keyed")
	h.addClient("strict", func(c *oidc.Client) {
		c.TokenEndpointAuthMethod, c.JWKS, c.StrictAssertionAudience = "private_key_jwt", s.ring.JWKS(), true
		c.GrantTypes = []string{"client_credentials"}
	})
	h.addClient("pinned", func(c *oidc.Client) {
		c.TokenEndpointAuthMethod, c.JWKS, c.TokenEndpointAuthSigningAlg = "private_key_jwt", s.ring.JWKS(), "PS256"
		c.GrantTypes = []string{"client_credentials"}
	})
	h.addClient("basic", func(c *oidc.Client) { c.JWKS, c.SecretSealed = s.ring.JWKS(), clientSecret })
	now := h.clock.Now().Unix()
	signed := func(id, alg string, changes map[string]any) string { return s.sign(t, alg, h.assertion(id, changes)) }
	good := func(changes map[string]any) string { return signed("keyed", "ES256", changes) }
	type claims = map[string]any
	for name, c := range map[string]struct {
		form url.Values
		want string // "" for good
	}{
		"as it should be":                 {withAssertion(good(nil)), ""},
		"with its client_id":              {withAssertion(good(nil), "client_id", "keyed"), ""},
		"for the token endpoint":          {withAssertion(good(claims{"aud": issuer + "/oauth2/token"})), ""},
		"for several":                     {withAssertion(good(claims{"aud": []string{"https://other.example", issuer}})), ""},
		"a clock 9 s ahead":               {withAssertion(good(claims{"iat": now + 9, "nbf": now + 9})), ""},
		"a clock 9 s behind":              {withAssertion(good(claims{"exp": now - 9})), ""},
		"times with fractions":            {withAssertion(good(claims{"exp": float64(now) + 30.5})), ""},
		"strict, for the issuer":          {withAssertion(signed("strict", "ES256", nil)), ""},
		"pinned, with its algorithm":      {withAssertion(signed("pinned", "PS256", nil)), ""},
		"strict, for the endpoint":        {withAssertion(signed("strict", "ES256", claims{"aud": issuer + "/oauth2/token"})), "invalid_client"},
		"strict, for a list":              {withAssertion(signed("strict", "ES256", claims{"aud": []string{issuer}})), "invalid_client"},
		"pinned, with another algorithm":  {withAssertion(signed("pinned", "ES256", nil)), "invalid_client"},
		"another client_id":               {withAssertion(good(nil), "client_id", "mac"), "invalid_client"},
		"another issuer than subject":     {withAssertion(good(claims{"iss": "mac"})), "invalid_client"},
		"no issuer":                       {withAssertion(good(claims{"iss": nil})), "invalid_client"},
		"no subject":                      {withAssertion(good(claims{"sub": nil})), "invalid_client"},
		"a client that isn't there":       {withAssertion(signed("nobody", "ES256", nil)), "invalid_client"},
		"for another server":              {withAssertion(good(claims{"aud": "https://other.example"})), "invalid_client"},
		"for nobody":                      {withAssertion(good(claims{"aud": nil})), "invalid_client"},
		"for an issuer that ours begins":  {withAssertion(good(claims{"aud": issuer + ".evil.example"})), "invalid_client"},
		"aud that is a number":            {withAssertion(good(claims{"aud": 1})), "invalid_client"},
		"aud that is null":                {withAssertion(good(claims{"aud": json.RawMessage("null")})), "invalid_client"},
		"without end":                     {withAssertion(good(claims{"exp": nil})), "invalid_client"},
		"that ends in a day":              {withAssertion(good(claims{"exp": now + 86400})), "invalid_client"},
		"that ends when numbers do":       {withAssertion(good(claims{"exp": 1e300})), "invalid_client"},
		"with a text as end":              {withAssertion(good(claims{"exp": "9999999999"})), "invalid_client"},
		"expired":                         {withAssertion(good(claims{"exp": now - 11})), "invalid_client"},
		"not valid yet":                   {withAssertion(good(claims{"nbf": now + 30})), "invalid_client"},
		"issued in the future":            {withAssertion(good(claims{"iat": now + 30})), "invalid_client"},
		"without jti":                     {withAssertion(good(claims{"jti": nil})), "invalid_client"},
		"with a list as jti":              {withAssertion(good(claims{"jti": []string{"a"}})), "invalid_client"},
		"with an endless jti":             {withAssertion(good(claims{"jti": strings.Repeat("j", 1000)})), "invalid_client"},
		"signed by somebody else":         {withAssertion(other.sign(t, "ES256", h.assertion("keyed", nil))), "invalid_client"},
		"unsigned":                        {withAssertion(unsigned(t, h.assertion("keyed", nil))), "invalid_client"},
		"a MAC with the JWKS as secret":   {withAssertion(hs(t, "HS256", string(s.ring.JWKS()), h.assertion("keyed", nil))), "invalid_client"},
		"a MAC of the client with keys":   {withAssertion(hs(t, "HS256", clientSecret, h.assertion("keyed", nil))), "invalid_client"},
		"a MAC with another secret":       {withAssertion(hs(t, "HS256", strings.ToUpper(clientSecret), h.assertion("mac", nil))), "invalid_client"},
		"a key of the client with a MAC":  {withAssertion(s.sign(t, "ES256", h.assertion("mac", nil))), "invalid_client"},
		"by a client of basic, key":       {withAssertion(s.sign(t, "ES256", h.assertion("basic", nil))), "invalid_client"},
		"by a client of basic, MAC":       {withAssertion(hs(t, "HS256", clientSecret, h.assertion("basic", nil))), "invalid_client"},
		"another type":                    {withAssertion(good(nil), "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"), "invalid_client"},
		"with a secret beside it":         {withAssertion(good(nil), "client_secret", "x"), "invalid_request"},
		"nothing":                         {withAssertion(""), "invalid_client"},
		"no JWT":                          {withAssertion("abc"), "invalid_client"},
		"a megabyte":                      {withAssertion(strings.Repeat("A", 1<<20) + ".e30.AA"), "invalid_client"},
		"deeply nested claims":            {withAssertion(b64(`{"alg":"ES256"}`) + "." + b64(`{"iss":`+strings.Repeat("[", 20_000)) + ".AA"), "invalid_client"},
		"the secret of a client with MAC": {url.Values{"grant_type": {"client_credentials"}, "client_id": {"mac"}, "client_secret": {"secret-of-mac"}}, "invalid_client"},
		"just the id of a client":         {url.Values{"grant_type": {"client_credentials"}, "client_id": {"keyed"}}, "invalid_client"},
	} {
		got := h.postBare(h.provider.Token(), c.form)
		if got.text("error") != c.want {
			t.Errorf("%s: %d %v, want %q", name, got.Status, got.Body, c.want)
		}
		if c.want == "invalid_client" && (got.Status != http.StatusUnauthorized || got.Header.Get("WWW-Authenticate") == "") {
			t.Errorf("%s: %d %v", name, got.Status, got.Header)
		}
		if strings.Contains(got.text("error_description"), "nobody") {
			t.Errorf("%s: %v", name, got.Body)
		}
	}
}

func unsigned(t *testing.T, claims any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return b64(`{"alg":"none"}`) + "." + b64(string(payload)) + "."
}

// RFC 7523, section 3, item 7: and burnt only when all else was right.
func TestOfAHundredUsesOfOneJTIExactlyOneWins(t *testing.T) {
	t.Parallel()
	h, s := assertionHouse(t)
	claims := h.assertion("keyed", nil)
	for range 3 { // somebody has seen the jti, and can't burn it
		wrong := maps.Clone(claims)
		wrong["aud"] = "https://other.example"
		if got := h.postBare(h.provider.Token(), withAssertion(s.sign(t, "ES256", wrong))); got.Status != http.StatusUnauthorized {
			t.Fatal(got)
		}
	}
	var wins atomic.Int32
	var all sync.WaitGroup
	for range 100 {
		token := s.sign(t, "ES256", claims) // each has a signature of its own
		all.Go(func() {
			if h.postBare(h.provider.Token(), withAssertion(token)).Status == http.StatusOK {
				wins.Add(1)
			}
		})
	}
	all.Wait()
	if wins.Load() != 1 {
		t.Errorf("%d uses won", wins.Load())
	}
	// Another client has jtis of its own.
	claims = h.assertion("mac", map[string]any{"jti": claims["jti"]})
	if got := h.postBare(h.provider.Token(), withAssertion(hs(t, "HS256", clientSecret, claims))); got.Status != http.StatusOK {
		t.Errorf("another client's jti: %d %v", got.Status, got.Body)
	}
	// The note lasts as long as the assertion might be taken.
	h.clock.Advance(69 * time.Second)
	if _, err := h.store.Clean(context.Background(), h.clock.Now(), 100); err != nil {
		t.Fatal(err)
	}
	if got := h.postBare(h.provider.Token(), withAssertion(hs(t, "HS256", clientSecret, claims))); got.Status != http.StatusUnauthorized {
		t.Errorf("used again at its end: %d %v", got.Status, got.Body)
	}
}

// pages answers addresses from memory and counts.
type pages struct {
	mu    sync.Mutex
	body  map[string]string
	calls int
}

func (p *pages) Get(_ context.Context, url string, limit int64) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	body, found := p.body[url]
	if !found || int64(len(body)) > limit {
		return nil, errors.New("unreachable")
	}
	return []byte(body), nil
}

func (p *pages) set(url, body string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.body == nil {
		p.body = map[string]string{}
	}
	p.body[url] = body
}

func (p *pages) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

func TestKeysAtAnAddressAreKeptAndAskedForAgain(t *testing.T) {
	t.Parallel()
	web := &pages{}
	h, s := assertionHouse(t, func(o *provider.Options) { o.Fetch = web })
	const address = "https://app.example.org/jwks"
	h.addClient("keyed", func(c *oidc.Client) {
		c.TokenEndpointAuthMethod, c.JWKSURI, c.GrantTypes = "private_key_jwt", address, []string{"client_credentials"}
	})
	try := func() int {
		return h.postBare(h.provider.Token(), withAssertion(s.sign(t, "ES256", h.assertion("keyed", nil)))).Status
	}
	expect := func(what string, status, calls int) {
		t.Helper()
		if got := try(); got != status || web.count() != calls {
			t.Errorf("%s: %d after %d requests, want %d after %d", what, got, web.count(), status, calls)
		}
	}
	expect("nobody answers: that is no refusal", http.StatusServiceUnavailable, 1)
	expect("and is not asked again at once", http.StatusServiceUnavailable, 1)
	web.set(address, string(s.ring.JWKS()))
	h.clock.Advance(10 * time.Second)
	expect("they are fetched", http.StatusOK, 2)
	expect("and kept", http.StatusOK, 2)
	if _, err := s.ring.RotateAfter("ES256", 0); err != nil {
		t.Fatal(err)
	}
	expect("an unknown key right after a fetch", http.StatusUnauthorized, 2)
	web.set(address, string(s.ring.JWKS()))
	h.clock.Advance(10 * time.Second)
	expect("an unknown key has them fetched again", http.StatusOK, 3)
	web.set(address, "{}")
	h.clock.Advance(time.Hour)
	expect("what can't be fetched is used a while longer", http.StatusOK, 4)
	h.clock.Advance(24 * time.Hour)
	expect("and not for ever", http.StatusServiceUnavailable, 5)
}
