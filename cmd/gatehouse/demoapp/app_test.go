package demoapp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse/cmd/gatehouse/demoapp"
)

// provider is as much of an OpenID provider as the application needs. It lets
// everyone in as the same person.
type provider struct {
	t      *testing.T
	server *httptest.Server
	signer jose.Signer
	key    *ecdsa.PrivateKey

	mu       sync.Mutex
	down     bool
	answer   url.Values // instead of a code, with the right state
	claims   map[string]any
	idToken  map[string]any // laid over what the ID token would hold
	userInfo int            // status, 0 for success
	token    string         // error of the token endpoint
	asked    url.Values     // the last authorization request
	issued   int
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{t: t, signer: signer, key: key, claims: map[string]any{"sub": "id-1", "name": "Amélie Rousseau", "groups": []string{"staff", "admins"}}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		p.json(w, 200, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.exchange)
	mux.HandleFunc("GET /userinfo", p.info)
	p.server = httptest.NewServer(mux)
	t.Cleanup(p.server.Close)
	return p
}

func (p *provider) json(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		p.t.Error(err)
	}
}

// set changes how the provider behaves.
func (p *provider) set(change func(*provider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *provider) discovery(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		http.Error(w, "starting", http.StatusServiceUnavailable)
		return
	}
	u := p.server.URL
	p.json(w, 200, map[string]any{
		"issuer": u, "authorization_endpoint": u + "/authorize", "token_endpoint": u + "/token", "jwks_uri": u + "/jwks", "userinfo_endpoint": u + "/userinfo",
		"id_token_signing_alg_values_supported": []string{"ES256"},
	})
}

func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = r.URL.Query()
	answer := url.Values{"code": {"the-code"}, "iss": {p.server.URL}}
	if p.answer != nil {
		answer = maps.Clone(p.answer)
	}
	if !answer.Has("state") {
		answer.Set("state", p.asked.Get("state"))
	}
	http.Redirect(w, r, p.asked.Get("redirect_uri")+"?"+answer.Encode(), http.StatusSeeOther)
}

func (p *provider) exchange(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.token != "" {
		p.json(w, 400, map[string]any{"error": p.token, "error_description": "the <b>account</b> is disabled"})
		return
	}
	id, secret, _ := r.BasicAuth()
	challenge := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	refresh := r.PostFormValue("grant_type") == "refresh_token"
	if id != "wiki" || secret != "secret" || !refresh && base64.RawURLEncoding.EncodeToString(challenge[:]) != p.asked.Get("code_challenge") {
		p.json(w, 401, map[string]any{"error": "invalid_client"})
		return
	}
	p.issued++
	now := time.Now()
	claims := map[string]any{"iss": p.server.URL, "sub": "id-1", "aud": "wiki", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "nonce": p.asked.Get("nonce")}
	if refresh {
		delete(claims, "nonce")
	}
	maps.Copy(claims, p.idToken)
	raw, err := json.Marshal(claims)
	if err != nil {
		p.t.Error(err)
	}
	signed, err := p.signer.Sign(raw)
	if err != nil {
		p.t.Error(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		p.t.Error(err)
	}
	number := strings.Repeat("x", 20) + string(rune('a'+p.issued))
	p.json(w, 200, map[string]any{
		"access_token": "access-" + number, "refresh_token": "refresh-" + number, "token_type": "Bearer", "expires_in": 300,
		"scope": "openid profile groups quota", "id_token": compact,
	})
}

func (p *provider) info(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.userInfo != 0 {
		http.Error(w, `{"error":"invalid_token"}`, p.userInfo)
		return
	}
	if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer access-") {
		http.Error(w, "no token", http.StatusUnauthorized)
		return
	}
	p.json(w, 200, p.claims)
}

// browser is a client of the application with cookies.
type browser struct {
	t   *testing.T
	c   *http.Client
	url string
}

func open(t *testing.T, p *provider, more ...func(*demoapp.Options)) *browser {
	t.Helper()
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	opts := demoapp.Options{
		Title: "Wiki", Intro: "What the office knows.", Scopes: []string{"openid", "profile", "email", "groups"}, Others: []demoapp.Link{{Name: "Accounts", URL: "/accounts/"}},
		Issuer: p.server.URL, ClientID: "wiki", ClientSecret: "secret", BaseURL: server.URL + "/wiki",
	}
	for _, change := range more {
		change(&opts)
	}
	handler = demoapp.New(opts)
	return &browser{t: t, c: newClient(t), url: opts.BaseURL}
}

func newClient(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, Timeout: 20 * time.Second}
}

func (b *browser) do(method, path string) (status int, page string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	res, err := b.c.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if csp := res.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		b.t.Errorf("%s %s: Content-Security-Policy is %q", method, path, csp)
	}
	if strings.Contains(string(body), "<script") {
		b.t.Errorf("%s %s holds a script", method, path)
	}
	return res.StatusCode, string(body)
}

func (b *browser) want(method, path string, status int, parts ...string) string {
	b.t.Helper()
	got, page := b.do(method, path)
	if got != status {
		b.t.Errorf("%s %s answers %d, not %d", method, path, got, status)
	}
	for _, part := range parts {
		if !strings.Contains(page, part) {
			b.t.Errorf("%s %s does not show %q:\n%s", method, path, part, page)
		}
	}
	return page
}

func TestSigningInShowsWhatTheApplicationWasTold(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	b := open(t, p)
	b.want("GET", "/", 200, "Sign in", "What the office knows.", `href="/accounts/"`)
	page := b.want("GET", "/signin", 200, "Amélie Rousseau", "staff", "admins", "quota", "without being asked for", "access-xx", `<code>nonce</code>`)
	if strings.Contains(page, p.asked.Get("state")) || strings.Contains(page, "access-xxxxxxxxxxxx") {
		t.Error("the page shows a whole token or the state")
	}
	for name, want := range map[string]string{"response_type": "code", "code_challenge_method": "S256", "client_id": "wiki", "scope": "openid profile email groups", "redirect_uri": b.url + "/callback"} {
		if got := p.asked.Get(name); got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	if len(p.asked.Get("state")) < 20 || len(p.asked.Get("nonce")) < 20 {
		t.Error("state or nonce can be guessed")
	}
	b.want("GET", "/demoapp.css", 200, "color-scheme")
	b.want("POST", "/signout", 200, "You have left Wiki", p.server.URL+"/signout")
	b.want("GET", "/", 200, `id="login"`)
	b.want("GET", "/signedout", 200, "You have left Wiki")
	b.want("GET", "/refused", 200, `id="login"`)
}

func TestAccountsToTryAreShownUntilSomebodySignsIn(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	b := open(t, p, func(o *demoapp.Options) {
		o.People = []demoapp.Person{{Username: "ada", Password: "engine", Name: "Ada <b>", Shows: "the first"}}
	})
	b.want("GET", "/", 200, "<code>ada</code>", "<code>engine</code>", "Ada &lt;b&gt;", "the first")
	if page := b.want("GET", "/signin", 200, "Amélie"); strings.Contains(page, "engine") {
		t.Error("the accounts are shown to who has signed in")
	}
}

func TestAChangeInTheDirectoryIsMarked(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	b := open(t, p)
	b.want("GET", "/signin", 200, "admins")
	p.set(func(p *provider) {
		p.claims = map[string]any{"sub": "id-1", "groups": []string{"staff"}, "email": "a@x.example"}
	})
	page := b.want("POST", "/userinfo", 200, "Userinfo has been read again", `class="changed"`, `class="new"`, `class="gone"`)
	if strings.Contains(page, "<li>admins</li>") {
		t.Error("the group that is gone is still shown as one")
	}
	if page = b.want("GET", "/", 200); strings.Contains(page, "has been read again") || strings.Contains(page, `class="new"`) {
		t.Error("what was said once is said again")
	}
	b.want("POST", "/refresh", 200, "New tokens are here", "used 1 time")
}

func TestErrorsAreToldInPlainWordsAndEscaped(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	b := open(t, p)
	p.set(func(p *provider) {
		p.answer = url.Values{"error": {"access_denied"}, "error_description": {`missing scopes: <script>alert(1)</script>"`}}
	})
	b.want("GET", "/signin", 403, "You were not let in to Wiki", "access_denied", "&lt;script&gt;alert(1)", `id="retry"`, `href="/wiki/signin?prompt=login"`)
	if b.want("GET", "/signin?prompt=login", 403); p.asked.Get("prompt") != "login" {
		t.Error("the provider is not told to ask who it is")
	}
	p.set(func(p *provider) { p.answer = url.Values{"error": {`<img src=x>`}} })
	b.want("GET", "/signin", 403, "The sign-in did not succeed", "&lt;img src=x&gt;")
	b.want("GET", "/refused", 403, "The sign-in did not succeed") // loaded again
	b.want("GET", "/nowhere", 404, "There is nothing here")
	p.set(func(p *provider) { p.answer = nil; p.token = "invalid_grant" })
	b.want("GET", "/signin", 502, "Your sign-in holds no longer", "the &lt;b&gt;account&lt;/b&gt; is disabled")
	p.set(func(p *provider) { p.token = "" })
	b.want("GET", "/signin", 200, "Amélie")
	p.set(func(p *provider) { p.token = "invalid_grant" })
	b.want("POST", "/refresh", 200, "Your sign-in holds no longer", "Amélie")
	p.set(func(p *provider) { p.userInfo = 401 })
	b.want("POST", "/userinfo", 200, "The access token is refused", "Amélie")
	p.set(func(p *provider) { p.userInfo = 503 })
	b.want("POST", "/userinfo", 200, "The directory can&#39;t be asked just now", "Amélie")
}

func TestAnAnswerThatWasNotAskedForIsRefused(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	b := open(t, p)
	const refusal = "This sign-in was not begun here"
	b.want("GET", "/callback?code=x&state=y", 400, refusal)
	b.want("GET", "/callback?code=x", 400, refusal)
	b.want("GET", "/callback?error=access_denied&error_description=phish", 400, refusal)

	p.set(func(p *provider) { p.answer = url.Values{"code": {"the-code"}, "state": {"another"}} })
	b.want("GET", "/signin", 400, refusal)
	b.want("GET", "/", 200, `id="login"`)

	p.set(func(p *provider) { p.answer = url.Values{"code": {"the-code"}, "iss": {"https://evil.example"}} })
	b.want("GET", "/signin", 400, "another provider")

	// The right state, but in another browser than the one that began.
	p.set(func(p *provider) { p.answer = nil })
	other := &browser{t: t, c: newClient(t), url: b.url}
	b.want("GET", "/signin", 200, "Amélie")
	other.want("GET", "/callback?code=the-code&state="+p.asked.Get("state"), 400, refusal)
	// And again in the same one: an answer counts once.
	b.want("GET", "/callback?code=the-code&state="+p.asked.Get("state"), 400, refusal)
}

func TestAnIDTokenThatIsNotForThisSignInIsRefused(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]map[string]any{
		"another nonce": {"nonce": "another"}, "no nonce": {"nonce": ""}, "another audience": {"aud": "someone"}, "another issuer": {"iss": "https://evil.example"},
		"expired": {"exp": 1000}, "another subject than userinfo": {"sub": "id-2"}, "another access token": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t)
			p.idToken = bad
			b := open(t, p)
			b.want("GET", "/signin", 502, `id="retry"`)
			b.want("GET", "/", 200, `id="login"`)
		})
	}
}

func TestAProviderThatIsNotThereYetIsAskedAgain(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	p.down = true
	b := open(t, p)
	b.want("GET", "/", 200, `id="login"`)
	b.want("GET", "/signin", 502, "may still be starting")
	p.set(func(p *provider) { p.down = false })
	b.want("GET", "/signin", 200, "Amélie")
}

func TestSessionsAreRenewedAtSignInAndEnd(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	var mu sync.Mutex
	late := time.Duration(0)
	b := open(t, p, func(o *demoapp.Options) {
		o.Now = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(late)
		}
	})
	here, err := url.Parse(b.url + "/")
	if err != nil {
		t.Fatal(err)
	}
	id := func() string {
		for _, c := range b.c.Jar.Cookies(here) {
			if c.Name == "demo_wiki" {
				return c.Value
			}
		}
		return ""
	}
	p.set(func(p *provider) { p.answer = url.Values{"error": {"login_required"}} })
	b.want("GET", "/signin", 403)
	before := id()
	p.set(func(p *provider) { p.answer = nil })
	b.want("GET", "/signin", 200, "Amélie")
	if before == "" || id() == before {
		t.Error("the id from before the sign-in is the one after it")
	}
	mu.Lock()
	late = 9 * time.Hour
	mu.Unlock()
	b.want("GET", "/", 200, `id="login"`)
	b.want("POST", "/userinfo", 200, `id="login"`)
}

func TestAnotherSiteCannotPressTheButtons(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	b := open(t, p)
	b.want("GET", "/signin", 200, "Amélie")
	r, err := http.NewRequestWithContext(t.Context(), "POST", b.url+"/signout", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	res, err := b.c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("it is answered with %d", res.StatusCode)
	}
	b.want("GET", "/", 200, "Amélie")
}
