package provider

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"github.com/ory/fosite"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
	"gatehouse/oidc/store"
)

const grantJWTBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer" // RFC 7523, section 2.1

// AttributeFinder is a Directory that can look people up by any attribute.
type AttributeFinder interface {
	// UserByAttribute returns the one person whose attribute has this value. Nobody is
	// oidc.ErrNotFound; several are a *oidc.SignInError with ReasonAmbiguous.
	UserByAttribute(ctx context.Context, attribute, value string) (*oidc.User, error)
}

// jwtBearerHandler is the JWT bearer grant (RFC 7523, section 2.1): somebody whom the
// operator trusts for this one client says in whose name it acts. No refresh token
// is given (RFC 7521, section 4.1): a new assertion does as well, and its issuer
// keeps the say. Nor is an ID token: nobody has signed in here.
type jwtBearerHandler struct{ *Provider }

// CanSkipClientAuth implements fosite.TokenEndpointHandler.
func (jwtBearerHandler) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

// CanHandleTokenEndpointRequest implements fosite.TokenEndpointHandler.
func (jwtBearerHandler) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	return r.GetGrantTypes().ExactOne(grantJWTBearer)
}

// HandleTokenEndpointRequest judges the assertion and looks its person up. Its jti is
// used up with the commit that writes the token.
func (h jwtBearerHandler) HandleTokenEndpointRequest(ctx context.Context, r fosite.AccessRequester) error {
	c, form := clientOf(r), r.GetRequestForm()
	if c.Public() || !c.HasGrantType(grantJWTBearer) {
		return fail("unauthorized_client", "the client may not use the JWT bearer grant")
	}
	if form.Get("assertion") == "" {
		return fail("invalid_request", "assertion is missing")
	}
	scopes, err := askedScopes(form)
	if err != nil {
		return err
	}
	from, subject, once, err := h.judgeGrantAssertion(ctx, c, form.Get("assertion"))
	var user *oidc.User
	if err == nil {
		user, err = h.speaksOf(ctx, from, subject)
	}
	if err != nil {
		return h.refuseAssertion(ctx, c, from, err)
	}
	s := sessionOf(r)
	s.once, s.withoutIDToken = &once, true
	scopes = slices.DeleteFunc(scopes, func(scope string) bool { return scope == "offline_access" })
	return h.admit(ctx, c, s, user, scopes)
}

// refuseAssertion tells the client no more than that its assertion is not taken (RFC
// 7521, section 4.1.1); the audit line has the cause.
func (h jwtBearerHandler) refuseAssertion(ctx context.Context, c *oidc.Client, from oidc.AssertionIssuer, err error) error {
	if errors.Is(err, oidc.ErrUnavailable) { // "can't tell" is no "no"
		return err
	}
	oidc.Audit(ctx, h.Log, oidc.EventTokenRefused, slog.String("client_id", c.ID), slog.String("grant_type", grantJWTBearer),
		slog.String("assertion_issuer", from.Issuer), slog.String("reason", err.Error()))
	return fail("invalid_grant", "the assertion is not valid, or its subject is nobody here").because(err)
}

// judgeGrantAssertion judges an assertion by all but whether it was used before, and
// returns who made it and the subject that it names.
func (h jwtBearerHandler) judgeGrantAssertion(ctx context.Context, c *oidc.Client, text string) (from oidc.AssertionIssuer, subject string, once store.Once, err error) {
	no := func(err error) (oidc.AssertionIssuer, string, store.Once, error) { return from, "", store.Once{}, err }
	a, err := parseAssertion(text)
	if err != nil {
		return no(err)
	}
	audience, _, err := a.claims.audience()
	if err != nil {
		return no(err)
	}
	at := slices.IndexFunc(c.AssertionIssuers, func(i oidc.AssertionIssuer) bool { return i.Issuer == a.issuer })
	ours := []string{h.issuerOf(c), h.endpointOf(c, PathToken)}
	switch {
	case at < 0: // one that another client trusts means nothing here
		return no(errors.New("its issuer is not one that this client may bring assertions of"))
	case a.subject == "" || len(a.subject) > 1024:
		return no(errors.New("sub is missing or too long"))
	case !plainTyp(a.jws.Header.Typ): // RFC 8725, section 3.11
		return no(errors.New("its typ says that it is something else"))
	case !slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(ours, a) }):
		return no(errors.New("aud is missing or names another server"))
	}
	from = c.AssertionIssuers[at]
	if err := h.clientKeys.verify(ctx, &oidc.Client{JWKS: from.JWKS, JWKSURI: from.JWKSURI}, a.jws, keys.Asymmetric()); err != nil {
		return no(err)
	}
	// Once for all clients that trust this issuer, whatever becomes of its keys: what one
	// of them was given, or has overheard, another can't use again.
	once, err = a.once(h.Now(), "grant assertion\x00"+from.Issuer)
	return from, a.subject, once, err
}

// plainTyp reports whether a JWT claims to be nothing but one.
func plainTyp(typ string) bool {
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	return typ == "" || typ == "jwt"
}

// speaksOf looks up the person that sub names, by what the operator has said it is.
func (h jwtBearerHandler) speaksOf(ctx context.Context, from oidc.AssertionIssuer, subject string) (*oidc.User, error) {
	switch from.Subject {
	case oidc.AssertionSubjectID:
		return h.Directory.User(ctx, subject)
	case oidc.AssertionSubjectName:
		return h.Directory.UserByName(ctx, subject)
	}
	finder, ok := h.Directory.(AttributeFinder)
	if !ok {
		return nil, errors.New("this directory looks nobody up by an attribute")
	}
	return finder.UserByAttribute(ctx, from.Subject, subject)
}

// PopulateTokenEndpointResponse implements fosite.TokenEndpointHandler.
func (h jwtBearerHandler) PopulateTokenEndpointResponse(ctx context.Context, r fosite.AccessRequester, resp fosite.AccessResponder) error {
	if !h.CanHandleTokenEndpointRequest(ctx, r) {
		return fosite.ErrUnknownRequest
	}
	return h.give(ctx, r, resp, sessionOf(r).once)
}
