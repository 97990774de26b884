package provider

import (
	"context"
	"errors"
	"slices"

	"github.com/ory/fosite"

	"gatehouse/oidc"
)

// refreshHandler is the refresh token grant (RFC 6749, section 6), with rotation
// and the recognition of reuse (RFC 9700, section 4.14).
type refreshHandler struct{ *Provider }

// CanSkipClientAuth implements fosite.TokenEndpointHandler.
func (refreshHandler) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

// CanHandleTokenEndpointRequest implements fosite.TokenEndpointHandler.
func (refreshHandler) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	return r.GetGrantTypes().ExactOne("refresh_token")
}

// HandleTokenEndpointRequest reads the refresh token and judges it. Nothing is
// used up.
func (h refreshHandler) HandleTokenEndpointRequest(ctx context.Context, r fosite.AccessRequester) error {
	c, form := clientOf(r), r.GetRequestForm()
	if !c.HasGrantType("refresh_token") {
		return fail("unauthorized_client", "the client may not use the refresh token grant")
	}
	if form.Get("refresh_token") == "" {
		return fail("invalid_request", "refresh_token is missing")
	}
	token, grant, err := h.Store.RefreshToken(ctx, oidc.HashOf(form.Get("refresh_token")))
	if errors.Is(err, oidc.ErrNotFound) {
		return fail("invalid_grant", "the refresh token is unknown or expired").because(err)
	}
	if err != nil {
		return err
	}
	if grant.ClientID != c.ID {
		return fail("invalid_grant", "the refresh token is unknown or expired").because(errors.New("the refresh token belongs to another client"))
	}
	s, now := sessionOf(r), h.Now()
	s.refresh, s.grant, s.scopes = token, grant, token.Scopes
	switch {
	case !grant.RevokedAt.IsZero():
		return fail("invalid_grant", "the grant was revoked").because(oidc.ErrRevoked)
	case !token.UsedAt.IsZero() && (h.RefreshGrace <= 0 || now.Sub(token.UsedAt) > h.RefreshGrace):
		return fail("invalid_grant", "the refresh token has been used before").because(oidc.ErrUsed)
	case !now.Before(token.ExpiresAt):
		return fail("invalid_grant", "the refresh token has expired")
	}
	return narrowByRequest(s, form.Get("scope"))
}

// narrowByRequest takes over the scope parameter, which may ask for less but not
// for more (RFC 6749, section 6). The new refresh token keeps them all.
func narrowByRequest(s *session, text string) error {
	if text == "" {
		return nil
	}
	asked, err := parseScopes(text)
	if err != nil {
		return err
	}
	if len(asked) == 0 || len(without(asked, s.refresh.Scopes)) > 0 {
		return fail("invalid_scope", "a scope is requested that was not granted")
	}
	s.scopes = asked
	return nil
}

// PopulateTokenEndpointResponse signs, rotates the refresh token in one commit,
// and only then answers.
func (h refreshHandler) PopulateTokenEndpointResponse(ctx context.Context, r fosite.AccessRequester, resp fosite.AccessResponder) error {
	if !h.CanHandleTokenEndpointRequest(ctx, r) {
		return fosite.ErrUnknownRequest
	}
	c, s, now := clientOf(r), sessionOf(r), h.Now()
	t, err := h.newTokens(c, s, s.refresh.Scopes, "", now) // no nonce: OpenID Connect Core 1.0, section 12.2
	if err != nil {
		return err
	}
	if err := h.Store.RotateRefresh(ctx, s.refresh.Hash, h.RefreshGrace, t.issue(now)); err != nil {
		return storeFailure(err)
	}
	t.answer(resp, s)
	return nil
}

// credentialsHandler is the client credentials grant (RFC 6749, section 4.4). A
// client has for itself the scopes that its maps give everyone: groups are for
// people.
type credentialsHandler struct{ *Provider }

// CanSkipClientAuth implements fosite.TokenEndpointHandler.
func (credentialsHandler) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool {
	return false
}

// CanHandleTokenEndpointRequest implements fosite.TokenEndpointHandler.
func (credentialsHandler) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	return r.GetGrantTypes().ExactOne("client_credentials")
}

// HandleTokenEndpointRequest judges client and scopes.
func (h credentialsHandler) HandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) error {
	c := clientOf(r)
	if c.Public() || !c.HasGrantType("client_credentials") {
		return fail("unauthorized_client", "the client may not use the client credentials grant")
	}
	scopes, err := parseScopes(r.GetRequestForm().Get("scope"))
	if err != nil {
		return err
	}
	for _, scope := range scopes {
		// openid and offline_access speak of a person.
		if scope == "openid" || scope == "offline_access" || !slices.Contains(c.Scopes.Everyone, scope) {
			return fail("invalid_scope", "a scope is requested that the client does not have for itself")
		}
	}
	s, now := sessionOf(r), h.Now()
	s.scopes = scopes
	s.grant = oidc.Grant{ID: oidc.NewID(), ClientID: c.ID, Scopes: scopes, CreatedAt: now}
	return nil
}

// PopulateTokenEndpointResponse writes grant and token in one commit.
func (h credentialsHandler) PopulateTokenEndpointResponse(ctx context.Context, r fosite.AccessRequester, resp fosite.AccessResponder) error {
	if !h.CanHandleTokenEndpointRequest(ctx, r) {
		return fosite.ErrUnknownRequest
	}
	c, s := clientOf(r), sessionOf(r)
	t, err := h.newTokens(c, s, nil, "", s.grant.CreatedAt)
	if err != nil {
		return err
	}
	s.grant.ExpiresAt = t.access.ExpiresAt
	if err := h.Store.IssueToken(ctx, s.grant, t.access); err != nil {
		return err
	}
	t.answer(resp, s)
	return nil
}
