package provider

import (
	"context"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/ory/fosite"

	"gatehouse/oidc"
	"gatehouse/oidc/store"
)

// The prefixes let people and secret scanners tell what a leaked text is.
const (
	codePrefix    = "ghc_"
	accessPrefix  = "gha_"
	refreshPrefix = "ghr_"
)

var grantTypesSupported = []string{"authorization_code", "refresh_token", "client_credentials", grantDevice, grantJWTBearer, "password"}

// Token answers the token endpoint (RFC 6749, section 3.2).
func (p *Provider) Token() http.Handler { return p.crossOrigin(endpoint(p, http.StatusOK, p.token)) }

// token runs one request: authenticate the client, read code or refresh token,
// look the person up while nothing is burnt yet, then sign, commit and answer.
func (p *Provider) token(r *http.Request) (map[string]any, error) {
	ctx := r.Context()
	if err := postedForm(r); err != nil {
		return nil, err
	}
	s := &session{}
	request, err := p.fosite.NewAccessRequest(ctx, r, s)
	if err != nil {
		return nil, p.refuseToken(ctx, s, err)
	}
	asked, err := p.askedResources(clientOf(request), s, request.GetRequestForm()["resource"])
	if err != nil {
		return nil, err
	}
	if s.grant.Subject != "" && s.person.user == nil { // else they were looked up just now
		// Whether the grant holds is a question about all of it: that what a client
		// asks for this time was lost is no reason to end the rest.
		held := s.scopes
		if len(s.refresh.Scopes) > 0 {
			held = s.refresh.Scopes
		}
		s.person, err = p.liveForGood(ctx, clientOf(request), s.grant, held)
		if errors.Is(err, errNoLonger) {
			if err := p.endGrant(ctx, s.grant, oidc.EventRevoked, err); err != nil {
				return nil, err
			}
			return nil, fail("invalid_grant", "the grant no longer holds").because(err)
		}
		if err != nil {
			return nil, err
		}
		s.scopes = among(s.scopes, s.person.decision.Granted)
		if len(s.scopes) == 0 {
			return nil, fail("invalid_scope", "the person no longer has the scopes that were asked for")
		}
	}
	if s.audience, err = p.audience(clientOf(request), s, asked); err != nil {
		return nil, err
	}
	response, err := p.fosite.NewAccessResponse(ctx, request)
	if err != nil {
		return nil, p.refuseToken(ctx, s, err)
	}
	p.auditGrant(ctx, oidc.EventTokenIssued, s.grant, s.scopes, slog.String("grant_type", request.GetRequestForm().Get("grant_type")),
		slog.String("audience", strings.Join(s.audience, " ")))
	return response.ToMap(), nil
}

// postedForm refuses what is not one plain form (RFC 6749, section 3.2).
func postedForm(r *http.Request) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return fail("invalid_request", "the body must be application/x-www-form-urlencoded")
	}
	if err := r.ParseForm(); err != nil {
		return fail("invalid_request", "the body cannot be read as a form").because(err)
	}
	for name, values := range r.PostForm {
		if len(values) > 1 && name != "resource" && name != "audience" {
			return fail("invalid_request", "a parameter is given more than once")
		}
	}
	return nil
}

// refuseToken ends the family of a code or refresh token that was used before
// (RFC 6749, section 4.1.2; RFC 9700, section 4.14.2: rows P13 and P14).
func (p *Provider) refuseToken(ctx context.Context, s *session, err error) error {
	if !errors.Is(err, oidc.ErrUsed) {
		return err
	}
	if end := p.endGrant(ctx, s.grant, oidc.EventReuse, err); end != nil {
		return end
	}
	return err
}

// storeFailure says what a failed consumption means to the client.
func storeFailure(err error) error {
	switch {
	case errors.Is(err, oidc.ErrUsed):
		return fail("invalid_grant", "it has been used before").because(err)
	case errors.Is(err, oidc.ErrRevoked), errors.Is(err, oidc.ErrNotFound):
		return fail("invalid_grant", "it is unknown, expired or revoked").because(err)
	default:
		return err
	}
}

// tokens are what one answer of the token endpoint gives: secrets that the client
// gets, and rows that the store keeps.
type tokens struct {
	accessSecret  string
	access        oidc.Token
	refreshSecret string
	refresh       *oidc.Token // nil: none is given
	idToken       string      // "": none is given
}

// newTokens makes an access token for the scopes of the session, an ID token if
// openid is among them, and a refresh token for the scopes in refresh, if there are
// any: all that were consented to, so that a scope whose group was lost comes back
// with the group. Nothing is written.
func (p *Provider) newTokens(c *oidc.Client, s *session, refresh []string, nonce string, now time.Time) (t tokens, err error) {
	if t.accessSecret, t.access, err = p.newAccess(c, s, now); err != nil {
		return tokens{}, err
	}
	if len(refresh) > 0 {
		t.refreshSecret = oidc.NewSecret(refreshPrefix)
		t.refresh = &oidc.Token{
			Hash: oidc.HashOf(t.refreshSecret), GrantID: s.grant.ID, Scopes: refresh, IssuedAt: now,
			ExpiresAt: now.Add(p.lifespans(c).Refresh),
		}
	}
	if s.grant.Subject != "" && !s.withoutIDToken {
		t.idToken, err = p.idToken(c, s, idTokenParts{nonce: nonce, access: t.accessSecret}, now)
	}
	return t, err
}

// newAccess makes an access token for the scopes and the audience of the session:
// opaque, or a JWT that is kept all the same.
func (p *Provider) newAccess(c *oidc.Client, s *session, now time.Time) (secret string, token oidc.Token, err error) {
	token = oidc.Token{
		GrantID: s.grant.ID, Scopes: s.scopes, Audience: s.audience, IssuedAt: now, ExpiresAt: now.Add(p.lifespans(c).Access),
	}
	secret = oidc.NewSecret(accessPrefix)
	if c.AccessTokenSignedResponseAlg != "" {
		secret, err = p.accessJWT(c, s, token)
	}
	token.Hash = oidc.HashOf(secret)
	return secret, token, err
}

// issue is what the store is to write of tokens.
func (t *tokens) issue(now time.Time) store.Issue {
	issue := store.Issue{Now: now, Access: &t.access, Refresh: t.refresh, GrantExpiresAt: t.access.ExpiresAt}
	if t.refresh != nil {
		issue.GrantExpiresAt = later(issue.GrantExpiresAt, t.refresh.ExpiresAt)
	}
	return issue
}

// answer fills in what a token answer has (RFC 6749, section 5.1; OpenID Connect
// Core 1.0, section 3.1.3.3). refresh_expires_in is not of a standard; many
// applications know it.
func (t *tokens) answer(resp fosite.AccessResponder, s *session) {
	resp.SetAccessToken(t.accessSecret)
	resp.SetTokenType("Bearer")
	resp.SetExpiresIn(t.access.ExpiresAt.Sub(t.access.IssuedAt))
	resp.SetScopes(s.scopes)
	if t.refresh != nil {
		resp.SetExtra("refresh_token", t.refreshSecret)
		resp.SetExtra("refresh_expires_in", int64(t.refresh.ExpiresAt.Sub(t.refresh.IssuedAt)/time.Second))
	}
	if t.idToken != "" {
		resp.SetExtra("id_token", t.idToken)
	}
}
