package ldapstore

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/oidc"
)

// Authenticate looks for the one person that name belongs to and tries the
// password with one bind. What the bind says counts before the account's state:
// whoever has not shown the password learns nothing about the account. For the
// same reason a name that nobody has takes as long as a wrong password.
func (d *Directory) Authenticate(ctx context.Context, name, password string) (*oidc.User, error) {
	if password == "" {
		return nil, refuse(oidc.ReasonEmptyPassword, nil)
	}
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	t, err := d.tableInForce(ctx)
	if err != nil {
		return nil, err
	}
	people, found, err := d.named(ctx, t, name)
	if err != nil {
		return nil, err
	}
	switch len(people) {
	case 0:
		return nil, d.decoy(ctx, t, &oidc.SignInError{Reason: oidc.ReasonUnknownUser})
	case 1:
	default:
		return nil, d.decoy(ctx, t, &oidc.SignInError{Reason: oidc.ReasonAmbiguous})
	}
	return d.prove(ctx, t, people[0], found, password)
}

// prove tries the password of the one person who was found.
func (d *Directory) prove(ctx context.Context, t *table, e *entry, found *server, password string) (*oidc.User, error) {
	u, err := t.user(e, d.now())
	if err != nil {
		return nil, err
	}
	trace(ctx, Step{What: StepEntry, DN: e.dn, Detail: t.remarks(e, u.State)})
	if err := oidc.GuardBind(ctx, u.ID); err != nil {
		return nil, d.decoy(ctx, t, &oidc.SignInError{Reason: oidc.ReasonThrottled, Subject: u.ID, Err: err})
	}
	begin := time.Now()
	controls, err := d.bind(ctx, found, e.dn, password)
	accepted := err == nil
	if err = t.judge(err, controls, u.State); err == nil {
		err = t.expired(e, d.now())
	}
	err = ofSubject(err, u.ID)
	d.offerChange(err, t, accepted)
	if isRefusal(err) {
		d.pace.note(time.Since(begin))
	}
	trace(ctx, Step{What: StepBind, Server: found.url, DN: e.dn, Took: time.Since(begin), Err: err})
	if err != nil {
		return nil, err
	}
	u.PasswordExpired = d.options.PasswordChange && graceLeft(controls)
	if u.Groups, err = d.groups(ctx, t, e); err != nil {
		return nil, err
	}
	return u, nil
}

// bind sends one bind for the person. Servers are tried in turn only as long as
// no connection could be made; once the request may have left, that is that.
func (d *Directory) bind(ctx context.Context, prefer *server, dn, password string) ([]ldap.Control, error) {
	candidates := []*server{prefer}
	for _, s := range d.candidates() {
		if s != prefer {
			candidates = append(candidates, s)
		}
	}
	var err error
	for i, s := range candidates {
		share, cancel := shareOf(ctx, min(2, len(candidates)-i))
		var c *conn
		c, err = s.bindConn(share)
		cancel()
		if err != nil {
			continue
		}
		return s.bind(ctx, c, dn, password)
	}
	return nil, err
}

// bindConn takes a connection for one bind. It has shown within bindTrust that
// the server still listens.
func (s *server) bindConn(ctx context.Context) (*conn, error) {
	if err := s.binds.enter(ctx); err != nil {
		return nil, err
	}
	c, _, err := s.binds.get(ctx)
	if err != nil {
		s.binds.leave()
		return nil, err
	}
	return c, nil
}

// bind uses up a connection of bindConn.
func (s *server) bind(ctx context.Context, c *conn, dn, password string) ([]ldap.Control, error) {
	defer s.binds.leave()
	defer s.binds.put(c)
	return c.bind(ctx, dn, password)
}

// ofSubject says in a refusal who was refused.
func ofSubject(err error, id string) error {
	var refused *oidc.SignInError
	if errors.As(err, &refused) {
		refused.Subject = id
	}
	return err
}

// decoy does for a name that nobody has, or whose password must not be tried,
// what is done for a wrong password: one bind, which cannot succeed because nobody
// has this DN either, and the time that the directory lately took to refuse a real
// one (it may hash slowly, and write the failure down). Then it returns refused.
func (d *Directory) decoy(ctx context.Context, t *table, refused *oidc.SignInError) error {
	begin := time.Now()
	server := d.candidates()[0]
	_, err := d.bind(ctx, server, "uid="+rand.Text()+","+t.userBases[0], rand.Text())
	if _, answered := resultCode(err); err != nil && !answered {
		return unavailable("trying a password", err)
	}
	if err := pause(ctx, d.pace.pick()-time.Since(begin)); err != nil {
		return unavailable("trying a password", err)
	}
	return refused
}

// pace remembers how long the last refusals took.
type pace struct {
	mu      sync.Mutex
	samples [32]time.Duration
	noted   int
	picked  int
}

func (p *pace) note(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.samples[p.noted%len(p.samples)] = min(d, time.Second)
	p.noted++
}

// pick returns one of the samples, a different one each time, so that the answers
// vary as the real ones do; 0 if there are none.
func (p *pace) pick() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(p.noted, len(p.samples))
	if n == 0 {
		return 0
	}
	p.picked++
	return p.samples[p.picked%n]
}
