package provider

import (
	"context"
	"log/slog"
	"slices"

	"github.com/ory/fosite"

	"gatehouse/oidc"
	"gatehouse/oidc/claims"
	"gatehouse/oidc/store"
)

// admit decides what a client may have of a person whom no page has asked: the
// password and the JWT bearer grant. The rules are those of Resolve, as at the
// authorisation endpoint; that nobody is asked for consent is why an operator has to
// name these grants client by client. The person has just been looked up.
func (p *Provider) admit(ctx context.Context, c *oidc.Client, s *session, user *oidc.User, scopes []string) error {
	decision := claims.Resolve(c, user, scopes)
	if !decision.Admitted {
		e := p.deniedBy(c, decision)
		e.Code = "invalid_grant" // access_denied is for answers through browsers (RFC 6749, section 5.2)
		if len(decision.Missing) > 0 {
			e.Code = "invalid_scope"
		}
		oidc.Audit(ctx, p.Log, oidc.EventAccessRefused, slog.String("client_id", c.ID), slog.String("subject", user.ID),
			slog.String("error", e.Code), slog.Any("missing_scopes", decision.Missing), slog.String("reason", whyNot(decision, user)))
		return e
	}
	subject, err := claims.Subject(c, user, p.PairwiseSalt)
	if err != nil {
		return err
	}
	known, err := p.remembered(ctx, c, user.ID)
	if err != nil {
		return err
	}
	s.person = person{user: user, decision: decision, subject: subject, withheld: known.Withheld}
	s.scopes = decision.Granted
	s.grant = oidc.Grant{ID: oidc.NewID(), ClientID: c.ID, Subject: user.ID, Scopes: s.scopes, Withheld: known.Withheld, CreatedAt: p.Now()}
	return nil
}

// give writes the grant of the session with its tokens, and what it uses up, in one
// commit, and answers.
func (p *Provider) give(ctx context.Context, r fosite.AccessRequester, resp fosite.AccessResponder, once *store.Once) error {
	c, s := clientOf(r), sessionOf(r)
	var refresh []string
	if slices.Contains(s.scopes, "offline_access") && c.HasGrantType("refresh_token") {
		refresh = s.grant.Scopes
	}
	t, err := p.newTokens(c, s, refresh, "", s.grant.CreatedAt)
	if err != nil {
		return err
	}
	s.grant.ExpiresAt = t.access.ExpiresAt
	if err := p.Store.SaveAuthorization(ctx, store.Authorization{Grant: s.grant, Access: &t.access, Refresh: t.refresh, Once: once}); err != nil {
		return storeFailure(err)
	}
	t.answer(resp, s)
	return nil
}
