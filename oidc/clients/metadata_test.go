package clients_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"gatehouse/oidc"
	"gatehouse/oidc/clients"
)

// everything is a policy that allows all there is.
func everything(t *testing.T, change ...func(*clients.Settings)) *clients.Policy {
	t.Helper()
	s := clients.Settings{
		Everyone: []string{"openid", "profile"}, Groups: map[string][]string{"cn=staff,dc=x": {"email", "groups"}},
		GrantTypes:    []string{"authorization_code", "refresh_token", "implicit", "client_credentials"},
		ResponseTypes: []string{"code", "id_token", "id_token token", "token", "code id_token", "code token", "code id_token token"},
		Consent:       "remembered",
	}
	for _, f := range change {
		f(&s)
	}
	p, err := clients.NewPolicy(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const publicJWKS = `{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`

func TestMetadataBecomesAClientAndComesBackAsItWas(t *testing.T) {
	t.Parallel()
	p := everything(t)
	text := `{"redirect_uris":["https://a.example.org/cb","https://b.example.org/cb?x=1"],"post_logout_redirect_uris":["https://a.example.org/out"],
		"response_types":["code","token id_token"],"grant_types":["authorization_code","implicit","refresh_token"],"application_type":"web",
		"client_name":"Wiki <b>","client_name#de":"Das Wiki","client_uri":"https://a.example.org/","logo_uri":"https://a.example.org/l.png",
		"policy_uri":"https://a.example.org/p","tos_uri":"https://a.example.org/t","contacts":["a@example.org"],"software_id":"x","software_version":"1",
		"token_endpoint_auth_method":"private_key_jwt","token_endpoint_auth_signing_alg":"ES256","jwks":` + publicJWKS + `,
		"request_object_signing_alg":"ES256","request_uris":["https://a.example.org/r#x"],"require_signed_request_object":true,
		"subject_type":"pairwise","sector_identifier_uri":"https://a.example.org/sector","id_token_signed_response_alg":"PS256",
		"default_max_age":0,"default_acr_values":["a","b"],"require_auth_time":true,"initiate_login_uri":"https://a.example.org/start",
		"require_pushed_authorization_requests":true,"scope":"openid email nonsense","unknown":{"a":[1]},"null":null,"jwks_uri":null}`
	m, err := p.Read([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c := m.Client
	if len(c.RedirectURIs) != 2 || c.Name != "Wiki <b>" || c.Consent != oidc.ConsentRemembered || c.RequirePKCE || c.OnMissingScope != oidc.MissingNarrow ||
		c.DefaultMaxAge == nil || *c.DefaultMaxAge != 0 || !c.RequireAuthTime || c.SectorIdentifierURI == "" || c.IDTokenSignedResponseAlg != "PS256" {
		t.Errorf("%+v", c)
	}
	if fmt.Sprint(c.Scopes.Everyone) != "[openid]" || len(c.Scopes.Groups) != 1 || fmt.Sprint(c.Scopes.Groups[0].Scopes) != "[email]" {
		t.Errorf("scopes %+v", c.Scopes)
	}
	kept, err := m.Kept()
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.Read(kept)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again.Client, c) {
		t.Errorf("kept\n%+v\ncame back as\n%+v", c, again.Client)
	}
	told := clients.Describe(c)
	if told["scope"] != "openid email offline_access" || told["unknown"] != nil || told["client_name#de"] != nil || told["client_id"] != nil {
		t.Errorf("%v", told)
	}
}

func TestWhatMetadataLeavesOutHasTheDefaultsOfTheSpecifications(t *testing.T) {
	t.Parallel()
	m, err := everything(t).Read([]byte(`{"redirect_uris":["https://app.example.org/cb"]}`))
	if err != nil {
		t.Fatal(err)
	}
	told, err := json.Marshal(clients.Describe(m.Client))
	if err != nil {
		t.Fatal(err)
	}
	// RFC 7591, section 2; OpenID Connect Registration 1.0, section 2.
	want := `{"application_type":"web","grant_types":["authorization_code"],"id_token_signed_response_alg":"RS256","redirect_uris":["https://app.example.org/cb"],` +
		`"response_modes":["query","form_post"],"response_types":["code"],"scope":"openid profile email groups","subject_type":"public","token_endpoint_auth_method":"client_secret_basic"}`
	if string(told) != want {
		t.Errorf("got  %s\nwant %s", told, want)
	}
	if m.Client.RequirePKCE || m.Client.Name != "" {
		t.Errorf("%+v", m.Client)
	}
	m, err = everything(t).Read([]byte(`{"redirect_uris":["https://app.example.org/cb"],"response_types":["code id_token"]}`))
	if err != nil || fmt.Sprint(m.Client.GrantTypes) != "[authorization_code implicit]" {
		t.Errorf("grant types that the response types need: %v %v", m, err)
	}
	m, err = everything(t).Read([]byte(`{"redirect_uris":["https://app.example.org/cb"],"token_endpoint_auth_method":"none"}`))
	if err != nil || !m.Client.RequirePKCE {
		t.Errorf("a public client without PKCE: %v %v", m, err)
	}
	strict := everything(t, func(s *clients.Settings) { s.RequirePKCE = true })
	if m, err = strict.Read([]byte(`{"redirect_uris":["https://app.example.org/cb"]}`)); err != nil || !m.Client.RequirePKCE {
		t.Errorf("PKCE that the operator demands: %v %v", m, err)
	}
}

func TestBadMetadataGetsTheErrorOfTheSpecification(t *testing.T) {
	t.Parallel()
	p := everything(t)
	web := func(uri string) string { return fmt.Sprintf(`{"redirect_uris":[%q]}`, uri) }
	native := func(uri string) string {
		return fmt.Sprintf(`{"redirect_uris":[%q],"application_type":"native"}`, uri)
	}
	with := func(rest string) string { return `{"redirect_uris":["https://app.example.org/cb"],` + rest + `}` }
	for name, c := range map[string]struct{ text, code, says string }{
		// OpenID Connect Registration 1.0, section 2: application_type, redirect_uris.
		"a web application by http":               {web("http://app.example.org/cb"), clients.ErrorRedirectURI, "https"},
		"a web application on localhost":          {web("https://localhost/cb"), clients.ErrorRedirectURI, "localhost"},
		"a web application on a loopback address": {web("https://127.0.0.1/cb"), clients.ErrorRedirectURI, "localhost"},
		"a web application by http on localhost":  {web("http://localhost/cb"), clients.ErrorRedirectURI, "https"},
		"a web application with its own scheme":   {web("org.example.app:/cb"), clients.ErrorRedirectURI, "https"},
		"a fragment":                              {web("https://app.example.org/cb#x"), clients.ErrorRedirectURI, "fragment"},
		"a wildcard":                              {web("https://*.example.org/cb"), clients.ErrorRedirectURI, "wildcard"},
		"a user":                                  {web("https://a@app.example.org/cb"), clients.ErrorRedirectURI, "user"},
		"no scheme":                               {web("//app.example.org/cb"), clients.ErrorRedirectURI, "absolute"},
		"a script":                                {web("javascript:alert(1)"), clients.ErrorRedirectURI, "https"},
		"a script without brackets":               {native("javascript:alert`1`"), clients.ErrorRedirectURI, "character"},
		"a script as a native application's":      {native("javascript:alert"), clients.ErrorRedirectURI, "scheme"},
		"data as a native application's":          {native("data:text/html,x"), clients.ErrorRedirectURI, "scheme"},
		"a native application by http elsewhere":  {native("http://app.example.org/cb"), clients.ErrorRedirectURI, "loopback"},
		"no redirect URI":                         {`{}`, clients.ErrorRedirectURI, "there is none"},
		"redirect URIs that are a text":           {`{"redirect_uris":"https://app.example.org/cb"}`, clients.ErrorRedirectURI, "list"},
		"redirect URIs that are null":             {`{"redirect_uris":[null]}`, clients.ErrorRedirectURI, "list"},
		"too many redirect URIs":                  {`{"redirect_uris":["` + strings.Repeat(`https://a/","`, 60) + `https://b/"]}`, clients.ErrorRedirectURI, "more than 50"},
		"a kind of application that is none":      {with(`"application_type":"car"`), clients.ErrorMetadata, "web or native"},
		// RFC 7591, section 2.1.
		"a response type without its grant type":    {with(`"response_types":["id_token"],"grant_types":["authorization_code"]`), clients.ErrorMetadata, "implicit"},
		"an unknown response type":                  {with(`"response_types":["car"]`), clients.ErrorMetadata, "not supported"},
		"an unknown grant type":                     {with(`"grant_types":["car"]`), clients.ErrorMetadata, "not supported"},
		"refresh tokens alone":                      {with(`"grant_types":["refresh_token"]`), clients.ErrorMetadata, "authorization_code"},
		"keys and their address":                    {with(`"jwks":` + publicJWKS + `,"jwks_uri":"https://a.example.org/"`), clients.ErrorMetadata, "beside jwks"},
		"a private key":                             {with(`"jwks":{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`), clients.ErrorMetadata, "private"},
		"a key by http":                             {with(`"jwks_uri":"http://a.example.org/"`), clients.ErrorMetadata, "https"},
		"private_key_jwt without keys":              {with(`"token_endpoint_auth_method":"private_key_jwt"`), clients.ErrorMetadata, "jwks"},
		"a signature with no secret":                {with(`"token_endpoint_auth_method":"none","id_token_signed_response_alg":"HS256"`), clients.ErrorMetadata, "secret"},
		"a public client for itself":                {with(`"token_endpoint_auth_method":"none","grant_types":["client_credentials"]`), clients.ErrorMetadata, "client_credentials"},
		"pairwise over two hosts":                   {`{"redirect_uris":["https://a.example.org/","https://b.example.org/"],"subject_type":"pairwise"}`, clients.ErrorMetadata, "one host"},
		"pairwise beside a grant without redirects": {with(`"subject_type":"pairwise","grant_types":["authorization_code","client_credentials"]`), clients.ErrorMetadata, "sector_identifier_uri"},
		"a sector by http":                          {with(`"sector_identifier_uri":"http://a.example.org/"`), clients.ErrorMetadata, "https"},
		"a subject type of ours":                    {with(`"subject_type":"attribute","subject_attribute":"uid"`), clients.ErrorMetadata, "public or pairwise"},
		"encryption":                                {with(`"id_token_encrypted_response_alg":"RSA-OAEP"`), clients.ErrorMetadata, "encryption"},
		"a logo that is a script":                   {with(`"logo_uri":"javascript:alert(1)"`), clients.ErrorMetadata, "https"},
		"a logo that is data":                       {with(`"logo_uri":"data:image/svg+xml,x"`), clients.ErrorMetadata, "https"},
		"a policy by http":                          {with(`"policy_uri":"http://a.example.org/"`), clients.ErrorMetadata, "https"},
		"a start by http":                           {with(`"initiate_login_uri":"http://a.example.org/"`), clients.ErrorMetadata, "https"},
		"a request by http":                         {with(`"request_uris":["http://a.example.org/"]`), clients.ErrorMetadata, "https"},
		"a name that turns the writing round":       {with(`"client_name":"a\u202eb"`), clients.ErrorMetadata, "control"},
		"a name of 300 bytes":                       {with(`"client_name":"` + strings.Repeat("a", 300) + `"`), clients.ErrorMetadata, "longer"},
		"a name that is a number":                   {with(`"client_name":1`), clients.ErrorMetadata, "text"},
		"an age that is none":                       {with(`"default_max_age":-1`), clients.ErrorMetadata, "whole number"},
		"scopes that nobody gets":                   {with(`"scope":"root"`), clients.ErrorMetadata, "none of these"},
		// RFC 7591, section 3.2.2.
		"a software statement that is none":        {with(`"software_statement":"x"`), clients.ErrorStatement, "signed"},
		"a software statement of somebody":         {with(`"software_statement":"eyJhbGciOiJFUzI1NiJ9.e30.AAAA"`), clients.ErrorUnapprovedStatement, "trusted"},
		"no JSON":                                  {`redirect_uris=x`, clients.ErrorMetadata, "JSON"},
		"a list":                                   {`[]`, clients.ErrorMetadata, "JSON"},
		"two objects":                              {`{}{}`, clients.ErrorMetadata, "JSON"},
		"a name that is there twice":               {`{"client_name":"a","client_name":"b"}`, clients.ErrorMetadata, "double"},
		"a depth of 10,000":                        {strings.Repeat(`{"a":`, 2000) + "1" + strings.Repeat("}", 2000), clients.ErrorMetadata, "deep"},
		"a depth that ends nowhere":                {strings.Repeat(`[`, 30000), clients.ErrorMetadata, "deep"},
		"what is too large":                        {with(`"x":"` + strings.Repeat("a", 33<<10) + `"`), clients.ErrorMetadata, "larger"},
		"what is no text":                          {with("\"x\":\"\xff\""), clients.ErrorMetadata, "UTF-8"},
		"an unsigned ID token through the browser": {with(`"id_token_signed_response_alg":"none","response_types":["code id_token"]`), clients.ErrorMetadata, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := p.Read([]byte(c.text))
			var bad *clients.MetadataError
			if !errors.As(err, &bad) {
				t.Fatalf("taken: %+v, %v", m, err)
			}
			if bad.Code != c.code || !strings.Contains(bad.Description, c.says) {
				t.Errorf("%s", bad)
			}
			plain(t, bad.Description)
		})
	}
}

// plain holds a description to RFC 6749, section 5.2.
func plain(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			t.Errorf("%q has %q", text, r)
		}
	}
}

func TestNativeApplicationsHaveAddressesOfTheirOwn(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{"org.example.app:/cb", "http://127.0.0.1/cb", "http://[::1]:5000/cb", "http://localhost/cb", "https://app.example.org/cb"} {
		for _, method := range []string{"none", "client_secret_basic"} {
			text := fmt.Sprintf(`{"redirect_uris":[%q],"application_type":"native","token_endpoint_auth_method":%q}`, uri, method)
			if _, err := everything(t).Read([]byte(text)); err != nil {
				t.Errorf("%s, %s: %v", uri, method, err)
			}
		}
	}
}

func TestTheOperatorDecidesWhatCanBeRegistered(t *testing.T) {
	t.Parallel()
	p := everything(t, func(s *clients.Settings) {
		s.GrantTypes, s.ResponseTypes = []string{"authorization_code"}, []string{"code"}
	})
	for text, says := range map[string]string{
		`{"redirect_uris":["https://a.example.org/"],"grant_types":["authorization_code","refresh_token"]}`:                               "refresh_token is not allowed",
		`{"redirect_uris":["https://a.example.org/"],"response_types":["code id_token"],"grant_types":["authorization_code","implicit"]}`: "implicit is not allowed",
		`{"grant_types":["client_credentials"]}`: "client_credentials is not allowed",
	} {
		if _, err := p.Read([]byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", text, err)
		}
	}
	_, err := clients.NewPolicy(clients.Settings{
		Everyone: []string{"a b"}, Groups: map[string][]string{"staff": {"x"}, "cn=a": nil}, GrantTypes: []string{"car"}, Consent: "none",
	})
	var problems oidc.Problems
	if !errors.As(err, &problems) || len(problems) != 5 {
		t.Errorf("%v", err)
	}
	for _, grant := range []string{"password", "urn:ietf:params:oauth:grant-type:jwt-bearer"} {
		_, err := clients.NewPolicy(clients.Settings{GrantTypes: []string{"authorization_code", grant}, ResponseTypes: []string{"code"}, Consent: "remembered"})
		if err == nil || !strings.Contains(err.Error(), "not for clients that register themselves") {
			t.Errorf("%s: %v", grant, err)
		}
	}
}

func TestMetadataCannotReachWhatIsTheOperators(t *testing.T) {
	t.Parallel()
	m, err := everything(t).Read([]byte(`{"redirect_uris":["https://a.example.org/"],"client_secret_hash":"sha256:00","client_secret_sealed":"x","consent":"none",
		"require_pkce":true,"on_missing_scope":"refuse","allowed_groups":[],"scopes":{"everyone":["root"]},"scopes.everyone":["root"],"audience":["https://api"],
		"claims_in_id_token":true,"subject_attribute":"uid","lifespans":{"access":"7d"},"lifespans.access":"7d","allowed_cors_origins":["https://evil.example"],
		"strict_assertion_audience":true,"groups_claim":{"format":"dn"}}`))
	if err != nil {
		t.Fatal(err)
	}
	without, err := everything(t).Read([]byte(`{"redirect_uris":["https://a.example.org/"]}`))
	if err != nil || !reflect.DeepEqual(m.Client, without.Client) {
		t.Errorf("%+v\n%+v %v", m.Client, without, err)
	}
}

func FuzzMetadata(f *testing.F) {
	p, err := clients.NewPolicy(clients.Settings{
		Everyone: []string{"openid"}, GrantTypes: []string{"authorization_code", "implicit", "refresh_token"}, ResponseTypes: []string{"code", "id_token"}, Consent: "remembered",
	})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		`{"redirect_uris":["https://a.example.org/cb"]}`, `{"redirect_uris":["org.example.app:/cb"],"application_type":"native","token_endpoint_auth_method":"none"}`,
		`{"redirect_uris":["https://a/"],"jwks":` + publicJWKS + `,"scope":"openid","default_max_age":1,"subject_type":"pairwise"}`, `{"a":[[[`, `{"software_statement":"a.b.c"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := p.Read(data)
		if err != nil {
			var bad *clients.MetadataError
			if !errors.As(err, &bad) {
				t.Fatalf("%T", err)
			}
			plain(t, bad.Description)
			return
		}
		kept, err := m.Kept()
		if err != nil {
			t.Fatal(err)
		}
		again, err := p.Read(kept)
		if err != nil {
			t.Fatalf("%s was kept as %s, which is refused: %v", data, kept, err)
		}
		first, second := clients.Describe(m.Client), clients.Describe(again.Client)
		if a, b := fmt.Sprint(first), fmt.Sprint(second); a != b {
			t.Fatalf("%s\nbecame %s", a, b)
		}
	})
}
