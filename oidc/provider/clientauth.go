package provider

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/ory/fosite"

	"gatehouse/oidc"
)

// authenticateClient finds out which client is asking, that it is the one, and that
// it came to the address of its own issuer.
func (p *Provider) authenticateClient(ctx context.Context, r *http.Request, form url.Values) (fosite.Client, error) {
	found, err := p.identifyClient(ctx, r, form)
	if err != nil {
		return nil, err
	}
	if err := p.checkAddress(ctx, clientIn(found)); err != nil {
		return nil, fail("invalid_client", "client authentication failed").because(err)
	}
	return found, nil
}

// identifyClient finds out which client is asking and that it is the one
// (RFC 6749, section 2.3). A client registered for client_secret_basic or
// client_secret_post may use either: Nextcloud switches to post as soon as
// discovery lists it.
func (p *Provider) identifyClient(ctx context.Context, r *http.Request, form url.Values) (fosite.Client, error) {
	if form.Has("client_assertion") || form.Has("client_assertion_type") {
		if r.Header.Get("Authorization") != "" || form.Get("client_secret") != "" { // RFC 6749, section 2.3
			return nil, fail("invalid_request", "more than one client authentication method was used")
		}
		return p.authenticateAssertion(ctx, form)
	}
	basic, err := basicCredentials(r)
	if err != nil {
		return nil, err
	}
	id, secrets := form.Get("client_id"), []string{form.Get("client_secret")}
	if basic != nil {
		if form.Get("client_secret") != "" { // RFC 6749, section 2.3: one method a request
			return nil, fail("invalid_request", "more than one client authentication method was used")
		}
		if id != "" && id != basic.id {
			return nil, fail("invalid_request", "client_id differs from the authenticated client")
		}
		id, secrets = basic.id, basic.secrets
	}
	if id == "" {
		return nil, fail("invalid_client", "client authentication is missing")
	}
	c, err := p.Clients.Client(id)
	switch {
	case errors.Is(err, oidc.ErrNotFound):
		// The same work as for a known client with a wrong secret.
		_, _ = p.Secrets.VerifySecret(ctx, &oidc.Client{ID: id, SecretHash: noSecret}, secrets[0]) // there is nothing to learn
		return nil, fail("invalid_client", "client authentication failed").because(errors.New("no such client"))
	case err != nil:
		return nil, err
	case c.Public():
		if basic == nil && secrets[0] == "" || basic != nil && secrets[0] == "" {
			return client{c}, nil
		}
		return nil, fail("invalid_client", "client authentication failed").because(errors.New("a public client sent a secret"))
	case c.TokenEndpointAuthMethod == authSecretJWT, c.TokenEndpointAuthMethod == authPrivateKeyJWT:
		return nil, fail("invalid_client", "client authentication failed").because(errors.New("the client is registered for assertions"))
	}
	for _, secret := range secrets {
		if right, err := p.Secrets.VerifySecret(ctx, c, secret); err != nil {
			return nil, err
		} else if right {
			return client{c}, nil
		}
	}
	return nil, fail("invalid_client", "client authentication failed").because(errors.New("wrong secret"))
}

// noSecret is the hash of no secret: SHA-256 never gives all zeros in practice.
const noSecret = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

type basicAuth struct {
	id string
	// secrets are the readings of the password: form-decoded as RFC 6749, section
	// 2.3.1, demands, and as sent, since many clients don't encode.
	secrets []string
}

// basicCredentials reads HTTP Basic credentials; nil without an error means that
// there are none.
func basicCredentials(r *http.Request) (*basicAuth, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return nil, nil
	}
	rawID, rawSecret, ok := r.BasicAuth()
	if !ok || len(r.Header.Values("Authorization")) > 1 {
		return nil, fail("invalid_client", "the Authorization header is not HTTP Basic")
	}
	id, err := url.QueryUnescape(rawID)
	if err != nil {
		id = rawID
	}
	if strings.ContainsRune(id, 0) {
		return nil, fail("invalid_client", "the Authorization header is malformed")
	}
	secrets := []string{rawSecret}
	if decoded, err := url.QueryUnescape(rawSecret); err == nil && decoded != rawSecret {
		secrets = []string{decoded, rawSecret}
	}
	return &basicAuth{id: id, secrets: secrets}, nil
}
