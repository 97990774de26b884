package ldapstore

import (
	"context"
	"errors"
	"fmt"

	"gatehouse/oidc"
)

// UserByAttribute returns the one person whose attribute has this value, by the
// matching rule that the directory has for it. Nobody is oidc.ErrNotFound; several are
// a *oidc.SignInError with ReasonAmbiguous: a value that two people share names nobody.
func (d *Directory) UserByAttribute(ctx context.Context, attribute, value string) (*oidc.User, error) {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	t, err := d.tableInForce(ctx)
	if err != nil {
		return nil, err
	}
	if !searchable(value) {
		return nil, fmt.Errorf("%w: no entry can have this value", oidc.ErrNotFound)
	}
	people, _, err := d.people(ctx, t, equal(attribute, value))
	if err != nil {
		return nil, err
	}
	switch len(people) {
	case 0:
		return nil, fmt.Errorf("%w: no entry has this value", oidc.ErrNotFound)
	case 1:
		return d.complete(ctx, t, people[0])
	default:
		return nil, &oidc.SignInError{Reason: oidc.ReasonAmbiguous}
	}
}

// UserByAttribute asks every directory: only where all have answered is it known that
// no two people share the value.
func (s *Several) UserByAttribute(ctx context.Context, attribute, value string) (*oidc.User, error) {
	var found *oidc.User
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, errTimeout)
	defer cancel()
	for _, m := range s.members {
		u, err := m.Directory.UserByAttribute(ctx, attribute, value)
		switch {
		case errors.Is(err, oidc.ErrNotFound):
			continue
		case err != nil:
			return nil, err
		case found != nil:
			return nil, &oidc.SignInError{Reason: oidc.ReasonAmbiguous}
		}
		if found, err = s.theirs(m, u); err != nil {
			return nil, err
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%w: no entry has this value", oidc.ErrNotFound)
	}
	return found, nil
}
