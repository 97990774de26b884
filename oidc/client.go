package oidc

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// Client is an application that people sign in to, or that asks for tokens of
// its own. Field names follow the registered metadata (RFC 7591, section 2).
// A Client is immutable once a snapshot holds it.
type Client struct {
	ID         string
	Name       string
	SecretHash string // "sha256:<hex>", a crypt-form hash, or "" for a client without a secret
	// SecretSealed is the secret itself, encrypted, for clients whose tokens are
	// signed with it; "" for all others.
	SecretSealed string

	RedirectURIs            []string
	PostLogoutRedirectURIs  []string
	GrantTypes              []string // never empty
	ResponseTypes           []string // never empty
	ResponseModes           []string // query, fragment, form_post; empty means all
	TokenEndpointAuthMethod string   // client_secret_basic, _post, _jwt, private_key_jwt or none
	Audience                []string // resource identifiers or client ids that access tokens may be for
	DefaultResource         string   // what they are for where nothing is asked for, "" for the server's
	ResourceIdentifiers     []string // what the client is itself called, as an API that takes tokens

	ClientURI, LogoURI, PolicyURI, TosURI string
	Contacts                              []string
	SoftwareID, SoftwareVersion           string

	Consent        Consent
	RequirePKCE    bool           // S256; false only by the operator's own word
	OnMissingScope OnMissingScope // what happens when a person lacks a requested scope
	AllowedGroups  []DN           // if not empty, only members of one of these may use the client
	Scopes         ScopeMaps
	GroupsClaim    GroupsClaim
	// WithholdableClaims are names of claims that a person may keep from the client:
	// picture, address, phone_number, website.
	WithholdableClaims []string
	ClaimsInIDToken    bool // scope claims also in the ID token of the code flow

	SubjectType         string // public, pairwise or attribute
	SubjectAttribute    string // directory attribute, for SubjectType attribute
	SectorIdentifierURI string // whose host pairwise subjects are bound to, "" for that of the redirect URIs

	IDTokenSignedResponseAlg     string // ES256 by default; none only for the code flow
	UserInfoSignedResponseAlg    string // "" for plain JSON
	AccessTokenSignedResponseAlg string // "" for opaque access tokens, else they are JWTs (RFC 9068)

	// OwnIssuer gives the client an issuer, keys and endpoint addresses that no other
	// has.
	OwnIssuer bool

	// AssertionIssuers are whose word this client may bring in the place of a person
	// (RFC 7523, section 2.1).
	AssertionIssuers []AssertionIssuer

	JWKS    []byte // the client's public keys as a JWK Set, nil for none
	JWKSURI string // or where they are
	// TokenEndpointAuthSigningAlg is the one algorithm for client assertions, "" for
	// any that fits the method.
	TokenEndpointAuthSigningAlg string
	StrictAssertionAudience     bool // the audience of assertions is the issuer alone, as a string

	RequestURIs                        []string // where request objects may be fetched from
	RequestObjectSigningAlg            string   // "" for any but none
	RequireSignedRequestObject         bool     // RFC 9101, section 10.5
	RequirePushedAuthorizationRequests bool     // RFC 9126, section 6

	// What holds where a request says nothing (OpenID Connect Registration 1.0,
	// section 2). Without DefaultMaxAge a sign-in may be of any age.
	DefaultMaxAge    *time.Duration
	DefaultACRValues []string
	RequireAuthTime  bool // auth_time is in every ID token anyway

	// Registered says whether the client has registered itself; then ApplicationType
	// is web or native.
	Registered      RegisteredBy
	ApplicationType string

	// InitiateLoginURI is where a sign-in can be begun from elsewhere (OpenID Connect
	// Core 1.0, section 4), "" for nowhere.
	InitiateLoginURI string
	// AllowedCORSOrigins may ask from scripts, beside the origins of RedirectURIs.
	AllowedCORSOrigins []string

	// Lifespans of this client; zero means the server's own.
	Lifespans Lifespans
}

// AssertionIssuer is somebody whom the operator trusts, for one client, to say in
// whose name that client acts.
type AssertionIssuer struct {
	Issuer  string // iss of the assertions
	JWKS    []byte // the keys that sign them, as a JWK Set, nil for none
	JWKSURI string // or where they are
	Subject string // what sub names: AssertionSubjectID, AssertionSubjectName, or a directory attribute
}

// What sub of an assertion names, where it is no attribute.
const (
	AssertionSubjectID   = "id"   // the directory's stable id
	AssertionSubjectName = "name" // what the person types at sign-in
)

// Public reports whether the client has no way to authenticate itself.
func (c *Client) Public() bool { return c.TokenEndpointAuthMethod == "none" }

// HasKeys reports whether public keys of the client are known.
func (c *Client) HasKeys() bool { return len(c.JWKS) > 0 || c.JWKSURI != "" }

// ResponseAlg is an algorithm that something is signed with for a client.
type ResponseAlg struct {
	Key string // the metadata that says so
	Alg string
}

// ResponseAlgs lists what is signed for the client.
func (c *Client) ResponseAlgs() []ResponseAlg {
	all := []ResponseAlg{
		{"id_token_signed_response_alg", c.IDTokenSignedResponseAlg},
		{"userinfo_signed_response_alg", c.UserInfoSignedResponseAlg},
		{"access_token_signed_response_alg", c.AccessTokenSignedResponseAlg},
	}
	return slices.DeleteFunc(all, func(r ResponseAlg) bool { return r.Alg == "" || r.Alg == "none" })
}

// Origins are those whose scripts may ask in the client's name: where it sends
// people to, and what it names besides (Fetch standard, section 3.2).
func (c *Client) Origins() []string {
	origins := slices.Clone(c.AllowedCORSOrigins)
	for _, uri := range c.RedirectURIs {
		if origin := OriginOf(uri); origin != "" {
			origins = append(origins, origin)
		}
	}
	slices.Sort(origins)
	return slices.Compact(origins)
}

// OriginOf returns the origin of a web address as browsers write it, or "".
func OriginOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Opaque != "" {
		return ""
	}
	host := strings.ToLower(u.Host)
	if u.Scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	} else {
		host = strings.TrimSuffix(host, ":80")
	}
	return u.Scheme + "://" + host
}

// HasGrantType reports whether the client may use this grant type.
func (c *Client) HasGrantType(grant string) bool { return slices.Contains(c.GrantTypes, grant) }

// Consent says when a person is asked before an application gets their data.
type Consent string

// The ways of asking for consent.
const (
	ConsentExplicit   Consent = "explicit"   // every time
	ConsentRemembered Consent = "remembered" // once, and again when scopes grow
	ConsentNone       Consent = "none"       // never: the organisation trusts the application
)

// OnMissingScope says what happens when a requested scope is not in a person's
// final set.
type OnMissingScope string

// The two ways to treat a missing scope.
const (
	MissingRefuse OnMissingScope = "refuse" // access_denied naming the missing scopes
	MissingNarrow OnMissingScope = "narrow" // go on with the scopes that are there
)

// ScopeMaps say which scopes a person has for one client. The maps of one client
// never affect another.
type ScopeMaps struct {
	Everyone []string   // for whoever can sign in
	Groups   []ScopeMap // for members; several groups add up
}

// ScopeMap gives scopes to the members of one directory group.
type ScopeMap struct {
	Group  DN
	Scopes []string
}

// GroupsClaim says how the groups and roles claims look for one client.
type GroupsClaim struct {
	Format string // name (default), dn, id or display_name
	Match  string // regular expression a group's value must match, "" for all
	Max    int    // at most this many values, 0 for the default of 200
}

// Lifespans are how long things last; zero means not set.
type Lifespans struct {
	Code    time.Duration
	Access  time.Duration
	ID      time.Duration
	Refresh time.Duration
}

// Or returns l with what is not set taken from base.
func (l Lifespans) Or(base Lifespans) Lifespans {
	pick := func(a, b time.Duration) time.Duration {
		if a != 0 {
			return a
		}
		return b
	}
	return Lifespans{
		Code: pick(l.Code, base.Code), Access: pick(l.Access, base.Access),
		ID: pick(l.ID, base.ID), Refresh: pick(l.Refresh, base.Refresh),
	}
}
