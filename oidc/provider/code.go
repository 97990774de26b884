package provider

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"slices"

	"github.com/ory/fosite"

	"gatehouse/oidc"
)

// codeHandler is the authorisation code grant (RFC 6749, section 4.1), with PKCE
// (RFC 7636) and the ID token (OpenID Connect Core 1.0, section 3.1.3).
type codeHandler struct{ *Provider }

// CanSkipClientAuth implements fosite.TokenEndpointHandler.
func (codeHandler) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

// CanHandleTokenEndpointRequest implements fosite.TokenEndpointHandler.
func (codeHandler) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	return r.GetGrantTypes().ExactOne("authorization_code")
}

// HandleTokenEndpointRequest reads the code and judges it. Nothing is used up.
func (h codeHandler) HandleTokenEndpointRequest(ctx context.Context, r fosite.AccessRequester) error {
	c, form := clientOf(r), r.GetRequestForm()
	if !c.HasGrantType("authorization_code") {
		return fail("unauthorized_client", "the client may not use the authorization code grant")
	}
	if form.Get("code") == "" {
		return fail("invalid_request", "code is missing")
	}
	code, grant, err := h.Store.Code(ctx, oidc.HashOf(form.Get("code")))
	if errors.Is(err, oidc.ErrNotFound) {
		return fail("invalid_grant", "the code is unknown or expired").because(err)
	}
	if err != nil {
		return err
	}
	if grant.ClientID != c.ID { // not even a reuse: another client's knowledge must not end this grant
		return fail("invalid_grant", "the code is unknown or expired").because(errors.New("the code belongs to another client"))
	}
	s := sessionOf(r)
	s.code, s.grant, s.scopes = code, grant, grant.Scopes
	switch {
	case !code.UsedAt.IsZero():
		return fail("invalid_grant", "the code has been used before").because(oidc.ErrUsed)
	case !grant.RevokedAt.IsZero():
		return fail("invalid_grant", "the grant was revoked").because(oidc.ErrRevoked)
	case !h.Now().Before(code.ExpiresAt):
		return fail("invalid_grant", "the code has expired")
	case form.Get("redirect_uri") != code.RedirectURI: // RFC 6749, section 4.1.3
		return fail("invalid_grant", "redirect_uri differs from that of the authorization request")
	}
	return checkVerifier(code.CodeChallenge, form.Get("code_verifier"))
}

// checkVerifier compares a verifier with the challenge (RFC 7636, section 4.6). A
// verifier without a challenge is refused: somebody may have stripped the
// challenge from the request (RFC 9700, section 2.1.1).
func checkVerifier(challenge, verifier string) error {
	switch {
	case challenge == "" && verifier == "":
		return nil
	case challenge == "":
		return fail("invalid_grant", "code_verifier is given, but the authorization request had no code_challenge")
	case verifier == "":
		return fail("invalid_grant", "code_verifier is missing")
	case !verifierText.MatchString(verifier):
		return fail("invalid_grant", "code_verifier is malformed")
	}
	sum := sha256.Sum256([]byte(verifier))
	if subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) != 1 {
		return fail("invalid_grant", "code_verifier does not match code_challenge")
	}
	return nil
}

// PopulateTokenEndpointResponse signs, uses the code up and writes the tokens in
// one commit, and only then answers.
func (h codeHandler) PopulateTokenEndpointResponse(ctx context.Context, r fosite.AccessRequester, resp fosite.AccessResponder) error {
	if !h.CanHandleTokenEndpointRequest(ctx, r) {
		return fosite.ErrUnknownRequest
	}
	return h.spend(ctx, r, resp)
}

// spend exchanges the session's code.
func (h codeHandler) spend(ctx context.Context, r fosite.AccessRequester, resp fosite.AccessResponder) error {
	c, s, now := clientOf(r), sessionOf(r), h.Now()
	var refresh []string
	if slices.Contains(s.scopes, "offline_access") && c.HasGrantType("refresh_token") {
		refresh = s.grant.Scopes
	}
	t, err := h.newTokens(c, s, refresh, s.code.Nonce, now)
	if err != nil {
		return err
	}
	if err := h.Store.ExchangeCode(ctx, s.code.Hash, t.issue(now)); err != nil {
		return storeFailure(err)
	}
	t.answer(resp, s)
	return nil
}
