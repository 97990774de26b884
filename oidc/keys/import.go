package keys

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Import takes a private key over that was made elsewhere, from PEM (PKCS #8, PKCS
// #1 or SEC 1, not encrypted) or a JWK. It waits as one that Create makes. alg is
// what it signs with; "" takes what the JWK says, or the usual one for its kind. A
// JWK keeps its kid. Errors quote nothing of what was read.
func (r *Ring) Import(data []byte, alg string) (Info, error) {
	private, kid, named, err := parsePrivate(data)
	if err != nil {
		return Info{}, err
	}
	switch {
	case alg == "":
		alg = named
	case named != "" && named != alg:
		return Info{}, fmt.Errorf("the key is for %s, not for %s", named, alg)
	}
	var a algorithm
	for _, candidate := range table() {
		if candidate.name == alg || alg == "" && (&key{algorithm: candidate}).take(private) == "" {
			a = candidate
			break
		}
	}
	if a.name == "" || a.family == familyMAC {
		if alg != "" {
			return Info{}, unknownAlgorithm(alg)
		}
		return Info{}, errors.New("no algorithm is known that this key fits: RSA has 2048 to 8192 bits, and elliptic curves are P-256, P-384, P-521 and Ed25519")
	}
	taken := &key{algorithm: a}
	if problem := taken.take(private); problem != "" {
		return Info{}, errors.New(problem)
	}
	return r.change(func(now time.Time) (string, error) {
		k := wrapKey(a, taken.private, now)
		if kid != "" {
			k.kid = kid
			k.header = k.encodeHeader("JWT")
		}
		f := r.view.Load().folder
		for _, other := range f.keys {
			if other.kid == k.kid {
				return "", fmt.Errorf("there is a key %s already", k.kid)
			}
		}
		if err := doubles(r.dir, append(f.keys[:len(f.keys):len(f.keys)], k)).Err(); err != nil {
			return "", errors.New("the key is there already")
		}
		return k.kid, r.add(k)
	})
}

// parsePrivate reads the private key of a PEM or JSON text.
func parsePrivate(data []byte) (private any, kid, alg string, err error) {
	if len(data) > maxFile {
		return nil, "", "", errors.New("it is too large for a key")
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		var jwk jose.JSONWebKey
		if jwk.UnmarshalJSON(data) != nil {
			return nil, "", "", errors.New("it is not a JWK that can be read")
		}
		if jwk.Use != "" && jwk.Use != "sig" {
			return nil, "", "", errors.New("the key is not for signatures")
		}
		if jwk.KeyID != "" && !kidForm.MatchString(jwk.KeyID) {
			return nil, "", "", errors.New("its kid has characters other than letters, digits, - and _, or is longer than 64")
		}
		return jwk.Key, jwk.KeyID, jwk.Algorithm, nil
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY":
			private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			private, err = x509.ParseECPrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, "", "", errors.New("the key is encrypted: decrypt it first, with openssl pkey")
		default: // parameters or a certificate before the key
			continue
		}
		if err != nil || len(block.Headers) > 0 {
			return nil, "", "", errors.New("the private key in it is damaged, encrypted or of a kind that is not supported")
		}
		return private, "", "", nil
	}
	return nil, "", "", errors.New("there is no private key in it, neither as PEM nor as a JWK")
}
