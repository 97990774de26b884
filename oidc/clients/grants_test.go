package clients_test

import (
	"strings"
	"testing"

	"gatehouse/oidc/clients"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// complaints are the problems of a file in words, "" for none.
func complaints(text string) string {
	_, problems := clients.Parse("x.yaml", []byte(text))
	var all []string
	for _, p := range problems {
		all = append(all, p.Key+": "+p.Message)
	}
	return strings.Join(all, "\n")
}

func TestADeviceNeedsNoAddressToComeBackTo(t *testing.T) { // RFC 8628, section 3.1
	t.Parallel()
	tv := "client_id: tv\ntoken_endpoint_auth_method: none\ngrant_types: [\"" + deviceGrant + "\", refresh_token]\n"
	c, problems := clients.Parse("tv.yaml", []byte(tv+"scopes: {everyone: [openid]}\n"))
	if len(problems) > 0 || !c.HasGrantType(deviceGrant) || len(c.RedirectURIs) > 0 || len(clients.Warnings(c)) > 0 {
		t.Errorf("%v %v", problems, clients.Warnings(c))
	}
	c, _ = clients.Parse("tv.yaml", []byte(tv))
	if warnings := clients.Warnings(c); len(warnings) != 1 || warnings[0].Key != "scopes" {
		t.Errorf("nobody can sign in, and the warnings are %v", warnings)
	}
	if got := complaints(strings.ReplaceAll(tv, deviceGrant, "authorization_code")); !strings.Contains(got, "redirect_uris: there is none") {
		t.Errorf("got %q", got)
	}
	if got := complaints(strings.ReplaceAll(tv, `"`+deviceGrant+`", `, "")); !strings.Contains(got, "refresh_token is there without a grant type that gives one") {
		t.Errorf("got %q", got)
	}
}

const bearerGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer"

const job = "client_id: job\nclient_secret_hash: " + hash + "\ngrant_types: [\"" + bearerGrant + `"]
scopes: {everyone: [openid]}
assertion_issuers:
  https://ci.example.org:
    jwks_uri: https://ci.example.org/jwks
    subject: name
  hr:
    subject: employeeNumber
    jwks: {keys: [{kty: EC, crv: P-256, x: f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU, y: x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0}]}
`

func TestWhoseWordAClientMayBringIsTheOperatorsExplicitWord(t *testing.T) { // RFC 7523, section 2.1
	t.Parallel()
	c, problems := clients.Parse("job.yaml", []byte(job))
	if len(problems) > 0 || len(c.AssertionIssuers) != 2 || len(c.RedirectURIs) > 0 {
		t.Fatal(c, problems)
	}
	ci, hr := c.AssertionIssuers[0], c.AssertionIssuers[1]
	if ci.Issuer != "hr" { // sorted: hr comes first
		ci, hr = hr, ci
	}
	if hr.Issuer != "https://ci.example.org" || hr.JWKSURI != "https://ci.example.org/jwks" || hr.Subject != "name" || hr.JWKS != nil {
		t.Errorf("%+v", hr)
	}
	if ci.Subject != "employeeNumber" || ci.JWKSURI != "" || !strings.Contains(string(ci.JWKS), "P-256") {
		t.Errorf("%+v", ci)
	}
	for name, c := range map[string]struct{ old, replacement, says string }{
		"without the grant type":      {bearerGrant, "client_credentials", "assertion_issuers: it is there without the grant type"},
		"of a public client":          {"client_secret_hash: " + hash, "token_endpoint_auth_method: none", "a public client can't prove who it is"},
		"without saying what sub is":  {"    subject: name\n", "", "https://ci.example.org: subject is missing"},
		"with a sub that is nothing":  {"subject: name", "subject: (uid=*)", "is not the name of an attribute"},
		"without keys":                {"    jwks_uri: https://ci.example.org/jwks\n", "", "its keys are missing"},
		"with keys from a file":       {"jwks_uri: https://ci.example.org/jwks", "jwks_uri: file:///etc/passwd", "only https is allowed here"},
		"with keys from two places":   {"jwks_uri: https://ci.example.org/jwks", "jwks_uri: https://ci.example.org/jwks\n    jwks: {keys: []}", "it has both"},
		"with a secret key":           {"kty: EC, crv: P-256", "kty: oct, k: c2VjcmV0, crv: P-256", "hr: jwks: "},
		"with a key that is unknown":  {"subject: name", "subject: name\n    audience: x", "there are other keys beneath it"},
		"with a text for an issuer":   {"  hr:\n    subject: employeeNumber\n", "  hr: yes\n  other:\n    subject: employeeNumber\n", "hr: there are other keys beneath it"},
		"without any":                 {job[strings.Index(job, "assertion_issuers"):], "", "assertion_issuers: it is missing"},
		"with an empty list of them":  {job[strings.Index(job, "assertion_issuers"):], "assertion_issuers: {}\n", "there is no issuer in it"},
		"with a list instead of keys": {job[strings.Index(job, "assertion_issuers"):], "assertion_issuers: [a]\n", "assertion_issuers: "},
	} {
		if got := complaints(strings.Replace(job, c.old, c.replacement, 1)); !strings.Contains(got, c.says) {
			t.Errorf("%s: got %q, want %q", name, got, c.says)
		}
	}
}

func TestNobodyRegistersThemselvesForOtherPeople(t *testing.T) { // RFC 7591, section 5
	t.Parallel()
	for _, grant := range []string{bearerGrant, "password"} {
		_, err := clients.NewPolicy(clients.Settings{GrantTypes: []string{"authorization_code", grant}, ResponseTypes: []string{"code"}})
		if err == nil || !strings.Contains(err.Error(), grant+" is not for clients that register themselves") {
			t.Errorf("%s: %v", grant, err)
		}
	}
	p, err := clients.NewPolicy(clients.Settings{Everyone: []string{"openid"}, GrantTypes: []string{"authorization_code", deviceGrant}, ResponseTypes: []string{"code"}, Consent: "remembered"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := p.Read([]byte(`{"client_name":"TV","grant_types":["` + deviceGrant + `"],"token_endpoint_auth_method":"none"}`))
	if err != nil || !m.Client.HasGrantType(deviceGrant) || len(m.Client.RedirectURIs) > 0 {
		t.Errorf("a device: %+v, %v", m, err)
	}
}

func TestAClientThatTakesPasswordsIsConfidentialAndWarnedAbout(t *testing.T) { // RFC 9700, section 2.4
	t.Parallel()
	old := "client_id: old\nclient_secret_hash: " + hash + "\ngrant_types: [password, refresh_token]\nscopes: {everyone: [openid]}\n"
	c, problems := clients.Parse("old.yaml", []byte(old))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if warnings := clients.Warnings(c); len(warnings) != 1 || !strings.Contains(warnings[0].Message, "takes people's passwords itself") {
		t.Errorf("%v", warnings)
	}
	if got := complaints(strings.Replace(old, "client_secret_hash: "+hash, "token_endpoint_auth_method: none", 1)); !strings.Contains(got, "password is there, but a public client") {
		t.Errorf("got %q", got)
	}
}
