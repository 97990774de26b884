package provider

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// Fetcher gets what clients name by an address. It bounds time, size, redirects and
// where it goes; *outbound.Client is one.
type Fetcher interface {
	// Get returns the body of a successful answer, of at most limit bytes.
	Get(ctx context.Context, url string, limit int64) ([]byte, error)
}

const (
	keysFresh   = time.Hour        // how long a fetched JWK Set is not asked for again
	keysStale   = 24 * time.Hour   // how long it does when its address can't be reached
	keysRetry   = 10 * time.Second // the least time between two fetches of one address
	maxKeys     = 256 << 10        // bytes
	maxKeyCache = 10_000           // sets
)

// clientKeys finds the public keys of clients: those of a client file, parsed once,
// and those of a jwks_uri, fetched and kept.
type clientKeys struct {
	fetch Fetcher // nil: nothing is fetched
	now   func() time.Time

	mu     sync.Mutex
	local  map[string]*keys.Set
	remote map[string]*remoteKeys
}

// remoteKeys are the keys of one address. The lock is held while they are fetched,
// so that many who wait cause one request.
type remoteKeys struct {
	mu             sync.Mutex
	set            *keys.Set
	fetched, tried time.Time
}

func newClientKeys(fetch Fetcher, now func() time.Time) *clientKeys {
	return &clientKeys{fetch: fetch, now: now, local: map[string]*keys.Set{}, remote: map[string]*remoteKeys{}}
}

// verify checks a JWS by the client's keys. Where it names one that isn't known, a
// jwks_uri is asked again, unless that has just been done.
func (k *clientKeys) verify(ctx context.Context, c *oidc.Client, j *keys.JWS, allowed []string) error {
	switch {
	case len(c.JWKS) > 0:
		set, err := k.parsed(c.JWKS)
		if err != nil {
			return err
		}
		return set.VerifyJWS(j, allowed)
	case c.JWKSURI == "":
		return fmt.Errorf("%w: the client has no public keys", keys.ErrInvalid)
	}
	set, err := k.fetched(ctx, c.JWKSURI, nil)
	if err != nil {
		return err
	}
	err = set.VerifyJWS(j, allowed)
	if !errors.Is(err, keys.ErrUnknownKey) {
		return err
	}
	newer, fetchErr := k.fetched(ctx, c.JWKSURI, set)
	if fetchErr != nil {
		return fetchErr
	}
	if newer == set {
		return err
	}
	return newer.VerifyJWS(j, allowed)
}

// parsed returns the keys of a client file.
func (k *clientKeys) parsed(text []byte) (*keys.Set, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if set := k.local[string(text)]; set != nil {
		return set, nil
	}
	set, err := keys.ParseSet(text)
	if err != nil {
		return nil, err
	}
	if len(k.local) >= maxKeyCache {
		clear(k.local)
	}
	k.local[string(text)] = set
	return set, nil
}

// fetched returns the keys at an address. Where old is not nil, it didn't do, and
// newer ones are wanted; they are not fetched if that was tried just now. That the
// address can't be reached is oidc.ErrUnavailable.
func (k *clientKeys) fetched(ctx context.Context, address string, old *keys.Set) (*keys.Set, error) {
	if k.fetch == nil {
		return nil, fmt.Errorf("fetch the client's keys: %w", oidc.ErrUnavailable)
	}
	r := k.entry(address)
	r.mu.Lock()
	defer r.mu.Unlock()
	now := k.now()
	age := now.Sub(r.fetched)
	usable := r.set != nil && age < keysStale
	if r.set != nil && age < keysFresh && r.set != old {
		return r.set, nil
	}
	if !r.tried.IsZero() && now.Sub(r.tried) < keysRetry {
		if usable {
			return r.set, nil
		}
		return nil, fmt.Errorf("fetch the client's keys: the last try has just failed: %w", oidc.ErrUnavailable)
	}
	r.tried = now
	data, err := k.fetch.Get(context.WithoutCancel(ctx), address, maxKeys) // who hangs up must not fail it for others
	var set *keys.Set
	if err == nil {
		set, err = keys.ParseSet(data)
	}
	switch {
	case err == nil:
		r.set, r.fetched = set, now
		return set, nil
	case usable && old == nil:
		return r.set, nil
	default:
		return nil, fmt.Errorf("fetch the client's keys: %w: %w", oidc.ErrUnavailable, err)
	}
}

func (k *clientKeys) entry(address string) *remoteKeys {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.remote[address]
	if r == nil {
		if len(k.remote) >= maxKeyCache {
			clear(k.remote)
		}
		r = &remoteKeys{}
		k.remote[address] = r
	}
	return r
}
