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
	reads *pool
	binds *pool
	down  atomic.Bool // it did not answer lately; see Directory.watch
}

// read runs f on a connection of the service account. If the connection was an
// idle one and turns out broken, f runs once more, on a fresh connection: reads
// may be repeated.
func (s *server) read(ctx context.Context, f func(context.Context, *conn) error) error {
	if err := s.reads.enter(ctx); err != nil {
		return err
	}
	defer s.reads.leave()
	c, reused, err := s.reads.get(ctx)
	if err != nil {
		return err
	}
	if !reused {
		defer s.reads.put(c)
		return f(ctx, c)
	}
	// A firewall may have forgotten the connection without a word. So that the
	// second try has time, the first gets a part only.
	first, cancel := shareOf(ctx, 3)
	err = f(first, c)
	cancel()
	s.reads.put(c)
	if !c.broken || err == nil || ctx.Err() != nil {
		return err
	}
	s.reads.drop()
	c, err = s.reads.dial(ctx)
	if err != nil {
		return err
	}
	defer s.reads.put(c)
	return f(ctx, c)
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
}

// refusedPause is how long a refused password isn't tried again, so that a stale
// one cannot lock the service account.
const refusedPause = 5 * time.Second

// bind signs c in. When the directory refuses the password it is read again, and
// if it has changed meanwhile, tried once more.
func (a *serviceAccount) bind(ctx context.Context, c *conn) error {
	if a.dn == "" {
		return nil
	}
	password, err := a.current()
	if err != nil {
		return err
	}
	err = a.try(ctx, c, password)
	if code, _ := resultCode(err); code != ldap.LDAPResultInvalidCredentials {
		return wrapService(err)
	}
	a.refuse(password)
	if password, err := a.current(); err == nil {
		return wrapService(a.try(ctx, c, password))
	}
	return wrapService(err)
}

func wrapService(err error) error {
	if err == nil {
		return nil
	}
	return &serviceError{err}
}

// serviceError is a failed bind of the service account. It does not unwrap to
// go-ldap's error: a result code in there is no answer to what was asked.
type serviceError struct{ cause error }

func (e *serviceError) Error() string {
	return "signing in as the service account (directory.bind_dn): " + e.cause.Error()
}

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
		return "", fmt.Errorf("reading the password of the service account: %w", err)
	}
	if password == "" {
		return "", errors.New("the password of the service account is empty")
	}
	if password == a.refused && a.now().Sub(a.refusedAt) < refusedPause {
		return "", errors.New("the directory refuses the password of the service account (directory.bind_dn)")
	}
	a.password, a.known = password, true
	return password, nil
}

// refuse notes that the directory didn't take this password.
func (a *serviceAccount) refuse(password string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused, a.refusedAt = password, a.now()
	if a.password == password {
		a.password, a.known = "", false
	}
}
