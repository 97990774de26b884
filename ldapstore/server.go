package ldapstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"
)

var errTimeout = errors.New("no answer in time")

// server is one server with its two pools. Reads and binds don't share
// connections, or a read might run in the name of the person who signed in last.
type server struct {
	endpoint
	dialer *dialer // nil for a domain whose servers aren't known
	reads  *pool
	binds  *pool
	down   atomic.Bool // it did not answer lately; see Directory.awaitReturn
	gone   atomic.Bool // the domain's records no longer name it
	way    distance    // guarded by cache.mu
}

func newServer(e endpoint, o *Options, dialer *dialer, account *serviceAccount) *server {
	signIn := account.bind
	if o.external(e) {
		signIn = bindExternal
	}
	return &server{
		endpoint: e,
		dialer:   dialer,
		reads: newPool(o.PoolSize, readTrust, o.Now, func(ctx context.Context) (*conn, error) {
			c, err := dialer.dial(ctx, e)
			if err != nil {
				return nil, err
			}
			if err := signIn(ctx, c); err != nil {
				c.close()
				if c.broken && ctx.Err() == nil {
					err = fmt.Errorf("%w: %w", errLost, err)
				}
				return nil, err
			}
			return c, nil
		}),
		binds: newPool(o.PoolSize, bindTrust, o.Now, func(ctx context.Context) (*conn, error) {
			return dialer.dial(ctx, e)
		}),
	}
}

// retire ends its connections; those in use, as they come back.
func (s *server) retire() {
	s.gone.Store(true)
	s.reads.retire()
	s.binds.retire()
}

// close is retire for good.
func (s *server) close() {
	s.reads.close()
	s.binds.close()
}

// read runs f on a connection of the service account. If the connection turns out
// broken, f runs once more, on a fresh one: reads may be repeated.
func (s *server) read(ctx context.Context, f func(context.Context, *conn) error) error {
	if err := s.reads.enter(ctx); err != nil {
		return err
	}
	defer s.reads.leave()
	again, err := s.readOnce(ctx, f)
	if !again || ctx.Err() != nil {
		return err
	}
	s.reads.drop()
	c, err := s.reads.fresh(ctx)
	if err != nil {
		return err
	}
	defer s.reads.put(c)
	return f(ctx, c)
}

// readOnce is the first try; again reports whether there may be a second.
func (s *server) readOnce(ctx context.Context, f func(context.Context, *conn) error) (again bool, err error) {
	c, reused, err := s.reads.get(ctx)
	if err != nil {
		return errors.Is(err, errLost), err
	}
	defer s.reads.put(c)
	if reused {
		// A firewall may have forgotten the connection without a word. So that the
		// second try has time, the first gets a part only.
		share, cancel := shareOf(ctx, 3)
		defer cancel()
		ctx = share
	}
	err = f(ctx, c)
	return c.broken && err != nil, err
}

// serviceAccount signs connections in for reading.
type serviceAccount struct {
	dn   string
	read func() (string, error)
	now  func() time.Time

	mu        sync.Mutex
	password  string
	known     bool
	refused   string // the password that the directory refused last
	refusedAt time.Time
	refusals  int // how often in a row
}

// A refused password isn't tried again for a while, longer each time, so that a
// stale one cannot lock the service account.
const (
	refusedPause  = 5 * time.Second
	longestRefuse = 5 * time.Minute
)

// errSignIn means that the service account can't sign in, which says nothing about
// connections on which it has.
var errSignIn = errors.New("the service account (directory.bind_dn) cannot sign in")

// bind signs c in. When the directory refuses the password it is read again, and
// if it has changed meanwhile, tried once more.
func (a *serviceAccount) bind(ctx context.Context, c *conn) error {
	if a.dn == "" {
		return nil
	}
	password, err := a.current()
	if err != nil {
		return fmt.Errorf("%w: %w", errSignIn, err)
	}
	err = a.try(ctx, c, password)
	if !refusesPassword(err) {
		return wrapService(err)
	}
	a.refuse(password)
	if password, readErr := a.current(); readErr == nil {
		if err = a.try(ctx, c, password); !refusesPassword(err) {
			return wrapService(err)
		}
		a.refuse(password)
	}
	return fmt.Errorf("%w: %w", errSignIn, &serviceError{err})
}

func refusesPassword(err error) bool {
	code, answered := resultCode(err)
	return answered && code == ldap.LDAPResultInvalidCredentials
}

// bindExternal signs c in as whom its certificate or its socket shows.
func bindExternal(ctx context.Context, c *conn) error { return wrapService(c.bindExternal(ctx)) }

func wrapService(err error) error {
	if err == nil {
		return nil
	}
	return &serviceError{err}
}

// serviceError is a failed bind of the service account. It does not unwrap to
// go-ldap's error: a result code in there is no answer to what was asked.
type serviceError struct{ cause error }

func (e *serviceError) Error() string { return "signing in as the service account: " + e.cause.Error() }

func (a *serviceAccount) try(ctx context.Context, c *conn, password string) error {
	controls, err := c.bind(ctx, a.dn, password)
	// Such a connection may do nothing but change the password.
	if reason, stated := policyReason(controls, err == nil); err == nil && stated {
		return fmt.Errorf("the directory lets it in but restricts it: %s", reason)
	}
	return err
}

// current returns the password to use, reading it where it isn't known.
func (a *serviceAccount) current() (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known {
		return a.password, nil
	}
	password, err := a.read()
	if err != nil {
		return "", fmt.Errorf("reading its password: %w", err)
	}
	if password == "" {
		return "", errors.New("its password is empty")
	}
	if password == a.refused && a.now().Sub(a.refusedAt) < a.pause() {
		return "", errors.New("the directory refused its password a moment ago")
	}
	a.password, a.known = password, true
	return password, nil
}

func (a *serviceAccount) pause() time.Duration {
	return min(refusedPause<<min(a.refusals-1, 10), longestRefuse)
}

// refuse notes that the directory didn't take this password.
func (a *serviceAccount) refuse(password string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refused != password {
		a.refusals = 0
	}
	if a.refusals == 0 || a.known && a.password == password { // once for all that tried it at a time
		a.refusals++
	}
	a.refused, a.refusedAt = password, a.now()
	if a.password == password {
		a.password, a.known = "", false
	}
}
