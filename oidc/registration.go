package oidc

import "time"

// Registration is a client that has registered itself (RFC 7591). It is kept in
// the store and lives until ExpiresAt, like a grant.
type Registration struct {
	ClientID     string
	Metadata     []byte // its checked metadata, a JSON object
	Logo         string // its logo as a data URI, "" for none
	SecretHash   string // as in Client
	SecretSealed string
	AccessHash   Hash     // of the registration access token (RFC 7592, section 1)
	TokenID      string   // of the initial access token it was registered with, "" for none
	Origins      []string // that its scripts may ask from
	Revision     int64    // counts its changes, from 1
	CreatedAt    time.Time
	ExpiresAt    time.Time
}

// RegistrationToken is an initial access token (RFC 7591, section 3), without its
// secret.
type RegistrationToken struct {
	ID        string
	Hash      Hash
	Note      string // the operator's own words
	Uses      int    // how many clients can be registered with it
	UsesLeft  int
	CreatedAt time.Time
	ExpiresAt time.Time
}

// RegisteredBy says how a client has come to be.
type RegisteredBy string

// The ways in which clients come to be.
const (
	RegisteredByOperator RegisteredBy = ""      // it has a file
	RegisteredByToken    RegisteredBy = "token" // by itself, with an initial access token
	RegisteredByAnyone   RegisteredBy = "open"  // by itself, and nobody was asked
)
