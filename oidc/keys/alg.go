package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the table
	_ "crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// The signature algorithms (RFC 7518, section 3.1; RFC 8037), the default first.
const (
	ES256 = "ES256"
	RS256 = "RS256"
	EdDSA = "EdDSA"
	HS256 = "HS256"
	None  = "none"
)

const (
	rsaBits    = 2048    // of the keys made here, and the least of any
	rsaMaxBits = 8 << 10 // checking a signature by more takes too long
)

// family says what kind of key an algorithm takes.
type family string

const (
	familyEC  family = "EC"
	familyRSA family = "RSA"
	familyPSS family = "RSA-PSS"
	familyEd  family = "Ed25519"
	familyMAC family = "MAC"
)

// algorithm is one row of the table. A key is only ever used with the algorithm
// whose family it fits, so that no public key can become the secret of a MAC.
type algorithm struct {
	name   string
	family family
	hash   crypto.Hash    // not of EdDSA, which hashes by itself (RFC 8032, section 5.1)
	curve  elliptic.Curve // of familyEC
}

// table lists all algorithms, those first that every server has.
func table() []algorithm {
	return []algorithm{
		{name: ES256, family: familyEC, hash: crypto.SHA256, curve: elliptic.P256()},
		{name: RS256, family: familyRSA, hash: crypto.SHA256},
		{name: "ES384", family: familyEC, hash: crypto.SHA384, curve: elliptic.P384()},
		{name: "ES512", family: familyEC, hash: crypto.SHA512, curve: elliptic.P521()},
		{name: "RS384", family: familyRSA, hash: crypto.SHA384},
		{name: "RS512", family: familyRSA, hash: crypto.SHA512},
		{name: "PS256", family: familyPSS, hash: crypto.SHA256},
		{name: "PS384", family: familyPSS, hash: crypto.SHA384},
		{name: "PS512", family: familyPSS, hash: crypto.SHA512},
		{name: EdDSA, family: familyEd},
		{name: HS256, family: familyMAC, hash: crypto.SHA256},
		{name: "HS384", family: familyMAC, hash: crypto.SHA384},
		{name: "HS512", family: familyMAC, hash: crypto.SHA512},
	}
}

// required are the algorithms that every folder has a key of: the default, and
// RS256 for applications that know nothing newer. Keys of the others are there if
// the operator made them.
func required() []string { return []string{ES256, RS256} }

// Asymmetric returns the algorithms that there can be keys of, the default first.
func Asymmetric() []string {
	return namesOf(func(a algorithm) bool { return a.family != familyMAC })
}

// Symmetric returns the algorithms that sign with a shared secret.
func Symmetric() []string {
	return namesOf(func(a algorithm) bool { return a.family == familyMAC })
}

func namesOf(which func(algorithm) bool) []string {
	var names []string
	for _, a := range table() {
		if which(a) {
			names = append(names, a.name)
		}
	}
	return names
}

func lookup(name string) (algorithm, bool) {
	all := table()
	if i := slices.IndexFunc(all, func(a algorithm) bool { return a.name == name }); i >= 0 {
		return all[i], true
	}
	return algorithm{}, false
}

func unknownAlgorithm(alg string) error {
	names := Asymmetric()
	last := len(names) - 1
	return fmt.Errorf("algorithm %q is not known, there are %s and %s", alg, strings.Join(names[:last], ", "), names[last])
}

// generate makes a private key for the algorithm.
func (a algorithm) generate() (crypto.Signer, error) {
	switch a.family {
	case familyEC:
		return ecdsa.GenerateKey(a.curve, rand.Reader)
	case familyRSA, familyPSS:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case familyEd:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return nil, unknownAlgorithm(a.name)
}

// fault says in words why a public key does not fit the algorithm; "" if it does.
func (a algorithm) fault(public crypto.PublicKey) string {
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		switch {
		case a.family != familyEC:
			return "is an elliptic curve key, which does not fit " + a.name
		case p.Curve != a.curve:
			return "is on the curve " + p.Params().Name + ", " + a.name + " needs " + a.curve.Params().Name
		}
	case *rsa.PublicKey:
		switch {
		case a.family != familyRSA && a.family != familyPSS:
			return "is an RSA key, which does not fit " + a.name
		case p.N.BitLen() < rsaBits:
			return fmt.Sprintf("has %d bits, fewer than %d", p.N.BitLen(), rsaBits)
		case p.N.BitLen() > rsaMaxBits:
			return fmt.Sprintf("has %d bits, more than %d", p.N.BitLen(), rsaMaxBits)
		}
	case ed25519.PublicKey:
		switch {
		case a.family != familyEd:
			return "is an Ed25519 key, which does not fit " + a.name
		case len(p) != ed25519.PublicKeySize:
			return "has the wrong length"
		}
	default:
		return "is of a kind that is not supported"
	}
	return ""
}

func (a algorithm) digest(signed []byte) []byte {
	h := a.hash.New()
	h.Write(signed)
	return h.Sum(nil)
}

var errKeyType = errors.New("the key does not fit the algorithm")

// sign signs with a private key, in the form of RFC 7518, section 3.
func (a algorithm) sign(private crypto.Signer, signed []byte) ([]byte, error) {
	switch p := private.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, p, a.digest(signed))
		if err != nil {
			return nil, err
		}
		size := (p.Params().BitSize + 7) / 8
		signature := make([]byte, 2*size) // both numbers, full length: RFC 7518, section 3.4
		r.FillBytes(signature[:size])
		s.FillBytes(signature[size:])
		return signature, nil
	case *rsa.PrivateKey:
		if a.family == familyPSS { // RFC 7518, section 3.5: the salt is as long as the hash
			return rsa.SignPSS(rand.Reader, p, a.hash, a.digest(signed), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
		return rsa.SignPKCS1v15(rand.Reader, p, a.hash, a.digest(signed))
	case ed25519.PrivateKey:
		return ed25519.Sign(p, signed), nil
	}
	return nil, errKeyType
}

// verify checks a signature by a public key that fits; see fault.
func (a algorithm) verify(public crypto.PublicKey, signed, signature []byte) bool {
	if a.fault(public) != "" {
		return false
	}
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		size := (p.Params().BitSize + 7) / 8
		if len(signature) != 2*size {
			return false
		}
		r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
		return ecdsa.Verify(p, a.digest(signed), r, s)
	case *rsa.PublicKey:
		if a.family == familyPSS {
			return rsa.VerifyPSS(p, a.hash, a.digest(signed), signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(p, a.hash, a.digest(signed), signature) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(p, signed, signature)
	}
	return false
}

// mac computes the MAC of a shared secret, which has at least as many bytes as the
// hash (RFC 7518, section 3.2).
func (a algorithm) mac(secret, signed []byte) ([]byte, error) {
	if a.family != familyMAC {
		return nil, errKeyType
	}
	if len(secret) < a.hash.Size() {
		return nil, fmt.Errorf("%s needs a secret of %d bytes, this one has %d: %w", a.name, a.hash.Size(), len(secret), ErrShortSecret)
	}
	m := hmac.New(a.hash.New, secret)
	m.Write(signed)
	return m.Sum(nil), nil
}

func (a algorithm) verifyMAC(secret, signed, signature []byte) bool {
	want, err := a.mac(secret, signed)
	return err == nil && subtle.ConstantTimeCompare(want, signature) == 1
}

// ErrShortSecret means that a client's secret is too short for the algorithm.
var ErrShortSecret = errors.New("the secret is too short")
