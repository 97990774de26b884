package clients_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"github.com/go-crypt/crypt/algorithm/pbkdf2"

	"gatehouse/oidc"
	"gatehouse/oidc/clients"
)

func TestAGeneratedSecretHasTheAlphabetAndTheBits(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	counts := map[rune]int{}
	const rounds = 2000
	for range rounds {
		secret, hash := clients.NewSecret()
		sum := sha256.Sum256([]byte(secret))
		if len(secret) != 64 || seen[secret] || hash != "sha256:"+hex.EncodeToString(sum[:]) {
			t.Fatalf("%q, %q", secret, hash)
		}
		seen[secret] = true
		for _, r := range secret {
			counts[r]++
		}
	}
	if len(counts) != 62 {
		t.Errorf("%d different characters", len(counts))
	}
	expected := float64(rounds*64) / 62
	for r, n := range counts {
		if r > 'z' || math.Abs(float64(n)-expected) > 6*math.Sqrt(expected) {
			t.Errorf("%q came %d times, not about %.0f", r, n, expected)
		}
	}
}

func TestAChosenSecretIsHeldToItsFormAndHashedSlowly(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"", "short", strings.Repeat("a", 31), strings.Repeat("a", 65), strings.Repeat("a", 31) + "-", strings.Repeat("ä", 20), strings.Repeat("a", 40) + "\n"} {
		if hash, err := clients.HashChosen(secret); err == nil {
			t.Errorf("%q was hashed to %s", secret, hash)
		} else if secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("the error echoes the secret: %v", err)
		}
	}
	secret := strings.Repeat("aB3", 11)
	hash, err := clients.HashChosen(secret)
	if err != nil || !strings.HasPrefix(hash, "$pbkdf2-sha512$210000$") {
		t.Fatalf("%s, %v", hash, err)
	}
	if c := parsed(t, hash); !verified(clients.NewVerifier(), c, secret) {
		t.Error("the secret is not verified")
	}
}

// parsed puts a hash through a client file.
func parsed(t testing.TB, hash string) *oidc.Client {
	t.Helper()
	c, problems := clients.Parse("x.yaml", []byte(with("client_secret_hash", "'"+hash+"'")))
	if len(problems) > 0 {
		t.Fatal(oidc.Problems(problems))
	}
	return c
}

// hashes holds every supported form of the hash of "the secret", as cheap as
// allowed.
func hashes(t testing.TB) map[string]string {
	t.Helper()
	sum := sha256.Sum256([]byte("the secret"))
	forms := map[string]string{
		"SHA-256":                 "sha256:" + hex.EncodeToString(sum[:]),
		"SHA-256 in capitals":     "sha256:" + strings.ToUpper(hex.EncodeToString(sum[:])),
		"bcrypt":                  bcryptSecret,
		"bcrypt as PHP writes it": strings.Replace(bcryptSecret, "$2a$", "$2y$", 1),
	}
	add := func(name string, h algorithm.Hash, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		d, err := h.Hash("the secret")
		if err != nil {
			t.Fatal(err)
		}
		forms[name] = d.Encode()
	}
	p, err := pbkdf2.New(pbkdf2.WithVariant(pbkdf2.VariantSHA256), pbkdf2.WithIterations(100_000))
	add("PBKDF2", p, err)
	a, err := argon2.New(argon2.WithVariant(argon2.VariantID), argon2.WithM(1024), argon2.WithT(1), argon2.WithP(1))
	add("Argon2id", a, err)
	return forms
}

const (
	bcryptSecret = "$2a$04$kE0oFDmA/5321QsYqj5u4.Iy75m9ZSDS6IQgPBGwHV3aIu1ltrupO" // of "the secret"
	bcryptOther  = "$2a$04$rqle85Q4qtcHvTEGXjfBC.g/fEdag.savNprHHFxhDeqZmfcCGKee" // of "second secret"
)

// verified reports whether v says that the secret is right.
func verified(v *clients.Verifier, c *oidc.Client, secret string) bool {
	right, err := v.VerifySecret(context.Background(), c, secret)
	return right && err == nil
}

func TestEveryFormOfHashAcceptsItsSecretOnly(t *testing.T) {
	t.Parallel()
	const secret = "the secret"
	for name, hash := range hashes(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := parsed(t, hash)
			v := clients.NewVerifier()
			for range 2 { // computed, then remembered
				for _, wrong := range []string{"", "the secre", "the secret ", "The secret", hash, strings.Repeat("x", 5000)} {
					if verified(v, c, wrong) {
						t.Errorf("%q was taken", wrong)
					}
				}
				if !verified(v, c, secret) {
					t.Error("the secret was refused")
				}
			}
		})
	}
}

func TestARememberedSecretDiesWithItsHash(t *testing.T) {
	t.Parallel()
	v := clients.NewVerifier()
	c := parsed(t, bcryptSecret)
	if !verified(v, c, "the secret") {
		t.Fatal("refused")
	}
	c = parsed(t, bcryptOther)
	if verified(v, c, "the secret") || !verified(v, c, "second secret") {
		t.Error("the secret of the old hash still counts, or the new one doesn't")
	}
	other := *parsed(t, bcryptSecret)
	other.ID = "other"
	if !verified(v, &other, "the secret") || verified(v, &other, "second secret") {
		t.Error("clients share what is remembered")
	}
}

// Anybody who knows a client's id can have wrong secrets checked by the thousand.
func TestAFloodOfWrongSecretsIsTurnedAwayAndHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	v := clients.NewVerifier()
	slow, err := clients.HashChosen(strings.Repeat("a", 64))
	if err != nil {
		t.Fatal(err)
	}
	c := parsed(t, slow)
	if !verified(v, c, strings.Repeat("a", 64)) {
		t.Fatal("refused")
	}
	ctx, giveUp := context.WithCancel(context.Background())
	var group sync.WaitGroup
	var unavailable atomic.Int32
	for i := range 200 {
		group.Go(func() {
			right, err := v.VerifySecret(ctx, c, fmt.Sprint("wrong ", i))
			if right || err != nil && !errors.Is(err, oidc.ErrUnavailable) {
				t.Errorf("%v %v", right, err)
			}
			if err != nil {
				unavailable.Add(1)
			}
		})
	}
	if !verified(v, c, strings.Repeat("a", 64)) {
		t.Error("a secret that was verified before is held up")
	}
	giveUp()
	group.Wait()
	if unavailable.Load() == 0 {
		t.Error("all waited for their turn although nobody was there any more")
	}
}

func TestAClientWithoutASecretIsNeverVerified(t *testing.T) {
	t.Parallel()
	v := clients.NewVerifier()
	for _, c := range []*oidc.Client{nil, {ID: "a"}, {ID: "a", SecretHash: "sha256:"}, {ID: "a", SecretHash: "x"}, {ID: "a", SecretHash: "$2b$10$"}, {ID: "a", SecretHash: "$plaintext$x"}} {
		for _, secret := range []string{"", "x", "sha256:"} {
			if verified(v, c, secret) {
				t.Errorf("%v took %q", c, secret)
			}
		}
	}
}

func TestSecretsAreVerifiedByManyAtOnce(t *testing.T) {
	t.Parallel()
	v := clients.NewVerifier()
	c := parsed(t, bcryptSecret)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			if want := i%2 == 0; verified(v, c, fmt.Sprint("the secret", strings.Repeat("x", i%2))) != want {
				t.Errorf("caller %d did not get %v", i, want)
			}
		})
	}
	group.Wait()
}

func FuzzSecretHash(f *testing.F) {
	for _, h := range hashes(f) {
		f.Add(h)
	}
	f.Add("$argon2id$v=19$m=8,t=1,p=1$$")
	f.Add("$pbkdf2-sha512$1000$$")
	f.Fuzz(func(t *testing.T, hash string) {
		if strings.ContainsAny(hash, "'\n\r") {
			return
		}
		c, problems := clients.Parse("x.yaml", []byte(with("client_secret_hash", "'"+hash+"'")))
		if len(problems) > 0 {
			return
		}
		if parts := strings.Split(hash, "$"); len(parts) > 3 { // keep what is checked below cheap
			for _, cost := range []string{"2a", "2b", "2y"} {
				if parts[1] == cost && parts[2] > "06" {
					return
				}
			}
			if strings.HasPrefix(parts[1], "pbkdf2") && len(parts[2]) > 4 || parts[1] == "argon2id" && len(parts[3]) > 16 {
				return
			}
		}
		if verified(clients.NewVerifier(), c, "certainly not this one") {
			t.Fatalf("%q took a wrong secret", hash)
		}
	})
}

func BenchmarkVerifySecret(b *testing.B) {
	v := clients.NewVerifier()
	for name, hash := range hashes(b) {
		c := parsed(b, hash)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if !verified(v, c, "the secret") {
					b.Fatal("refused")
				}
			}
		})
	}
}
