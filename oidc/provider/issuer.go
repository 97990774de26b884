package provider

import (
	"fmt"
	"strings"

	"gatehouse/oidc"
)

// An issuer is who a client takes this server for: most know it by Options.Issuer,
// and a client with own_issuer by an address and by keys that nobody else has. All
// that writes or judges iss, aud or a signature asks here, so that what was made for
// one issuer is worth nothing at another.

// pathIssuer is what the issuers of clients stand beneath.
const pathIssuer = "/oauth2/openid/"

// issuerOf returns the issuer that a client knows this server by: iss of its ID
// tokens (OpenID Connect Core 1.0, section 2) and of the answers that it gets
// through browsers (RFC 9207), and aud of what it signs for us.
func (p *Provider) issuerOf(c *oidc.Client) string {
	if c.OwnIssuer {
		return p.Issuer + pathIssuer + c.ID
	}
	return p.Issuer
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
