package provider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/claims"
)

// person is who a grant belongs to, as the directory has them now.
type person struct {
	user     *oidc.User
	decision claims.Decision
	subject  string   // sub for this client
	withheld []string // names of claims that they keep from it
}

// errNoLonger means that the directory answered and the grant no longer holds:
// the person is gone or disabled, or lost a group that the client demands. It is
// never returned when the directory could not tell.
var errNoLonger = errors.New("the grant no longer holds")

var errGone = fmt.Errorf("%w: the person is not in the directory", errNoLonger)

// lostError is an errNoLonger that is only about groups.
type lostError struct {
	why       string
	changedAt time.Time // of the person's entry
}

func (e *lostError) Error() string { return errNoLonger.Error() + ": " + e.why }
func (e *lostError) Unwrap() error { return errNoLonger }

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
		return person{}, refusal(decision, user)
	}
	subject, err := claims.Subject(c, user, p.PairwiseSalt)
	if err != nil {
		return person{}, err
	}
	return person{user: user, decision: decision, subject: subject, withheld: g.Withheld}, nil
}

// refusal is the errNoLonger for whom the client's maps don't admit.
func refusal(d claims.Decision, user *oidc.User) error {
	why := whyNot(d, user)
	if user.State != oidc.StateActive {
		return fmt.Errorf("%w: %s", errNoLonger, why)
	}
	return &lostError{why: why, changedAt: user.ChangedAt}
}

// How long after a look that finds a group missing the next one is taken, before
// that ends a grant for good.
const (
	// lostConfirm is for any loss: the group itself, or one beneath it, may just have
	// been renamed.
	lostConfirm = 300 * time.Millisecond
	// lostFollowUp comes on top where the person's entry was changed within lostLately:
	// if it was renamed, all its groups have to be rewritten.
	lostFollowUp = 900 * time.Millisecond
	lostLately   = 10 * time.Second
	// lostLimit is for all of it: whoever waits is told within three seconds.
	lostLimit = 2500 * time.Millisecond
)

// liveForGood is live for those who end a grant on the strength of it. Some
// directories rewrite the members of groups only after they have answered that an
// entry is renamed (OpenLDAP's refint does so in the background); in between the
// person is in no group. So a missing group is looked for again a moment later,
// while whoever asks waits: either the person is in it after all, or the loss is
// real. Nobody is given anything meanwhile. That a person is gone or disabled needs
// no second look.
func (p *Provider) liveForGood(ctx context.Context, c *oidc.Client, g oidc.Grant, scopes []string) (person, error) {
	ctx, cancel := context.WithTimeout(ctx, lostLimit)
	defer cancel()
	who, err := p.live(ctx, c, g, scopes)
	for _, wait := range []time.Duration{lostConfirm, lostFollowUp} {
		var lost *lostError
		if !errors.As(err, &lost) || wait == lostFollowUp && p.Now().Sub(lost.changedAt) > lostLately {
			break
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return person{}, fmt.Errorf("look the person up again: %w", errors.Join(oidc.ErrUnavailable, context.Cause(ctx)))
		}
		who, err = p.live(ctx, c, g, scopes)
	}
	return who, err
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
