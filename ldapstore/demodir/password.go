package demodir

import (
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // {SSHA} is what many directories hold; this one holds invented people
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"hash"
	"strings"
)

// HashPassword returns a password in the form {SSHA}, for an LDIF file.
func HashPassword(password string) string {
	var salt [8]byte
	_, _ = rand.Read(salt[:])                             // never fails: crypto/rand
	sum := sha1.Sum(append([]byte(password), salt[:]...)) //nolint:gosec // see the import
	return "{SSHA}" + base64.StdEncoding.EncodeToString(append(sum[:], salt[:]...))
}

// passwordIs reports whether a stored userPassword is this password. A scheme that
// is not known never matches.
func passwordIs(stored, password string) bool {
	scheme, rest, found := strings.Cut(stored, "}")
	if !found || !strings.HasPrefix(scheme, "{") {
		return subtle.ConstantTimeCompare([]byte(stored), []byte(password)) == 1
	}
	var h hash.Hash
	salted := false
	switch strings.ToUpper(scheme[1:]) {
	case "SSHA":
		h, salted = sha1.New(), true //nolint:gosec // see the import
	case "SHA":
		h = sha1.New() //nolint:gosec // see the import
	case "SSHA256":
		h, salted = sha256.New(), true
	case "SHA256":
		h = sha256.New()
	case "SSHA512":
		h, salted = sha512.New(), true
	case "SHA512":
		h = sha512.New()
	default:
		return false
	}
	raw, err := base64.StdEncoding.DecodeString(rest)
	if err != nil || len(raw) < h.Size() || !salted && len(raw) != h.Size() {
		return false
	}
	h.Write([]byte(password))
	h.Write(raw[h.Size():])
	return subtle.ConstantTimeCompare(h.Sum(nil), raw[:h.Size()]) == 1
}
