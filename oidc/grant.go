package oidc

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"time"
)

// Hash is the SHA-256 of a code's, token's or cookie's secret. It is all of the
// secret that is ever stored.
type Hash [sha256.Size]byte

// HashOf returns the hash that a secret is stored and found under.
func HashOf(secret string) Hash { return sha256.Sum256([]byte(secret)) }

// NewSecret returns a fresh secret of 256 random bits: prefix and 43 characters
// of base64url. The prefix lets secret scanners and people see what it is.
func NewSecret(prefix string) string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// NewID returns a fresh public id of 128 random bits in base64url.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Secret is a text that must not reach a log or a listing: it prints as stars.
type Secret string

// String returns stars.
func (Secret) String() string { return "***" }

// GoString returns stars.
func (Secret) GoString() string { return "***" }

// LogValue returns stars.
func (Secret) LogValue() slog.Value { return slog.StringValue("***") }

// MarshalText returns stars.
func (Secret) MarshalText() ([]byte, error) { return []byte("***"), nil }

// Reveal returns the text itself.
func (s Secret) Reveal() string { return string(s) }

// Session is one browser's sign-in. The cookie holds a secret, the store its
// hash; ID is public and goes into ID tokens as sid.
type Session struct {
	ID         string
	Subject    string // directory id
	AuthTime   time.Time
	AMR        []string // RFC 8176
	Remember   bool     // outlives the browser
	LastSeenAt time.Time
	ExpiresAt  time.Time // absolute limit
}

// SessionChange is a session to be written with the next commit.
type SessionChange struct {
	Session  Session
	Hash     Hash  // of the cookie's secret
	Replaces *Hash // the session this one takes the place of, deleted in the same commit
}

// Grant is what one person (or, without Subject, the client itself) has given a
// client at one authorisation. Every code and token points to its grant, and
// dies with it.
type Grant struct {
	ID        string
	ClientID  string
	Subject   string // directory id, "" for client_credentials
	SessionID string // sid of the browser session that gave it, "" for none
	Scopes    []string
	// Claims is the names of claims asked for one by one (OpenID Connect Core
	// 1.0, section 5.5). Values asked for are not kept.
	Claims    RequestedClaims
	Resources []string // asked for by the resource parameter (RFC 8707)
	Withheld  []string // names of claims that the person keeps from the client
	AuthTime  time.Time
	AMR       []string
	ACR       string
	CreatedAt time.Time
	ExpiresAt time.Time // when the last thing it can give has expired; moves on at refresh
	RevokedAt time.Time // zero while it holds
}

// RequestedClaims are claim names of the claims parameter, by where they go.
type RequestedClaims struct {
	IDToken  []string `json:"id_token,omitempty"`
	UserInfo []string `json:"userinfo,omitempty"`
}

// Empty reports whether no claim was asked for by name.
func (r RequestedClaims) Empty() bool { return len(r.IDToken) == 0 && len(r.UserInfo) == 0 }

// Code is an authorisation code (RFC 6749, section 4.1), without its secret.
type Code struct {
	Hash          Hash
	GrantID       string
	RedirectURI   string
	Nonce         string
	CodeChallenge string // S256, "" where the client is free of PKCE
	ExpiresAt     time.Time
	UsedAt        time.Time // zero while unused
}

// Token is an access or refresh token, without its secret.
type Token struct {
	Hash      Hash
	GrantID   string
	Scopes    []string // narrowed to what the maps gave when it was made
	Audience  []string // access tokens only: what the token is for
	IssuedAt  time.Time
	ExpiresAt time.Time
	UsedAt    time.Time // refresh tokens only: zero while unused
}

// ConsentRecord is a consent that is remembered.
type ConsentRecord struct {
	Subject   string // directory id
	ClientID  string
	Scopes    []string
	Withheld  []string // names of claims that the person keeps from the client
	GrantedAt time.Time
}
