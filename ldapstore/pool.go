package ldapstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"
)

const (
	// maxAge is when a connection is replaced, so that load spreads again after a
	// server was away and no firewall's limit is met.
	maxAge = 10 * time.Minute
	// maxIdle ends connections that nobody needs.
	maxIdle = 5 * time.Minute
	// readTrust is for how long an idle connection for reads is taken for a good
	// one unasked. A read on a dead one is repeated, so this may be long.
	readTrust = time.Minute
	// bindTrust is the same for binds, which are never repeated: short.
	bindTrust = time.Second
)

var errClosed = errors.New("the directory reader is closed")

// pool keeps connections to one server for one purpose. A connection is handed
// to one user at a time; at most size are out or idle together.
type pool struct {
	dial  func(context.Context) (*conn, error)
	now   func() time.Time
	trust time.Duration
	slots chan struct{}

	mu     sync.Mutex
	idle   []*conn       // the last one was used last
	out    int           // connections in use
	waits  int           // how many wait for one of these
	back   chan struct{} // closed when one comes back to them
	keeps  bool          // connections that come back are kept
	closed bool
}

func newPool(size int, trust time.Duration, now func() time.Time, dial func(context.Context) (*conn, error)) *pool {
	return &pool{dial: dial, now: now, trust: trust, slots: make(chan struct{}, size), back: make(chan struct{}), keeps: true}
}

// enter waits for the right to hold a connection; leave gives it back.
func (p *pool) enter(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *pool) leave() { <-p.slots }

// get returns a connection, an idle one if there is one that lives. Whoever gets
// one puts it back.
func (p *pool) get(ctx context.Context) (c *conn, reused bool, err error) {
	for {
		c, err := p.takeIdle()
		if err != nil {
			return nil, false, err
		}
		switch {
		case c == nil:
			return p.freshOrBack(ctx)
		case p.now().Sub(c.born) >= maxAge:
			return p.replace(ctx, c)
		case p.now().Sub(c.used) <= p.trust || answers(ctx, c):
			return c, true, nil
		}
		p.put(c.spoilt())
		p.drop() // to ask the others one by one would take the time of the call
	}
}

// fresh returns a new connection.
func (p *pool) fresh(ctx context.Context) (*conn, error) {
	c, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out++
	return c, nil
}

// freshOrBack returns a new connection. While the directory refuses the account's
// password, as it does for a moment when that is being changed, one that is
// signed in already is waited for.
func (p *pool) freshOrBack(ctx context.Context) (c *conn, reused bool, err error) {
	c, err = p.fresh(ctx)
	for errors.Is(err, errSignIn) {
		p.mu.Lock()
		out, back := p.out, p.back
		p.waits++
		p.mu.Unlock()
		if c, closed := p.takeIdle(); c != nil || closed != nil {
			return c, true, closed
		}
		if out == 0 {
			return nil, false, err
		}
		select {
		case <-back:
		case <-ctx.Done():
			return nil, false, err
		}
	}
	return c, false, err
}

// replace returns a new connection for one that is too old, or that one, if there
// can't be a new one and it still answers.
func (p *pool) replace(ctx context.Context, old *conn) (c *conn, reused bool, err error) {
	share, cancel := shareOf(ctx, 2)
	defer cancel()
	c, err = p.fresh(share)
	if err != nil && answers(ctx, old) {
		return old, true, nil
	}
	p.put(old.spoilt())
	return c, false, err
}

// takeIdle returns the idle connection that was used last and lives, or nil.
func (p *pool) takeIdle() (*conn, error) {
	for {
		c, err := p.popIdle()
		if c == nil || c.alive() {
			return c, err
		}
		p.put(c.spoilt())
	}
}

func (p *pool) popIdle() (*conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	if len(p.idle) == 0 {
		return nil, nil
	}
	c := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	p.out++
	return c, nil
}

// put takes a connection back.
func (p *pool) put(c *conn) {
	c.used = p.now()
	var ended []*conn
	p.mu.Lock()
	p.out--
	if c.usable() && p.keeps {
		p.idle = append(p.idle, c)
	} else {
		ended = append(ended, c)
	}
	for len(p.idle) > 0 && c.used.Sub(p.idle[0].used) >= maxIdle {
		ended = append(ended, p.idle[0])
		p.idle = p.idle[1:]
	}
	if p.waits > 0 {
		close(p.back)
		p.back, p.waits = make(chan struct{}), 0
	}
	p.mu.Unlock()
	for _, c := range ended {
		c.close()
	}
}

// drop closes all idle connections: when one of them stood still, the others do.
func (p *pool) drop() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
}

// retire closes all idle connections and, as they come back, the others. Those who
// still want one get one.
func (p *pool) retire() {
	p.mu.Lock()
	p.keeps = false
	p.mu.Unlock()
	p.drop()
}

// close is retire for good: nobody gets a connection any more.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.retire()
}

// answers asks the server for the one entry that every server has. Any result
// code is a sign of life.
func answers(ctx context.Context, c *conn) bool {
	ctx, cancel := shareOf(ctx, 5)
	defer cancel()
	_, err := c.search(ctx, &query{scope: ldap.ScopeBaseObject, filter: "(objectClass=*)", attributes: []string{noAttributes}})
	_, answered := resultCode(err)
	return err == nil || answered
}

// shareOf returns a context that has a part, one in n, of the time that is left.
func shareOf(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || n <= 1 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, time.Until(deadline)/time.Duration(n), errTimeout)
}
