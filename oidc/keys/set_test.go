package keys_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// ringOf returns a ring with a key of every algorithm.
func ringOf(t *testing.T) *keys.Ring {
	t.Helper()
	ring, _, _ := open(t)
	for _, alg := range keys.Asymmetric()[2:] {
		if _, err := ring.Create(alg); err != nil {
			t.Fatal(err)
		}
	}
	return ring
}

func TestEveryAlgorithmSignsAndVerifies(t *testing.T) {
	t.Parallel()
	ring := ringOf(t)
	if got := ring.Algorithms(); !slices.Equal(got, keys.Asymmetric()) {
		t.Fatalf("algorithms %v", got)
	}
	set, err := keys.ParseSet(ring.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	_, published := published(t, ring)
	for _, alg := range keys.Asymmetric() {
		token, err := ring.Sign(alg, "", map[string]string{"a": "b"})
		if err != nil {
			t.Fatal(alg, err)
		}
		if _, err := ring.Verify(token); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		header, payload, err := set.Verify(token, []string{alg})
		if err != nil || header.Alg != alg || string(payload) != `{"a":"b"}` {
			t.Errorf("%s: %v %s %v", alg, header, payload, err)
		}
		// An implementation that isn't ours agrees.
		parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsed.Verify(published.Key(header.Kid)[0]); err != nil {
			t.Errorf("%s: go-jose: %v", alg, err)
		}
		for _, other := range keys.Asymmetric() {
			if other != alg {
				if _, _, err := set.Verify(token, []string{other}); !errors.Is(err, keys.ErrInvalid) {
					t.Errorf("a token by %s was taken where %s is allowed: %v", alg, other, err)
				}
			}
		}
	}
}

// Ed25519 and P-521 confuse old libraries, so nobody meets them unasked.
func TestOnlyTwoAlgorithmsArePublishedUnasked(t *testing.T) {
	t.Parallel()
	ring, _, _ := open(t)
	if kids, _ := published(t, ring); len(kids) != 2 || len(ring.Algorithms()) != 2 {
		t.Errorf("published %v for %v", kids, ring.Algorithms())
	}
	if _, err := ring.Sign(keys.EdDSA, "", 1); err == nil {
		t.Error("signed by a key that isn't there")
	}
	info, err := ring.Rotate(keys.EdDSA)
	if err != nil || info.State != keys.StateActive {
		t.Fatalf("the first key of an algorithm: %+v %v", info, err)
	}
	if err := ring.Retire(info.Kid); err != nil || len(ring.Algorithms()) != 2 {
		t.Errorf("the last key of an algorithm that nobody needs: %v %v", err, ring.Algorithms())
	}
}

func jwk(t *testing.T, key any, kid, alg, use string) string {
	t.Helper()
	b, err := jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: alg, Use: use}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func signed(t *testing.T, alg string, key any, header map[jose.HeaderKey]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key}, &jose.SignerOptions{ExtraHeaders: header})
	if err != nil {
		t.Fatal(err)
	}
	j, err := signer.Sign([]byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	token, err := j.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func TestTokensOfOthersAreJudgedByTheirSetAlone(t *testing.T) {
	t.Parallel()
	one, two, mallory := newRSA(t), newRSA(t), newRSA(t)
	setOf := func(all ...string) *keys.Set {
		set, err := keys.ParseSet([]byte(`{"keys":[` + strings.Join(all, ",") + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	both := setOf(jwk(t, &one.PublicKey, "one", "", ""), jwk(t, &two.PublicKey, "two", "RS256", "sig"))
	single := setOf(jwk(t, &one.PublicKey, "", "", ""))
	all := append(keys.Asymmetric(), keys.Symmetric()...)
	kid := func(k string) map[jose.HeaderKey]any { return map[jose.HeaderKey]any{"kid": k} }
	pemOfOne := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&one.PublicKey)})
	good := signed(t, "RS256", one, kid("one"))
	parts := strings.Split(good, ".")
	hostile, _ := json.Marshal(jose.JSONWebKey{Key: &mallory.PublicKey, KeyID: "one"})
	for name, c := range map[string]struct {
		set     *keys.Set
		token   string
		allowed []string
		want    error // nil for good
	}{
		"by its kid":                             {both, good, all, nil},
		"by another algorithm of the same key":   {both, signed(t, "PS256", one, kid("one")), all, nil},
		"without a kid, by the only key":         {single, signed(t, "RS256", one, nil), all, nil},
		"without a kid, by one of several":       {both, signed(t, "RS256", one, nil), all, keys.ErrInvalid},
		"with a kid that the set doesn't have":   {both, signed(t, "RS256", one, kid("three")), all, keys.ErrUnknownKey},
		"with a kid, by a key without":           {single, good, all, keys.ErrUnknownKey},
		"with the kid of the other key":          {both, signed(t, "RS256", one, kid("two")), all, keys.ErrInvalid},
		"against the alg of its key":             {both, signed(t, "PS256", two, kid("two")), all, keys.ErrInvalid},
		"against what is allowed":                {both, good, []string{"PS256"}, keys.ErrInvalid},
		"where nothing is allowed":               {both, good, nil, keys.ErrInvalid},
		"with a jwk of the sender's own":         {both, signed(t, "RS256", mallory, map[jose.HeaderKey]any{"kid": "one", "jwk": json.RawMessage(hostile)}), all, keys.ErrInvalid},
		"with a jku of the sender's own":         {both, signed(t, "RS256", mallory, map[jose.HeaderKey]any{"kid": "one", "jku": "https://evil.example/jwks"}), all, keys.ErrInvalid},
		"with the public key as secret":          {both, signed(t, "HS256", pemOfOne, kid("one")), all, keys.ErrInvalid},
		"with the modulus as secret":             {both, signed(t, "HS256", one.N.Bytes(), kid("one")), all, keys.ErrInvalid},
		"unsigned":                               {both, b64(`{"alg":"none","kid":"one"}`) + "." + b64(`{}`) + ".", append(all, "none"), keys.ErrInvalid},
		"unsigned in capitals":                   {both, b64(`{"alg":"NONE"}`) + "." + b64(`{}`) + ".", append(all, "NONE"), keys.ErrInvalid},
		"with crit":                              {both, b64(`{"alg":"RS256","kid":"one","crit":["b64"],"b64":false}`) + "." + parts[1] + "." + parts[2], all, keys.ErrInvalid},
		"with alg twice":                         {both, b64(`{"alg":"RS256","kid":"one","alg":"none"}`) + "." + parts[1] + "." + parts[2], all, keys.ErrInvalid},
		"with ALG instead":                       {both, b64(`{"ALG":"RS256","kid":"one"}`) + "." + parts[1] + "." + parts[2], all, keys.ErrInvalid},
		"with a number as kid":                   {both, b64(`{"alg":"RS256","kid":1}`) + "." + parts[1] + "." + parts[2], all, keys.ErrInvalid},
		"with another payload":                   {both, parts[0] + "." + b64(`{"sub":"admin"}`) + "." + parts[2], all, keys.ErrInvalid},
		"with line breaks":                       {both, good + "\n", all, keys.ErrInvalid},
		"with five parts, as an encrypted one":   {both, good + ".a.b", all, keys.ErrInvalid},
		"too long":                               {both, parts[0] + "." + strings.Repeat("A", 70<<10) + "." + parts[2], all, keys.ErrInvalid},
		"with a header nested ten thousand deep": {both, b64(`{"alg":`+strings.Repeat("[", 10_001)) + "." + parts[1] + "." + parts[2], all, keys.ErrInvalid},
	} {
		if _, _, err := c.set.Verify(c.token, c.allowed); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func newRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSetsThatCannotBeTrustedAreRefused(t *testing.T) {
	t.Parallel()
	good := newRSA(t)
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	public := jwk(t, &good.PublicKey, "a", "", "")
	for name, text := range map[string]string{
		"nothing":                 ``,
		"no object":               `[]`,
		"no keys":                 `{}`,
		"an empty list":           `{"keys":[]}`,
		"keys that are no list":   `{"keys":{}}`,
		"a private key":           `{"keys":[` + public + `,` + jwk(t, good, "b", "", "") + `]}`,
		"a shared secret":         `{"keys":[` + public + `,{"kty":"oct","k":"c2VjcmV0"}]}`,
		"a short key alone":       `{"keys":[` + jwk(t, &short.PublicKey, "a", "", "") + `]}`,
		"encryption keys only":    `{"keys":[` + jwk(t, &good.PublicKey, "a", "", "enc") + `]}`,
		"keys for signing only":   `{"keys":[` + strings.Replace(public, "{", `{"key_ops":["sign"],`, 1) + `]}`,
		"an alg that doesn't fit": `{"keys":[` + jwk(t, &good.PublicKey, "a", "ES256", "") + `]}`,
		"a point off the curve":   `{"keys":[{"kty":"EC","crv":"P-256","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}]}`,
		"a short Ed25519 key":     `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"}]}`,
		"two lists":               `{"keys":[],"keys":[` + public + `]}`,
		"something behind":        `{"keys":[` + public + `]}{}`,
		"a thousand keys":         `{"keys":[` + public + strings.Repeat(","+public, 1000) + `]}`,
		"megabytes":               `{"x":"` + strings.Repeat("x", 1<<20) + `"}`,
		"deep nesting":            `{"keys":` + strings.Repeat("[", 100_000),
	} {
		if _, err := keys.ParseSet([]byte(text)); !errors.Is(err, keys.ErrSet) {
			t.Errorf("%s: %v", name, err)
		}
	}
	mixed := `{"keys":[{"kty":"new"},` + jwk(t, &good.PublicKey, "e", "", "enc") + `,` + strings.Replace(public, "{", `{"x5c":["not base64"],`, 1) + `]}`
	if _, err := keys.ParseSet([]byte(mixed)); err != nil {
		t.Errorf("keys that are not for us keep those that are from being used: %v", err)
	}
}

func TestSharedSecretsSignWithWhatTheyAreLongEnoughFor(t *testing.T) {
	t.Parallel()
	secret := []byte(strings.Repeat("s", 48))
	for _, alg := range keys.Symmetric() {
		token, err := keys.SignMAC(alg, "", secret, map[string]int{"a": 1})
		if alg == "HS512" {
			if !errors.Is(err, keys.ErrShortSecret) {
				t.Errorf("48 bytes were enough for %s: %v", alg, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		j, err := keys.ParseJWS(token)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.VerifyMAC(secret, keys.Symmetric()); err != nil {
			t.Error(alg, err)
		}
		if err := j.VerifyMAC(append([]byte("x"), secret...), keys.Symmetric()); !errors.Is(err, keys.ErrInvalid) {
			t.Error("another secret did:", err)
		}
		if err := j.VerifyMAC(secret, keys.Asymmetric()); !errors.Is(err, keys.ErrInvalid) {
			t.Error("an algorithm did that isn't allowed:", err)
		}
		if err := j.VerifyNone(); !errors.Is(err, keys.ErrInvalid) {
			t.Error("a signed token passed for an unsigned one:", err)
		}
		parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsed.Verify(secret); err != nil {
			t.Errorf("%s: go-jose: %v", alg, err)
		}
	}
}

func TestKeysFromElsewhereAreTakenOver(t *testing.T) {
	t.Parallel()
	ring, _, _ := open(t)
	own := newRSA(t)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	inPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	info, err := ring.Import(inPEM, "")
	if err != nil || info.Alg != "RS256" || info.State != keys.StateNext {
		t.Fatalf("PKCS #8: %+v %v", info, err)
	}
	if _, err := ring.Import(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(own)}), "PS256"); err == nil {
		t.Error("the same key was taken twice")
	}
	info, err = ring.Import([]byte(jwk(t, newRSA(t), "from-elsewhere", "PS384", "sig")), "")
	if err != nil || info.Kid != "from-elsewhere" || info.State != keys.StateActive {
		t.Fatalf("a JWK: %+v %v", info, err)
	}
	if token, err := ring.Sign("PS384", "", 1); err != nil || !strings.Contains(token, b64(`{"alg":"PS384","kid":"from-elsewhere"`)[:40]) {
		t.Errorf("signed %s %v", token, err)
	}
	secret := own.D.Text(62)
	for name, c := range map[string]struct{ text, alg string }{
		"nothing":            {"", ""},
		"a public key":       {jwk(t, &own.PublicKey, "", "", ""), ""},
		"another alg":        {jwk(t, newRSA(t), "", "PS256", ""), "RS256"},
		"a wrong alg":        {jwk(t, newRSA(t), "", "", ""), "ES256"},
		"an unknown alg":     {jwk(t, newRSA(t), "", "", ""), "XX"},
		"a shared secret":    {`{"kty":"oct","k":"c2VjcmV0"}`, ""},
		"a kid with a path":  {jwk(t, newRSA(t), "../x", "", ""), ""},
		"a kid that is used": {jwk(t, newRSA(t), "from-elsewhere", "", ""), ""},
		"a certificate":      {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ""},
		"damaged PEM":        {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", ""},
		"an encrypted key":   {"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", ""},
	} {
		if _, err := ring.Import([]byte(c.text), c.alg); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAClientsOwnKeysLiveBesideTheServers(t *testing.T) {
	t.Parallel()
	ring, dir, now := open(t)
	own, err := keys.OpenClient(dir, "app.one~2", []string{keys.ES256}, now.Now)
	if err != nil {
		t.Fatal(err)
	}
	token, err := own.Sign(keys.ES256, "", 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Verify(token); !errors.Is(err, keys.ErrInvalid) {
		t.Errorf("the server takes the client's token for its own: %v", err)
	}
	if _, err := ring.Reload(); err != nil {
		t.Errorf("the folder of clients is in the way: %v", err)
	}
	if _, err := keys.LoadClient(dir, "app.one~2", []string{keys.ES256}, now.Now); err != nil {
		t.Error(err)
	}
	for _, id := range []string{"", "..", "../x", "a/b", ".a", "a b", strings.Repeat("a", 129)} {
		if _, err := keys.OpenClient(dir, id, nil, now.Now); !errors.Is(err, oidc.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "clients")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info, err)
	}
}

func FuzzParseJWS(f *testing.F) {
	f.Add(b64(`{"alg":"RS256","kid":"one"}`) + "." + b64(`{}`) + ".AAAA")
	f.Add(b64(`{"alg":"none"}`) + "." + b64(`{}`) + ".")
	set, err := keys.ParseSet([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if _, _, err := set.Verify(token, append(append(keys.Asymmetric(), keys.Symmetric()...), keys.None)); !errors.Is(err, keys.ErrInvalid) {
			t.Fatalf("taken: %q %v", token, err)
		}
	})
}

func FuzzParseSet(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := keys.ParseSet(data)
		if (set == nil) != (err != nil) || err != nil && !errors.Is(err, keys.ErrSet) {
			t.Fatal(err)
		}
	})
}

func FuzzImport(f *testing.F) {
	ring, err := keys.Open(filepath.Join(f.TempDir(), "keys"), time.Now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"), "ES256")
	f.Add([]byte(`{"kty":"EC"}`), "")
	f.Fuzz(func(t *testing.T, data []byte, alg string) {
		if info, err := ring.Import(data, alg); err == nil && info.Kid == "" {
			t.Fatal(fmt.Sprint(info))
		}
	})
}
