package clients_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"gatehouse/oidc"
	"gatehouse/oidc/clients"
)

const publicJWK = `{kty: OKP, crv: Ed25519, kid: 0123, use: sig, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}`

func TestASealedSecretIsForOneClientAndOneServer(t *testing.T) {
	t.Parallel()
	sealer, err := clients.NewSealer(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	other, err := clients.NewSealer(bytes.Repeat([]byte{2}, 32))
	if err != nil {
		t.Fatal(err)
	}
	secret, hash := clients.NewSecret()
	sealed := sealer.Seal("app", secret)
	if sealed == sealer.Seal("app", secret) || strings.Contains(sealed, secret) {
		t.Errorf("sealed as %s", sealed)
	}
	file := "client_id: app\nclient_secret_hash: " + hash + "\nclient_secret_sealed: " + sealed + "\ntoken_endpoint_auth_method: client_secret_jwt\nredirect_uris: https://app.example.org/cb\n"
	c, problems := clients.Parse("app.yaml", []byte(file))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if got, err := sealer.Secret(c); err != nil || string(got) != secret {
		t.Errorf("%q %v", got, err)
	}
	if _, err := other.Secret(c); err == nil {
		t.Error("another server can read it")
	}
	if _, err := sealer.Secret(&oidc.Client{ID: "other", SecretSealed: sealed}); err == nil {
		t.Error("it does for another client")
	}
	if _, err := sealer.Secret(&oidc.Client{ID: "app"}); !errors.Is(err, oidc.ErrNotFound) {
		t.Error(err)
	}
	for _, text := range []string{"sealed:", "sealed:AAAA", "x"} {
		if _, err := sealer.Secret(&oidc.Client{ID: "app", SecretSealed: text}); err == nil {
			t.Errorf("%q", text)
		}
	}
}

func TestKeysOfAClientAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	const want = `{"keys":[{"crv":"Ed25519","kid":"0123","kty":"OKP","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	for _, text := range []string{
		"jwks: {keys: [" + publicJWK + "]}",
		"jwks:\n  keys:\n    - kty: OKP\n      crv: Ed25519\n      kid: 0123\n      use: sig\n      x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
		`jwks: '` + want + `'`,
	} {
		c, problems := clients.Parse("app.yaml", []byte("client_id: app\nredirect_uris: https://app.example.org/cb\ntoken_endpoint_auth_method: private_key_jwt\n"+text+"\n"))
		if len(problems) > 0 || string(c.JWKS) != want {
			t.Errorf("%s: %v", text, problems)
		}
	}
}

func TestWhatIsSignedWithASecretNeedsItSealed(t *testing.T) {
	t.Parallel()
	parse := func(text string) *oidc.Client {
		t.Helper()
		c, problems := clients.Parse("app.yaml", []byte("client_id: app\nredirect_uris: https://app.example.org/cb\nclient_secret_hash: "+hash+"\nscopes: {everyone: [openid]}\n"+text))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return c
	}
	for text, want := range map[string]bool{
		"":                                      false,
		"userinfo_signed_response_alg: HS256\n": true,
		"access_token_signed_response_alg: HS384\n":                                      true,
		"id_token_signed_response_alg: HS512\n":                                          true,
		"access_token_signed_response_alg: RS256\nuserinfo_signed_response_alg: ES256\n": false,
		"id_token_signed_response_alg: none\n":                                           false,
	} {
		if clients.NeedsSealedSecret(parse(text)) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
	unsigned := clients.Warnings(parse("id_token_signed_response_alg: none\nresponse_types: [code]\n"))
	if len(unsigned) != 1 || unsigned[0].Key != "id_token_signed_response_alg" {
		t.Errorf("nobody is warned: %v", unsigned)
	}
}

func TestWhatAClientSignsWithIsHeldTogether(t *testing.T) {
	t.Parallel()
	const (
		keyed = "token_endpoint_auth_method: private_key_jwt\n"
		set   = "jwks: {keys: [" + publicJWK + "]}\n"
		basic = "client_secret_hash: " + hash + "\n"
	)
	for name, c := range map[string]struct{ text, key, message string }{
		"keys twice":                    {keyed + set + "jwks_uri: https://a.example/j\n", "jwks_uri", "beside jwks"},
		"no keys":                       {keyed, "jwks", "is missing"},
		"a private key":                 {keyed + "jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo, d: secret}]}\n", "jwks", "private key"},
		"a text":                        {keyed + "jwks: nonsense\n", "jwks", "not an object"},
		"a list":                        {keyed + "jwks: []\n", "jwks", "not an object"},
		"deep nesting":                  {keyed + "jwks: " + strings.Repeat("{a: ", 50) + "b" + strings.Repeat("}", 50) + "\n", "jwks", "too deeply"},
		"a name twice":                  {keyed + "jwks: {keys: [], keys: []}\n", "jwks", "twice"},
		"a key at file:":                {keyed + "jwks_uri: file:///etc/passwd\n", "jwks_uri", "only https"},
		"a fragment in jwks_uri":        {keyed + "jwks_uri: https://a.example/j#x\n", "jwks_uri", "fragment"},
		"a MAC for keys":                {keyed + set + "token_endpoint_auth_signing_alg: HS256\n", "token_endpoint_auth_signing_alg", "does not fit"},
		"an algorithm without a method": {basic + "token_endpoint_auth_signing_alg: HS256\n", "token_endpoint_auth_signing_alg", "signs nothing"},
		"no algorithm of that name":     {keyed + set + "token_endpoint_auth_signing_alg: none\n", "token_endpoint_auth_signing_alg", "not supported"},
		"a request signed without keys": {basic + "request_object_signing_alg: PS256\n", "request_object_signing_alg", "needs public keys"},
		"a public client's MAC":         {"token_endpoint_auth_method: none\nrequest_object_signing_alg: HS256\n", "request_object_signing_alg", "needs a secret"},
		"unsigned, and signed":          {basic + "request_object_signing_alg: none\nrequire_signed_request_object: true\n", "request_object_signing_alg", "wants a signature"},
		"ID tokens unsigned in hybrid":  {basic + "grant_types: [authorization_code, implicit]\nresponse_types: [code, code id_token]\nid_token_signed_response_alg: none\n", "id_token_signed_response_alg", "through the browser"},
		"unsigned userinfo":             {basic + "userinfo_signed_response_alg: none\n", "userinfo_signed_response_alg", "not supported"},
		"a public client's userinfo":    {"token_endpoint_auth_method: none\nuserinfo_signed_response_alg: HS512\n", "userinfo_signed_response_alg", "needs a secret"},
		"a secret as sealed":            {basic + "client_secret_sealed: hunter2\n", "client_secret_sealed", "not a sealed secret"},
		"a public client's secret":      {"token_endpoint_auth_method: none\nclient_secret_sealed: sealed:" + strings.Repeat("A", 80) + "\n", "client_secret_sealed", "has no secret"},
		"a request at javascript:":      {basic + "request_uris: ['javascript:alert(1)']\n", "request_uris", "only https"},
	} {
		_, problems := clients.Parse("app.yaml", []byte("client_id: app\nredirect_uris: https://app.example.org/cb\n"+c.text))
		if len(problems) != 1 || problems[0].Key != c.key || !strings.Contains(problems[0].Message, c.message) {
			t.Errorf("%s: %v", name, problems)
		}
	}
}
