package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/config"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
	"gatehouse/oidc/store"
)

// openRegistration lets anybody register, for all there is.
func openRegistration(c *config.Config) {
	c.Registration.Mode, c.Registration.OpenRate = "open", 1000
	c.Registration.GrantTypes = []string{"authorization_code", "refresh_token", "implicit"}
	c.Registration.ResponseTypes = []string{"code", "code id_token"}
	c.Registration.Scopes.Groups = map[string][]string{ldaptest.GroupDN("cn=staff"): {"profile", "email"}}
}

// answered is an answer to a program.
type answered struct {
	Status int
	Header http.Header
	Body   map[string]any
}

func (a answered) text(name string) string {
	s, _ := a.Body[name].(string)
	return s
}

// call sends JSON, with a bearer token unless it is "".
func (s *site) call(method, address, token, body string) answered {
	s.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, address, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := (&http.Client{Timeout: 20 * time.Second}).Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	out := answered{Status: response.StatusCode, Header: response.Header}
	if response.StatusCode != http.StatusNoContent {
		if err := json.NewDecoder(response.Body).Decode(&out.Body); err != nil {
			s.t.Fatalf("%s %s: %d, no JSON: %v", method, address, response.StatusCode, err)
		}
	}
	return out
}

func (s *site) register(metadata string) answered {
	s.t.Helper()
	return s.call(http.MethodPost, s.URL+"/oauth2/register", "", metadata)
}

// authorizeAddress is where a client sends people to, with PKCE.
func (s *site) authorizeAddress(clientID, scope string) string {
	return s.URL + "/oauth2/authorize?" + url.Values{
		"client_id": {clientID}, "redirect_uri": {appRedirect}, "response_type": {"code"}, "scope": {scope}, "state": {"st"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
	}.Encode()
}

func exchangeForm(code string) url.Values {
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {appRedirect}, "code_verifier": {"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
	}
}

// RFC 7591 and RFC 7592 from end to end: an application registers itself, people sign
// in to it, it changes itself, and goes.
func TestAnApplicationRegistersItself(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil, openRegistration)
	document := s.call(http.MethodGet, s.URL+"/.well-known/openid-configuration", "", "")
	if document.text("registration_endpoint") != s.URL+"/oauth2/register" {
		t.Fatalf("%v", document.Body)
	}
	c := s.register(`{"redirect_uris":["` + appRedirect + `"],"grant_types":["authorization_code","refresh_token"],"client_name":"<script>alert(1)</script>",
		"client_uri":"https://app.example.org/","policy_uri":"https://app.example.org/policy","tos_uri":"https://app.example.org/terms","logo_uri":"https://app.example.org/logo"}`)
	if c.Status != http.StatusCreated || c.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", c.Status, c.Body)
	}
	id, secret := c.text("client_id"), c.text("client_secret")
	alice := newPerson(t)
	page := alice.get(s.authorizeAddress(id, "openid email offline_access"))
	if strings.Contains(page.Body, "<script") || !strings.Contains(page.Body, "&lt;script&gt;") || !strings.Contains(page.Body, "app.example.org (") ||
		strings.Contains(page.Body, "app.example.org/logo") || strings.Contains(page.Header.Get("Content-Security-Policy"), "img-src 'self' data: ") ||
		!strings.Contains(page.Body, "https://app.example.org/policy") {
		t.Errorf("%s\n%s", page.Header.Get("Content-Security-Policy"), page.Body)
	}
	consent := page.signIn("alice")
	done := consent.submit("allow", "1")
	if done.Location == nil || done.Location.Query().Get("code") == "" {
		t.Fatalf("%d %v %s", done.Status, done.Location, done.Body)
	}
	tokens := map[string]any{}
	if err := json.Unmarshal([]byte(alice.post(s.URL+"/oauth2/token", exchangeForm(done.Location.Query().Get("code")), id, secret).Body), &tokens); err != nil || tokens["refresh_token"] == nil {
		t.Fatalf("%v %v", err, tokens)
	}
	access, _ := tokens["access_token"].(string)
	if who := s.call(http.MethodGet, s.URL+"/oauth2/userinfo", access, ""); who.text("email") == "" || who.Body["name"] != nil {
		t.Errorf("%v", who.Body)
	}
	manage, token := c.text("registration_client_uri"), c.text("registration_access_token")
	if read := s.call(http.MethodGet, manage, token, ""); read.Status != http.StatusOK || read.text("client_name") != "<script>alert(1)</script>" {
		t.Errorf("%d %v", read.Status, read.Body)
	}
	changed := s.call(http.MethodPut, manage, token, `{"client_id":"`+id+`","redirect_uris":["`+appRedirect+`"],"client_name":"Wiki"}`)
	if changed.Status != http.StatusOK || changed.text("client_name") != "Wiki" {
		t.Errorf("%d %v", changed.Status, changed.Body)
	}
	if gone := s.call(http.MethodDelete, manage, token, ""); gone.Status != http.StatusNoContent {
		t.Errorf("%d %v", gone.Status, gone.Body)
	}
	if who := s.call(http.MethodGet, s.URL+"/oauth2/userinfo", access, ""); who.Status != http.StatusUnauthorized {
		t.Errorf("a token of a client that is gone: %d %v", who.Status, who.Body)
	}
	if page := alice.get(s.authorizeAddress(id, "openid")); page.Status != http.StatusBadRequest || page.Location != nil {
		t.Errorf("a client that is gone: %d", page.Status)
	}
	for _, text := range []string{secret, token, access} {
		if strings.Contains(s.Log.String(), text) {
			t.Error("the log holds a secret")
		}
	}
}

func TestRegistrationIsOffUnlessItIsSwitchedOn(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	if got := s.register(`{"redirect_uris":["` + appRedirect + `"]}`); got.Status != http.StatusNotFound {
		t.Errorf("%d %v", got.Status, got.Body)
	}
	if got := s.call(http.MethodGet, s.URL+"/.well-known/openid-configuration", "", ""); got.Body["registration_endpoint"] != nil {
		t.Errorf("%v", got.Body)
	}
}

func TestStrangersRegisterAtAPace(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil, openRegistration, func(c *config.Config) { c.Registration.OpenRate, c.Registration.OpenLimit = 4, 2 })
	statuses := []int{}
	var last answered
	for range 5 {
		last = s.register(`{"redirect_uris":["` + appRedirect + `"]}`)
		statuses = append(statuses, last.Status)
	}
	if fmt.Sprint(statuses) != "[201 201 503 503 429]" || last.Header.Get("Retry-After") == "" {
		t.Errorf("%v %v", statuses, last.Header)
	}
	// Who has an initial access token is not held up.
	secret := oidc.NewSecret("ghi_")
	err := s.house.store.CreateRegistrationToken(t.Context(), oidc.RegistrationToken{
		ID: "t", Hash: oidc.HashOf(secret), Uses: 1, UsesLeft: 1, CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.call(http.MethodPost, s.URL+"/oauth2/register", secret, `{"redirect_uris":["`+appRedirect+`"]}`); got.Status != http.StatusCreated {
		t.Errorf("%d %v", got.Status, got.Body)
	}
}

// tlsServer is another server with a certificate of its own; the file holds what makes
// it trusted.
func tlsServer(t *testing.T, h http.Handler) (server *httptest.Server, caFile string) {
	t.Helper()
	server = httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return server, caFile
}

// Nothing that a registrant names makes the server ask within a private network, and
// where the operator allows one, what comes is bounded.
func TestARegistrantCannotMakeTheServerAskWithin(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	within, caFile := tlsServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch r.URL.Path {
		case "/sector":
			_, _ = fmt.Fprintf(w, `[%q]`, appRedirect)
		case "/logo":
			_, _ = w.Write([]byte("\x89PNG\r\n\x1a\n"))
		case "/away":
			http.Redirect(w, r, "https://127.0.0.2/sector", http.StatusFound)
		}
	}))
	named := func(rest string) string { return `{"redirect_uris":["` + appRedirect + `"],` + rest + `}` }
	s := startSite(t, nil, openRegistration, func(c *config.Config) { c.Registration.Logos, c.Outbound.CAFile = true, caFile })
	port := strings.TrimPrefix(within.URL, "https://127.0.0.1:")
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1", "0.0.0.0", "169.254.169.254", "10.0.0.1", "[fe80::1]"} {
		got := s.register(named(`"sector_identifier_uri":"https://` + host + `:` + port + `/sector","subject_type":"pairwise"`))
		if got.Status != http.StatusBadRequest || strings.Contains(got.text("error_description"), "outbound") {
			t.Errorf("%s: %d %v", host, got.Status, got.Body)
		}
	}
	if got := s.register(named(`"logo_uri":"` + within.URL + `/logo","jwks_uri":"` + within.URL + `/jwks","request_uris":["` + within.URL + `/r"],"initiate_login_uri":"` + within.URL + `/i"`)); got.Status != http.StatusCreated {
		t.Errorf("%d %v", got.Status, got.Body)
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d requests went within", n)
	}
	allowed := startSite(t, nil, openRegistration, func(c *config.Config) {
		c.Registration.Logos, c.Outbound.CAFile, c.Outbound.Allow = true, caFile, []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	})
	got := allowed.register(named(`"sector_identifier_uri":"` + within.URL + `/sector","subject_type":"pairwise","logo_uri":"` + within.URL + `/logo"`))
	if got.Status != http.StatusCreated || asked.Load() != 2 {
		t.Fatalf("%d %v, %d asked", got.Status, got.Body, asked.Load())
	}
	page := newPerson(t).get(allowed.authorizeAddress(got.text("client_id"), "openid"))
	if !strings.Contains(page.Body, `src="data:image/png;base64,`) || strings.Contains(page.Body, within.URL) {
		t.Errorf("%s", page.Body)
	}
	if got := allowed.register(named(`"sector_identifier_uri":"` + within.URL + `/away","subject_type":"pairwise"`)); got.Status != http.StatusBadRequest {
		t.Errorf("a redirect elsewhere: %d %v", got.Status, got.Body)
	}
}

func TestWhatIsHugeOrDeepIsRefusedQuickly(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil, openRegistration)
	for name, body := range map[string]string{
		"deep":           strings.Repeat(`{"a":`, 10_000),
		"deep lists":     strings.Repeat(`[`, 60_000),
		"large":          `{"client_name":"` + strings.Repeat("a", 60_000) + `"}`,
		"too large":      `{"client_name":"` + strings.Repeat("a", 1<<20) + `"}`,
		"many members":   "{" + strings.Repeat(`"a":1,`, 4000) + `"b":1}`,
		"a large number": `{"redirect_uris":["` + appRedirect + `"],"default_max_age":1` + strings.Repeat("0", 20_000) + `}`,
	} {
		got := s.register(body)
		if got.Status != http.StatusBadRequest && got.Status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %d %v", name, got.Status, got.Body)
		}
	}
}

func TestTheSectorOfAClientFileIsLookedAtByTheCheck(t *testing.T) {
	t.Parallel()
	sectors, caFile := tlsServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `[%q]`, r.URL.Query().Get("lists"))
	}))
	client := func(id, lists string) string {
		return "client_id: " + id + "\ntoken_endpoint_auth_method: none\nsubject_type: pairwise\nredirect_uris: [" + appRedirect + "]\nsector_identifier_uri: " +
			sectors.URL + "/?lists=" + url.QueryEscape(lists) + "\nscopes: {everyone: [openid]}\n"
	}
	path := writeSite(t, ldaptest.Start(t), "http://127.0.0.1:1", "127.0.0.1:1", map[string]string{
		"clients.d/good.yaml": client("good", appRedirect), "clients.d/bad.yaml": client("bad", "https://other.example.org/"),
	})
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(text, "outbound: {allow: [127.0.0.1], ca_file: "+caFile+"}\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	var out buffer
	env := &environment{stdin: strings.NewReader(""), stdout: &out, stderr: &out, environ: os.Environ(), now: time.Now}
	run(context.Background(), []string{"check", "--live", "--config", path}, env)
	if got := out.String(); !strings.Contains(got, "client bad: sector_identifier_uri: it does not list all redirect_uris") || strings.Contains(got, "client good") {
		t.Error(got)
	}
}

// OpenID Connect Core 1.0, section 4: a sign-in that is begun elsewhere.
func TestASignInCanBeBegunFromALink(t *testing.T) {
	t.Parallel()
	s := startSite(t, map[string]string{
		"clients.d/wiki.yaml": clientYAML("wiki", "initiate_login_uri: https://app.example.org/start?a=b\nclient_uri: https://www.example.org/\nscopes: {everyone: [openid]}\n"),
		"clients.d/own.yaml":  clientYAML("own", "initiate_login_uri: https://own.example.org/start\nown_issuer: true\nscopes: {everyone: [openid]}\n"),
	}, openRegistration)
	visit := func(address string) page { t.Helper(); return newPerson(t).get(s.URL + address) }
	got := visit("/login/wiki?login_hint=alice%40example.org&target_link_uri=" + url.QueryEscape("https://www.example.org/page?x=1") + "&iss=https://evil.example&evil=1")
	if got.Status != http.StatusSeeOther || got.Location == nil {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	query := got.Location.Query()
	if got.Location.Host != "app.example.org" || len(query) != 4 || query.Get("a") != "b" || query.Get("iss") != s.URL ||
		query.Get("login_hint") != "alice@example.org" || query.Get("target_link_uri") != "https://www.example.org/page?x=1" {
		t.Errorf("%s", got.Location)
	}
	for _, target := range []string{"https://evil.example/", "//evil.example/", "https://app.example.org@evil.example/", "javascript:alert(1)", "https://app.example.org.evil.example/", "https:\\\\evil.example"} {
		got := visit("/login/wiki?target_link_uri=" + url.QueryEscape(target))
		if got.Location == nil || got.Location.Host != "app.example.org" || got.Location.Query().Has("target_link_uri") {
			t.Errorf("%s: %d %v", target, got.Status, got.Location)
		}
	}
	if got := visit("/login/own"); got.Location == nil || got.Location.Query().Get("iss") != s.URL+"/oauth2/openid/own" {
		t.Errorf("a client with an issuer of its own: %d %v", got.Status, got.Location)
	}
	for _, id := range []string{"app", "unknown", "dyn_unknown", ".."} {
		if got := visit("/login/" + id); got.Status != http.StatusBadRequest && got.Status != http.StatusNotFound || got.Location != nil {
			t.Errorf("%s: %d %v", id, got.Status, got.Location)
		}
	}
	// Addresses of ours lead to no stranger without a word.
	c := s.register(`{"redirect_uris":["` + appRedirect + `"],"client_name":"Your payslip","initiate_login_uri":"https://evil.example/start?x=%22%3E%3Cscript%3E"}`)
	asked := visit("/login/" + c.text("client_id"))
	if asked.Status != http.StatusOK || asked.Location != nil || !strings.Contains(asked.Body, "<bdi>evil.example (Your payslip)</bdi>") ||
		!strings.Contains(asked.Body, `href="https://evil.example/start?x=%22%3E%3Cscript%3E&amp;iss=`) || strings.Contains(asked.Body, "<script") {
		t.Errorf("%d %v %s", asked.Status, asked.Location, asked.Body)
	}
}

func TestCommandsKnowRegisteredClients(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	path := filepath.Join(s.Dir, "gatehouse.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(text, "registration: {mode: open}\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	err = s.house.store.CreateRegistrationToken(t.Context(), oidc.RegistrationToken{
		ID: "t", Hash: oidc.HashOf("ghi_x"), Uses: 1, UsesLeft: 1, CreatedAt: now, ExpiresAt: now.Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	h := oidc.HashOf("ghi_x")
	_, err = s.house.store.Register(t.Context(), store.NewRegistration{Token: &h, Registration: oidc.Registration{
		ClientID: "dyn_a", Metadata: []byte(`{"redirect_uris":["` + appRedirect + `"],"client_name":"Wiki \u001b[31m"}`), CreatedAt: now, ExpiresAt: now.Add(time.Hour),
	}})
	if err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) string {
		var out buffer
		env := &environment{stdin: strings.NewReader(""), stdout: &out, stderr: &out, environ: os.Environ(), now: time.Now}
		run(context.Background(), append(args, "--config", path), env)
		return out.String()
	}
	if got := command("client", "get", "dyn_a"); !strings.Contains(got, "no longer allowed") && !strings.Contains(got, "control character") {
		t.Errorf("a name that nobody could have registered: %s", got)
	}
	_, err = s.house.store.Register(t.Context(), store.NewRegistration{OpenLimit: 5, Registration: oidc.Registration{
		ClientID: "dyn_b", Metadata: []byte(`{"redirect_uris":["` + appRedirect + `"],"client_name":"Wiki"}`), CreatedAt: now, ExpiresAt: now.Add(time.Hour),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"client get dyn_b": "client_name: Wiki", "explain --user alice --client dyn_b": "would be let in", "client registered list": "dyn_b", "client get dyn_c": "not found",
	} {
		if got := command(strings.Fields(args)...); !strings.Contains(got, want) {
			t.Errorf("%s: %s", args, got)
		}
	}
	if got := command("client", "registered", "remove", "dyn_b"); !strings.Contains(got, "is gone") || !strings.Contains(command("client", "get", "dyn_b"), "not found") {
		t.Errorf("%s", got)
	}
}
