package keys_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse/oidc/keys"
)

func sign(t *testing.T, ring *keys.Ring, alg string) string {
	t.Helper()
	token, err := ring.Sign(alg, "", map[string]any{"iss": "https://sso.example.org", "sub": "x"})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func header(t *testing.T, token string) (h map[string]any) {
	t.Helper()
	part, _, _ := strings.Cut(token, ".")
	data, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &h); err != nil {
		t.Fatal(err)
	}
	return h
}

func kidOf(t *testing.T, token string) string {
	t.Helper()
	kid, _ := header(t, token)["kid"].(string)
	return kid
}

func TestWhatIsSignedVerifiesElsewhereAndHere(t *testing.T) {
	t.Parallel()
	ring, _, _ := open(t)
	_, set := published(t, ring)
	for _, alg := range ring.Algorithms() {
		for range 300 { // some signatures begin with a zero byte
			token := sign(t, ring, alg)
			jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
			if err != nil {
				t.Fatal(err)
			}
			payload, err := jws.Verify(set)
			if err != nil {
				t.Fatalf("go-jose: %v", err)
			}
			ours, err := ring.Verify(token)
			if err != nil || string(ours) != string(payload) {
				t.Fatalf("%s, error %v", ours, err)
			}
			if alg == keys.RS256 {
				break
			}
		}
	}
	if _, err := ring.Sign("HS256", "", 1); err == nil {
		t.Error("signed with HS256")
	}
	if _, err := ring.Sign(keys.ES256, "", func() {}); err == nil {
		t.Error("signed what is no JSON")
	}
}

func TestTheHeaderSaysItsType(t *testing.T) {
	t.Parallel()
	ring, _, _ := open(t)
	for typ, want := range map[string]string{"": "JWT", "JWT": "JWT", "at+jwt": "at+jwt"} {
		token, err := ring.Sign(keys.ES256, typ, map[string]any{})
		if h := header(t, token); err != nil || h["typ"] != want || h["alg"] != "ES256" || len(h) != 3 {
			t.Errorf("%v, error %v", h, err)
		}
		if _, err := ring.Verify(token); err != nil {
			t.Error(err)
		}
	}
	if _, err := ring.Sign(keys.ES256, `a","alg":"none`, 1); err == nil {
		t.Error("a type that breaks out of the header was taken")
	}
}

// forge returns a token with this header and signature.
func forge(head map[string]any, payload string, signer func(signed []byte) []byte) string {
	data, err := json.Marshal(head)
	if err != nil {
		panic(err)
	}
	signed := base64.RawURLEncoding.EncodeToString(data) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	return signed + "." + base64.RawURLEncoding.EncodeToString(signer([]byte(signed)))
}

func TestForgeriesAreRefused(t *testing.T) {
	t.Parallel()
	ring, _, _ := open(t)
	other, _, _ := open(t)
	token := sign(t, ring, keys.ES256)
	parts := strings.Split(token, ".")
	es, rs := kidOf(t, token), kidOf(t, sign(t, ring, keys.RS256))
	_, set := published(t, ring)
	public, err := set.Key(es)[0].MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	mac := func(key []byte) func([]byte) []byte {
		return func(signed []byte) []byte {
			h := hmac.New(sha256.New, key)
			_, _ = h.Write(signed)
			return h.Sum(nil)
		}
	}
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	bySelf := func(signed []byte) []byte {
		digest := sha256.Sum256(signed)
		r, s, err := ecdsa.Sign(rand.Reader, own, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
	nothing := func([]byte) []byte { return nil }
	for name, forged := range map[string]string{
		"none":                            forge(map[string]any{"alg": "none", "kid": es}, "{}", nothing),
		"none without a kid":              forge(map[string]any{"alg": "none"}, "{}", nothing),
		"HS256 with the public key":       forge(map[string]any{"alg": "HS256", "kid": es}, "{}", mac(public)),
		"HS256 called ES256":              forge(map[string]any{"alg": "ES256", "kid": es}, "{}", mac(public)),
		"another key named by jwk":        forge(map[string]any{"alg": "ES256", "kid": es, "jwk": jose.JSONWebKey{Key: &own.PublicKey}}, "{}", bySelf),
		"another key named by jku":        forge(map[string]any{"alg": "ES256", "kid": "mine", "jku": "https://evil.example/jwks"}, "{}", bySelf),
		"an RSA key with ES256":           forge(map[string]any{"alg": "ES256", "kid": rs}, "{}", bySelf),
		"an EC key with RS256":            forge(map[string]any{"alg": "RS256", "kid": es}, "{}", bySelf),
		"crit":                            forge(map[string]any{"alg": "ES256", "kid": es, "crit": []string{"exp"}}, "{}", bySelf),
		"all zero":                        forge(map[string]any{"alg": "ES256", "kid": es}, "{}", func([]byte) []byte { return make([]byte, 64) }),
		"another payload":                 parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"y"}`)) + "." + parts[2],
		"another server":                  sign(t, other, keys.ES256),
		"padding":                         token + "=",
		"a line break":                    parts[0] + "." + parts[1] + ".\n" + parts[2],
		"four parts":                      token + ".x",
		"two parts":                       parts[0] + "." + parts[1],
		"no signature":                    parts[0] + "." + parts[1] + ".",
		"nothing":                         "",
		"dots":                            "..",
		"a header that is no object":      base64.RawURLEncoding.EncodeToString([]byte(`[]`)) + "." + parts[1] + "." + parts[2],
		"too long":                        token + strings.Repeat("A", 1<<20),
		"the signature with stray bits":   strays(token),
		"the signature in its DER form":   der(t, ring),
		"the kid of a file outside of it": forge(map[string]any{"alg": "ES256", "kid": "../" + es}, "{}", bySelf),
	} {
		if payload, err := ring.Verify(forged); !errors.Is(err, keys.ErrInvalid) || payload != nil {
			t.Errorf("%s: %q, error %v", name, payload, err)
		}
	}
}

// strays changes bits of the last character that carry no data.
func strays(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last|1])
}

// der returns a token whose right signature is not in the JWS form.
func der(t *testing.T, ring *keys.Ring) string {
	t.Helper()
	token := sign(t, ring, keys.ES256)
	i := strings.LastIndexByte(token, '.')
	raw, err := base64.RawURLEncoding.DecodeString(token[i+1:])
	if err != nil {
		t.Fatal(err)
	}
	number := func(b []byte) []byte {
		b = append([]byte{0}, b...)
		return append([]byte{2, byte(len(b))}, b...)
	}
	body := append(number(raw[:32]), number(raw[32:])...)
	return token[:i+1] + base64.RawURLEncoding.EncodeToString(append([]byte{0x30, byte(len(body))}, body...))
}

func FuzzVerify(f *testing.F) {
	ring, err := keys.Open(filepath.Join(f.TempDir(), "keys"), time.Now)
	if err != nil {
		f.Fatal(err)
	}
	token, err := ring.Sign(keys.ES256, "", map[string]string{"sub": "x"})
	if err != nil {
		f.Fatal(err)
	}
	other, err := ring.Sign(keys.RS256, "", map[string]string{"sub": "x"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add(other)
	f.Add(forge(map[string]any{"alg": "none"}, "{}", func([]byte) []byte { return nil }))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		payload, err := ring.Verify(text)
		if text == token || text == other {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		if err == nil || payload != nil {
			t.Fatalf("%q was taken for %q", text, payload)
		}
	})
}

func benchmarkSign(b *testing.B, alg string) {
	ring, err := keys.Open(filepath.Join(b.TempDir(), "keys"), time.Now)
	if err != nil {
		b.Fatal(err)
	}
	claims := map[string]any{"iss": "https://sso.example.org", "sub": "5b3e8f0c-1111-4222-8333-123456789abc", "aud": []string{"app"}, "exp": 1767323045, "iat": 1767322145}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ring.Sign(alg, "", claims); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignES256(b *testing.B) { benchmarkSign(b, keys.ES256) }
func BenchmarkSignRS256(b *testing.B) { benchmarkSign(b, keys.RS256) }

func BenchmarkVerifyES256(b *testing.B) {
	ring, err := keys.Open(filepath.Join(b.TempDir(), "keys"), time.Now)
	if err != nil {
		b.Fatal(err)
	}
	token, err := ring.Sign(keys.ES256, "", map[string]string{"sub": "x"})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := ring.Verify(token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "keys")
	if _, err := keys.Open(dir, time.Now); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := keys.Open(dir, time.Now); err != nil {
			b.Fatal(err)
		}
	}
}
