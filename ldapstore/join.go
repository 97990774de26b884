package ldapstore

import (
	"context"
	"errors"
	"sync"

	"gatehouse/oidc"
)

// joins lets look-ups of one person share an answer while the first of them has
// not been sent. A look-up under way is never joined: its answer may be from
// before a change that the newcomer knows of.
type joins struct {
	mu   sync.Mutex
	open map[string]*flight // by id; those that have not been sent
}

// flight is one look-up that others may wait for.
type flight struct {
	done      chan struct{} // closed when the next three are set
	user      *oidc.User
	err       error
	abandoned bool // the caller who led it went away: its error says nothing

	followers int // guarded by joins.mu
}

// do runs look, or waits for the same look-up if one is waiting to be sent. look
// calls sent as soon as a request is about to leave.
func (j *joins) do(ctx context.Context, id string, look func(sent func()) (*oidc.User, error)) (*oidc.User, error) {
	for {
		f, lead := j.enter(id)
		if lead {
			return j.lead(ctx, id, f, look)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, unavailable("looking up a person", context.Cause(ctx))
		}
		if !f.abandoned {
			return copyOf(f.user), f.err
		}
	}
}

// enter returns the flight to wait for, or a new one to lead.
func (j *joins) enter(id string) (f *flight, lead bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if f := j.open[id]; f != nil {
		f.followers++
		return f, false
	}
	if j.open == nil {
		j.open = map[string]*flight{}
	}
	f = &flight{done: make(chan struct{}), abandoned: true}
	j.open[id] = f
	return f, true
}

func (j *joins) lead(ctx context.Context, id string, f *flight, look func(sent func()) (*oidc.User, error)) (*oidc.User, error) {
	defer close(f.done)
	defer j.shut(id, f) // it may never have come to be sent
	u, err := look(func() { j.shut(id, f) })
	// When the time of the first has run out the others don't try again: a
	// directory that stands still would be asked for ever.
	if err != nil && ctx.Err() != nil && !errors.Is(context.Cause(ctx), errTimeout) {
		return u, err
	}
	f.user, f.err, f.abandoned = u, err, false
	return copyOf(u), err
}

// shut ends the time in which a flight may be joined.
func (j *joins) shut(id string, f *flight) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.open[id] == f {
		delete(j.open, id)
	}
}

// copyOf gives everyone a User of their own. Attributes and groups are shared:
// nobody changes them.
func copyOf(u *oidc.User) *oidc.User {
	if u == nil {
		return nil
	}
	own := *u
	return &own
}
