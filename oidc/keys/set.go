package keys

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxSet     = 256 << 10 // bytes of a JWK Set of others
	maxSetKeys = 100
)

// ErrUnknownKey means that a JWS names a key that the set doesn't hold. A newer set
// may hold it.
var ErrUnknownKey = fmt.Errorf("%w: its key is not known", ErrInvalid)

// ErrSet means that a JWK Set can't be used.
var ErrSet = errors.New("not a usable JWK Set")

// Set is the public keys of somebody else, to verify with. It never changes.
type Set struct{ keys []foreignKey }

type foreignKey struct {
	kid, alg string // as the set says, "" where it doesn't
	public   crypto.PublicKey
}

// ParseSet reads a JWK Set (RFC 7517, section 5). Keys that are for encryption or
// of a kind that is not known here are passed over, as that section demands; a set
// without any other is an error, and so is one with a private or a symmetric key
// in it, which whoever wrote it has to replace.
func ParseSet(data []byte) (*Set, error) {
	if len(data) > maxSet {
		return nil, fmt.Errorf("%w: it is larger than %d KiB", ErrSet, maxSet>>10)
	}
	members, err := Object(data)
	if err != nil {
		return nil, fmt.Errorf("%w: it is not a JSON object", ErrSet)
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(members["keys"], &raw); err != nil {
		return nil, fmt.Errorf("%w: there is no list of keys in it", ErrSet)
	}
	if len(raw) > maxSetKeys {
		return nil, fmt.Errorf("%w: it holds more than %d keys", ErrSet, maxSetKeys)
	}
	set := &Set{}
	reason := "it holds no key"
	for _, one := range raw {
		k, why, err := parseForeign(one)
		if err != nil {
			return nil, err
		}
		if why != "" {
			reason = "it holds no key to verify signatures with: one " + why
			continue
		}
		set.keys = append(set.keys, k)
	}
	if len(set.keys) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrSet, reason)
	}
	return set, nil
}

// parseForeign reads one key. why says why it is passed over.
func parseForeign(data []byte) (k foreignKey, why string, err error) {
	members, err := Object(data)
	if err != nil {
		return k, "", fmt.Errorf("%w: a key in it is not a JSON object", ErrSet)
	}
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
		if _, there := members[private]; there {
			return k, "", fmt.Errorf("%w: it holds a private key, which is no secret any more", ErrSet)
		}
	}
	if raw, there := members["key_ops"]; there { // RFC 7517, section 4.3
		var operations []string
		readable := json.Unmarshal(raw, &operations) == nil
		if !readable || !slices.Contains(operations, "verify") {
			return k, "is not for verifying", nil
		}
	}
	// A certificate chain is not what decides here, and need not be well-formed.
	for _, name := range []string{"x5c", "x5u", "x5t", "x5t#S256", "key_ops"} {
		delete(members, name)
	}
	cleaned, err := json.Marshal(members)
	if err != nil {
		return k, "", fmt.Errorf("%w: a key in it is not a JSON object", ErrSet)
	}
	var jwk jose.JSONWebKey
	if known := jwk.UnmarshalJSON(cleaned) == nil; !known {
		return k, "is damaged or of a kind that is not supported", nil
	}
	if jwk.Use != "" && jwk.Use != "sig" {
		return k, "is not for signatures", nil
	}
	k = foreignKey{kid: jwk.KeyID, alg: jwk.Algorithm, public: jwk.Key}
	fits := slices.ContainsFunc(table(), func(a algorithm) bool {
		return (k.alg == "" || k.alg == a.name) && a.fault(k.public) == ""
	})
	if !fits {
		return k, "is too short, too long, or does not fit its alg", nil
	}
	return k, "", nil
}

// Verify checks a compact JWS by a key of the set and returns what it holds. The
// algorithm must be one of those allowed and fit the key; see JWS.VerifySet.
func (s *Set) Verify(token string, allowed []string) (Header, []byte, error) {
	j, err := ParseJWS(token)
	if err != nil {
		return Header{}, nil, err
	}
	if err := s.VerifyJWS(j, allowed); err != nil {
		return Header{}, nil, err
	}
	return j.Header, j.Payload, nil
}

// VerifyJWS checks a JWS by a key of the set, with one of the algorithms allowed.
// Where its header has a kid, only keys of that kid are tried, and none is
// ErrUnknownKey. Without one there must be a single key that fits the algorithm
// (OpenID Connect Core 1.0, section 10.1). none is refused whatever is allowed.
func (s *Set) VerifyJWS(j *JWS, allowed []string) error {
	a, err := j.pinned(allowed)
	if err != nil {
		return err
	}
	if a.family == familyMAC {
		return fmt.Errorf("%w: its algorithm is not one of public keys", ErrInvalid)
	}
	var fitting []foreignKey
	known := false
	for _, k := range s.keys {
		if j.Header.Kid != "" && k.kid != j.Header.Kid {
			continue
		}
		known = true
		if (k.alg == "" || k.alg == a.name) && a.fault(k.public) == "" {
			fitting = append(fitting, k)
		}
	}
	switch {
	case !known:
		return ErrUnknownKey
	case len(fitting) == 0 && j.Header.Kid == "":
		return ErrUnknownKey
	case len(fitting) == 0:
		return fmt.Errorf("%w: its algorithm does not fit the key", ErrInvalid)
	case len(fitting) > 1 && j.Header.Kid == "":
		return fmt.Errorf("%w: its header has no kid, and several keys fit", ErrInvalid)
	}
	for _, k := range fitting { // one kid may stand for keys of several kinds (RFC 7517, section 4.5)
		if a.verify(k.public, j.signed, j.signature) {
			return nil
		}
	}
	return fmt.Errorf("%w: its signature is wrong", ErrInvalid)
}
