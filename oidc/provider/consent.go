package provider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"gatehouse/oidc"
)

// consentOrIssue asks the person, where the client's file or the request wants that,
// and then answers the client.
func (p *Provider) consentOrIssue(ctx context.Context, a *Authorization, v Visitor, who person) (Step, error) {
	user, decision := who.user, who.decision
	// Claims asked for by name are given like those of a scope, so they need the
	// same consent: else scope=openid with a claims parameter would get everything
	// past a page that speaks of nothing. For the same reason the grant keeps no
	// name whose scope the person gets only later.
	var forIDToken, forUserInfo []string
	a.claims.names.IDToken, forIDToken = p.Claims.Available(a.claims.names.IDToken, decision.Final)
	a.claims.names.UserInfo, forUserInfo = p.Claims.Available(a.claims.names.UserInfo, decision.Final)
	scopes := union(union(decision.Granted, forIDToken), forUserInfo)
	known, err := p.remembered(ctx, a.Client, user.ID)
	if err != nil {
		return Step{}, err
	}
	var remember *oidc.ConsentRecord
	if a.asks(scopes, known) {
		choices := p.withholdable(a.Client, scopes)
		if v.Approved == nil || len(without(scopes, v.Approved)) > 0 {
			if a.Prompts("none") {
				return p.refuse(ctx, a, fail("consent_required", "the person must be asked for consent")), nil
			}
			return Step{Consent: &ConsentStep{
				User: user, Scopes: scopes, New: without(scopes, known.Scopes), Withholdable: choices, Withheld: known.Withheld,
			}}, nil
		}
		// What this page did not speak of stays as it was.
		known.Withheld = union(among(without(known.Withheld, choices), a.Client.WithholdableClaims), among(choices, v.Withheld))
		if a.Client.Consent == oidc.ConsentRemembered {
			remember = &oidc.ConsentRecord{
				Subject: user.ID, ClientID: a.Client.ID, Scopes: union(known.Scopes, scopes), Withheld: known.Withheld, GrantedAt: p.Now(),
			}
		}
		oidc.Audit(ctx, p.Log, oidc.EventConsent, slog.String("client_id", a.Client.ID), slog.String("subject", user.ID),
			slog.Any("scopes", scopes), slog.Any("withheld", known.Withheld))
	}
	who.withheld = known.Withheld
	if a.device != nil {
		return p.allowDevice(ctx, a, v, who, remember)
	}
	response, err := p.issue(ctx, a, v, who, remember)
	if err != nil {
		return Step{}, err
	}
	return Step{Response: response}, nil
}

// asks reports whether the person is asked before these scopes are given.
func (a *Authorization) asks(scopes []string, known oidc.ConsentRecord) bool {
	switch {
	case a.device != nil: // the device may be a stranger's: RFC 8628, section 5.4
		return true
	case a.Prompts("consent"):
		return true
	case a.Client.Consent == oidc.ConsentNone:
		return false
	case a.Client.Consent == oidc.ConsentExplicit:
		return true
	}
	// What a person has kept back and can no longer keep back is more than they allowed.
	return len(without(scopes, known.Scopes)) > 0 || len(without(known.Withheld, a.Client.WithholdableClaims)) > 0
}

// withholdable returns the claims that the person may keep back of those that the
// scopes give.
func (p *Provider) withholdable(c *oidc.Client, scopes []string) []string {
	given, _ := p.Claims.Available(c.WithholdableClaims, scopes)
	return slices.Clone(given)
}

// remembered returns what the person has allowed this client before, if that is
// remembered; else nothing.
func (p *Provider) remembered(ctx context.Context, c *oidc.Client, subject string) (oidc.ConsentRecord, error) {
	if c.Consent != oidc.ConsentRemembered {
		return oidc.ConsentRecord{}, nil
	}
	record, err := p.Store.Consent(ctx, subject, c.ID)
	if errors.Is(err, oidc.ErrNotFound) {
		return oidc.ConsentRecord{}, nil
	}
	if err != nil {
		return record, fmt.Errorf("look for a remembered consent: %w", err)
	}
	return record, nil
}
