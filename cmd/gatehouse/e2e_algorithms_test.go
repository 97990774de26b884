package main

import (
	"context"
	"crypto"
	_ "crypto/sha256" // the hashes of the table
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
)

// signedAs is one row of RFC 7518, section 3.1, and RFC 8037.
type signedAs struct {
	alg  string
	hash crypto.Hash // of at_hash and c_hash (OpenID Connect Core 1.0, sections 3.1.3.6 and 3.3.2.11)
	own  bool        // the client has an issuer of its own
}

func (a signedAs) id() string { return strings.ToLower(a.alg) }

// half is what at_hash and c_hash are to be.
func (a signedAs) half(text string) string {
	h := a.hash.New()
	h.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:a.hash.Size()/2])
}

// ID tokens of every algorithm, from both endpoints, verified by go-oidc and go-jose.
func TestEveryAlgorithmOfIDTokens(t *testing.T) { // row P4
	t.Parallel()
	rows := []signedAs{
		{"ES256", crypto.SHA256, false},
		{"ES384", crypto.SHA384, true},
		{"ES512", crypto.SHA512, true},
		{"RS256", crypto.SHA256, false},
		{"RS384", crypto.SHA384, true},
		{"RS512", crypto.SHA512, true},
		{"PS256", crypto.SHA256, true},
		{"PS384", crypto.SHA384, true},
		{"PS512", crypto.SHA512, true},
		{"EdDSA", crypto.SHA512, true}, // Ed25519 hashes with SHA-512: RFC 8032, section 5.1
		{"HS256", crypto.SHA256, false},
		{"HS384", crypto.SHA384, true},
		{"HS512", crypto.SHA512, false},
	}
	files := map[string]string{}
	for _, row := range rows {
		files["clients.d/"+row.id()+".yaml"] = strings.Replace(clientYAML(row.id(), fmt.Sprintf(
			"own_issuer: %v\nid_token_signed_response_alg: %s\nresponse_types: [code, code id_token token]\nscopes: {everyone: [openid]}\n", row.own, row.alg,
		)), "client_credentials]", "implicit]", 1)
	}
	s := startSite(t, files)
	alice := newPerson(t)
	alice.get(s.application("openid").address()).signIn("alice")
	for _, row := range rows {
		issuer, secret := s.URL, appSecret
		if row.own {
			issuer = s.issuerOf(row.id())
		}
		if strings.HasPrefix(row.alg, "HS") { // made by us, so that it is kept
			secret = newSecretIn(s.must("client", "reset-secret", row.id()))
		}
		a := s.applicationAt(row.id(), issuer, "openid")
		a.config.ClientSecret = secret
		var token *oauth2.Token
		var answer url.Values
		eventually(t, row.alg+": the client gets its tokens", func() bool {
			g := alice.get(a.address(oauth2.SetAuthURLParam("response_type", "code id_token token")))
			if g.Location == nil {
				return false // the new secret is not known yet
			}
			var err error
			if answer, err = url.ParseQuery(g.Location.Fragment); err != nil || answer.Get("id_token") == "" {
				return false
			}
			token, err = a.config.Exchange(context.Background(), answer.Get("code"), oauth2.VerifierOption(a.verifier))
			return err == nil
		})
		front := row.verified(t, a, answer.Get("id_token"))
		if front["at_hash"] != row.half(answer.Get("access_token")) || front["c_hash"] != row.half(answer.Get("code")) {
			t.Errorf("%s: %v", row.alg, front)
		}
		raw, _ := token.Extra("id_token").(string)
		back := row.verified(t, a, raw)
		if back["at_hash"] != row.half(token.AccessToken) || back["sub"] != front["sub"] || back["iss"] != issuer {
			t.Errorf("%s: %v", row.alg, back)
		}
	}
}

// verified returns the claims of an ID token that an application has verified.
func (a signedAs) verified(t *testing.T, app *application, raw string) (claims map[string]any) {
	t.Helper()
	signed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(a.alg)})
	if err != nil {
		t.Fatalf("%s: %v: %s", a.alg, err, raw)
	}
	if strings.HasPrefix(a.alg, "HS") {
		payload, err := signed.Verify([]byte(app.config.ClientSecret))
		if err != nil {
			t.Fatalf("%s: %v", a.alg, err)
		}
		if err := json.Unmarshal(payload, &claims); err != nil || claims["aud"] != app.config.ClientID {
			t.Fatalf("%s: %v %v", a.alg, claims, err)
		}
		return claims
	}
	id, err := app.provider.Verifier(&goidc.Config{ClientID: app.config.ClientID, SupportedSigningAlgs: []string{a.alg}}).Verify(context.Background(), raw)
	if err != nil {
		t.Fatalf("%s: %v", a.alg, err)
	}
	if err := id.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	return claims
}
