package provider

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/claims"
	"gatehouse/oidc/store"
)

const (
	// pushWorkers is how many people are looked at at once: few, as sign-ins come
	// first.
	pushWorkers = 4
	// pushSettle is how long after the change of a group people are looked at. A
	// directory may still be busy with what follows from it.
	pushSettle = 50 * time.Millisecond
	// pushConfirm is how long after the first look the second is taken. While a
	// directory follows up on a renamed entry somebody may seem to be in no group.
	pushConfirm = 300 * time.Millisecond
	// maxPending bounds how many people wait; beyond it, everybody is looked at.
	maxPending = 10_000
)

// PushStore is what a Push asks of oidc/store.
type PushStore interface {
	Grants(ctx context.Context, f store.GrantFilter, now time.Time) ([]oidc.Grant, error)
	EndSessions(ctx context.Context, subject string) (ended int, err error)
	EachSubject(ctx context.Context, now time.Time, f func(subject string) error) error
	Holds(ctx context.Context, subject string, now time.Time) (bool, error)
}

// Push ends grants and sessions as soon as the directory has changed so that they
// no longer hold, by the rule that their next use would meet. A second look has to
// confirm the first, and a directory that can't tell ends nothing.
type Push struct {
	p     *Provider
	store PushStore

	mu      sync.Mutex
	pending map[string]*suspicion // who is to be looked at
	order   []string

	wake chan struct{} // holds one: somebody is pending
	all  chan struct{} // holds one: everybody is to be looked at
	calm chan string   // those of everybody
}

// suspicion is what a first look found: nil for none.
type suspicion struct {
	grants map[string]bool // by id: those that no longer hold
	whole  bool            // the person is gone or may not sign in
}

// NewPush returns a Push, which does nothing until Run.
func (p *Provider) NewPush(s PushStore) *Push {
	return &Push{p: p, store: s, pending: map[string]*suspicion{}, wake: make(chan struct{}, 1), all: make(chan struct{}, 1), calm: make(chan string)}
}

// Person notes that a person has changed. It does not block.
func (q *Push) Person(subject string) { q.add(subject, nil) }

// Anyone notes that something has changed that may concern everybody, and likely
// those named. It does not block.
func (q *Push) Anyone(likely []string) {
	time.AfterFunc(pushSettle, func() {
		for _, subject := range likely {
			q.add(subject, nil)
		}
		poke(q.all)
	})
}

// add has a person looked at; found is what was found before.
func (q *Push) add(subject string, found *suspicion) {
	q.mu.Lock()
	defer q.mu.Unlock()
	before, waits := q.pending[subject]
	switch {
	case waits && found == nil: // a suspicion that waits is not forgotten
		found = before
	case !waits && len(q.pending) >= maxPending:
		poke(q.all)
		return
	case !waits:
		q.order = append(q.order, subject)
	}
	q.pending[subject] = found
	poke(q.wake)
}

// poke wakes up whoever waits for c, now or later.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take returns the next who waits.
func (q *Push) take() (subject string, found *suspicion, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.order) == 0 {
		return "", nil, false
	}
	subject, q.order = q.order[0], q.order[1:]
	found = q.pending[subject]
	delete(q.pending, subject)
	if len(q.order) > 0 {
		poke(q.wake)
	}
	return subject, found, true
}

// Run looks at people until ctx ends.
func (q *Push) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for range pushWorkers {
		wg.Go(func() { q.work(ctx) })
	}
	wg.Go(func() { q.sweep(ctx) })
	wg.Wait()
}

func (q *Push) work(ctx context.Context) {
	for ctx.Err() == nil {
		if subject, found, ok := q.take(); ok {
			q.look(ctx, subject, found)
			continue
		}
		select {
		case <-q.wake:
		case subject := <-q.calm:
			q.look(ctx, subject, nil)
		case <-ctx.Done():
		}
	}
}

// sweep hands everybody out when that is asked for, and rests as long as it took.
func (q *Push) sweep(ctx context.Context) {
	for {
		select {
		case <-q.all:
		case <-ctx.Done():
			return
		}
		begin := time.Now()
		err := q.store.EachSubject(ctx, q.p.Now(), func(subject string) error {
			select {
			case q.calm <- subject:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if err != nil && ctx.Err() == nil {
			q.p.Log.WarnContext(ctx, "cannot look through all grants after a change of the directory", slog.String("error", err.Error()))
		}
		rest := time.NewTimer(time.Since(begin))
		select {
		case <-rest.C:
		case <-ctx.Done():
			rest.Stop()
		}
	}
}

// look looks at one person. What no longer holds is noted at the first look and
// ended at the second.
func (q *Push) look(ctx context.Context, subject string, before *suspicion) {
	found, err := q.judge(ctx, subject)
	switch {
	case err != nil:
		// Nothing can be told; the next use will be asked anyway.
		q.p.Log.DebugContext(ctx, "cannot look at a person after a change of the directory", slog.String("error", err.Error()))
	case found == nil:
	case before == nil:
		time.AfterFunc(pushConfirm, func() { q.add(subject, found.suspicion) })
	default:
		if err := q.end(ctx, subject, found, before); err != nil {
			q.p.Log.ErrorContext(ctx, "cannot end what no longer holds", slog.String("error", err.Error()))
		}
	}
}

// finding is a suspicion with what it takes to act on it.
type finding struct {
	*suspicion
	ends []ended
}

type ended struct {
	grant oidc.Grant
	why   error
}

// judge says which of a person's grants no longer hold, nil for none. It fails if
// the directory can't tell.
func (q *Push) judge(ctx context.Context, subject string) (*finding, error) {
	p := q.p
	holds, err := q.store.Holds(ctx, subject, p.Now())
	if err != nil || !holds {
		return nil, err
	}
	found := &finding{suspicion: &suspicion{grants: map[string]bool{}}}
	user, err := p.Directory.User(ctx, subject)
	if err != nil && !errors.Is(err, oidc.ErrNotFound) {
		return nil, err
	}
	grants, errGrants := q.store.Grants(ctx, store.GrantFilter{Subject: subject, Active: true}, p.Now())
	if errGrants != nil {
		return nil, errGrants
	}
	found.whole = err != nil || user.State != oidc.StateActive
	for _, g := range grants {
		why := p.noLonger(user, g)
		if why != nil {
			found.grants[g.ID] = true
			found.ends = append(found.ends, ended{g, why})
		}
	}
	if !found.whole && len(found.ends) == 0 {
		return nil, nil
	}
	return found, nil
}

// noLonger says why a grant no longer holds, nil if it does. user is nil for who is
// gone.
func (p *Provider) noLonger(user *oidc.User, g oidc.Grant) error {
	if user == nil {
		return errGone
	}
	c, err := p.Clients.Client(g.ClientID)
	if err != nil {
		return nil //nolint:nilerr // what becomes of the grants of a client is not for the directory to say
	}
	if decision := claims.Narrow(c, user, g.Scopes); !decision.Admitted {
		return refusal(decision, user)
	}
	return nil
}

// end ends what both looks found.
func (q *Push) end(ctx context.Context, subject string, found *finding, before *suspicion) error {
	var errs []error
	for _, e := range found.ends {
		if before.grants[e.grant.ID] || before.whole {
			errs = append(errs, q.p.endGrant(ctx, e.grant, oidc.EventRevoked, e.why))
		}
	}
	if found.whole && before.whole {
		n, err := q.store.EndSessions(ctx, subject)
		if n > 0 {
			oidc.Audit(ctx, q.p.Log, oidc.EventSignOut, slog.String("subject", subject), slog.Int("sessions", n),
				slog.String("reason", "the directory no longer lets the person sign in"))
		}
		errs = append(errs, err)
	}
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
}
