package oidc

import "context"

// BindGuard is asked, with the directory id of the one person whom a name
// belongs to, before a password of theirs is tried. Several names may lead to one
// person: who counts failures by name alone grants each name tries of its own. An
// error means that this person's password must not be tried now.
type BindGuard func(subject string) error

type bindGuardKey struct{}

// WithBindGuard returns a context in which a Directory asks g before each bind
// for a person. It is asked once for each bind, and never for a name that nobody
// has.
func WithBindGuard(ctx context.Context, g BindGuard) context.Context {
	return context.WithValue(ctx, bindGuardKey{}, g)
}

// GuardBind is what a Directory calls between finding a person and trying their
// password. It returns nil where nobody guards.
func GuardBind(ctx context.Context, subject string) error {
	g, ok := ctx.Value(bindGuardKey{}).(BindGuard)
	if !ok {
		return nil
	}
	return g(subject)
}
