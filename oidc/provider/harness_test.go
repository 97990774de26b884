package provider_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/claims"
	"gatehouse/oidc/clients"
	"gatehouse/oidc/keys"
	"gatehouse/oidc/oidctest"
	"gatehouse/oidc/provider"
	"gatehouse/oidc/store"
)

const (
	issuer   = "https://sso.example.org"
	redirect = "https://app.example.org/cb"
	verifier = "dBjftJeZ4CVP-mBUhX0lOf7iuN0ZU8ZPUlkE1LfuMbE"
)

// house is a provider on a real store with real keys, and a directory that can
// be made to say anything.
type house struct {
	t        *testing.T
	provider *provider.Provider
	store    *store.Store
	keys     *keys.Ring
	people   *oidctest.Directory
	clients  clientSet
	clock    *clock
	dir      string // where the database is
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type clientSet map[string]*oidc.Client

func (s clientSet) Client(id string) (*oidc.Client, error) {
	if c, ok := s[id]; ok {
		return c, nil
	}
	return nil, oidc.ErrNotFound
}

// AllowsOrigin implements provider.Origins.
func (s clientSet) AllowsOrigin(_ context.Context, origin string) (bool, error) {
	for _, c := range s {
		if slices.Contains(c.Origins(), origin) {
			return true, nil
		}
	}
	return false, nil
}

type verify struct{}

func (verify) VerifySecret(_ context.Context, c *oidc.Client, secret string) (bool, error) {
	return c.SecretHash == "plain:"+secret, nil
}

var _ provider.Verifier = (*clients.Verifier)(nil)

func newHouse(t *testing.T, change ...func(*provider.Options)) *house {
	t.Helper()
	// Real time to start with: the store's clean-up and the keys use it too.
	h := &house{t: t, people: &oidctest.Directory{}, clients: clientSet{}, clock: &clock{now: time.Now().Truncate(time.Second)}}
	h.dir = t.TempDir()
	var err error
	if h.store, err = store.Open(context.Background(), filepath.Join(h.dir, "gatehouse.db"), store.Options{Log: slog.New(slog.DiscardHandler), Now: h.clock.Now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.store.Close() })
	if h.keys, err = keys.Open(filepath.Join(t.TempDir(), "keys"), h.clock.Now); err != nil {
		t.Fatal(err)
	}
	options := provider.Options{
		Issuer: issuer, Clients: h.clients, Secrets: verify{}, Directory: h.people, Store: h.store, Keys: h.keys,
		Claims: claims.DefaultTable(), PairwiseSalt: h.keys.Derive("pairwise", 32), Derive: h.keys.Derive, Log: slog.New(slog.DiscardHandler), Now: h.clock.Now,
		Lifespans: oidc.Lifespans{Code: time.Minute, Access: time.Hour, ID: time.Hour, Refresh: 30 * 24 * time.Hour},
	}
	for _, f := range change {
		f(&options)
	}
	if h.provider, err = provider.New(options); err != nil {
		t.Fatal(err)
	}
	h.people.Add(alice(), "secret")
	h.people.Add(oidc.User{ID: "uuid-bob", DN: "uid=bob,ou=people,dc=example,dc=org", Username: "bob", Attributes: map[string][]string{"cn": {"Bob"}}}, "secret")
	h.addClient("app", nil)
	return h
}

var staff = oidc.MustParseDN("cn=staff,ou=groups,dc=example,dc=org")

func alice() oidc.User {
	return oidc.User{
		ID: "uuid-alice", DN: "uid=alice,ou=people,dc=example,dc=org", Username: "alice",
		Attributes: map[string][]string{
			"cn": {"Alice Archer"}, "sn": {"Archer"}, "givenname": {"Alice"}, "mail": {"alice@example.org"},
			"telephonenumber": {"+49 30 1234"}, "modifytimestamp": {"20260102030405Z"},
		},
		Groups: []oidc.Group{{DN: "cn=Staff,ou=Groups,dc=example,dc=org", Name: "staff"}},
	}
}

// addClient registers a confidential client that staff may use in full.
func (h *house) addClient(id string, change func(*oidc.Client)) *oidc.Client {
	c := &oidc.Client{
		ID: id, Name: strings.ToUpper(id), SecretHash: "plain:secret-of-" + id, RedirectURIs: []string{redirect},
		GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"},
		TokenEndpointAuthMethod: "client_secret_basic", Consent: oidc.ConsentNone, RequirePKCE: true, OnMissingScope: oidc.MissingRefuse,
		Scopes: oidc.ScopeMaps{
			Everyone: []string{"openid"},
			Groups:   []oidc.ScopeMap{{Group: staff, Scopes: []string{"profile", "email", "groups", "phone"}}},
		},
		SubjectType: "public", IDTokenSignedResponseAlg: "ES256",
	}
	if change != nil {
		change(c)
	}
	h.clients[id] = c
	return c
}

// request is a good authorisation request with changes; an empty value takes a
// parameter out.
func request(changes ...string) url.Values {
	sum := sha256.Sum256([]byte(verifier))
	form := url.Values{
		"client_id": {"app"}, "redirect_uri": {redirect}, "response_type": {"code"}, "scope": {"openid profile email groups offline_access"},
		"state": {"st"}, "nonce": {"n-0S6_WzA2Mj"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
		if changes[i+1] == "" {
			form.Del(changes[i])
		}
	}
	return form
}

// signedIn is a visitor with a session of some age.
func (h *house) signedIn(id string, age time.Duration) provider.Visitor {
	return provider.Visitor{Session: &oidc.Session{ID: "sid-" + id, Subject: id, AuthTime: h.clock.Now().Add(-age), AMR: []string{"pwd"}}}
}

// begin sends an authorisation request.
func (h *house) begin(form url.Values) (*provider.Authorization, *provider.Response, error) {
	return h.provider.Begin(httptest.NewRequest(http.MethodGet, "/oauth2/authorize?"+form.Encode(), nil))
}

// next sends an authorisation request and returns the dispatcher's decision.
func (h *house) next(form url.Values, v provider.Visitor) provider.Step {
	h.t.Helper()
	a, response, err := h.begin(form)
	if err != nil {
		h.t.Fatal(err)
	}
	if response != nil {
		return provider.Step{Response: response}
	}
	step, err := h.provider.Next(context.Background(), a, v)
	if err != nil {
		h.t.Fatal(err)
	}
	return step
}

// answer returns the parameters that the client gets.
func (h *house) answer(step provider.Step) url.Values {
	h.t.Helper()
	if step.Response == nil {
		h.t.Fatalf("no answer to the client but %+v", step)
	}
	return parametersOf(h.t, step.Response)
}

// parametersOf reads an answer as the client does: from query, fragment or form.
func parametersOf(t *testing.T, response *provider.Response) url.Values {
	t.Helper()
	w := httptest.NewRecorder()
	response.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code == http.StatusOK {
		parameters := url.Values{}
		for _, field := range hiddenField.FindAllStringSubmatch(w.Body.String(), -1) {
			parameters.Add(field[1], html.UnescapeString(field[2]))
		}
		return parameters
	}
	u, err := url.Parse(w.Header().Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	if u.Fragment == "" {
		return u.Query()
	}
	parameters, err := url.ParseQuery(u.EscapedFragment())
	if err != nil {
		t.Fatal(err)
	}
	return parameters
}

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// code signs alice in and returns the code.
func (h *house) code(form url.Values) string {
	h.t.Helper()
	parameters := h.answer(h.next(form, h.signedIn("uuid-alice", 0)))
	if parameters.Get("code") == "" {
		h.t.Fatalf("no code but %v", parameters)
	}
	return parameters.Get("code")
}

type answer struct {
	Status int
	Header http.Header
	Body   map[string]any
}

func (a answer) text(name string) string {
	s, _ := a.Body[name].(string)
	return s
}

// post sends a form to a handler, as the client app unless auth says otherwise.
func (h *house) post(handler http.Handler, form url.Values, auth ...string) answer {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	switch len(auth) {
	case 0:
		r.SetBasicAuth("app", "secret-of-app")
	case 2:
		r.SetBasicAuth(auth[0], auth[1])
	}
	return h.send(handler, r)
}

func (h *house) send(handler http.Handler, r *http.Request) answer {
	h.t.Helper()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	out := answer{Status: w.Code, Header: w.Header()}
	if err := json.Unmarshal(w.Body.Bytes(), &out.Body); err != nil {
		h.t.Fatalf("the answer is no JSON object: %s", w.Body)
	}
	return out
}

func exchange(code string, changes ...string) url.Values {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "code_verifier": {verifier}}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
		if changes[i+1] == "" {
			form.Del(changes[i])
		}
	}
	return form
}

func refresh(token string, changes ...string) url.Values {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return form
}

// tokens signs alice in and exchanges the code.
func (h *house) tokens(changes ...string) answer {
	h.t.Helper()
	got := h.post(h.provider.Token(), exchange(h.code(request(changes...))))
	if got.Status != http.StatusOK {
		h.t.Fatalf("no tokens but %d %v", got.Status, got.Body)
	}
	return got
}

func (h *house) userinfo(token string) answer {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return h.send(h.provider.UserInfo(), r)
}

func (h *house) introspect(token string, auth ...string) answer {
	return h.post(h.provider.Introspection(), url.Values{"token": {token}}, auth...)
}

// idToken returns the verified claims of an ID token.
func (h *house) idToken(a answer) map[string]any {
	h.t.Helper()
	payload, err := h.keys.Verify(a.text("id_token"))
	if err != nil {
		h.t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		h.t.Fatal(err)
	}
	return claims
}

func isPage(err error, kind provider.PageKind) bool {
	var page *provider.PageError
	return errors.As(err, &page) && page.Kind == kind
}
