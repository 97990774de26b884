package provider

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"gatehouse/oidc"
)

// Introspection answers RFC 7662. A client sees its own tokens, and access tokens
// whose audience names it, by its id or by one of its resource identifiers; of any
// other it learns only that it is not active. The answer is live: a person who is
// gone has no active token.
func (p *Provider) Introspection() http.Handler { return p.tokenEndpoint(p.introspect) }

// Revocation answers RFC 7009. Revoking a refresh token ends its grant with all
// tokens; revoking an access token ends that one.
func (p *Provider) Revocation() http.Handler {
	return p.crossOrigin(p.tokenEndpoint(func(ctx context.Context, c *oidc.Client, token, hint string) (map[string]any, error) {
		return map[string]any{}, p.revoke(ctx, c, token, hint)
	}))
}

// anyToken finds a token of either kind, the hinted kind first.
func (p *Provider) anyToken(ctx context.Context, secret, hint string) (t oidc.Token, g oidc.Grant, refresh bool, err error) {
	h := oidc.HashOf(secret)
	refresh = hint == "refresh_token" || hint == "" && strings.HasPrefix(secret, refreshPrefix)
	for range 2 {
		if refresh {
			t, g, err = p.Store.RefreshToken(ctx, h)
		} else {
			t, g, err = p.Store.AccessToken(ctx, h)
		}
		if !errors.Is(err, oidc.ErrNotFound) {
			return t, g, refresh, err
		}
		refresh = !refresh
	}
	return t, g, refresh, err
}

func (p *Provider) introspect(ctx context.Context, caller *oidc.Client, secret, hint string) (map[string]any, error) {
	if caller.Public() { // RFC 7662, section 2.1: else anybody could try tokens out
		return nil, fail("invalid_client", "a public client cannot introspect tokens")
	}
	inactive := map[string]any{"active": false} // RFC 7662, section 2.2: and not a word more
	token, grant, refresh, err := p.anyToken(ctx, secret, hint)
	if errors.Is(err, oidc.ErrNotFound) {
		return inactive, nil
	}
	if err != nil {
		return nil, err
	}
	_, _, c, err := p.stillGood(token, grant)
	if errors.Is(err, errInactive) {
		return inactive, nil
	}
	if err != nil {
		return nil, err
	}
	if caller.ID != c.ID && (refresh || !p.meantFor(caller, c, token)) {
		return inactive, nil
	}
	answer, err := p.describe(ctx, c, token, grant, refresh)
	if errors.Is(err, errNoLonger) {
		return inactive, nil
	}
	return answer, err
}

// describe tells what a good token is, as things stand now (RFC 7662, section 2.2).
// Errors wrap errNoLonger or oidc.ErrUnavailable.
func (p *Provider) describe(ctx context.Context, c *oidc.Client, token oidc.Token, grant oidc.Grant, refresh bool) (map[string]any, error) {
	answer := map[string]any{
		"active": true, "client_id": c.ID, "iss": p.issuerOf(c), "iat": token.IssuedAt.Unix(), "exp": token.ExpiresAt.Unix(),
		"scope": strings.Join(token.Scopes, " "),
	}
	if !refresh {
		answer["token_type"], answer["aud"] = "Bearer", token.Audience
	}
	if grant.Subject == "" {
		answer["sub"] = c.ID // RFC 9068, section 2.2: the client acts for itself
		return answer, nil
	}
	who, err := p.live(ctx, c, grant, token.Scopes)
	if err != nil {
		return nil, err
	}
	answer["sub"] = who.subject
	answer["scope"] = strings.Join(who.decision.Granted, " ")
	if !grant.AuthTime.IsZero() {
		answer["auth_time"] = grant.AuthTime.Unix()
	}
	if slices.Contains(who.decision.Granted, "profile") {
		answer["username"] = who.user.Username
	}
	return answer, nil
}

func (p *Provider) revoke(ctx context.Context, caller *oidc.Client, secret, hint string) error {
	_, grant, refresh, err := p.anyToken(ctx, secret, hint)
	if errors.Is(err, oidc.ErrNotFound) {
		return nil // RFC 7009, section 2.2: what the client wants is true already
	}
	if err != nil {
		return err
	}
	if grant.ClientID != caller.ID { // RFC 7009, section 2.1
		return fail("invalid_grant", "the token was not issued to this client")
	}
	if refresh {
		return p.endGrant(ctx, grant, oidc.EventRevoked, errors.New("by the client"))
	}
	if err := p.Store.RevokeAccessToken(ctx, oidc.HashOf(secret)); err != nil && !errors.Is(err, oidc.ErrNotFound) {
		return err
	}
	p.auditGrant(ctx, oidc.EventRevoked, grant, grant.Scopes, slog.String("reason", "by the client"), slog.String("token", "access"))
	return nil
}
