package provider_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/clients"
	"gatehouse/oidc/outbound"
	"gatehouse/oidc/provider"
)

// registrar is a house in which clients register themselves.
type registrar struct {
	*house
	registry *clients.Registry
	pages    sites
	log      *bytes.Buffer
}

// sites are what other servers answer, by address.
type sites struct {
	mu      *sync.Mutex
	answers map[string]string
	asked   *[]string
}

func (s sites) Get(_ context.Context, address string, limit int64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*s.asked = append(*s.asked, address)
	body, found := s.answers[address]
	if !found {
		return nil, fmt.Errorf("%w: %s", outbound.ErrRefused, address)
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("larger than %d", limit)
	}
	return []byte(body), nil
}

// both finds clients of the tests and registered ones.
type both struct {
	clientSet
	registry *clients.Registry
}

func (b both) Client(id string) (*oidc.Client, error) {
	if c, err := b.clientSet.Client(id); err == nil {
		return c, nil
	}
	return b.registry.Client(id)
}

func newRegistrar(t *testing.T, change ...func(*provider.Registration)) *registrar {
	t.Helper()
	policy, err := clients.NewPolicy(clients.Settings{
		Everyone: []string{"openid"}, Groups: map[string][]string{staff.String(): {"profile", "email"}},
		GrantTypes: []string{"authorization_code", "refresh_token", "implicit"}, ResponseTypes: []string{"code", "id_token", "code id_token"}, Consent: "none",
	})
	if err != nil {
		t.Fatal(err)
	}
	files, err := clients.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := &registrar{log: &bytes.Buffer{}, pages: sites{mu: &sync.Mutex{}, answers: map[string]string{}, asked: &[]string{}}}
	r.house = newHouse(t, func(o *provider.Options) {
		s := o.Store.(interface {
			provider.RegistrationStore
			clients.Registrations
		})
		sealer, err := clients.NewSealer(o.Derive(clients.SealPurpose, 32))
		if err != nil {
			t.Fatal(err)
		}
		r.registry = clients.NewRegistry(files, s, policy, slog.New(slog.DiscardHandler))
		o.Clients, o.Secrets, o.Fetch, o.SecretOf = both{o.Clients.(clientSet), r.registry}, clients.NewVerifier(), r.pages, sealer.Secret
		o.Log = slog.New(slog.NewTextHandler(r.log, nil))
		o.Registration = &provider.Registration{
			Policy: policy, Store: s, Open: true, OpenLimit: 3, OpenLifespan: time.Hour, Lifespan: 1000 * time.Hour, Seal: sealer.Seal, Logos: true,
		}
		for _, f := range change {
			f(o.Registration)
		}
	})
	return r
}

// ask sends JSON with a bearer token, "" for none.
func (r *registrar) ask(method, address, token, body string) answer {
	r.t.Helper()
	request := httptest.NewRequest(method, address, strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h := r.provider.Register()
	if request.URL.Path != provider.PathRegister {
		h = r.provider.ManageRegistration()
	}
	h.ServeHTTP(w, request)
	out := answer{Status: w.Code, Header: w.Header()}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &out.Body); err != nil {
			r.t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	return out
}

func (r *registrar) register(token, metadata string) answer {
	r.t.Helper()
	return r.ask(http.MethodPost, provider.PathRegister, token, metadata)
}

// registered registers a client that must be taken.
func (r *registrar) registered(metadata string) answer {
	r.t.Helper()
	got := r.register("", metadata)
	if got.Status != http.StatusCreated {
		r.t.Fatalf("%d %v", got.Status, got.Body)
	}
	return got
}

func (r *registrar) token(uses int) string {
	r.t.Helper()
	secret := oidc.NewSecret(provider.InitialPrefix)
	now := r.clock.Now()
	err := r.store.CreateRegistrationToken(context.Background(), oidc.RegistrationToken{
		ID: "token", Hash: oidc.HashOf(secret), Uses: uses, UsesLeft: uses, CreatedAt: now, ExpiresAt: now.Add(time.Hour),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return secret
}

const webApp = `{"redirect_uris":["` + redirect + `"],"grant_types":["authorization_code","refresh_token"]}`

// signIn sends alice through the code flow of a registered client.
func (r *registrar) signIn(c answer) answer {
	r.t.Helper()
	code := r.code(request("client_id", c.text("client_id"), "scope", "openid offline_access"))
	return r.post(r.provider.Token(), exchange(code), c.text("client_id"), c.text("client_secret"))
}

// RFC 7591, section 3.2.1; RFC 7592, section 3.
func TestARegisteredClientIsToldAllThatItIs(t *testing.T) {
	t.Parallel()
	r := newRegistrar(t)
	got := r.registered(webApp)
	now := r.clock.Now()
	if got.Header.Get("Cache-Control") != "no-store" || got.text("client_secret") == "" || got.text("registration_access_token") == "" ||
		got.text("registration_client_uri") != issuer+"/oauth2/register/"+got.text("client_id") ||
		got.Body["client_id_issued_at"] != float64(now.Unix()) || got.Body["client_secret_expires_at"] != float64(now.Add(time.Hour).Unix()) ||
		got.text("token_endpoint_auth_method") != "client_secret_basic" || got.text("id_token_signed_response_alg") != "RS256" {
		t.Errorf("%v %v", got.Header, got.Body)
	}
	tokens := r.signIn(got)
	if tokens.Status != http.StatusOK || tokens.text("refresh_token") == "" {
		t.Fatalf("%d %v", tokens.Status, tokens.Body)
	}
	if claims := r.idToken(tokens); claims["aud"] != got.text("client_id") || claims["sub"] != "uuid-alice" {
		t.Errorf("%v", claims)
	}
	public := r.registered(`{"redirect_uris":["` + redirect + `"],"token_endpoint_auth_method":"none"}`)
	if public.Body["client_secret"] != nil || public.Body["client_secret_expires_at"] != nil {
		t.Errorf("a public client got a secret: %v", public.Body)
	}
}

// RFC 7592, section 2.1.
func TestAClientReadsItsRegistrationAndNobodyElseDoes(t *testing.T) {
	t.Parallel()
	r := newRegistrar(t)
	mine, theirs := r.registered(webApp), r.registered(webApp)
	address, token := mine.text("registration_client_uri"), mine.text("registration_access_token")
	read := r.ask(http.MethodGet, address, token, "")
	if read.Status != http.StatusOK || read.text("client_id") != mine.text("client_id") || read.text("registration_access_token") != token ||
		read.Body["client_secret"] != nil || read.text("scope") != mine.text("scope") {
		t.Errorf("%d %v", read.Status, read.Body)
	}
	for name, c := range map[string]struct{ address, token string }{
		"another's token":   {address, theirs.text("registration_access_token")},
		"no token":          {address, ""},
		"the secret":        {address, mine.text("client_secret")},
		"an unknown client": {issuer + "/oauth2/register/dyn_unknown", token},
		"no client":         {issuer + "/oauth2/register/", token},
		"a client of files": {issuer + "/oauth2/register/app", token},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			got := r.ask(method, c.address, c.token, webApp)
			if got.Status != http.StatusUnauthorized || got.text("error") != "invalid_token" || !strings.HasPrefix(got.Header.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%s, %s: %d %v", name, method, got.Status, got.Body)
			}
		}
	}
}

// RFC 7592, section 2.2.
func TestAnUpdateTakesThePlaceOfAllThatWas(t *testing.T) {
	t.Parallel()
	r := newRegistrar(t)
	mine := r.registered(`{"redirect_uris":["` + redirect + `","https://old.example.org/"],"client_name":"Old","scope":"openid"}`)
	id, address, token := mine.text("client_id"), mine.text("registration_client_uri"), mine.text("registration_access_token")
	put := func(rest string) answer {
		return r.ask(http.MethodPut, address, token, `{"client_id":"`+id+`","redirect_uris":["`+redirect+`"]`+rest+`}`)
	}
	updated := put(`,"registration_access_token":"x","client_id_issued_at":1`)
	if updated.Status != http.StatusOK || updated.Body["client_name"] != nil || updated.text("scope") != "openid profile email" || updated.Body["client_secret"] != nil {
		t.Errorf("%d %v", updated.Status, updated.Body)
	}
	c, err := r.registry.Client(id)
	if err != nil || len(c.RedirectURIs) != 1 || c.Name != id {
		t.Errorf("%+v %v", c, err)
	}
	if tokens := r.signIn(mine); tokens.Status != http.StatusOK {
		t.Errorf("the secret is no longer right: %d %v", tokens.Status, tokens.Body)
	}
	for name, body := range map[string]string{
		"without client_id":       webApp,
		"another's client_id":     `{"client_id":"app","redirect_uris":["` + redirect + `"]}`,
		"a secret that is wrong":  `{"client_id":"` + id + `","client_secret":"wrong","redirect_uris":["` + redirect + `"]}`,
		"metadata that are wrong": `{"client_id":"` + id + `","redirect_uris":["http://a.example.org"]}`,
	} {
		if got := r.ask(http.MethodPut, address, token, body); got.Status != http.StatusBadRequest {
			t.Errorf("%s: %d %v", name, got.Status, got.Body)
		}
	}
	if got := put(`,"client_secret":"` + mine.text("client_secret") + `"`); got.Status != http.StatusOK {
		t.Errorf("with its own secret: %d %v", got.Status, got.Body)
	}
	if got := put(`,"token_endpoint_auth_method":"none"`); got.Status != http.StatusOK || got.Body["client_secret"] != nil {
		t.Errorf("to a public client: %d %v", got.Status, got.Body)
	}
	fresh := put(``)
	if fresh.text("client_secret") == "" || fresh.text("client_secret") == mine.text("client_secret") {
		t.Errorf("back to one with a secret: %v", fresh.Body)
	}
}

// RFC 7592, section 2.3.
func TestADeletedClientIsGoneWithAllThatItHad(t *testing.T) {
	t.Parallel()
	r := newRegistrar(t)
	mine := r.registered(webApp)
	tokens := r.signIn(mine)
	access := tokens.text("access_token")
	if got := r.userinfo(access); got.Status != http.StatusOK {
		t.Fatalf("%d %v", got.Status, got.Body)
	}
	address, token := mine.text("registration_client_uri"), mine.text("registration_access_token")
	if got := r.ask(http.MethodDelete, address, token, ""); got.Status != http.StatusNoContent || got.Body != nil {
		t.Fatalf("%d %v", got.Status, got.Body)
	}
	if got := r.userinfo(access); got.Status != http.StatusUnauthorized {
		t.Errorf("userinfo: %d %v", got.Status, got.Body)
	}
	if got := r.post(r.provider.Token(), refresh(tokens.text("refresh_token")), mine.text("client_id"), mine.text("client_secret")); got.text("error") != "invalid_client" {
		t.Errorf("refresh: %d %v", got.Status, got.Body)
	}
	if _, _, err := r.begin(request("client_id", mine.text("client_id"))); !isPage(err, provider.PageUnknownClient) {
		t.Errorf("authorisation: %v", err)
	}
	if got := r.ask(http.MethodGet, address, token, ""); got.Status != http.StatusUnauthorized {
		t.Errorf("read: %d", got.Status)
	}
}

func TestRegistrationsEndAtTheirTime(t *testing.T) {
	t.Parallel()
	r := newRegistrar(t)
	open := r.registered(webApp)
	vouched := r.register(r.token(1), webApp)
	access := r.signIn(open).text("access_token")
	update := func(c answer) answer {
		return r.ask(http.MethodPut, c.text("registration_client_uri"), c.text("registration_access_token"),
			`{"client_id":"`+c.text("client_id")+`","redirect_uris":["`+redirect+`"]}`)
	}
	r.clock.Advance(59 * time.Minute)
	if got := update(open); got.Body["client_secret_expires_at"] != open.Body["client_secret_expires_at"] {
		t.Errorf("an update lengthens what nobody vouched for: %v", got.Body)
	}
	if got := update(vouched); got.Body["client_secret_expires_at"] != float64(r.clock.Now().Add(1000*time.Hour).Unix()) {
		t.Errorf("an update begins the time of a vouched client anew: %v", got.Body)
	}
	if got := r.userinfo(access); got.Status != http.StatusOK {
		t.Errorf("a minute before its end: %d", got.Status)
	}
	r.clock.Advance(time.Minute)
	if got := r.userinfo(access); got.Status != http.StatusUnauthorized {
		t.Errorf("at its end: %d %v", got.Status, got.Body)
	}
	if _, err := r.registry.Client(vouched.text("client_id")); err != nil {
		t.Error(err)
	}
}

func TestOpenRegistrationsAreLimitedAndTokensHaveTheirUses(t *testing.T) {
	t.Parallel()
	r := newRegistrar(t)
	for range 3 {
		r.registered(webApp)
	}
	if got := r.register("", webApp); got.Status != http.StatusServiceUnavailable || got.text("error") != "temporarily_unavailable" || got.Header.Get("Retry-After") != "3600" {
		t.Errorf("one too many: %d %v", got.Status, got.Body)
	}
	token := r.token(2)
	for i, want := range []int{201, 201, 401} {
		if got := r.register(token, webApp); got.Status != want {
			t.Errorf("use %d of the token: %d %v", i+1, got.Status, got.Body)
		}
	}
	if got := r.register("ghi_unknown", webApp); got.Status != http.StatusUnauthorized || got.text("error") != "invalid_token" {
		t.Errorf("an unknown token: %d %v", got.Status, got.Body)
	}
	r.clock.Advance(time.Hour)
	r.registered(webApp)
}

func TestWithoutOpenRegistrationATokenIsNeeded(t *testing.T) {
	t.Parallel()
	r := newRegistrar(t, func(o *provider.Registration) { o.Open = false })
	got := r.register("", `{"redirect_uris":["`+redirect+`"],"sector_identifier_uri":"https://app.example.org/s"}`)
	if got.Status != http.StatusUnauthorized || got.text("error") != "invalid_token" {
		t.Errorf("%d %v", got.Status, got.Body)
	}
	got = r.register("ghi_unknown", `{"redirect_uris":["`+redirect+`"],"sector_identifier_uri":"https://app.example.org/s","logo_uri":"https://app.example.org/l"}`)
	if got.Status != http.StatusUnauthorized || len(*r.pages.asked) > 0 {
		t.Errorf("something was fetched for a stranger: %d %v", got.Status, *r.pages.asked)
	}
	if got := r.register(r.token(1), webApp); got.Status != http.StatusCreated {
		t.Errorf("%d %v", got.Status, got.Body)
	}
}

// OpenID Connect Core 1.0, section 8.1; OpenID Connect Registration 1.0, section 5.
func TestASectorIdentifierMustListAllRedirectURIs(t *testing.T) {
	t.Parallel()
	r := newRegistrar(t, func(o *provider.Registration) { o.OpenLimit = 100 })
	const other = "https://other.example.net/cb"
	pairwise := func(sector string) string {
		return `{"redirect_uris":["` + redirect + `","` + other + `"],"subject_type":"pairwise","sector_identifier_uri":"` + sector + `"}`
	}
	r.pages.answers["https://s.example.org/good"] = `["` + redirect + `","` + other + `","https://x.example.org/"]`
	r.pages.answers["https://s.example.org/half"] = `["` + redirect + `"]`
	r.pages.answers["https://s.example.org/object"] = `{"a":1}`
	r.pages.answers["https://s.example.org/large"] = `["` + strings.Repeat("a", 70<<10) + `"]`
	for name, says := range map[string]string{
		"half": "does not list all", "object": "can't be fetched, or is not", "large": "can't be fetched, or is not", "missing": "can't be fetched, or is not",
	} {
		got := r.register("", pairwise("https://s.example.org/"+name))
		if got.Status != http.StatusBadRequest || got.text("error") != "invalid_client_metadata" || !strings.Contains(got.text("error_description"), says) {
			t.Errorf("%s: %d %v", name, got.Status, got.Body)
		}
	}
	subject := func(c answer) string {
		t.Helper()
		sub, _ := r.idToken(r.signIn(c))["sub"].(string)
		return sub
	}
	a, b := r.registered(pairwise("https://s.example.org/good")), r.registered(pairwise("https://s.example.org/good"))
	alone := r.registered(`{"redirect_uris":["` + redirect + `"],"subject_type":"pairwise"}`)
	if subject(a) != subject(b) || subject(a) == subject(alone) || subject(a) == "uuid-alice" {
		t.Errorf("%s %s %s", subject(a), subject(b), subject(alone))
	}
	// A client that has tokens already would learn another sector's ids.
	got := r.ask(http.MethodPut, alone.text("registration_client_uri"), alone.text("registration_access_token"),
		`{"client_id":"`+alone.text("client_id")+`","redirect_uris":["`+other+`"],"subject_type":"pairwise"}`)
	if got.Status != http.StatusBadRequest || !strings.Contains(got.text("error_description"), "sector") {
		t.Errorf("a move to another sector: %d %v", got.Status, got.Body)
	}
}

func TestALogoIsFetchedOnceAndKeptIfItIsAPicture(t *testing.T) {
	t.Parallel()
	r := newRegistrar(t, func(o *provider.Registration) { o.OpenLimit = 100 })
	r.pages.answers["https://app.example.org/logo"] = "\x89PNG\r\n\x1a\n" + "rest"
	r.pages.answers["https://app.example.org/page"] = "<svg onload=alert(1)>"
	logo := func(address string) string {
		got := r.registered(`{"redirect_uris":["` + redirect + `"],"logo_uri":"` + address + `"}`)
		if got.text("logo_uri") != address {
			t.Errorf("%v", got.Body)
		}
		c, err := r.registry.Client(got.text("client_id"))
		if err != nil {
			t.Fatal(err)
		}
		return c.LogoURI
	}
	if got := logo("https://app.example.org/logo"); !strings.HasPrefix(got, "data:image/png;base64,") {
		t.Errorf("%q", got)
	}
	for _, address := range []string{"https://app.example.org/page", "https://app.example.org/missing"} {
		if got := logo(address); got != "" {
			t.Errorf("%s: %q", address, got)
		}
	}
}

func TestAClientThatSignsWithItsSecretHasItSealed(t *testing.T) {
	t.Parallel()
	r := newRegistrar(t)
	got := r.registered(`{"redirect_uris":["` + redirect + `"],"id_token_signed_response_alg":"HS256"}`)
	c, err := r.registry.Client(got.text("client_id"))
	if err != nil || c.SecretSealed == "" || strings.Contains(c.SecretSealed, got.text("client_secret")) {
		t.Fatalf("%+v %v", c, err)
	}
	if tokens := r.signIn(got); tokens.Status != http.StatusOK || strings.Count(tokens.text("id_token"), ".") != 2 {
		t.Errorf("%d %v", tokens.Status, tokens.Body)
	}
	if got := r.register("", `{"redirect_uris":["`+redirect+`"],"id_token_signed_response_alg":"ES512"}`); got.text("error") != "invalid_client_metadata" {
		t.Errorf("an algorithm that there is no key for: %d %v", got.Status, got.Body)
	}
}

func TestRegistrationTakesJSONOnly(t *testing.T) {
	t.Parallel()
	r := newRegistrar(t)
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
		request := httptest.NewRequest(http.MethodPost, provider.PathRegister, strings.NewReader(webApp))
		request.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		r.provider.Register().ServeHTTP(w, request)
		if w.Code != http.StatusBadRequest || w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%q: %d", kind, w.Code)
		}
	}
}

func TestRegistrationIsAuditedWithoutSecrets(t *testing.T) {
	t.Parallel()
	r := newRegistrar(t)
	got := r.register(r.token(1), webApp)
	address, token := got.text("registration_client_uri"), got.text("registration_access_token")
	r.ask(http.MethodPut, address, token, `{"client_id":"`+got.text("client_id")+`","redirect_uris":["`+redirect+`"]}`)
	r.ask(http.MethodDelete, address, token, "")
	r.ask(http.MethodDelete, address, token, "")
	log := r.log.String()
	for _, event := range []string{"client_registered", "client_registration_changed", "client_registration_ended", "client_registration_refused", "registration_token=token"} {
		if !strings.Contains(log, event) {
			t.Errorf("the log does not hold %s:\n%s", event, log)
		}
	}
	for _, secret := range []string{got.text("client_secret"), token} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds a secret: %s", log)
		}
	}
}

func TestDiscoveryNamesRegistrationWhereThereIsOne(t *testing.T) {
	t.Parallel()
	read := func(p *provider.Provider) string {
		w := httptest.NewRecorder()
		p.Discovery().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		return w.Body.String()
	}
	if text := read(newRegistrar(t).provider); !strings.Contains(text, `"registration_endpoint":"`+issuer+`/oauth2/register"`) {
		t.Error(text)
	}
	if text := read(newHouse(t).provider); strings.Contains(text, "registration_endpoint") {
		t.Error(text)
	}
}

// OpenID Connect Registration 1.0, section 2: default_max_age, default_acr_values.
func TestWhatAClientRegisteredHoldsWhereARequestSaysNothing(t *testing.T) {
	t.Parallel()
	r := newRegistrar(t)
	c := r.registered(`{"redirect_uris":["` + redirect + `"],"default_max_age":60,"default_acr_values":["urn:gatehouse:acr:password"]}`)
	step := func(age time.Duration, changes ...string) provider.Step {
		t.Helper()
		form := request(append([]string{"client_id", c.text("client_id"), "scope", "openid"}, changes...)...)
		return r.next(form, r.signedIn("uuid-alice", age))
	}
	if s := step(2 * time.Minute); s.SignIn == nil {
		t.Errorf("an old sign-in does: %+v", s)
	}
	if s := step(2*time.Minute, "max_age", "3600"); s.Response == nil {
		t.Errorf("max_age of the request is passed over: %+v", s)
	}
	code := r.answer(step(30 * time.Second)).Get("code")
	tokens := r.post(r.provider.Token(), exchange(code), c.text("client_id"), c.text("client_secret"))
	if claims := r.idToken(tokens); claims["acr"] != "urn:gatehouse:acr:password" || claims["auth_time"] == nil {
		t.Errorf("%v", claims)
	}
}
