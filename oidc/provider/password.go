package provider

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/ory/fosite"

	"gatehouse/oidc"
)

// passwordHandler is the resource owner password credentials grant (RFC 6749,
// section 4.3): the application itself takes the person's password. RFC 9700,
// section 2.4, says that it must not be used; it is here for applications that know
// nothing else, and only where the operator has said so for a client that can prove
// who it is.
type passwordHandler struct{ *Provider }

// CanSkipClientAuth implements fosite.TokenEndpointHandler.
func (passwordHandler) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

// CanHandleTokenEndpointRequest implements fosite.TokenEndpointHandler.
func (passwordHandler) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	return r.GetGrantTypes().ExactOne("password")
}

// wrongPassword is all that a client learns of a password that was not taken. It can
// do nothing about an expired one, and a guesser should not hear that there is one.
const wrongPassword = "the user name or the password is not right, or the account cannot be used"

// HandleTokenEndpointRequest tries the password once, as the sign-in page would, with
// the counters of that page. Everything else is judged before, so that a request that
// is wrong costs the person no try.
func (h passwordHandler) HandleTokenEndpointRequest(ctx context.Context, r fosite.AccessRequester) error {
	c, form := clientOf(r), r.GetRequestForm()
	if h.Passwords == nil {
		return fail("unsupported_grant_type", "the grant type is not supported")
	}
	if c.Public() || !c.HasGrantType("password") {
		return fail("unauthorized_client", "the client may not use the password grant")
	}
	name, password := form.Get("username"), form.Get("password")
	if name == "" || password == "" { // an empty password would be an anonymous bind: RFC 4513, section 5.1.2
		return fail("invalid_request", "username or password is missing")
	}
	scopes, err := askedScopes(form)
	if err != nil {
		return err
	}
	if _, err := h.parseResources(c, form["resource"]); err != nil {
		return err
	}
	user, err := h.Passwords(ctx, oidc.Remote(ctx), name, password)
	if err != nil {
		return h.refusePassword(ctx, c, err)
	}
	oidc.Audit(ctx, h.Log, oidc.EventSignIn, slog.String("client_id", c.ID), slog.String("subject", user.ID),
		slog.String("remote", oidc.Remote(ctx).String()), slog.String("grant_type", "password"))
	s := sessionOf(r)
	if err := h.admit(ctx, c, s, user, scopes); err != nil {
		return err
	}
	s.grant.AuthTime, s.grant.AMR = s.grant.CreatedAt, []string{"pwd"} // RFC 8176, section 2
	return nil
}

// refusePassword writes the audit line with the cause, and keeps it from the client.
func (h passwordHandler) refusePassword(ctx context.Context, c *oidc.Client, err error) error {
	oidc.Audit(ctx, h.Log, oidc.EventSignInRefused, append([]slog.Attr{
		slog.String("client_id", c.ID), slog.String("remote", oidc.Remote(ctx).String()), slog.String("grant_type", "password"),
	}, oidc.RefusalAttrs(err)...)...)
	var refused *oidc.SignInError
	var waiting *oidc.ThrottledError
	switch {
	case errors.As(err, &refused): // first: it may have been the throttle that the directory asked
		return fail("invalid_grant", wrongPassword).because(err)
	case errors.As(err, &waiting):
		e := fail("invalid_grant", "there were too many tries, wait before the next").because(err)
		e.Status, e.RetryAfter = http.StatusTooManyRequests, waiting.Wait
		return e
	}
	return err
}

// PopulateTokenEndpointResponse implements fosite.TokenEndpointHandler.
func (h passwordHandler) PopulateTokenEndpointResponse(ctx context.Context, r fosite.AccessRequester, resp fosite.AccessResponder) error {
	if !h.CanHandleTokenEndpointRequest(ctx, r) {
		return fosite.ErrUnknownRequest
	}
	return h.give(ctx, r, resp, nil)
}
