package clients

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

const sealPrefix = "sealed:"

// SealPurpose is what the key of a Sealer is derived for.
const SealPurpose = "client secrets"

// Sealer encrypts the secrets of clients that sign with them: a hash is no help in
// checking a signature. Each is bound to its client, so that moving a line from one
// file to another moves no secret.
type Sealer struct{ aead cipher.AEAD }

// NewSealer returns a Sealer with a key of 32 bytes.
func NewSealer(key []byte) (*Sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("sealing secrets: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("sealing secrets: %w", err)
	}
	return &Sealer{aead}, nil
}

// Seal returns what to keep as client_secret_sealed.
func (s *Sealer) Seal(clientID, secret string) string {
	nonce := make([]byte, s.aead.NonceSize(), 128)
	_, _ = rand.Read(nonce)                                                                                               // never fails: crypto/rand
	return sealPrefix + base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce, nonce, []byte(secret), []byte(clientID))) //nolint:gosec // G407: the nonce is random
}

// Secret returns the secret of a client; oidc.ErrNotFound if it has no sealed one.
// Where the file comes from another server or another client, the error says so.
func (s *Sealer) Secret(c *oidc.Client) ([]byte, error) {
	if c.SecretSealed == "" {
		return nil, fmt.Errorf("the sealed secret of client %s: %w", c.ID, oidc.ErrNotFound)
	}
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(c.SecretSealed, sealPrefix))
	if err != nil || len(data) < s.aead.NonceSize() {
		return nil, fmt.Errorf("the sealed secret of client %s can't be read", c.ID)
	}
	secret, err := s.aead.Open(nil, data[:s.aead.NonceSize()], data[s.aead.NonceSize():], []byte(c.ID))
	if err != nil {
		return nil, fmt.Errorf("the sealed secret of client %s was not sealed for it by this server: %w", c.ID, errSeal)
	}
	return secret, nil
}

var errSeal = errors.New("give it a new one with client reset-secret")

func sealedFault(text string) (message, hint string) {
	rest, found := strings.CutPrefix(text, sealPrefix)
	if _, err := base64.RawURLEncoding.DecodeString(rest); !found || err != nil || len(rest) > 512 || len(rest) < 40 {
		return "this is not a sealed secret", "have one made with gatehouse client reset-secret" // not echoed: it may be the secret
	}
	return "", ""
}

// NeedsSealedSecret reports whether anything is signed with the client's secret, so
// that the server must know it.
func NeedsSealedSecret(c *oidc.Client) bool {
	return c.TokenEndpointAuthMethod == authSecret || symmetric(c.RequestObjectSigningAlg) ||
		slices.ContainsFunc(c.ResponseAlgs(), func(r oidc.ResponseAlg) bool { return symmetric(r.Alg) })
}

func symmetric(alg string) bool { return strings.HasPrefix(alg, "HS") }

func signingAlgorithms() []string { return append(keys.Asymmetric(), keys.Symmetric()...) }

// finishAlgorithms holds keys and algorithms together.
func (d *draft) finishAlgorithms() {
	c := &d.client
	if len(c.JWKS) > 0 && c.JWKSURI != "" { // RFC 7591, section 2
		d.problem(d.lines["jwks_uri"], "jwks_uri", "it is there beside jwks", "keep one of the two")
	}
	if alg, key := c.TokenEndpointAuthSigningAlg, "token_endpoint_auth_signing_alg"; alg != "" && d.clean(key) && d.clean("token_endpoint_auth_method") {
		switch method := c.TokenEndpointAuthMethod; {
		case method != authSecret && method != authKey:
			d.problem(d.lines[key], key, "it is there, but the client's authentication method signs nothing", "leave it out, or set token_endpoint_auth_method to client_secret_jwt or private_key_jwt")
		case symmetric(alg) != (method == authSecret):
			d.problem(d.lines[key], key, alg+" does not fit "+method, "write HS256, HS384 or HS512 for client_secret_jwt, and another for private_key_jwt")
		}
	}
	for _, r := range c.ResponseAlgs() {
		if symmetric(r.Alg) && c.Public() && d.clean(r.Key) {
			d.problem(d.lines[r.Key], r.Key, r.Alg+" needs a secret, and a public client has none", "choose another algorithm")
		}
	}
	if key := "id_token_signed_response_alg"; c.IDTokenSignedResponseAlg == keys.None && d.clean(key) && slices.ContainsFunc(c.ResponseTypes, givesIDToken) {
		// OpenID Connect Dynamic Client Registration 1.0, section 2.
		d.problem(d.lines[key], key, "none is there, but a response type leads ID tokens through the browser", "choose an algorithm, or leave only code and token in response_types")
	}
	if alg, key := c.RequestObjectSigningAlg, "request_object_signing_alg"; d.clean(key) {
		switch {
		case alg == keys.None && c.RequireSignedRequestObject:
			d.problem(d.lines[key], key, "none is there, but require_signed_request_object wants a signature", "leave one of the two out")
		case symmetric(alg) && c.Public():
			d.problem(d.lines[key], key, alg+" needs a secret, and a public client has none", "choose another algorithm")
		case alg != "" && alg != keys.None && !symmetric(alg) && !c.HasKeys() && d.clean("jwks"):
			d.problem(d.lines[key], key, alg+" needs public keys of the application", "add jwks or jwks_uri")
		}
	}
}

func givesIDToken(responseType string) bool {
	return slices.Contains(strings.Fields(responseType), "id_token")
}

func (d *draft) setJWKS(v value) {
	d.client.JWKS = v.json
	if v.json == nil {
		return
	}
	if _, err := keys.ParseSet(v.json); err != nil {
		d.problem(v.line, "jwks", err.Error(), "write the application's public keys as a JWK Set, such as {keys: [{kty: EC, crv: P-256, x: …, y: …}]}")
	}
}

// fetchFault says what is wrong with an address that this server fetches. Where it
// may lead is judged when it is fetched.
func fetchFault(text string) (message, hint string) {
	u, message, hint := parseURI(text)
	if message != "" {
		return message, hint
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return "only https is allowed here", "use an https address; http is for networks that outbound.allow names"
	}
	return hostFault(u)
}

// requestURIFault allows a fragment (OpenID Connect Core 1.0, section 6.2).
func requestURIFault(text string) (message, hint string) {
	before, _, _ := strings.Cut(text, "#")
	return fetchFault(before)
}
