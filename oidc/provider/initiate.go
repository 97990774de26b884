package provider

import (
	"errors"
	"net/url"
	"slices"

	"gatehouse/oidc"
)

// PathLogin is what is above the addresses at which people can begin to sign in to an
// application, each at the id of its client.
const PathLogin = "/login"

const (
	maxHint   = 256 // bytes of a login_hint that is passed on
	maxTarget = 512 // of a target_link_uri
)

// Initiation leads to where an application begins a sign-in.
type Initiation struct {
	Client  *oidc.Client
	Address string
	// Ask means that nobody has looked at the application, so that a person should see
	// where they are taken: else anybody could make addresses of ours lead to theirs.
	Ask bool
}

// InitiateLogin sends a person to the application with what it needs to begin a sign-in
// here (OpenID Connect Core 1.0, section 4). An application that has not said where that
// is is not found, like one that there isn't: a *PageError.
func (p *Provider) InitiateLogin(clientID string, query url.Values) (Initiation, error) {
	c, err := p.Clients.Client(clientID)
	if err == nil && c.InitiateLoginURI == "" {
		err = oidc.ErrNotFound
	}
	switch {
	case errors.Is(err, oidc.ErrNotFound):
		return Initiation{}, &PageError{Kind: PageUnknownClient, Err: err}
	case err != nil:
		return Initiation{}, err
	}
	parameters := url.Values{"iss": {p.issuerOf(c)}}
	if hint := query.Get("login_hint"); hint != "" && len(hint) <= maxHint {
		parameters.Set("login_hint", hint)
	}
	// The application must not be made to lead anywhere else, whether it looks or not.
	if target := query.Get("target_link_uri"); target != "" && len(target) <= maxTarget && ofApplication(c, target) {
		parameters.Set("target_link_uri", target)
	}
	return Initiation{Client: c, Address: withParameters(c.InitiateLoginURI, parameters), Ask: c.Registered != oidc.RegisteredByOperator}, nil
}

// ofApplication reports whether an address is on an origin that the client has named
// as its own.
func ofApplication(c *oidc.Client, address string) bool {
	origin := oidc.OriginOf(address)
	u, err := url.Parse(address)
	if origin == "" || err != nil || u.User != nil {
		return false
	}
	return slices.Contains(c.Origins(), origin) || origin == oidc.OriginOf(c.ClientURI) || origin == oidc.OriginOf(c.InitiateLoginURI)
}
