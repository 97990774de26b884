package clients

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/pbkdf2"

	"gatehouse/oidc"
)

const (
	alphabet     = letters + digits
	secretLength = 64 // 381 bits; HS512 needs as many bytes (RFC 7518, section 3.2)
	hashPrefix   = "sha256:"

	chosenLeast, chosenMost = 32, 64
	chosenIterations        = 210_000 // of PBKDF2 with SHA-512
)

// NewSecret makes a client secret and the hash to keep of it. The secret has
// letters and digits only, so that it is the same before and after form-encoding
// (RFC 6749, section 2.3.1), and more than 256 random bits, so that one SHA-256
// is enough to keep it.
func NewSecret() (secret, hash string) {
	const fair = 256 - 256%len(alphabet) // bytes from here on would favour some letters
	out := make([]byte, 0, secretLength)
	var b [64]byte
	for len(out) < secretLength {
		_, _ = rand.Read(b[:]) // never fails: crypto/rand
		for _, c := range b {
			if int(c) < fair && len(out) < secretLength {
				out = append(out, alphabet[int(c)%len(alphabet)])
			}
		}
	}
	sum := sha256.Sum256(out)
	return string(out), hashPrefix + hex.EncodeToString(sum[:])
}

// HashChosen returns the hash to keep of a secret that somebody chose: 32 to 64
// characters of A–Z a–z 0–9. Nobody knows how random it is, so it is hashed
// slowly.
func HashChosen(secret string) (string, error) {
	if len(secret) < chosenLeast || len(secret) > chosenMost {
		return "", fmt.Errorf("the secret has %d characters, not %d to %d", len(secret), chosenLeast, chosenMost)
	}
	if strings.Trim(secret, alphabet) != "" {
		return "", errors.New("the secret has characters other than A–Z a–z 0–9")
	}
	hasher, err := pbkdf2.New(pbkdf2.WithVariant(pbkdf2.VariantSHA512), pbkdf2.WithIterations(chosenIterations))
	if err != nil {
		return "", fmt.Errorf("making a hash: %w", err)
	}
	digest, err := hasher.Hash(secret)
	if err != nil {
		return "", fmt.Errorf("making a hash: %w", err)
	}
	return digest.Encode(), nil
}

// hashFault says what is wrong with the hash of a secret.
func hashFault(hash string) (message, hint string) {
	const forms = "write sha256: and 64 hex digits, or a bcrypt, PBKDF2 or Argon2id hash in crypt form; gatehouse client reset-secret makes one"
	if digits, found := strings.CutPrefix(hash, hashPrefix); found {
		if _, err := hex.DecodeString(digits); err != nil || len(digits) != 2*sha256.Size {
			return "what follows sha256: is not 64 hex digits", forms
		}
		return "", ""
	}
	if !strings.HasPrefix(hash, "$") {
		// Not echoed: it may be the secret itself.
		return "this is not a hash; if it is the secret itself, take a new one: it has been lying here", forms
	}
	if _, err := decodeHash(hash); err != nil {
		return err.Error(), forms
	}
	return "", ""
}

// The bounds of what one check may cost: a client file is trusted, but a slip
// of the pen in it must not stop the server.
const (
	bcryptLeast, bcryptMost = 4, 16
	pbkdf2Least, pbkdf2Most = 1000, 10_000_000
	argon2Memory            = 256 << 10 // KiB
	argon2Time              = 64
	argon2Threads           = 16
	hashMost                = 512 // characters
)

// decodeHash reads a crypt form and keeps it within bounds. Errors don't quote
// the hash.
func decodeHash(hash string) (algorithm.Digest, error) {
	unreadable := errors.New("this crypt form can't be read")
	if len(hash) > hashMost {
		return nil, unreadable
	}
	parts := strings.Split(hash, "$")
	if len(parts) < 4 {
		return nil, unreadable
	}
	var digest algorithm.Digest
	var err error
	var costs []cost
	switch name := parts[1]; name {
	case "2a", "2b", "2y":
		costs = []cost{{parts[2], bcryptLeast, bcryptMost}}
		digest, err = bcrypt.DecodeVariant(bcrypt.VariantStandard)(hash)
	case "pbkdf2", "pbkdf2-sha1", "pbkdf2-sha224", "pbkdf2-sha256", "pbkdf2-sha384", "pbkdf2-sha512":
		costs = []cost{{parts[2], pbkdf2Least, pbkdf2Most}}
		digest, err = pbkdf2.Decode(hash)
	case "argon2id":
		if costs, err = argon2Costs(parts); err == nil {
			digest, err = argon2.DecodeVariant(argon2.VariantID)(hash)
		}
	default:
		return nil, errors.New("this kind of hash is not supported")
	}
	if err != nil {
		return nil, unreadable
	}
	for _, c := range costs {
		if n, err := strconv.Atoi(c.text); err != nil || n < c.least || n > c.most {
			return nil, fmt.Errorf("a cost of this hash is not between %d and %d", c.least, c.most)
		}
	}
	if len(digest.Salt()) < 8 || len(digest.Key()) < 16 || len(digest.Key()) > 128 {
		return nil, unreadable
	}
	return digest, nil
}

type cost struct {
	text        string
	least, most int
}

// argon2Costs takes m, t and p out of $argon2id$v=19$m=65536,t=3,p=4$salt$key.
// All three must be there: the library's defaults are not the hash's maker's.
func argon2Costs(parts []string) ([]cost, error) {
	if len(parts) != 6 {
		return nil, errors.New("not six parts")
	}
	bounds := map[string]cost{"m": {least: 8, most: argon2Memory}, "t": {least: 1, most: argon2Time}, "p": {least: 1, most: argon2Threads}}
	var costs []cost
	for _, option := range strings.Split(parts[3], ",") {
		name, text, _ := strings.Cut(option, "=")
		c, known := bounds[name]
		if !known {
			continue
		}
		delete(bounds, name)
		c.text = text
		costs = append(costs, c)
	}
	if len(bounds) > 0 {
		return nil, errors.New("a cost is missing")
	}
	return costs, nil
}

// A Verifier compares client secrets with their hashes. Slow hashes are computed
// once: afterwards a digest under a key of this process is compared instead. It
// may be used by several goroutines at once.
type Verifier struct {
	key  [32]byte
	busy chan struct{} // bounds the slow hashes that are computed at once

	mu    sync.Mutex
	known map[string]known // by client id
}

type known struct {
	hash   string // the one that the digest was verified against
	digest [sha256.Size]byte
}

// maxKnown bounds the memory of clients that come and go.
const maxKnown = 10_000

// NewVerifier returns a Verifier that knows no secret yet.
func NewVerifier() *Verifier {
	v := &Verifier{busy: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1)), known: map[string]known{}}
	_, _ = rand.Read(v.key[:]) // never fails: crypto/rand
	return v
}

// verifyPatience is how long a slow hash may wait for its turn. A stranger who knows a
// client's id can ask for any number of them; without an end to the waiting they
// would fill the memory.
const verifyPatience = 3 * time.Second

// VerifySecret reports whether secret is the one that the client's hash was made
// of. The time does not depend on where the two differ. A client without a hash
// has no secret that is right. The error means that it could not be told in time,
// and wraps oidc.ErrUnavailable; a secret that was verified before is always told.
func (v *Verifier) VerifySecret(ctx context.Context, c *oidc.Client, secret string) (bool, error) {
	if c == nil || c.SecretHash == "" || secret == "" || len(secret) > 1024 {
		return false, nil
	}
	if digits, found := strings.CutPrefix(c.SecretHash, hashPrefix); found {
		want, err := hex.DecodeString(digits)
		sum := sha256.Sum256([]byte(secret))
		return subtle.ConstantTimeCompare(sum[:], want) == 1 && err == nil, nil
	}
	mac := hmac.New(sha256.New, v.key[:])
	mac.Write([]byte(secret))
	digest := [sha256.Size]byte(mac.Sum(nil))

	v.mu.Lock()
	k, found := v.known[c.ID]
	v.mu.Unlock()
	if found && k.hash == c.SecretHash && subtle.ConstantTimeCompare(k.digest[:], digest[:]) == 1 {
		return true, nil
	}

	waiting, cancel := context.WithTimeout(ctx, verifyPatience)
	defer cancel()
	select {
	case v.busy <- struct{}{}:
		defer func() { <-v.busy }()
	case <-waiting.Done():
		return false, fmt.Errorf("%w: too many client secrets are being checked", oidc.ErrUnavailable)
	}
	decoded, err := decodeHash(c.SecretHash)
	if err != nil || !decoded.Match(secret) {
		return false, nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.known) >= maxKnown {
		clear(v.known)
	}
	v.known[c.ID] = known{c.SecretHash, digest}
	return true, nil
}
