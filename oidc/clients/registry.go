package clients

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"gatehouse/oidc"
)

// RegisteredPrefix begins the id of every client that has registered itself, so that
// the store is asked for no other.
const RegisteredPrefix = "dyn_"

// Registrations finds the clients that have registered themselves. *store.Store is
// one.
type Registrations interface {
	// RegistrationRevision returns the revision of a client; oidc.ErrNotFound if it is
	// unknown or past its time.
	RegistrationRevision(ctx context.Context, clientID string) (revision int64, err error)
	Registration(ctx context.Context, clientID string) (oidc.Registration, error)
	OriginRegistered(ctx context.Context, origin string) (bool, error)
}

// registryPatience is how long the store may take: it takes microseconds.
const registryPatience = 3 * time.Second

// maxParsed bounds the memory of clients that come and go: each may have some ten
// thousand bytes.
const maxParsed = 2000

// Registry is the clients of the files, and laid under them those that have
// registered themselves: a file's id wins. It may be used by several goroutines at
// once.
//
// Whether a registered client is still there is asked of the store every time, so
// that one which was deleted or changed on another node counts here at once. Kept is
// only what was made of one revision of its metadata, which never changes.
type Registry struct {
	files  *Set
	store  Registrations
	policy *Policy
	log    *slog.Logger

	mu     sync.Mutex
	parsed map[string]parsedClient

	originsMu  sync.Mutex
	originsOf  *snapshot
	fileOrigin map[string]bool
}

type parsedClient struct {
	revision int64
	client   *oidc.Client
	err      error
}

// NewRegistry returns a Registry; without a policy there are the files alone.
func NewRegistry(files *Set, store Registrations, policy *Policy, log *slog.Logger) *Registry {
	return &Registry{files: files, store: store, policy: policy, log: log, parsed: map[string]parsedClient{}}
}

// Client returns the client with this id, or oidc.ErrNotFound; oidc.ErrUnavailable
// where the store can't tell.
func (r *Registry) Client(id string) (*oidc.Client, error) {
	c, err := r.files.Client(id)
	if err == nil || r.policy == nil || !strings.HasPrefix(id, RegisteredPrefix) {
		return c, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), registryPatience)
	defer cancel()
	revision, err := r.store.RegistrationRevision(ctx, id)
	r.mu.Lock()
	if errors.Is(err, oidc.ErrNotFound) {
		delete(r.parsed, id)
	}
	known, found := r.parsed[id]
	r.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if found && known.revision == revision {
		return known.client, known.err
	}
	registration, err := r.store.Registration(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	fresh := parsedClient{revision: registration.Revision}
	if fresh.client, err = r.policy.Restore(registration); err != nil {
		// The operator has narrowed what registered clients may have since.
		r.log.Warn("a registered client is no longer allowed", slog.String("client", id), slog.String("cause", err.Error()))
		fresh.err = fmt.Errorf("client: %w", oidc.ErrNotFound)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.parsed) >= maxParsed {
		clear(r.parsed)
	}
	r.parsed[id] = fresh
	return fresh.client, fresh.err
}

// Restore makes the client of a registration by the policy as it is now.
func (p *Policy) Restore(r oidc.Registration) (*oidc.Client, error) {
	m, err := p.Read(r.Metadata)
	if err != nil {
		return nil, err
	}
	p.complete(m.Client, r)
	return m.Client, nil
}

// complete fills in what isn't in the metadata.
func (p *Policy) complete(c *oidc.Client, r oidc.Registration) {
	c.ID, c.SecretHash, c.SecretSealed = r.ClientID, r.SecretHash, r.SecretSealed
	c.Registered = oidc.RegisteredByAnyone
	if r.TokenID != "" {
		c.Registered = oidc.RegisteredByToken
	}
	if c.Name == "" {
		c.Name = c.ID
	}
	c.LogoURI = r.Logo // a browser is never sent to an address that a stranger wrote
}

// AllowsOrigin reports whether scripts of an origin may ask in the name of any
// client: a preflight doesn't say of which (Fetch standard, section 4.8).
func (r *Registry) AllowsOrigin(ctx context.Context, origin string) (bool, error) {
	if r.fileOrigins()[origin] {
		return true, nil
	}
	if r.policy == nil {
		return false, nil
	}
	return r.store.OriginRegistered(ctx, origin)
}

// fileOrigins returns the origins of all files, gathered once a change.
func (r *Registry) fileOrigins() map[string]bool {
	now := r.files.snapshot.Load()
	r.originsMu.Lock()
	defer r.originsMu.Unlock()
	if r.originsOf == now {
		return r.fileOrigin
	}
	origins := map[string]bool{}
	for _, c := range now.sorted {
		for _, origin := range c.Origins() {
			origins[origin] = true
		}
	}
	r.originsOf, r.fileOrigin = now, origins
	return origins
}
