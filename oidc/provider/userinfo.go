package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"gatehouse/oidc"
)

// UserInfo answers the userinfo endpoint by GET and POST (OpenID Connect Core
// 1.0, section 5.3), as JSON or as a JWT.
func (p *Provider) UserInfo() http.Handler {
	return p.crossOrigin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, answer, err := p.userInfo(r)
		if err == nil {
			keepToOrigins(w, r, c)
		}
		signed := ""
		if err == nil && c.UserInfoSignedResponseAlg != "" {
			signed, err = p.signUserInfo(c, answer)
		}
		switch {
		case err != nil:
			p.writeError(w, r, err)
		case signed != "":
			write(w, http.StatusOK, "application/jwt", []byte(signed))
		default:
			writeJSON(w, http.StatusOK, answer)
		}
	}))
}

// signUserInfo returns userinfo as a JWT (section 5.3.2). It has no exp, which
// keeps it from being taken for an ID token.
func (p *Provider) signUserInfo(c *oidc.Client, answer map[string]any) (string, error) {
	answer["iss"], answer["aud"] = p.issuerOf(c), c.ID
	signed, err := p.signFor(c, c.UserInfoSignedResponseAlg, "JWT", answer)
	if err != nil {
		return "", fmt.Errorf("sign userinfo: %w", err)
	}
	return signed, nil
}

func (p *Provider) userInfo(r *http.Request) (*oidc.Client, map[string]any, error) {
	ctx := r.Context()
	secret, err := bearerToken(r)
	if err != nil {
		return nil, nil, err
	}
	token, grant, c, err := p.access(ctx, secret)
	if errors.Is(err, errInactive) {
		return nil, nil, fail("invalid_token", "the access token is unknown, expired or revoked").because(err)
	}
	if err != nil {
		return nil, nil, err
	}
	if err := p.checkAddress(ctx, c); err != nil {
		return nil, nil, fail("invalid_token", "the access token is unknown, expired or revoked").because(err)
	}
	if !p.meantForUs(c, token) { // RFC 9068, section 4
		return nil, nil, fail("invalid_token", "the access token is meant for another server")
	}
	if grant.Subject == "" || !slices.Contains(token.Scopes, "openid") {
		return nil, nil, fail("insufficient_scope", "the access token was not granted the openid scope")
	}
	who, err := p.live(ctx, c, grant, token.Scopes)
	if errors.Is(err, errNoLonger) {
		return nil, nil, fail("invalid_token", "the grant no longer holds").because(err)
	}
	if err != nil {
		return nil, nil, err
	}
	answer := p.claimsFor(c, who, who.decision.Granted, grant.Claims.UserInfo, true)
	answer["sub"] = who.subject
	return c, answer, nil
}

// bearerToken reads the access token from the header or from the posted form,
// never from the query, where it would end up in logs (RFC 6750, sections 2 and
// 5.3).
func bearerToken(r *http.Request) (string, error) {
	header := r.Header.Values("Authorization")
	if len(header) > 1 {
		return "", fail("invalid_request", "more than one Authorization header")
	}
	var posted string
	if r.Method == http.MethodPost {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
			if err := r.ParseForm(); err != nil {
				return "", fail("invalid_request", "the body cannot be read as a form").because(err)
			}
			posted = r.PostForm.Get("access_token")
		}
	}
	if len(header) == 1 {
		scheme, token, _ := strings.Cut(header[0], " ")
		token = strings.TrimSpace(token)
		if !strings.EqualFold(scheme, "Bearer") || token == "" {
			return "", fail("invalid_token", "the Authorization header has no bearer token")
		}
		if posted != "" {
			return "", fail("invalid_request", "the access token is given twice")
		}
		return token, nil
	}
	if posted == "" {
		return "", fail("invalid_token", "the access token is missing")
	}
	return posted, nil
}

// errInactive means that a token is unknown, expired or revoked, or that its
// client is no more.
var errInactive = errors.New("the token is not active")

// access finds an access token that is still good, its grant and its client.
func (p *Provider) access(ctx context.Context, secret string) (oidc.Token, oidc.Grant, *oidc.Client, error) {
	token, grant, err := p.Store.AccessToken(ctx, oidc.HashOf(secret))
	if errors.Is(err, oidc.ErrNotFound) {
		return token, grant, nil, errInactive
	}
	if err != nil {
		return token, grant, nil, err
	}
	return p.stillGood(token, grant)
}

// stillGood judges what the store found by time, revocation and client.
func (p *Provider) stillGood(token oidc.Token, grant oidc.Grant) (oidc.Token, oidc.Grant, *oidc.Client, error) {
	if !p.Now().Before(token.ExpiresAt) || !grant.RevokedAt.IsZero() || !token.UsedAt.IsZero() {
		return token, grant, nil, errInactive
	}
	c, err := p.Clients.Client(grant.ClientID)
	if errors.Is(err, oidc.ErrNotFound) {
		return token, grant, nil, errInactive
	}
	return token, grant, c, err
}
