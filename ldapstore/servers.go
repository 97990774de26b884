package ldapstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/oidc"
)

// How often the SRV records of a domain are asked for: their own time to live
// isn't told by the resolver, and a server that is taken out of them may be away
// for good.
const (
	recordsEvery = time.Minute
	recordsRetry = 5 * time.Second // as long as none are known
)

// roster is the list of servers, in the order in which they are asked. Those that
// the configuration names are always there; a domain's come from its SRV records.
type roster struct {
	resolver *net.Resolver
	timeout  time.Duration
	every    time.Duration
	build    func(endpoint) *server
	run      func(func(context.Context)) bool // in the background, until Close

	domains bool // some have to be asked
	once    sync.Once
	first   chan struct{} // closed once every domain has been asked

	mu     sync.Mutex
	parts  []part
	all    atomic.Pointer[[]*server]
	closed bool
}

// part is what one of Options.URL stands for.
type part struct {
	endpoint
	key     string // of the records that servers were made from; "" as long as there are none
	servers []*server
	cause   *atomic.Value // why there are none
}

func newRoster(o *Options, endpoints []endpoint, build func(endpoint) *server, run func(func(context.Context)) bool) *roster {
	r := &roster{resolver: o.Resolver, timeout: o.Timeout, every: recordsEvery, build: build, run: run, first: make(chan struct{})}
	for _, e := range endpoints {
		p := part{endpoint: e}
		if e.domain == "" {
			p.servers = []*server{build(e)}
		} else {
			r.domains = true
			p.cause = &atomic.Value{}
			p.servers = []*server{unknownServer(e, p.cause)}
		}
		r.parts = append(r.parts, p)
	}
	r.settle()
	return r
}

// settle makes the list.
func (r *roster) settle() {
	var all []*server
	for i := range r.parts {
		all = append(all, r.parts[i].servers...)
	}
	r.all.Store(&all)
}

// unknownServer stands for the servers of a domain that has not told any.
func unknownServer(e endpoint, cause *atomic.Value) *server {
	dial := func(context.Context) (*conn, error) {
		err, ok := cause.Load().(error)
		if !ok {
			err = errTimeout
		}
		return nil, fmt.Errorf("looking up the servers of %s: %w", e.domain, err)
	}
	return &server{endpoint: e, reads: newPool(1, 0, time.Now, dial), binds: newPool(1, 0, time.Now, dial)}
}

// list returns the servers as they are known now; at least one.
func (r *roster) list() []*server { return *r.all.Load() }

// find waits until domains have been asked for their servers, or until ctx ends.
// The first call has them asked again from time to time.
func (r *roster) find(ctx context.Context) {
	if !r.domains {
		return
	}
	r.once.Do(func() {
		if !r.run(r.keep) {
			close(r.first)
		}
	})
	select {
	case <-r.first:
	case <-ctx.Done():
	}
}

// keep asks for records until ctx ends.
func (r *roster) keep(ctx context.Context) {
	known := r.ask(ctx)
	close(r.first)
	for {
		wait := r.every
		if !known {
			wait = min(wait, recordsRetry)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		known = r.ask(ctx)
	}
}

// ask asks for the records of every domain once. What is known stays if a domain
// can't be asked.
func (r *roster) ask(ctx context.Context) (known bool) {
	known = true
	for i := range r.parts {
		p := &r.parts[i]
		if p.domain == "" {
			continue
		}
		share, cancel := context.WithTimeoutCause(ctx, r.timeout, errTimeout)
		endpoints, err := lookup(share, r.resolver, p.endpoint)
		cancel()
		r.mu.Lock()
		switch {
		case err == nil:
			r.change(p, endpoints)
		case p.key == "":
			known = false
			p.cause.Store(fmt.Errorf("%w", err)) // an atomic.Value takes one type only
		}
		r.settle()
		r.mu.Unlock()
	}
	return known
}

// change takes over the endpoints of a domain. Servers that stay keep their
// connections. As long as the records are the same, so is the order: DNS would
// shuffle them each time.
func (r *roster) change(p *part, endpoints []endpoint) {
	keys := make([]string, len(endpoints))
	for i, e := range endpoints {
		keys[i] = e.address
	}
	slices.Sort(keys)
	key := fmt.Sprint(keys)
	if key == p.key || r.closed {
		return
	}
	old := p.servers
	p.key, p.servers = key, nil
	for _, e := range endpoints {
		at := slices.IndexFunc(old, func(s *server) bool { return s.endpoint == e })
		if at >= 0 {
			p.servers = append(p.servers, old[at])
			old = slices.Delete(slices.Clone(old), at, at+1)
			continue
		}
		p.servers = append(p.servers, r.build(e))
	}
	for _, s := range old { // a call that has just chosen one may still use it
		s.retire()
	}
}

// lookup asks for the servers of a domain (RFC 2782). There is no name for LDAPS
// that everybody agrees on: without _ldaps records the hosts of _ldap are taken,
// at the usual port.
func lookup(ctx context.Context, resolver *net.Resolver, e endpoint) ([]endpoint, error) {
	service, port := "ldap", uint16(0)
	if e.tls {
		service = "ldaps"
	}
	_, records, err := resolver.LookupSRV(ctx, service, "tcp", e.domain)
	var missing *net.DNSError
	if e.tls && errors.As(err, &missing) && missing.IsNotFound {
		port = 636
		_, records, err = resolver.LookupSRV(ctx, "ldap", "tcp", e.domain)
	}
	if err != nil {
		return nil, err
	}
	var endpoints []endpoint
	for _, record := range records {
		// RFC 2782: a target of "." means that there is no such service.
		if record.Target == "." || record.Target == "" {
			continue
		}
		found := e.at(record, cmp.Or(port, record.Port))
		if !slices.Contains(endpoints, found) {
			endpoints = append(endpoints, found)
		}
	}
	if len(endpoints) == 0 {
		return nil, errors.New("the SRV records name no server")
	}
	return endpoints, nil
}

// close ends all connections.
func (r *roster) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, s := range r.list() {
		s.close()
	}
}

// onServer runs f with the servers in their order until one answers. Those that
// are known to be down come into it only if no other is left.
func (d *Directory) onServer(ctx context.Context, f func(context.Context, *server) error) error {
	d.roster.find(ctx)
	var errs []error
	candidates := d.candidates()
	for i, s := range candidates {
		share, cancel := shareOf(ctx, min(2, len(candidates)-i))
		err := f(share, s)
		cancel()
		if err == nil || !failsOver(err) {
			return err
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
		d.markDown(s, err)
	}
	return errors.Join(errs...)
}

// candidates returns the servers to try, in this order; at least one.
func (d *Directory) candidates() []*server {
	var up []*server
	all := d.roster.list()
	for _, s := range all {
		if !s.down.Load() {
			up = append(up, s)
		}
	}
	if len(up) == 0 {
		return all
	}
	return up
}

// failsOver reports whether another server may do better: this one was not
// reached, or says that it cannot serve at present.
func failsOver(err error) bool {
	code, answered := resultCode(err)
	return !answered || code == ldap.LDAPResultBusy || code == ldap.LDAPResultUnavailable
}

// markDown keeps calls away from a server until it answers again.
func (d *Directory) markDown(s *server, cause error) {
	if len(d.roster.list()) == 1 {
		return
	}
	if !s.down.CompareAndSwap(false, true) {
		return
	}
	d.log.Warn("directory server lost", "server", s.url, "error", cause.Error())
	d.background(func(ctx context.Context) { d.awaitReturn(ctx, s) })
}

// awaitReturn asks a lost server every second until it answers, or until Close.
func (d *Directory) awaitReturn(ctx context.Context, s *server) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.gone.Load() {
			return
		}
		bounded, cancel := d.bounded(ctx)
		err := s.read(bounded, func(ctx context.Context, c *conn) error {
			if !answers(ctx, c) {
				return oidc.ErrUnavailable
			}
			return nil
		})
		cancel()
		if err == nil {
			s.down.Store(false)
			d.log.Info("directory server found again", "server", s.url)
			return
		}
	}
}
