//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// worker is one that asks again and again, and what it keeps in between.
type worker struct {
	*application
	number  int
	person  int
	browser *http.Client
	tokens  tokens
	subject string
}

// operation is one line of the table.
type operation struct {
	name    string
	target  float64 // CPU of the server, in milliseconds an operation
	prepare func(context.Context, *worker) error
	do      func(context.Context, *worker) error
}

// operations are all that is measured, with the targets that the design sets.
func operations() []operation {
	return []operation{
		{"sign-in", 1.5, nil, signIn},
		{"code flow with session", 0.7, signedIn, codeFlow},
		{"refresh", 0.45, signedIn, refresh},
		{"userinfo", 0.25, signedIn, userInfo},
		{"introspection", 0.2, signedIn, introspection},
		{"client_credentials", 0.15, nil, clientCredentials},
		{"discovery", 0.03, nil, discovery},
		{"jwks", 0.03, nil, jwks},
	}
}

// signedIn gives a worker a browser with a session, and tokens.
func signedIn(ctx context.Context, w *worker) error {
	var err error
	if w.browser, err = w.application.browser(); err != nil {
		return err
	}
	w.person = int(w.next.Add(1)-1) % w.users
	if w.tokens, err = w.signIn(ctx, w.browser, w.person); err != nil {
		return err
	}
	id, err := w.verifier.Verify(ctx, w.tokens.ID)
	if err != nil {
		return err
	}
	w.subject = id.Subject
	return nil
}

// signIn is all that happens when a person comes with a new browser: the page,
// the password, code, tokens, and what the application asks about the person.
func signIn(ctx context.Context, w *worker) error {
	if err := signedIn(ctx, w); err != nil {
		return err
	}
	return userInfo(ctx, w)
}

// codeFlow is the same person at the next application.
func codeFlow(ctx context.Context, w *worker) error {
	t, err := w.signIn(ctx, w.browser, -1)
	if err != nil {
		return err
	}
	id, err := w.verifier.Verify(ctx, t.ID)
	if err != nil {
		return err
	}
	if id.Subject != w.subject {
		return errors.New("another subject than at sign-in")
	}
	return nil
}

func refresh(ctx context.Context, w *worker) error {
	t, err := w.token(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {w.tokens.Refresh}})
	if err != nil {
		return err
	}
	if t.Refresh == "" || t.Refresh == w.tokens.Refresh {
		return errors.New("the refresh token was not rotated")
	}
	w.tokens = t
	return nil
}

func userInfo(ctx context.Context, w *worker) error {
	var claims struct {
		Subject string   `json:"sub"`
		Mail    string   `json:"email"`
		Groups  []string `json:"groups"`
	}
	if err := w.get(ctx, w.endpoints.UserInfo, w.tokens.Access, &claims); err != nil {
		return err
	}
	// The department, its division and the staff.
	if claims.Subject != w.subject || claims.Mail != mail(w.person) || len(claims.Groups) != 3 {
		return fmt.Errorf("userinfo tells of another person: %+v", claims)
	}
	return nil
}

func introspection(ctx context.Context, w *worker) error {
	var answer struct {
		Active  bool   `json:"active"`
		Subject string `json:"sub"`
		Client  string `json:"client_id"`
	}
	if err := w.post(ctx, w.endpoints.Introspection, url.Values{"token": {w.tokens.Access}}, &answer); err != nil {
		return err
	}
	if !answer.Active || answer.Subject != w.subject || answer.Client != clientID {
		return fmt.Errorf("introspection tells of another token: %+v", answer)
	}
	return nil
}

func clientCredentials(ctx context.Context, w *worker) error {
	t, err := w.token(ctx, url.Values{"grant_type": {"client_credentials"}})
	if err != nil {
		return err
	}
	if t.Refresh != "" || t.ID != "" || t.Access == w.tokens.Access {
		return errors.New("client_credentials gave something for a person, or the same token twice")
	}
	w.tokens = t
	return nil
}

func discovery(ctx context.Context, w *worker) error {
	d := w.endpoints // of the same kind, but empty
	d.Issuer, d.Token = "", ""
	if err := w.get(ctx, w.discoveryURL(), "", &d); err != nil {
		return err
	}
	if d != w.endpoints {
		return errors.New("discovery has changed")
	}
	return nil
}

func jwks(ctx context.Context, w *worker) error {
	var set struct {
		Keys []struct {
			Type string `json:"kty"`
			ID   string `json:"kid"`
		} `json:"keys"`
	}
	if err := w.get(ctx, w.endpoints.JWKS, "", &set); err != nil {
		return err
	}
	if len(set.Keys) < 2 || set.Keys[0].ID == "" {
		return errors.New("fewer keys than expected")
	}
	return nil
}

// random is 256 random bits in base64url.
func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: crypto/rand
	return base64.RawURLEncoding.EncodeToString(b)
}

// challenge is the S256 challenge of a verifier (RFC 7636, section 4.2).
func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
