package clients_test

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/clients"
)

var update = flag.Bool("update", false, "write the reference document anew")

const hash = "sha256:4f5c0b8a3d0e7c1f5a6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b"

// nextcloud is a whole file; tests add lines to it or replace some.
const nextcloud = `client_id: nextcloud
client_name: Nextcloud
client_secret_hash: ` + hash + `
redirect_uris: [https://cloud.example.org/apps/user_oidc/code]
grant_types: [authorization_code, refresh_token]
consent: remembered
scopes:
  everyone: [openid]
  groups:
    cn=cloud-users,ou=groups,dc=example,dc=org: [profile, email, groups]
`

func TestTheReferenceIsThatOfTheTable(t *testing.T) {
	t.Parallel()
	const file = "../../docs/client-files.md"
	if *update {
		if err := os.WriteFile(file, clients.Reference(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil || string(have) != string(clients.Reference()) {
		t.Errorf("%s is not what the table says (%v): run go generate ./oidc/clients", file, err)
	}
}

func TestAFileWithEveryKeyBecomesAClient(t *testing.T) {
	t.Parallel()
	c, problems := clients.Parse("full.yaml", []byte(full))
	if len(problems) > 0 {
		t.Fatal(oidc.Problems(problems))
	}
	want := &oidc.Client{
		ID: "full", Name: "Ganz Voll ☀", SecretHash: hash,
		RedirectURIs:            []string{"https://a.example.org/cb?x=1", "http://127.0.0.1:8000/cb", "http://[::1]/cb", "http://localhost/cb"},
		PostLogoutRedirectURIs:  []string{"https://a.example.org/"},
		GrantTypes:              []string{"authorization_code", "refresh_token", "client_credentials"},
		ResponseTypes:           []string{"code"},
		ResponseModes:           []string{"query", "fragment"},
		TokenEndpointAuthMethod: "client_secret_post",
		Audience:                []string{"https://api.example.org", "urn:example:api", "other-client"},
		ClientURI:               "https://a.example.org", LogoURI: "https://a.example.org/logo.svg",
		PolicyURI: "http://localhost/policy", TosURI: "https://a.example.org/tos",
		Contacts: []string{"Ops <ops@example.org>"}, SoftwareID: "4NRB1", SoftwareVersion: "2.10",
		Consent: oidc.ConsentExplicit, RequirePKCE: false, OnMissingScope: oidc.MissingNarrow,
		AllowedGroups: []oidc.DN{oidc.MustParseDN(`cn=A\, B,ou=groups,dc=x`), oidc.MustParseDN("cn=b,dc=x")},
		Scopes: oidc.ScopeMaps{Everyone: []string{"openid"}, Groups: []oidc.ScopeMap{
			{Group: oidc.MustParseDN("cn=a,dc=x"), Scopes: []string{"profile"}},
			{Group: oidc.MustParseDN(`cn=\2c,dc=x`), Scopes: []string{"email", "quota"}},
		}},
		GroupsClaim: oidc.GroupsClaim{Format: "dn", Match: "^cn=cloud", Max: 50}, ClaimsInIDToken: true, WithholdableClaims: []string{"picture", "website"},
		SubjectType: "attribute", SubjectAttribute: "uid", IDTokenSignedResponseAlg: "RS256",
		UserInfoSignedResponseAlg: "ES256", AccessTokenSignedResponseAlg: "PS256",
		DefaultResource: "https://api.example.org", ResourceIdentifiers: []string{"urn:example:full", "full-api"},
		Lifespans: oidc.Lifespans{Code: 30 * time.Second, Access: 10 * time.Minute, ID: 2 * time.Hour, Refresh: 14 * 24 * time.Hour},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

const full = `
client_id: full
client_name: Ganz Voll ☀
client_secret_hash: ` + hash + `
redirect_uris:
  - https://a.example.org/cb?x=1
  - http://127.0.0.1:8000/cb
  - http://[::1]/cb
  - http://localhost/cb
post_logout_redirect_uris: https://a.example.org/
grant_types: [authorization_code, refresh_token, client_credentials]
response_types: [code]
response_modes: [query, fragment]
token_endpoint_auth_method: client_secret_post
audience: [https://api.example.org, "urn:example:api", other-client]
client_uri: https://a.example.org
logo_uri: https://a.example.org/logo.svg
policy_uri: http://localhost/policy
tos_uri: https://a.example.org/tos
contacts: [Ops <ops@example.org>]
software_id: 4NRB1
software_version: 2.10
consent: explicit
require_pkce: off
on_missing_scope: narrow
allowed_groups: ['cn=A\, B,ou=groups,dc=x', "cn=b,dc=x"]
scopes:
  everyone: openid
  groups:
    cn=a,dc=x: [profile]
    'cn=\2c,dc=x': [email, quota]
groups_claim: {format: dn, match: ^cn=cloud, max: 50}
claims_in_id_token: true
withholdable_claims: [picture, website]
subject_type: attribute
subject_attribute: uid
id_token_signed_response_alg: RS256
userinfo_signed_response_alg: ES256
access_token_signed_response_alg: PS256
default_resource: https://api.example.org
resource_identifiers: ["urn:example:full", full-api]
lifespans: {code: 30s, access: 10m, id: 2h, refresh: 14d}
`

func TestWhatIsLeftOutGetsTheStrictDefault(t *testing.T) {
	t.Parallel()
	c, problems := clients.Parse("a.yaml", []byte("client_id: a\nclient_secret_hash: "+hash+"\nredirect_uris: https://a.example.org/cb\n"))
	if len(problems) > 0 {
		t.Fatal(oidc.Problems(problems))
	}
	want := &oidc.Client{
		ID: "a", Name: "a", SecretHash: hash, RedirectURIs: []string{"https://a.example.org/cb"},
		GrantTypes: []string{"authorization_code"}, ResponseTypes: []string{"code"}, ResponseModes: []string{"query", "form_post"},
		TokenEndpointAuthMethod: "client_secret_basic", Consent: oidc.ConsentRemembered, RequirePKCE: true, OnMissingScope: oidc.MissingRefuse,
		GroupsClaim: oidc.GroupsClaim{Format: "name"}, SubjectType: "public", IDTokenSignedResponseAlg: "ES256",
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestPublicAndMachineClientsNeedWhatTheyNeed(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"an app on a device with a scheme of its own":  "client_id: app\ntoken_endpoint_auth_method: none\nredirect_uris: ['org.example.app:/callback', 'org.example.app://callback']\n",
		"a machine with client_credentials and no URI": "client_id: job\nclient_secret_hash: " + hash + "\ngrant_types: [client_credentials]\n",
		"pairwise subjects on one host":                nextcloud + "subject_type: pairwise\n",
	} {
		if _, problems := clients.Parse("x.yaml", []byte(file)); len(problems) > 0 {
			t.Errorf("%s: %v", name, oidc.Problems(problems))
		}
	}
}

// without takes the line of a key out of nextcloud.
func without(key string) string {
	var kept []string
	for _, line := range strings.SplitAfter(nextcloud, "\n") {
		if !strings.HasPrefix(line, key+":") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func with(key, value string) string { return without(key) + key + ": " + value + "\n" }

func TestEveryMistakeIsRefusedWithItsKeyAndAHint(t *testing.T) {
	t.Parallel()
	bcrypt := "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
	public := "client_id: app\ntoken_endpoint_auth_method: none\nredirect_uris: [https://a.example.org/cb]\n"
	machine := "client_id: job\nclient_secret_hash: " + hash + "\ngrant_types: [client_credentials]\n"
	for name, c := range map[string]struct {
		file string
		line int
		key  string
		says string // in message or hint
	}{
		"an empty file":                         {"", 0, "", "empty"},
		"a file of comments":                    {"# nothing\n", 0, "", "empty"},
		"a file that is null":                   {"~\n", 0, "", "empty"},
		"a list instead of keys":                {"- a\n", 1, "", "keys and values"},
		"YAML that is cut short":                {nextcloud + "audience: [a, b\n", 0, "", "not YAML"},
		"a tab for indentation":                 {"client_id: a\nscopes:\n\teveryone: [openid]\n", 0, "", "not YAML"},
		"a second document":                     {nextcloud + "---\nclient_id: b\n", 11, "", "second document"},
		"an alias":                              {nextcloud + "contacts: [&a x, *a]\n", 11, "", "anchors and aliases"},
		"a merge key":                           {nextcloud + "<<: {consent: none}\n", 11, "<<", "unknown key"},
		"a tag":                                 {with("client_name", "!!binary aGk="), 10, "client_name", "tags"},
		"a misspelt key":                        {nextcloud + "redirect_uri: x\n", 11, "redirect_uri", "did you mean redirect_uris?"},
		"swapped letters in a key":              {nextcloud + "cotnacts: [x]\n", 11, "cotnacts", "did you mean contacts?"},
		"a misspelt nested key":                 {strings.Replace(nextcloud, "everyone", "everybody", 1), 8, "scopes.everybody", "did you mean scopes.everyone?"},
		"a nested key on the outside":           {nextcloud + "everyone: [openid]\n", 11, "everyone", "did you mean scopes.everyone?"},
		"a nested key with a dot":               {nextcloud + "lifespans.code: 1m\n", 11, "lifespans.code", "beneath lifespans:"},
		"a key that is like nothing":            {nextcloud + "zzzzzz: 1\n", 11, "zzzzzz", "unknown key"},
		"a key twice":                           {nextcloud + "consent: none\n", 11, "consent", "twice, first on line 6"},
		"a secret in the clear":                 {nextcloud + "client_secret: hunter2\n", 11, "client_secret", "never written down"},
		"a secret instead of its hash":          {with("client_secret_hash", "hunter2"), 10, "client_secret_hash", "not a hash"},
		"a short SHA-256":                       {with("client_secret_hash", "sha256:abcd"), 10, "client_secret_hash", "64 hex digits"},
		"a hash of a kind that is too weak":     {with("client_secret_hash", "$1$abcdefgh$abcdefghijklmnopqrstuv"), 10, "client_secret_hash", "not supported"},
		"a hash cut short":                      {with("client_secret_hash", bcrypt[:40]), 10, "client_secret_hash", "can't be read"},
		"a hash that takes hours":               {with("client_secret_hash", strings.Replace(bcrypt, "$10$", "$30$", 1)), 10, "client_secret_hash", "between 4 and 16"},
		"an Argon2id hash that takes all RAM":   {with("client_secret_hash", "'$argon2id$v=19$m=99999999,t=1,p=1$c2FsdHNhbHRzYWx0$c2FsdHNhbHRzYWx0c2FsdHNhbHQ'"), 10, "client_secret_hash", "cost"},
		"no id":                                 {without("client_id"), 0, "client_id", "missing"},
		"an id with a slash":                    {with("client_id", "a/b"), 10, "client_id", "can't have"},
		"an id that would be hidden":            {with("client_id", ".a"), 10, "client_id", "letter or digit"},
		"an id of 129 characters":               {with("client_id", strings.Repeat("a", 129)), 10, "client_id", "128"},
		"an id with umlauts":                    {with("client_id", "büro"), 10, "client_id", "can't have"},
		"a list for an id":                      {with("client_id", "[a]"), 10, "client_id", "a list stands"},
		"keys for a name":                       {with("client_name", "{a: b}"), 10, "client_name", "group of keys"},
		"nothing for a name":                    {with("client_name", ""), 10, "client_name", "no value"},
		"a name that turns the writing around":  {with("client_name", "\"a\u202eb\""), 10, "client_name", "control character"},
		"a name that never ends":                {with("client_name", strings.Repeat("x", 201)), 10, "client_name", "200"},
		"no secret and not public":              {without("client_secret_hash"), 0, "client_secret_hash", "token_endpoint_auth_method: none"},
		"a public client with a secret":         {public + "client_secret_hash: " + hash + "\n", 4, "client_secret_hash", "no secret"},
		"a public client acting for itself":     {public + "grant_types: [authorization_code, client_credentials]\n", 4, "grant_types", "can't prove"},
		"a public client without PKCE":          {public + "require_pkce: false\n", 4, "require_pkce", "PKCE"},
		"an unknown authentication":             {nextcloud + "token_endpoint_auth_method: client_secret_pots\n", 11, "token_endpoint_auth_method", "did you mean client_secret_post?"},
		"no redirect URI":                       {without("redirect_uris"), 0, "redirect_uris", "there is none"},
		"an empty list of redirect URIs":        {with("redirect_uris", "[]"), 10, "redirect_uris", "there is none"},
		"a redirect URI twice":                  {with("redirect_uris", "[https://a/b, https://a/b]"), 10, "redirect_uris", "listed twice"},
		"refresh tokens from nowhere":           {machine[:strings.Index(machine, "grant_types")] + "grant_types: [refresh_token, client_credentials]\n", 3, "grant_types", "authorization_code"},
		"a grant type we don't have":            {with("grant_types", "[authorization_code, telepathy]"), 10, "grant_types", "not supported"},
		"no grant type":                         {with("grant_types", "[]"), 10, "grant_types", "empty"},
		"a response type we don't have":         {nextcloud + "response_types: [code, thought]\n", 11, "response_types", "not supported"},
		"a response type without its grant":     {nextcloud + "response_types: [code, token]\n", 11, "response_types", "implicit"},
		"a truth that is none":                  {nextcloud + "require_pkce: maybe\n", 11, "require_pkce", "neither true nor false"},
		"an unknown consent":                    {with("consent", "implicit"), 10, "consent", "explicit"},
		"an unknown way with missing scopes":    {nextcloud + "on_missing_scope: ignore\n", 11, "on_missing_scope", "refuse or narrow"},
		"an algorithm we don't have":            {nextcloud + "id_token_signed_response_alg: RS1\n", 11, "id_token_signed_response_alg", "is not supported"},
		"a group that is a name":                {nextcloud + "allowed_groups: [staff]\n", 11, "allowed_groups", "not a distinguished name"},
		"a group twice, spelt differently":      {nextcloud + "allowed_groups: ['cn=a,dc=x', 'CN=A, DC=x']\n", 11, "allowed_groups", "same group"},
		"no allowed group":                      {nextcloud + "allowed_groups: []\n", 11, "allowed_groups", "empty"},
		"a scope map of a name":                 {nextcloud + "    staff: [openid]\n", 11, "scopes.groups", "not a distinguished name"},
		"a scope map twice, spelt differently":  {nextcloud + "    CN=Cloud-Users, OU=groups,dc=example,dc=org: [openid]\n", 11, "scopes.groups", "on line 10"},
		"a scope map without scopes":            {nextcloud + "    cn=b,dc=x: []\n", 11, "scopes.groups", "gets no scopes"},
		"a list of groups":                      {"client_id: a\ntoken_endpoint_auth_method: none\nredirect_uris: https://a/b\nscopes:\n  groups: [a]\n", 5, "scopes.groups", "not a list of groups"},
		"scopes that are a list":                {"client_id: a\ntoken_endpoint_auth_method: none\nredirect_uris: https://a/b\nscopes: [openid]\n", 4, "scopes", "no keys under it"},
		"a scope with a blank":                  {strings.Replace(nextcloud, "[openid]", "[openid profile]", 1), 8, "scopes.everyone", "not a scope"},
		"a scope with a quote in a map":         {nextcloud + "    cn=b,dc=x: ['a\"b']\n", 11, "scopes.groups.cn=b,dc=x", "not a scope"},
		"an unknown format of groups":           {nextcloud + "groups_claim: {format: cn}\n", 11, "groups_claim.format", "not supported"},
		"a pattern that doesn't compile":        {nextcloud + "groups_claim:\n  match: '('\n", 12, "groups_claim.match", "missing closing"},
		"a number that is none":                 {nextcloud + "groups_claim: {max: many}\n", 11, "groups_claim.max", "not a whole number"},
		"no groups at all":                      {nextcloud + "groups_claim: {max: 0}\n", 11, "groups_claim.max", "between 1 and 5000"},
		"an unknown subject type":               {nextcloud + "subject_type: uid\n", 11, "subject_type", "not supported"},
		"a subject attribute that is missing":   {nextcloud + "subject_type: attribute\n", 11, "subject_attribute", "missing"},
		"a subject attribute that does nothing": {nextcloud + "subject_attribute: uid\n", 11, "subject_attribute", "subject_type is not attribute"},
		"a subject attribute that is none":      {nextcloud + "subject_type: attribute\nsubject_attribute: 'u id'\n", 12, "subject_attribute", "name of an attribute"},
		"pairwise over two hosts":               {with("redirect_uris", "[https://a.example/x, https://b.example/x]") + "subject_type: pairwise\n", 11, "subject_type", "one host"},
		"a lifespan without a unit":             {nextcloud + "lifespans: {access: 60}\n", 11, "lifespans.access", "not a duration"},
		"a negative lifespan":                   {nextcloud + "lifespans: {access: -5m}\n", 11, "lifespans.access", "negative"},
		"a lifespan of nothing":                 {nextcloud + "lifespans: {access: 0s}\n", 11, "lifespans.access", "between 1s and 7d"},
		"a code that lives for hours":           {nextcloud + "lifespans: {code: 2h}\n", 11, "lifespans.code", "between 1s and 10m"},
		"a lifespan out of all bounds":          {nextcloud + "lifespans: {refresh: 99999d}\n", 11, "lifespans.refresh", "not a duration"},
		"a logo over http":                      {nextcloud + "logo_uri: http://a.example.org/x.png\n", 11, "logo_uri", "only https"},
		"a policy that is a script":             {nextcloud + "policy_uri: javascript:alert(1)\n", 11, "policy_uri", "only https"},
		"a logo in the file":                    {nextcloud + "logo_uri: 'data:image/png;base64,aaaa'\n", 11, "logo_uri", "only https"},
		"a default that is nothing":             {nextcloud + "default_resource: 'a b'\n", 11, "default_resource", "a URI can't have"},
		"an identifier with a fragment":         {nextcloud + "resource_identifiers: ['https://a.example#b']\n", 11, "resource_identifiers", "fragment"},
		"an algorithm of access tokens":         {nextcloud + "access_token_signed_response_alg: none\n", 11, "access_token_signed_response_alg", "not supported"},
		"a MAC for a public client's tokens":    {public + "access_token_signed_response_alg: HS256\n", 4, "access_token_signed_response_alg", "needs a secret"},
		"a claim that nobody may keep back":     {nextcloud + "withholdable_claims: [email]\n", 11, "withholdable_claims", "not supported"},
		"an audience that is nothing":           {nextcloud + "audience: ['a b']\n", 11, "audience", "a URI can't have"},
		"a file that is too large":              {nextcloud + "#" + strings.Repeat("x", clients.MaxFile), 0, "", "larger than 256 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, problems := clients.Parse("x.yaml", []byte(c.file))
			if len(problems) != 1 || client != nil {
				t.Fatalf("want one problem, got client %v and:\n%v", client, oidc.Problems(problems))
			}
			p := problems[0]
			if p.File != "x.yaml" || p.Key != c.key || c.line != 0 && p.Line != c.line || !strings.Contains(p.Message+" | "+p.Hint, c.says) {
				t.Errorf("want line %d, key %q, saying %q; got %+v", c.line, c.key, c.says, p)
			}
			if strings.Contains(p.Message+p.Hint, "hunter2") {
				t.Errorf("the secret is echoed: %+v", p)
			}
		})
	}
}

func TestABadRedirectURIIsRefused(t *testing.T) {
	t.Parallel()
	for uri, says := range map[string]string{
		"/callback":                            "not absolute",
		"cloud.example.org/cb":                 "not absolute",
		"https://a.example.org/cb#x":           "fragment",
		"https://a.example.org/cb#":            "fragment",
		"http://a.example.org/cb":              "loopback",
		"http://localhost.example.org/cb":      "loopback",
		"http://0x7f000001/cb":                 "loopback",
		"http://0.0.0.0/cb":                    "loopback",
		"https://*.example.org/cb":             "wildcard",
		"https://a.example.org/*":              "wildcard",
		"https://user@a.example.org/cb":        "user",
		"https://a.example.org@evil.test/":     "user",
		"https://":                             "no host",
		"https:///cb":                          "no host",
		"https:a.example.org":                  "no host",
		"https://a.example.org:/cb":            "port",
		"https://a.example.org:0/cb":           "port",
		"https://a.example.org:99999/cb":       "port",
		"javascript:alert(1)":                  "not allowed",
		"JavaScript:alert(1)":                  "not allowed",
		"data:text/html,x":                     "not allowed",
		"vbscript:x":                           "not allowed",
		"file:///etc/passwd":                   "not allowed",
		"myapp:/cb":                            "not allowed",
		"org.example.app:/cb":                  "public clients only",
		"https://a.example.org/c b":            "can't have",
		`https://a.example.org\@evil.test`:     "can't have",
		"https://b\u00fcro.example/cb":         "can't have",
		"https://a.example.org/%zz":            "not a URI",
		"urn:ietf:wg:oauth:2.0:oob":            "not allowed",
		"https://" + strings.Repeat("a", 2048): "2048",
	} {
		for _, key := range []string{"redirect_uris", "post_logout_redirect_uris"} {
			_, problems := clients.Parse("x.yaml", []byte(with(key, fmt.Sprintf("\n  - https://ok.example.org/cb\n  - '%s'", uri))))
			if len(problems) != 1 || problems[0].Key != key || problems[0].Line == 0 || !strings.Contains(problems[0].Message, says) {
				t.Errorf("%s %s: want %q, got %v", key, uri, says, oidc.Problems(problems))
			}
		}
	}
}

func TestAllMistakesAreToldInOneRunAndInOrder(t *testing.T) {
	t.Parallel()
	_, problems := clients.Parse("x.yaml", []byte("client_id: a b\nredirct_uris: [x]\nconsent: perhaps\nscopes:\n  everyone: [a b]\n  groups:\n    staff: [x]\n    cn=b,dc=x: []\nlifespans:\n  code: 1y\n"))
	var keys []string
	for _, p := range problems {
		keys = append(keys, fmt.Sprint(p.Line, " ", p.Key))
	}
	want := "0 client_secret_hash, 0 redirect_uris, 1 client_id, 2 redirct_uris, 3 consent, 5 scopes.everyone, 7 scopes.groups, 8 scopes.groups, 10 lifespans.code"
	if got := strings.Join(keys, ", "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAliasesCannotBlowUpAFile(t *testing.T) {
	t.Parallel()
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 30; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9))
	}
	if _, problems := clients.Parse("x.yaml", []byte(bomb)); len(problems) != 1 || problems[0].Line != 1 {
		t.Errorf("got %v", oidc.Problems(problems))
	}
	if _, problems := clients.Parse("x.yaml", []byte("a: "+strings.Repeat("[", 200_000))); len(problems) != 1 {
		t.Errorf("deep nesting: got %v", oidc.Problems(problems))
	}
}

func TestAClientThatNobodyCanUseIsWarnedAbout(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		nextcloud: "",
		strings.Replace(nextcloud, "everyone: [openid]", "everyone: [profile]", 1):                         "scopes",
		strings.Replace(nextcloud, "everyone: [openid]", "everyone: [openid, offline_access]", 1):          "scopes",
		nextcloud + "id_token_signed_response_alg: EdDSA\n":                                                "id_token_signed_response_alg",
		nextcloud + "id_token_signed_response_alg: EdDSA\nown_issuer: true\n":                              "",
		nextcloud + "require_pkce: false\n":                                                                "require_pkce",
		"client_id: job\nclient_secret_hash: " + hash + "\ngrant_types: [client_credentials]\n":            "",
		strings.Replace(nextcloud, "everyone: [openid]\n  groups:", "groups:\n    cn=a,dc=x: [openid]", 1): "",
	} {
		c, problems := clients.Parse("x.yaml", []byte(file))
		if len(problems) > 0 {
			t.Fatal(oidc.Problems(problems))
		}
		var got string
		for _, w := range clients.Warnings(c) {
			got += w.Key
			if w.Hint == "" {
				t.Errorf("no hint: %+v", w)
			}
		}
		if got != want {
			t.Errorf("want %q, got %q for\n%s", want, got, file)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{nextcloud, full, "client_id: a", "- a", "a: &a [*a]", "a: !!binary x", "scopes: {groups: {cn=a: b}}", "? [a]\n: b", "\xff\xfea\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, problems := clients.Parse("x.yaml", data)
		if (c == nil) == (len(problems) == 0) {
			t.Fatalf("client %v with problems %v", c, problems)
		}
		for _, p := range problems {
			if p.File != "x.yaml" || p.Message == "" || p.Line < 0 {
				t.Fatalf("%+v", p)
			}
		}
		if c == nil {
			return
		}
		if c.ID == "" || c.Name == "" || len(c.GrantTypes) == 0 || len(c.ResponseTypes) == 0 || c.Public() != (c.SecretHash == "") {
			t.Fatalf("%+v", c)
		}
		clients.Warnings(c)
	})
}

func TestTheExampleIsAClient(t *testing.T) {
	t.Parallel()
	const dir = "../../config/examples/clients.d"
	s := open(t, dir)
	if ids(s) != "nextcloud" || len(s.Warnings()) > 0 {
		t.Errorf("clients %s, warnings %v", ids(s), s.Warnings())
	}
}
