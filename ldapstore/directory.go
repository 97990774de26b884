package ldapstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/oidc"
)

// Directory reads people from LDAP. It is safe for use by many goroutines.
type Directory struct {
	options Options
	roster  *roster
	log     *slog.Logger
	now     func() time.Time
	table   atomic.Pointer[table]
	domain  atomic.Pointer[domain]
	pace    pace
	joins   joins
	cache   cache // does nothing until Watch
	hints   hints

	hadGroups atomic.Bool // somebody was in a group since the start

	ctx  context.Context // ends with Close; holds the watchers of lost servers
	end  context.CancelFunc
	mu   sync.Mutex // guards wg.Add against Close
	wg   sync.WaitGroup
	done bool
}

var _ oidc.Directory = (*Directory)(nil)

// New checks the options and returns a Directory. It connects to nothing yet. An
// error is an oidc.Problems.
func New(o Options) (*Directory, error) {
	endpoints, files, err := o.settle()
	if err != nil {
		return nil, err
	}
	d := &Directory{options: o, log: o.Log, now: o.Now, cache: cache{now: o.Now, reading: o.Timeout, settle: settleTime}}
	d.ctx, d.end = context.WithCancel(context.Background())
	account := &serviceAccount{dn: o.BindDN, read: o.BindPassword, now: o.Now}
	dialer := newDialer(&d.options, files)
	d.roster = newRoster(&d.options, endpoints, func(e endpoint) *server { return newServer(e, &d.options, dialer, account) }, d.background)
	if k, ok := kindNamed(o.Kind); ok {
		d.table.Store(newTable(k, &d.options))
	}
	return d, nil
}

// Close ends all connections. Calls under way end by themselves.
func (d *Directory) Close() {
	d.mu.Lock()
	d.done = true
	d.mu.Unlock()
	d.end()
	d.wg.Wait()
	d.roster.close()
}

// background runs f until it returns or Close ends its context. It does not if the
// Directory is closed.
func (d *Directory) background(f func(context.Context)) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done {
		return false
	}
	d.wg.Add(1)
	go func() {
		defer d.wg.Done()
		f(d.ctx)
	}()
	return true
}

// User returns the person with this stable id.
func (d *Directory) User(ctx context.Context, id string) (*oidc.User, error) {
	if u := d.remembered(ctx, id); u != nil {
		return u, nil
	}
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	t, err := d.tableInForce(ctx)
	if err != nil {
		return nil, err
	}
	value, ok := t.encodeID(id)
	if !ok {
		return nil, fmt.Errorf("%w: no entry can have this id", oidc.ErrNotFound)
	}
	if traced(ctx) { // to be told of an answer that somebody else got would explain nothing
		return d.userByValue(ctx, t, id, value)
	}
	return d.joins.do(ctx, id, func(sent func()) (*oidc.User, error) {
		r := d.cache.note(sent)
		u, err := d.userByValue(withReading(ctx, r), t, id, value)
		if err == nil {
			d.cache.put(id, u, r)
		}
		return u, err
	})
}

// userByValue looks for the person whose entry has this value as its id.
func (d *Directory) userByValue(ctx context.Context, t *table, id, value string) (*oidc.User, error) {
	if u, done, err := d.userAtOnce(ctx, t, id, value); done {
		return u, err
	}
	people, _, err := d.people(ctx, t, equal(t.IDAttribute, value))
	if err != nil {
		return nil, err
	}
	switch len(people) {
	case 0:
		return nil, d.gone(ctx, t)
	case 1:
		return d.complete(ctx, t, people[0])
	default:
		return nil, unavailable("looking up an id", errors.New("more than one entry has it"))
	}
}

// UserByName returns the person that would be asked for a password if name were
// typed at sign-in. A name that fits several people is an error of its own, a
// *oidc.SignInError with ReasonAmbiguous.
func (d *Directory) UserByName(ctx context.Context, name string) (*oidc.User, error) {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	t, err := d.tableInForce(ctx)
	if err != nil {
		return nil, err
	}
	people, _, err := d.named(ctx, t, name)
	if err != nil {
		return nil, err
	}
	switch len(people) {
	case 0:
		return nil, fmt.Errorf("%w: no entry has this name", oidc.ErrNotFound)
	case 1:
		return d.complete(ctx, t, people[0])
	default:
		return nil, &oidc.SignInError{Reason: oidc.ReasonAmbiguous}
	}
}

// Ping reads the base entries: nil means that people can be looked up now.
func (d *Directory) Ping(ctx context.Context) error {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	t, err := d.tableInForce(ctx)
	if err != nil {
		return err
	}
	for _, base := range t.userBases {
		if _, err = d.search(ctx, query{
			purpose:    "reading the base entry",
			base:       base,
			scope:      ldap.ScopeBaseObject,
			filter:     "(objectClass=*)",
			attributes: []string{noAttributes},
		}); err != nil {
			return err
		}
	}
	return nil
}

// Kind returns the kind of the directory, asking the server if need be.
func (d *Directory) Kind(ctx context.Context) (Kind, error) {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	t, err := d.tableInForce(ctx)
	if err != nil {
		return Kind{}, err
	}
	return t.Kind, nil
}

// people searches for people.
func (d *Directory) people(ctx context.Context, t *table, filter string) ([]*entry, *server, error) {
	return d.peopleWith(ctx, t, "looking up a person", filter, t.wanted(ctx))
}

// peopleWith searches for people below all bases; an answer with two or more may be
// cut short. The server is the one that had the last of them.
func (d *Directory) peopleWith(ctx context.Context, t *table, purpose, filter string, attributes []string) ([]*entry, *server, error) {
	var people []*entry
	var found *server
	for _, base := range t.userBases {
		a, err := d.search(ctx, query{
			purpose:    purpose,
			base:       base,
			scope:      ldap.ScopeWholeSubtree,
			filter:     allOf(t.UserFilter, filter),
			attributes: attributes,
			limit:      2,
		})
		if code, _ := resultCode(err); code == ldap.LDAPResultSizeLimitExceeded && len(a.entries) >= 2 {
			err = nil
		}
		if err != nil {
			return nil, nil, err
		}
		if len(a.entries) == 0 && a.references && !t.IgnoreReferences {
			return nil, nil, unavailable(purpose, errReferral)
		}
		if len(a.entries) > 0 || found == nil {
			found = a.server
		}
		if people = append(people, a.entries...); len(people) >= 2 {
			break
		}
	}
	return people, found, nil
}

// errReferral means that a server knows that it doesn't know all.
var errReferral = errors.New("the directory says that more may be found elsewhere (referral)")

// complete turns an entry into a User, with groups.
func (d *Directory) complete(ctx context.Context, t *table, e *entry) (*oidc.User, error) {
	u, err := t.user(e, d.now())
	if err != nil {
		return nil, err
	}
	trace(ctx, Step{What: StepEntry, DN: e.dn, Detail: t.remarks(e, u.State)})
	if u.Groups, err = d.groups(ctx, t, e); err != nil {
		return nil, err
	}
	if d.hints.fit(ctx, t) {
		d.hints.learnPerson(u.ID, newMembership(d, t).directFilter(e))
	}
	return u, nil
}

// completeWith is complete where the groups that list the person are known.
func (d *Directory) completeWith(ctx context.Context, m *membership, e *entry, direct []*entry) (*oidc.User, error) {
	u, err := m.t.user(e, d.now())
	if err != nil {
		return nil, err
	}
	if u.Groups, err = m.all(ctx, e, direct); err != nil {
		return nil, err
	}
	return u, nil
}

// bounded gives every call its limit.
func (d *Directory) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, budget(d.options.Timeout), errTimeout)
}

// budget is how long a server may take of the time in which whoever asks is to be
// told: the rest is for what comes before and after, and for a busy machine.
func budget(timeout time.Duration) time.Duration {
	return timeout - min(timeout/6, 500*time.Millisecond)
}

// unavailable is the answer "can't tell".
func unavailable(purpose string, err error) error {
	return fmt.Errorf("%s: %w: %w", purpose, oidc.ErrUnavailable, err)
}

// tableInForce returns the table, finding the kind out first where it is not set.
func (d *Directory) tableInForce(ctx context.Context) (*table, error) {
	if t := d.table.Load(); t != nil {
		return t, nil
	}
	a, err := d.search(ctx, query{
		purpose:    "reading the root DSE",
		scope:      ldap.ScopeBaseObject,
		filter:     "(objectClass=*)",
		attributes: rootAttributes(),
		limit:      1,
	})
	if err != nil {
		return nil, err
	}
	root := &entry{}
	if len(a.entries) > 0 {
		root = a.entries[0]
	}
	k, _ := kindNamed(recogniseKind(root))
	trace(ctx, Step{What: StepKind, Server: a.server.url, Detail: k.Name})
	t := newTable(k, &d.options)
	d.table.Store(t)
	return t, nil
}
