package provider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"gatehouse/oidc"
	"gatehouse/oidc/claims"
)

// person is who a grant belongs to, as the directory has them now.
type person struct {
	user     *oidc.User
	decision claims.Decision
	subject  string // sub for this client
}

// errNoLonger means that the directory answered and the grant no longer holds:
// the person is gone or disabled, or lost a group that the client demands. It is
// never returned when the directory could not tell.
var errNoLonger = errors.New("the grant no longer holds")

var errGone = fmt.Errorf("%w: the person is not in the directory", errNoLonger)

// live looks a grant's person up and narrows scopes to what the client's maps
// give them now (row S9). Errors wrap errNoLonger or oidc.ErrUnavailable.
func (p *Provider) live(ctx context.Context, c *oidc.Client, g oidc.Grant, scopes []string) (person, error) {
	user, err := p.Directory.User(ctx, g.Subject)
	if errors.Is(err, oidc.ErrNotFound) {
		return person{}, errGone
	}
	if err != nil {
		return person{}, fmt.Errorf("look the person up: %w", err)
	}
	decision := claims.Narrow(c, user, scopes)
	if !decision.Admitted {
		return person{}, fmt.Errorf("%w: %s", errNoLonger, whyNot(decision, user))
	}
	subject, err := claims.Subject(c, user, p.PairwiseSalt)
	if err != nil {
		return person{}, err
	}
	return person{user: user, decision: decision, subject: subject}, nil
}

func whyNot(d claims.Decision, user *oidc.User) string {
	if user.State != oidc.StateActive {
		return "the account is " + user.State.String()
	}
	if len(d.Missing) > 0 {
		return "scopes lost: " + missingScopes(d.Missing)
	}
	return "a required group was lost"
}

// endGrant revokes a grant for good and writes why. A failure to revoke is the
// caller's answer too: nobody may be told of an end that was not kept.
func (p *Provider) endGrant(ctx context.Context, g oidc.Grant, event oidc.Event, why error) error {
	if err := p.Store.RevokeGrant(ctx, g.ID, p.Now()); err != nil && !errors.Is(err, oidc.ErrNotFound) {
		return fmt.Errorf("revoke grant: %w", err)
	}
	p.auditGrant(ctx, event, g, g.Scopes, slog.String("reason", why.Error()))
	return nil
}

// lifespans returns the client's lifespans, the server's where it has none.
func (p *Provider) lifespans(c *oidc.Client) oidc.Lifespans { return c.Lifespans.Or(p.Lifespans) }
