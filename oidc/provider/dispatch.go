package provider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/claims"
)

// Next decides what a valid request needs: a sign-in, a consent, or nothing more,
// and then issues the code. It alone decides; every page leads back to it. The
// person is looked up live unless they have just signed in. Errors wrap
// oidc.ErrUnavailable where the directory or the store cannot answer.
func (p *Provider) Next(ctx context.Context, a *Authorization, v Visitor) (Step, error) {
	if v.Change != nil {
		v.Session = &v.Change.Session
	}
	if v.Session == nil {
		return p.signIn(ctx, a, SignInStep{LoginHint: a.LoginHint})
	}
	user, err := p.visitor(ctx, v)
	switch {
	case errors.Is(err, oidc.ErrNotFound):
		return p.signIn(ctx, a, SignInStep{LoginHint: a.LoginHint, EndSession: true})
	case errors.Is(err, oidc.ErrUnavailable) && a.Prompts("none"):
		return p.refuse(ctx, a, fail("temporarily_unavailable", "the directory cannot be reached, try again").because(err)), nil
	case err != nil:
		return Step{}, err
	}
	subject, err := claims.Subject(a.Client, user, p.PairwiseSalt)
	if err != nil {
		return Step{}, err
	}
	if p.mustSignIn(a, v, subject) {
		return p.signIn(ctx, a, SignInStep{LoginHint: a.LoginHint, Again: true})
	}
	if a.claims.acrMust && a.acr() == "" { // OpenID Connect Core 1.0, section 5.5.1.1
		return p.refuse(ctx, a, fail("access_denied", "the person cannot be authenticated in the way that is asked for")), nil
	}
	decision := claims.Resolve(a.Client, user, a.Scopes)
	if !decision.Admitted {
		return p.refuse(ctx, a, p.deniedBy(a.Client, decision), slog.String("subject", user.ID), slog.Any("missing_scopes", decision.Missing)), nil
	}
	return p.consentOrIssue(ctx, a, v, person{user: user, decision: decision, subject: subject})
}

// visitor returns the person of the session, whose account may be used.
func (p *Provider) visitor(ctx context.Context, v Visitor) (*oidc.User, error) {
	user := v.User
	if user == nil {
		var err error
		if user, err = p.Directory.User(ctx, v.Session.Subject); err != nil {
			return nil, fmt.Errorf("look up the signed-in person: %w", err)
		}
	}
	if user.State != oidc.StateActive {
		return nil, fmt.Errorf("the account is %s: %w", user.State, oidc.ErrNotFound)
	}
	return user, nil
}

// mustSignIn says whether the session there is does not do for this request
// (OpenID Connect Core 1.0, section 3.1.2.3).
func (p *Provider) mustSignIn(a *Authorization, v Visitor, subject string) bool {
	if a.hint != "" && a.hint != subject || a.claims.subject != "" && a.claims.subject != subject {
		return true // somebody else is wanted
	}
	if v.Change != nil {
		return false // signed in for this very request
	}
	requested, signedIn := a.RequestedAt.Truncate(time.Second), v.Session.AuthTime.Truncate(time.Second)
	if a.resumed && !signedIn.Before(requested) {
		return false // signed in for this request, then asked for consent
	}
	if a.Prompts("login") || a.Prompts("select_account") {
		return true
	}
	return a.maxAge >= 0 && (a.maxAge == 0 || requested.Sub(signedIn) > a.maxAge)
}

// signIn asks for a sign-in, or tells a client that allows no page so.
func (p *Provider) signIn(ctx context.Context, a *Authorization, step SignInStep) (Step, error) {
	if a.Prompts("none") {
		return p.refuse(ctx, a, fail("login_required", "the person must sign in")), nil
	}
	return Step{SignIn: &step}, nil
}

// Deny answers the client that the person said no on the consent page.
func (p *Provider) Deny(ctx context.Context, a *Authorization, subject string) *Response {
	e := fail("access_denied", "the person declined")
	oidc.Audit(ctx, p.Log, oidc.EventConsentDenied, slog.String("client_id", a.Client.ID), slog.String("subject", subject))
	p.end(ctx, a)
	return p.answerError(a, e)
}

// refuse answers the client with an error and writes the audit line.
func (p *Provider) refuse(ctx context.Context, a *Authorization, e *Error, attrs ...slog.Attr) Step {
	p.logRefused(ctx, a, e, attrs...)
	if e.Code != "temporarily_unavailable" { // the person may try again
		p.end(ctx, a)
	}
	if a.device != nil {
		return Step{Device: &DeviceStep{Outcome: DeviceRefused}}
	}
	return Step{Response: p.answerError(a, e)}
}

func (p *Provider) logRefused(ctx context.Context, a *Authorization, e *Error, attrs ...slog.Attr) {
	line := []slog.Attr{slog.String("client_id", a.Client.ID), slog.String("error", e.Code), slog.String("reason", e.Error())}
	oidc.Audit(ctx, p.Log, oidc.EventAccessRefused, append(line, attrs...)...)
}

// deniedBy puts a refusal into words for the client: rows S3 and S5. Scopes are
// named that exist here. Any other text may be a stranger's, who has made the link
// and would have the application show it.
func (p *Provider) deniedBy(c *oidc.Client, d claims.Decision) *Error {
	if len(d.Missing) == 0 {
		return fail("access_denied", "the person may not use this application")
	}
	var named []string
	for _, scope := range d.Missing {
		if slices.Contains(p.Claims.ScopesSupported(), scope) || mapsName(c, scope) {
			named = append(named, scope)
		}
	}
	switch invented := len(d.Missing) - len(named); {
	case invented == 0:
		return fail("access_denied", "the person does not have these scopes: "+missingScopes(named))
	case len(named) == 0:
		return fail("access_denied", "no map of this client gives the scopes that were asked for")
	default:
		return fail("access_denied", fmt.Sprintf("the person does not have these scopes: %s; %d more are in no map of this client", missingScopes(named), invented))
	}
}

// mapsName reports whether a map of the client gives this scope to anybody.
func mapsName(c *oidc.Client, scope string) bool {
	return slices.Contains(c.Scopes.Everyone, scope) ||
		slices.ContainsFunc(c.Scopes.Groups, func(m oidc.ScopeMap) bool { return slices.Contains(m.Scopes, scope) })
}

func without(all, some []string) []string {
	var rest []string
	for _, s := range all {
		if !slices.Contains(some, s) {
			rest = append(rest, s)
		}
	}
	return rest
}

// among returns what of some is in all, in the order of some.
func among(some, all []string) []string { return without(some, without(some, all)) }

func union(a, b []string) []string {
	return append(slices.Clone(a), without(b, a)...)
}

// auditGrant writes the audit line of something given out under a grant.
func (p *Provider) auditGrant(ctx context.Context, event oidc.Event, g oidc.Grant, scopes []string, attrs ...slog.Attr) {
	line := []slog.Attr{
		slog.String("client_id", g.ClientID), slog.String("subject", g.Subject), slog.String("grant_id", g.ID),
		slog.String("scopes", strings.Join(scopes, " ")),
	}
	oidc.Audit(ctx, p.Log, event, append(line, attrs...)...)
}
