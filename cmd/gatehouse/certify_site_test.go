package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"

	"gatehouse/config"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// certSite is the provider that the certification suite looks at: the production
// server with one client for each response type, and whatever a relying party
// serves.
type certSite struct {
	*site
	provider *goidc.Provider
	clock    *movingClock
	keys     *keys.Ring // of the relying party
	web, tls *rpWeb     // the relying party's, by http and by https
}

// movingClock is the real clock, and later.
type movingClock struct{ ahead atomic.Int64 }

func (c *movingClock) Now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *movingClock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// rpWeb is the web server of the relying party: its keys, its request objects.
type rpWeb struct {
	*httptest.Server
	mu    sync.Mutex
	pages map[string]string
	asked map[string]int
}

func startRPWeb(t *testing.T) *rpWeb { return startWeb(t, httptest.NewServer) }

func startWeb(t *testing.T, start func(http.Handler) *httptest.Server) *rpWeb {
	t.Helper()
	w := &rpWeb{pages: map[string]string{}, asked: map[string]int{}}
	w.Server = start(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked[r.URL.Path]++
		page, there := w.pages[r.URL.Path]
		if !there {
			http.NotFound(rw, r)
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write([]byte(page))
	}))
	t.Cleanup(w.Close)
	return w
}

// serve publishes a page and returns its address.
func (w *rpWeb) serve(path, page string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pages[path] = page
	return w.URL + path
}

// certPerson has every claim that there is.
var certPerson = ldaptest.Person{UID: "mia", GivenName: "Mia", Surname: "Maximal", More: map[string][]string{
	"mail": {"mia@example.org"}, "initials": {"Q"}, "description": {"Mimi"}, "labeledURI": {"https://people.example.org/mia"}, "employeeType": {"female"},
	"employeeNumber": {"1990-02-28"}, "departmentNumber": {"Europe/Berlin"}, "preferredLanguage": {"de-DE"}, "jpegPhoto": {"\xff\xd8\xff\xe0\x00\x10JFIF\x00"},
	"street": {"Straße 1"}, "l": {"Berlin"}, "st": {"Berlin"}, "postalCode": {"10115"}, "postalAddress": {"Straße 1 $ 10115 Berlin"},
	"telephoneNumber": {"+49 30 1234567"},
}}

// certClaims lets certPerson's attributes be all fourteen claims of profile.
func certClaims(c *config.Config) {
	c.Claims = map[string][]string{
		"middle_name": {"initials"}, "nickname": {"description"}, "profile": {"labeledURI"}, "gender": {"employeeType"},
		"birthdate": {"employeeNumber"}, "zoneinfo": {"departmentNumber"},
	}
	c.Directory.PhotoAttributes = []string{"jpegPhoto"}
	c.Outbound.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
}

// certRegistration lets anybody register for all that certification asks for.
func certRegistration(c *config.Config) {
	r := &c.Registration
	r.Mode, r.OpenRate, r.OpenLimit, r.Logos = "open", 1_000_000, 1000, true
	r.GrantTypes = []string{"authorization_code", "refresh_token", "implicit", "client_credentials"}
	r.ResponseTypes = flowTypes()
	r.Scopes.Everyone = []string{"openid", "profile", "email", "address", "phone", "offline_access"}
}

const certScopes = "scopes: {everyone: [openid, profile, email, address, phone, offline_access]}\n"

// startCertSite starts a provider on a directory that runs already.
func startCertSite(t *testing.T, ldap *ldaptest.Server, files map[string]string, change ...func(*config.Config)) *certSite {
	t.Helper()
	o := &certSite{clock: &movingClock{}, web: startRPWeb(t), tls: startWeb(t, httptest.NewTLSServer)}
	var err error
	if o.keys, err = keys.Open(filepath.Join(t.TempDir(), "rp"), time.Now); err != nil {
		t.Fatal(err)
	}
	o.web.serve("/jwks", string(o.keys.JWKS()))
	o.tls.serve("/jwks", string(o.keys.JWKS()))
	authority := filepath.Join(t.TempDir(), "rp-ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.tls.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, types := range flowTypes() {
		all["clients.d/"+flowClient(types)+".yaml"] = clientYAML(flowClient(types), certScopes+
			"require_pkce: false\nid_token_signed_response_alg: RS256\nresponse_types: [\""+types+"\"]\n")
		all["clients.d/"+flowClient(types)+"-signs.yaml"] = clientYAML(flowClient(types)+"-signs", certScopes+
			"require_pkce: false\nid_token_signed_response_alg: RS256\nresponse_types: [\""+types+"\"]\njwks_uri: "+o.web.URL+"/jwks\n"+
			"request_uris: ["+objects(o, types, "-signs")+"]\n")
		all["clients.d/"+flowClient(types)+"-unsigned.yaml"] = clientYAML(flowClient(types)+"-unsigned", certScopes+
			"require_pkce: false\nid_token_signed_response_alg: RS256\nresponse_types: [\""+types+"\"]\nrequest_object_signing_alg: none\n"+
			"request_uris: ["+objects(o, types, "-unsigned")+"]\n")
	}
	for name, text := range files {
		all[name] = strings.ReplaceAll(text, "RPWEB", o.web.URL)
	}
	for name, text := range all {
		if strings.HasPrefix(name, "clients.d/rp-") {
			all[name] = strings.Replace(text, "client_credentials]", "client_credentials, implicit]", 1)
		}
	}
	o.site = startSiteAt(t, ldap, o.clock.Now, all, append([]func(*config.Config){
		certClaims, certRegistration, func(c *config.Config) { c.Outbound.CAFile = authority },
	}, change...)...)
	if o.provider, err = goidc.NewProvider(context.Background(), o.URL); err != nil {
		t.Fatal(err)
	}
	return o
}

// objects are the addresses of the request objects of a client.
func objects(o *certSite, types, kind string) string {
	at := o.web.URL + "/" + flowClient(types) + kind
	return at + ".jwt, " + at + ".form_post.jwt"
}

// flowTypes are the response types of OpenID Connect.
func flowTypes() []string { return slices.Concat(codeFlow(), implicitFlow(), hybridFlow()) }

func codeFlow() []string     { return []string{"code"} }
func implicitFlow() []string { return []string{"id_token", "id_token token"} }
func hybridFlow() []string {
	return []string{"code id_token", "code token", "code id_token token"}
}

// typesWith are those response types that have this part.
func typesWith(part string) []string {
	return slices.DeleteFunc(flowTypes(), func(types string) bool { return !slices.Contains(strings.Fields(types), part) })
}

// typesAccess are those response types that lead to an access token.
func typesAccess() []string {
	return slices.DeleteFunc(flowTypes(), func(types string) bool { return types == "id_token" })
}

func flowClient(types string) string { return "rp-" + strings.ReplaceAll(types, " ", "-") }

// party is a relying party of the suite, for one response type, with a browser.
type party struct {
	*testing.T
	op       *certSite
	types    string // response_type
	mode     string // response_mode, "" for the default
	id       string // client_id
	secret   string
	callback string // redirect_uri
	browser  *person
}

// newParty returns a relying party with a fresh browser.
func newParty(t *testing.T, op *certSite, types, mode string) *party {
	t.Helper()
	return &party{T: t, op: op, types: types, mode: mode, id: flowClient(types), secret: appSecret, callback: appRedirect, browser: newPerson(t)}
}

// as returns the same relying party as another client; the browser stays.
func (p *party) as(id string) *party {
	other := *p
	other.id = id
	return &other
}

// fresh returns the same relying party with another browser.
func (p *party) fresh() *party {
	other := *p
	other.browser = newPerson(p.T)
	return &other
}

func (p *party) gets(part string) bool { return slices.Contains(strings.Fields(p.types), part) }

// request returns the parameters of an authorisation request; pairs change them,
// and an empty value takes one away.
func (p *party) request(pairs ...string) url.Values {
	form := url.Values{
		"response_type": {p.types}, "client_id": {p.id}, "redirect_uri": {p.callback}, "scope": {"openid"},
		"state": {oidc.NewSecret("state ")}, "nonce": {oidc.NewSecret("nonce-")},
	}
	if p.mode != "" {
		form.Set("response_mode", p.mode)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			form.Del(pairs[i])
		}
	}
	return form
}

// visit sends the browser with a request.
func (p *party) visit(form url.Values) page {
	p.Helper()
	return p.browser.get(p.op.URL + "/oauth2/authorize?" + form.Encode())
}

// signIn sends the browser with a request, has a person sign in if they are asked
// to, and returns what the relying party is told.
func (p *party) signIn(uid string, form url.Values) url.Values {
	p.Helper()
	g := p.visit(form)
	if asksToSignIn(g) {
		g = g.signIn(uid)
	}
	if g.Location == nil && strings.Contains(g.Body, `id="allow"`) {
		g = g.submit("allow", "1")
	}
	return p.answered(g, form)
}

// asksToSignIn reports whether a page asks for name and password.
func asksToSignIn(g page) bool {
	return g.Status == http.StatusOK && strings.Contains(g.Body, `name="password"`)
}

// answered returns what the relying party is told, which must have come in the
// way that it asked for, with its state and the issuer (RFC 9207).
func (p *party) answered(g page, form url.Values) url.Values {
	p.Helper()
	var got url.Values
	switch {
	case p.mode == "form_post":
		if g.Status != http.StatusOK || !strings.Contains(g.Body, "document.forms[0].submit()") || !strings.Contains(g.Body, `action="`+p.callback+`"`) {
			p.Fatalf("%s: no page that posts to the relying party: %d %v %s", p.types, g.Status, g.Location, g.Body)
		}
		_, got = g.form()
	case g.Location == nil:
		p.Fatalf("%s: the browser was not sent back but shown %d: %s", p.types, g.Status, g.Body)
	case p.types == "code":
		if g.Location.Fragment != "" {
			p.Errorf("%s: an answer in the fragment: %v", p.types, g.Location)
		}
		got = g.Location.Query()
	default: // OAuth 2.0 Multiple Response Type Encoding Practices, section 5
		if g.Location.RawQuery != "" {
			p.Errorf("%s: an answer in the query: %v", p.types, g.Location)
		}
		got = g.answer()
	}
	if g.Header.Get("Cache-Control") != "no-store" {
		p.Errorf("%s: an answer that may be kept: %v", p.types, g.Header)
	}
	if got.Get("state") != form.Get("state") || got.Get("iss") != p.op.URL {
		p.Errorf("%s: state %q and iss %q of an answer to %q", p.types, got.Get("state"), got.Get("iss"), form.Get("state"))
	}
	return got
}

// refused returns the error that the relying party is told, which must be all
// that it is told (RFC 6749, section 4.1.2.1; OpenID Connect Core, section 3.1.2.6).
func (p *party) refused(g page, form url.Values) string {
	p.Helper()
	got := p.answered(g, form)
	for name := range got {
		if !slices.Contains([]string{"error", "error_description", "state", "iss"}, name) {
			p.Errorf("%s: an error with %s: %v", p.types, name, got)
		}
	}
	return got.Get("error")
}

// token posts to the token endpoint as the client.
func (p *party) token(form url.Values) (int, map[string]any) {
	p.Helper()
	g := newPerson(p.T).post(p.op.URL+"/oauth2/token", form, p.id, p.secret)
	return g.Status, p.json(g)
}

// json reads the answer of an endpoint that nobody may keep (RFC 6749, section 5.1).
func (p *party) json(g page) map[string]any {
	p.Helper()
	var body map[string]any
	if err := json.Unmarshal([]byte(g.Body), &body); err != nil {
		p.Fatalf("%d %s: %v", g.Status, g.Body, err)
	}
	if kind := g.Header.Get("Content-Type"); kind != "application/json" || g.Header.Get("Cache-Control") != "no-store" || g.Header.Get("Pragma") != "no-cache" {
		p.Errorf("%s: the answer has %q, %q", g.URL.Path, kind, g.Header.Get("Cache-Control"))
	}
	return body
}

// redeem is the token request for a code.
func (p *party) redeem(answer url.Values) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {answer.Get("code")}, "redirect_uri": {p.callback}}
}
