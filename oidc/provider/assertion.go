package provider

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ory/fosite"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
	"gatehouse/oidc/store"
)

const (
	authSecretJWT     = "client_secret_jwt"
	authPrivateKeyJWT = "private_key_jwt"

	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" // RFC 7523, section 2.2

	// assertionLife bounds exp: until then the jti has to be remembered.
	assertionLife = time.Hour
)

// authenticateAssertion authenticates a client by a JWT that it has signed with its
// secret or its key (RFC 7523, section 3; OpenID Connect Core 1.0, section 9). The
// jti is burnt last: an assertion that was refused for anything else is not used.
func (p *Provider) authenticateAssertion(ctx context.Context, form url.Values) (fosite.Client, error) {
	if form.Get("client_assertion_type") != assertionType {
		return nil, fail("invalid_client", "client_assertion_type is not supported")
	}
	c, once, err := p.checkAssertion(ctx, form)
	if err == nil {
		err = p.Store.UseOnce(ctx, once)
	}
	switch {
	case errors.Is(err, oidc.ErrUnavailable): // "can't tell" is no "no"
		return nil, err
	case err != nil:
		return nil, fail("invalid_client", "client authentication failed").because(err)
	}
	return client{c}, nil
}

// checkAssertion judges all but whether the assertion was used before.
func (p *Provider) checkAssertion(ctx context.Context, form url.Values) (*oidc.Client, store.Once, error) {
	no := func(err error) (*oidc.Client, store.Once, error) { return nil, store.Once{}, err }
	a, err := parseAssertion(form.Get("client_assertion"))
	if err != nil {
		return no(err)
	}
	id := form.Get("client_id")
	switch {
	case a.subject == "" || a.issuer != a.subject:
		return no(errors.New("iss and sub are not both the client's id"))
	case id != "" && id != a.subject: // RFC 7521, section 4.2
		return no(errors.New("client_id differs from that of the assertion"))
	case isRequestObject(a.jws): // RFC 8725, section 3.11
		return no(errors.New("it is a request object"))
	}
	c, err := p.Clients.Client(a.subject)
	if err != nil {
		return no(err)
	}
	if err := p.verifyClientJWS(ctx, c, a.jws, assertionAlgorithms(c)); err != nil {
		return no(err)
	}
	if err := p.checkAssertionAudience(c, a.claims); err != nil {
		return no(err)
	}
	once, err := a.once(p.Now(), "assertion\x00"+c.ID)
	return c, once, err
}

// assertion is a JWT by which somebody speaks once (RFC 7523, section 3): a client for
// itself, or an issuer for a person.
type assertion struct {
	jws                 *keys.JWS
	claims              jwtClaims
	issuer, subject, id string
}

// parseAssertion reads an assertion. Nothing of it is verified.
func parseAssertion(text string) (a assertion, err error) {
	if a.jws, err = keys.ParseJWS(text); err != nil {
		return a, err
	}
	if a.claims, err = parseJWT(a.jws.Payload); err != nil {
		return a, err
	}
	var errIssuer, errSubject, errID error
	a.issuer, errIssuer = a.claims.text("iss")
	a.subject, errSubject = a.claims.text("sub")
	a.id, errID = a.claims.text("jti")
	if err := errors.Join(errIssuer, errSubject, errID); err != nil {
		return a, err
	}
	if a.id == "" || len(a.id) > 256 {
		return a, errors.New("jti is missing or too long")
	}
	return a, nil
}

// once judges the times of an assertion and returns what is used up with it: its jti,
// among those of whom it is by.
func (a *assertion) once(now time.Time, by string) (store.Once, error) {
	expires, err := a.claims.checkTimes(now, assertionLife)
	if err != nil {
		return store.Once{}, err
	}
	if expires.IsZero() {
		return store.Once{}, errors.New("exp is missing")
	}
	return store.Once{Hash: oidc.HashOf(by + "\x00" + a.id), Until: expires.Add(2 * leeway)}, nil
}

// assertionAlgorithms returns what a client may sign its assertions with; nothing if
// it is not registered for them.
func assertionAlgorithms(c *oidc.Client) []string {
	var all []string
	switch c.TokenEndpointAuthMethod {
	case authSecretJWT:
		all = keys.Symmetric()
	case authPrivateKeyJWT:
		all = keys.Asymmetric()
	}
	if alg := c.TokenEndpointAuthSigningAlg; alg != "" {
		return slices.DeleteFunc(all, func(a string) bool { return a != alg })
	}
	return all
}

// checkAssertionAudience wants the issuer or one of the endpoints that clients
// authenticate at (RFC 7523, section 3; RFC 9126, section 2). Clients of the strict
// rule send the issuer alone, as a string (FAPI 2.0 Security Profile, section
// 5.3.2.1): then what another server got from them can't be played here.
func (p *Provider) checkAssertionAudience(c *oidc.Client, m jwtClaims) error {
	aud, single, err := m.audience()
	if err != nil {
		return err
	}
	if c.StrictAssertionAudience {
		if !single || aud[0] != p.issuerOf(c) {
			return errors.New("aud is not the issuer alone")
		}
		return nil
	}
	ours := []string{p.issuerOf(c)}
	for _, path := range []string{PathToken, PathIntrospect, PathRevoke, PathPAR, PathDeviceAuthorization} {
		ours = append(ours, p.endpointOf(c, path))
	}
	if !slices.ContainsFunc(aud, func(a string) bool { return slices.Contains(ours, a) }) {
		return errors.New("aud is missing or names another server")
	}
	return nil
}

// verifyClientJWS checks that a client made a JWS, with one of the algorithms
// allowed: by its secret for those of a MAC, by its public keys for the others. A
// public key is never taken for a secret.
func (p *Provider) verifyClientJWS(ctx context.Context, c *oidc.Client, j *keys.JWS, allowed []string) error {
	if !slices.Contains(allowed, j.Header.Alg) {
		return fmt.Errorf("%w: its algorithm is not allowed for this client", keys.ErrInvalid)
	}
	if !slices.Contains(keys.Symmetric(), j.Header.Alg) {
		return p.clientKeys.verify(ctx, c, j, allowed)
	}
	if p.SecretOf == nil {
		return fmt.Errorf("%w: no client's secret is known here", keys.ErrInvalid)
	}
	secret, err := p.SecretOf(c)
	if err != nil {
		return err
	}
	return j.VerifyMAC(secret, allowed)
}

// isRequestObject reports whether a JWT says of itself that it is one (RFC 9101,
// section 10.8).
func isRequestObject(j *keys.JWS) bool {
	return strings.HasSuffix(strings.ToLower(j.Header.Typ), "oauth-authz-req+jwt")
}
