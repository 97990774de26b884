package keys

import (
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// State says what a key is used for.
type State string

// The states of a key. All are published.
const (
	StateNext     State = "next"     // does not sign yet
	StateActive   State = "active"   // signs and verifies
	StateInactive State = "inactive" // verifies what it has signed
)

// Info describes a key. It holds nothing private.
type Info struct {
	Kid       string    `json:"kid"`
	Alg       string    `json:"alg"`
	State     State     `json:"state"`
	CreatedAt time.Time `json:"created_at"`
	// ActiveFrom is when the key begins or began to sign; zero for a spare key
	// that waits for Rotate.
	ActiveFrom time.Time `json:"active_from,omitzero"`
	// InactiveFrom is when its successor takes or took over; zero if there is none.
	InactiveFrom time.Time `json:"inactive_from,omitzero"`
}

// key is one key with its private part.
type key struct {
	kid        string
	alg        string
	algorithm  algorithm
	createdAt  time.Time
	activeFrom time.Time // zero for a spare
	private    crypto.Signer
	header     string // encoded JOSE header for typ JWT, with the dot behind it
}

// String names the key without its private part; so do the methods below.
func (k *key) String() string { return "key " + k.kid }

// GoString is String.
func (k *key) GoString() string { return k.String() }

// LogValue is String.
func (k *key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText is the kid.
func (k *key) MarshalText() ([]byte, error) { return []byte(k.kid), nil }

// newKey makes a key. Its kid says algorithm and day, so that a person can tell
// keys apart, and 32 random bits.
func newKey(alg string, now time.Time) (*key, error) {
	a, ok := lookup(alg)
	if !ok || a.family == familyMAC {
		return nil, fmt.Errorf("make a key: %w", unknownAlgorithm(alg))
	}
	private, err := a.generate()
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return wrapKey(a, private, now), nil
}

// wrapKey gives a private key that fits its algorithm a name.
func wrapKey(a algorithm, private crypto.Signer, now time.Time) *key {
	k := &key{alg: a.name, algorithm: a, createdAt: now.UTC(), private: private}
	var suffix [4]byte
	_, _ = rand.Read(suffix[:]) // never fails: crypto/rand
	k.kid = fmt.Sprintf("%s-%s-%s", strings.ToLower(a.name), k.createdAt.Format("20060102"), hex.EncodeToString(suffix[:]))
	k.header = k.encodeHeader("JWT")
	return k
}

// encodeHeader returns the encoded JOSE header and the dot. typ holds no
// character that JSON would escape; Sign sees to that, and kid comes from a file
// name that was checked.
func (k *key) encodeHeader(typ string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+k.alg+`","kid":"`+k.kid+`","typ":"`+typ+`"}`)) + "."
}

// public returns the public key.
func (k *key) public() crypto.PublicKey { return k.private.Public() }

// byAge orders keys of one algorithm: those that sign first come first, spares
// come last.
func byAge(a, b *key) int {
	switch {
	case a.activeFrom.IsZero() != b.activeFrom.IsZero():
		if a.activeFrom.IsZero() {
			return 1
		}
		return -1
	case !a.activeFrom.Equal(b.activeFrom):
		return a.activeFrom.Compare(b.activeFrom)
	case !a.createdAt.Equal(b.createdAt):
		return a.createdAt.Compare(b.createdAt)
	default:
		return strings.Compare(a.kid, b.kid)
	}
}

// ofAlg returns the keys of one algorithm by age.
func ofAlg(all []*key, alg string) []*key {
	var keys []*key
	for _, k := range all {
		if k.alg == alg {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, byAge)
	return keys
}

// activeAt returns the index of the key that signs at now: the newest whose time
// has come, or the first of all if a wrong clock says that none has.
func activeAt(keys []*key, now time.Time) int {
	active := 0
	for i, k := range keys {
		if !k.activeFrom.IsZero() && !k.activeFrom.After(now) {
			active = i
		}
	}
	return active
}

// describe returns the Infos of the keys of one algorithm.
func describe(keys []*key, now time.Time) []Info {
	active := activeAt(keys, now)
	infos := make([]Info, len(keys))
	for i, k := range keys {
		infos[i] = Info{Kid: k.kid, Alg: k.alg, State: StateInactive, CreatedAt: k.createdAt, ActiveFrom: k.activeFrom}
		switch {
		case i == active:
			infos[i].State = StateActive
		case i > active:
			infos[i].State = StateNext
		}
		if i+1 < len(keys) && !k.activeFrom.IsZero() {
			infos[i].InactiveFrom = keys[i+1].activeFrom
		}
	}
	return infos
}
