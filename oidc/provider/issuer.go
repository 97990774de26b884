package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"gatehouse/oidc"
)

// An issuer is who a client takes this server for: most know it by Options.Issuer,
// and a client with own_issuer by an address and by keys that nobody else has. All
// that writes or judges iss, aud or a signature asks here, so that what was made for
// one issuer is worth nothing at another.

// pathIssuer is what the issuers of clients stand beneath.
const pathIssuer = "/oauth2/openid/"

type addressKey struct{}

// At returns the context of a request that came to the addresses of a client's own
// issuer, or with "" to the server's, where a request belongs that nobody says
// anything of.
func At(ctx context.Context, clientID string) context.Context {
	return context.WithValue(ctx, addressKey{}, clientID)
}

// HasIssuer reports whether there is a client with this id that has an issuer of
// its own.
func (p *Provider) HasIssuer(clientID string) bool {
	c, err := p.Clients.Client(clientID)
	return err == nil && c.OwnIssuer
}

// errOtherAddress means that a client came, or a token was shown, to addresses of
// another issuer than the client's.
var errOtherAddress = errors.New("the client belongs to another issuer, whose addresses are in its own discovery document")

// checkAddress holds every client to the addresses of its own issuer. With shared
// ones, what a client took for the answer of its issuer could come from an endpoint
// of another (RFC 9700, section 4.4), and a token of one could be shown at the other.
func (p *Provider) checkAddress(ctx context.Context, c *oidc.Client) error {
	at, _ := ctx.Value(addressKey{}).(string)
	if c.OwnIssuer && at != c.ID || !c.OwnIssuer && at != "" {
		return errOtherAddress
	}
	return nil
}

// clientAt returns the client whose issuer a request was addressed to, and one
// without an issuer for the server's own.
func (p *Provider) clientAt(ctx context.Context) (*oidc.Client, error) {
	at, _ := ctx.Value(addressKey{}).(string)
	if at == "" {
		return &oidc.Client{}, nil
	}
	c, err := p.Clients.Client(at)
	if err == nil && !c.OwnIssuer {
		err = fmt.Errorf("issuer of client %s: %w", c.ID, oidc.ErrNotFound)
	}
	return c, err
}

// issuerOf returns the issuer that a client knows this server by: iss of its ID
// tokens (OpenID Connect Core 1.0, section 2) and of the answers that it gets
// through browsers (RFC 9207), and aud of what it signs for us.
func (p *Provider) issuerOf(c *oidc.Client) string { return IssuerOf(p.Issuer, c) }

// IssuerOf returns the issuer that a client knows the server by whose own is given.
func IssuerOf(server string, c *oidc.Client) string {
	if c.OwnIssuer {
		return server + pathIssuer + c.ID
	}
	return server
}

// endpointOf returns the address of one of the Path… endpoints, as the client's
// discovery document names it.
func (p *Provider) endpointOf(c *oidc.Client, path string) string {
	if c.OwnIssuer {
		return p.issuerOf(c) + strings.TrimPrefix(path, "/oauth2")
	}
	return p.Issuer + path
}

// keysOf returns the keys that sign for a client and verify what was signed for it.
// The error wraps oidc.ErrUnavailable: keys that can't be read are no wrong ones.
func (p *Provider) keysOf(c *oidc.Client) (Keys, error) {
	if !c.OwnIssuer {
		return p.Keys, nil
	}
	if p.ClientKeys == nil {
		return nil, fmt.Errorf("keys of client %s: nobody has any: %w", c.ID, oidc.ErrUnavailable)
	}
	keys, err := p.ClientKeys(c)
	if err != nil {
		return nil, fmt.Errorf("keys of client %s: %w: %w", c.ID, oidc.ErrUnavailable, err)
	}
	return keys, nil
}

// pathPublicKeys is where the keys of a client's own issuer are, beneath it. Kanidm
// calls the address so, too.
const pathPublicKeys = "/public_key.jwk"

// narrowDocument leaves in the discovery document of a client's own issuer what
// holds for this one client, which alone has a use for it.
func (p *Provider) narrowDocument(document map[string]any, c *oidc.Client) {
	document["jwks_uri"] = p.issuerOf(c) + pathPublicKeys
	document["response_types_supported"] = c.ResponseTypes
	if len(c.ResponseModes) > 0 {
		document["response_modes_supported"] = c.ResponseModes
	}
	document["grant_types_supported"] = c.GrantTypes
	document["id_token_signing_alg_values_supported"] = []string{c.IDTokenSignedResponseAlg}
	if alg := c.UserInfoSignedResponseAlg; alg != "" {
		document["userinfo_signing_alg_values_supported"] = []string{alg}
	} else {
		delete(document, "userinfo_signing_alg_values_supported")
	}
	document["require_pushed_authorization_requests"] = p.RequirePushed || c.RequirePushedAuthorizationRequests
	document["subject_types_supported"] = []string{"public"}
	if c.SubjectType == "pairwise" {
		document["subject_types_supported"] = []string{"pairwise"}
	}
	methods := []string{c.TokenEndpointAuthMethod}
	if c.TokenEndpointAuthMethod == "client_secret_basic" || c.TokenEndpointAuthMethod == "client_secret_post" { // either will do
		methods = []string{"client_secret_basic", "client_secret_post"}
	}
	for _, endpoint := range []string{"token", "introspection", "revocation"} {
		document[endpoint+"_endpoint_auth_methods_supported"] = methods
		if algorithms := assertionAlgorithms(c); len(algorithms) > 0 {
			document[endpoint+"_endpoint_auth_signing_alg_values_supported"] = algorithms
		} else {
			delete(document, endpoint+"_endpoint_auth_signing_alg_values_supported")
		}
	}
	if !c.HasGrantType(grantDevice) {
		delete(document, "device_authorization_endpoint")
	}
	if c.Public() { // it can't introspect
		maps.DeleteFunc(document, func(name string, _ any) bool { return strings.HasPrefix(name, "introspection_endpoint") })
	}
}
