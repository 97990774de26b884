package provider

import (
	"context"
	"crypto/cipher"
	"errors"
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"github.com/ory/fosite"

	"gatehouse/oidc"
	"gatehouse/oidc/claims"
	"gatehouse/oidc/store"
)

// Clients finds clients in the snapshot of the moment.
type Clients interface {
	// Client returns the client with this id, or oidc.ErrNotFound.
	Client(id string) (*oidc.Client, error)
}

// Verifier checks a client's secret.
type Verifier interface {
	// VerifySecret reports, in time that does not depend on where they differ,
	// whether secret is the client's. An error means that it could not be told.
	VerifySecret(ctx context.Context, c *oidc.Client, secret string) (bool, error)
}

// AuthorizationStore keeps authorisations and the consents that persons gave.
type AuthorizationStore interface {
	SaveAuthorization(ctx context.Context, a store.Authorization) error
	Consent(ctx context.Context, subject, clientID string) (oidc.ConsentRecord, error)
}

// TokenStore keeps codes and tokens and uses them up.
type TokenStore interface {
	Code(ctx context.Context, h oidc.Hash) (oidc.Code, oidc.Grant, error)
	ExchangeCode(ctx context.Context, h oidc.Hash, issue store.Issue) error
	RefreshToken(ctx context.Context, h oidc.Hash) (oidc.Token, oidc.Grant, error)
	RotateRefresh(ctx context.Context, old oidc.Hash, grace time.Duration, issue store.Issue) error
}

// AccessStore keeps access tokens and ends grants.
type AccessStore interface {
	IssueToken(ctx context.Context, g oidc.Grant, access oidc.Token) error
	AccessToken(ctx context.Context, h oidc.Hash) (oidc.Token, oidc.Grant, error)
	RevokeAccessToken(ctx context.Context, h oidc.Hash) error
	RevokeGrant(ctx context.Context, grantID string, now time.Time) error
}

// OnceStore keeps what may be used once, and pushed requests.
type OnceStore interface {
	UseOnce(ctx context.Context, o store.Once) error
	PushRequest(ctx context.Context, r store.PushedRequest) error
	PushedRequest(ctx context.Context, h oidc.Hash) (store.PushedRequest, error)
}

// DeviceStore keeps devices that wait for a person.
type DeviceStore interface {
	StartDevice(ctx context.Context, d store.DeviceCode) error
	DeviceCode(ctx context.Context, h oidc.Hash) (store.DeviceCode, error)
	DeviceByUserCode(ctx context.Context, userHash oidc.Hash) (store.DeviceCode, error)
	PollDevice(ctx context.Context, h oidc.Hash, now time.Time, slack, more time.Duration) (hasty bool, err error)
	DenyDevice(ctx context.Context, h oidc.Hash, now time.Time) error
}

// Store is what the provider asks of oidc/store.
type Store interface {
	OnceStore
	DeviceStore
	AuthorizationStore
	TokenStore
	AccessStore
}

// Keys signs and verifies with the server's own keys.
type Keys interface {
	Sign(alg, typ string, claims any) (string, error)
	Verify(token string) (payload []byte, err error)
	JWKS() []byte
	Algorithms() []string
}

// Options are all that a Provider depends on.
type Options struct {
	Issuer    string // no trailing slash
	Clients   Clients
	Secrets   Verifier
	Directory oidc.Directory
	Store     Store
	Keys      Keys
	// ClientKeys returns the keys of a client with an issuer of its own; nil: no
	// client has one.
	ClientKeys   func(c *oidc.Client) (Keys, error)
	Claims       claims.Table
	Lifespans    oidc.Lifespans // all set
	RefreshGrace time.Duration  // how long a used refresh token may be used again, 0 for never
	PairwiseSalt []byte         // secret, the same on all nodes and for ever
	// Derive returns n secret bytes for a purpose, the same on all nodes.
	Derive func(purpose string, n int) []byte
	Photos Photos // nil: there are none
	Log    *slog.Logger
	Now    func() time.Time

	// SecretOf returns the secret of a client that signs with it; nil: none does.
	SecretOf func(c *oidc.Client) ([]byte, error)
	// Fetch gets what clients name by an address; nil: nothing is fetched.
	Fetch Fetcher

	// DefaultResource is what access tokens are for where neither the client nor its
	// file says so; "" for what the file allows.
	DefaultResource string
	// Origins says whose scripts may ask; nil: nobody's.
	Origins Origins
	// Registration says how clients may register themselves; nil: they may not.
	Registration *Registration

	RequirePushed bool          // every client must push its authorization requests
	PushedLife    time.Duration // how long they can be used, 0 for a minute
	// Passwords tries a password once, by the rules and the counters of the sign-in
	// page: what the password grant asks. nil: nobody has that grant.
	Passwords  func(ctx context.Context, from netip.Addr, name, password string) (*oidc.User, error)
	DeviceLife time.Duration // how long device and user codes can be used, 0 for ten minutes
}

// Provider answers the protocol. It is safe for concurrent use.
type Provider struct {
	Options
	fosite     *fosite.Fosite
	clientKeys *clientKeys
	aead       cipher.AEAD // for what leaves the process and comes back
	discovery  *discovery
	claims     map[string]bool // every claim there is
	pictures   *pictures
}

// New returns a Provider, or an error if something it depends on is missing.
func New(o Options) (*Provider, error) {
	switch {
	case o.Clients == nil, o.Secrets == nil, o.Directory == nil, o.Store == nil, o.Keys == nil, o.Log == nil, o.Now == nil:
		return nil, errors.New("provider: a dependency is missing")
	case o.Lifespans.Code <= 0 || o.Lifespans.Access <= 0 || o.Lifespans.ID <= 0 || o.Lifespans.Refresh <= 0:
		return nil, errors.New("provider: every lifespan must be more than zero")
	case len(o.PairwiseSalt) < 16:
		return nil, errors.New("provider: the salt of pairwise subjects is too short")
	}
	p := &Provider{Options: o, clientKeys: newClientKeys(o.Fetch, o.Now), claims: map[string]bool{}}
	for _, name := range o.Claims.ClaimsSupported() {
		p.claims[name] = true
	}
	if o.Photos != nil {
		var err error
		if p.pictures, err = newPictures(o.Derive); err != nil {
			return nil, err
		}
		p.claims["picture"] = true
	}
	var err error
	if p.aead, err = newAEAD(o.Derive); err != nil {
		return nil, err
	}
	p.fosite = newFosite(p)
	p.discovery = &discovery{docs: map[string]rendered{}}
	if _, err := p.discovery.render(context.Background(), p); err != nil {
		return nil, err
	}
	return p, nil
}

// Authorization is a valid authorisation request that waits for its person.
type Authorization struct {
	Client      *oidc.Client
	Form        url.Values // the request's parameters, enough to Resume it
	RequestedAt time.Time
	Scopes      []string // requested, offline_access included
	LoginHint   string
	UILocales   string
	RedirectURI string
	UserCode    string // of the device that asks, "" if it is no device but an application in the browser

	device *store.DeviceCode // nil if it is none
	signed bool              // the parameters come from a signed request object
	pushed bool              // they were pushed, or are just now
	once   *oidc.Hash        // of the pushed request that an answer uses up
	until  time.Time         // how long that has to be remembered

	types     []string // response_type, as a set
	mode      responseMode
	state     string
	prompt    []string
	maxAge    time.Duration // negative: not asked for
	claims    requestedClaims
	resources []string // asked for (RFC 8707)
	hint      string   // sub of a verified id_token_hint, "" for none
	resumed   bool     // a person has already been asked something for this request
	requester fosite.AuthorizeRequester
}

// Prompts reports whether the prompt parameter holds this value (OpenID Connect
// Core 1.0, section 3.1.2.1).
func (a *Authorization) Prompts(value string) bool {
	for _, v := range a.prompt {
		if v == value {
			return true
		}
	}
	return false
}

// Visitor is what is known of the person in front of the browser.
type Visitor struct {
	// Session is the browser's valid session, nil if nobody is signed in.
	Session *oidc.Session
	// User is the person as Authenticate has just read them; nil makes Next look
	// the session's subject up.
	User *oidc.User
	// Change is a session that is to be written with the next commit. It is set by
	// a sign-in, and Session is then Change.Session.
	Change *oidc.SessionChange
	// Approved are the scopes that the person has just allowed on the consent page.
	Approved []string
	// Withheld are names of claims that the person has just chosen to keep back there.
	Withheld []string
}

// Step is what happens next; exactly one field is set.
type Step struct {
	SignIn   *SignInStep
	Consent  *ConsentStep
	Response *Response
	Device   *DeviceStep
}

// DeviceStep is the end of a device's request: the person goes back to the device.
type DeviceStep struct{ Outcome DeviceOutcome }

// DeviceOutcome is how a device's request ended.
type DeviceOutcome string

// The ends of a device's request.
const (
	DeviceAllowed DeviceOutcome = "allowed"
	DeviceDenied  DeviceOutcome = "denied"  // the person declined
	DeviceRefused DeviceOutcome = "refused" // the person may not use the application
	DeviceGone    DeviceOutcome = "gone"    // it has expired, or was decided on meanwhile
)

// SignInStep asks for name and password.
type SignInStep struct {
	LoginHint  string
	Again      bool // somebody is signed in and is asked anew
	EndSession bool // the session's person is gone or disabled: drop it
}

// ConsentStep asks whether the application may have the scopes.
type ConsentStep struct {
	User   *oidc.User
	Scopes []string // all that would be granted
	New    []string // those of them that were not allowed before
	// Withholdable are names of claims that the person may keep back, and Withheld
	// those that they keep back already.
	Withholdable, Withheld []string
}

// PageKind says which page a person is shown when the client cannot be told.
type PageKind string

// The requests that are answered by a page of our own and never by a redirect
// (RFC 6749, section 4.1.2.1).
const (
	PageUnknownClient    PageKind = "unknown_client"
	PageRedirectMismatch PageKind = "redirect_mismatch"
	PageInvalidRequest   PageKind = "invalid_request"
)

// PageError is a request that must not be answered by a redirect.
type PageError struct {
	Kind     PageKind
	ClientID string // set only if the client is known
	Err      error
}

// Error returns the cause, for the log.
func (e *PageError) Error() string { return string(e.Kind) + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *PageError) Unwrap() error { return e.Err }
