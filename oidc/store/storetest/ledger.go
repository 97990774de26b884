package storetest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"gatehouse/oidc"
)

// Ledger knows from the events of a process what was acknowledged and what was
// only begun, and holds a store against it:
//
//   - what was acknowledged is there, all of it
//   - what was begun is there as a whole or not at all
//   - what was revoked stays so
//   - no code and no refresh token has been used twice, or can be
//
// Its methods may be called at once.
type Ledger struct {
	mu     sync.Mutex
	grants map[string]*grantState
	uses   map[Hash]*useState // of codes and refresh tokens, by their hash
	gone   map[Hash]progress  // revocations of access tokens
	faults []string
	Acks   int // operations that were acknowledged
}

// progress says how far an operation was seen to go.
type progress int

const (
	unknown progress = iota
	begun
	done
)

type grantState struct{ saved, revoked progress }

// useState is one code or refresh token and the attempts to use it.
type useState struct {
	op       Op
	grant    string
	attempts map[Hash]*attempt // by the access token it gives
}

type attempt struct {
	refresh  Hash
	progress progress
}

// NewLedger returns an empty ledger.
func NewLedger() *Ledger {
	return &Ledger{grants: map[string]*grantState{}, uses: map[Hash]*useState{}, gone: map[Hash]progress{}}
}

// Read adds the events of a process until it ends; each is also handed to seen,
// unless that is nil.
func (l *Ledger) Read(r io.Reader, seen func(Event)) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("event %q: %w", lines.Text(), err)
		}
		l.Add(e)
		if seen != nil {
			seen(e)
		}
	}
	return lines.Err()
}

// Add adds one event.
func (l *Ledger) Add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := begun
	if e.Done {
		p = done
		l.Acks++
	}
	g := l.grants[e.Grant]
	if g == nil {
		g = &grantState{}
		l.grants[e.Grant] = g
	}
	switch e.Op {
	case OpSave:
		g.saved = max(g.saved, p)
		l.use(OpExchange, e.Grant, e.Secret)
	case OpExchange, OpRotate:
		u := l.use(e.Op, e.Grant, e.Secret)
		if u.attempts[e.Access] == nil {
			u.attempts[e.Access] = &attempt{refresh: e.Refresh}
		}
		u.attempts[e.Access].progress = p
		if e.Done {
			l.use(OpRotate, e.Grant, e.Refresh)
		}
	case OpRevokeGrant:
		g.revoked = max(g.revoked, p)
	case OpRevokeAccess:
		l.gone[e.Secret] = max(l.gone[e.Secret], p)
	case OpFault:
		l.faults = append(l.faults, e.Text)
	}
}

func (l *Ledger) use(op Op, grant string, secret Hash) *useState {
	u := l.uses[secret]
	if u == nil {
		u = &useState{op: op, grant: grant, attempts: map[Hash]*attempt{}}
		l.uses[secret] = u
	}
	return u
}

// Check reads the store and returns what is wrong, which is nothing.
func (l *Ledger) Check(ctx context.Context, s Store) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &checker{l: l, ctx: ctx, s: s, wrong: append([]string(nil), l.faults...)}
	for secret, u := range l.uses {
		c.check(secret, u)
	}
	return c.wrong
}

type checker struct {
	l     *Ledger
	ctx   context.Context
	s     Store
	wrong []string
}

func (c *checker) fault(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

// read returns whether a code or refresh token is there and used, and its grant.
func read(ctx context.Context, s Store, u *useState, secret Hash) (found, used bool, g oidc.Grant, err error) {
	if u.op == OpExchange {
		code, g, err := s.Code(ctx, oidc.Hash(secret))
		if errors.Is(err, oidc.ErrNotFound) {
			err = nil
		}
		return code.GrantID != "", !code.UsedAt.IsZero(), g, err
	}
	token, g, err := s.RefreshToken(ctx, oidc.Hash(secret))
	if errors.Is(err, oidc.ErrNotFound) {
		err = nil
	}
	return token.GrantID != "", !token.UsedAt.IsZero(), g, err
}

func (c *checker) check(secret Hash, u *useState) {
	found, used, grant, err := read(c.ctx, c.s, u, secret)
	state := c.l.grants[u.grant]
	switch {
	case err != nil:
		c.fault("%s of %v: %v", u.op, secret, err)
		return
	case !found && u.op == OpExchange && state.saved != done:
		return // its saving was broken off
	case !found:
		c.fault("%s of %v: what was acknowledged is lost", u.op, secret)
		return
	case grant.ID != u.grant:
		c.fault("%s of %v: it belongs to grant %q, not to %q", u.op, secret, grant.ID, u.grant)
	case state.revoked == done && grant.RevokedAt.IsZero():
		c.fault("grant %s was revoked and lives again", u.grant)
	case state.revoked == unknown && !grant.RevokedAt.IsZero():
		c.fault("grant %s is revoked and nobody has done so", u.grant)
	}
	acknowledged, kept := 0, 0
	for access, a := range u.attempts {
		there := c.tokens(access, a)
		if there {
			kept++
		}
		if a.progress == done {
			acknowledged++
			if !there {
				c.fault("%s of %v: the tokens it gave are lost", u.op, secret)
			}
		}
	}
	switch {
	case acknowledged > 1:
		c.fault("%s of %v succeeded %d times", u.op, secret, acknowledged)
	case used && kept != 1:
		c.fault("%s of %v: it is used up for %d pairs of tokens", u.op, secret, kept)
	case !used && kept != 0:
		c.fault("%s of %v: it is unused and its tokens are there", u.op, secret)
	}
}

// tokens returns whether an attempt has left its tokens.
func (c *checker) tokens(access Hash, a *attempt) bool {
	_, _, errRefresh := c.s.RefreshToken(c.ctx, oidc.Hash(a.refresh))
	_, _, errAccess := c.s.AccessToken(c.ctx, oidc.Hash(access))
	for _, err := range []error{errRefresh, errAccess} {
		if err != nil && !errors.Is(err, oidc.ErrNotFound) {
			c.fault("tokens: %v", err)
		}
	}
	there := errRefresh == nil
	switch gone := c.l.gone[access]; {
	case gone == done && errAccess == nil:
		c.fault("access token %v was revoked and lives again", access)
	case gone == unknown && there != (errAccess == nil):
		c.fault("of the tokens %v and %v one is there", access, a.refresh)
	}
	return there
}

// Reuse tries to use every code and refresh token of the ledger again: those
// that were used or revoked must be refused, and up to fresh of the others work
// exactly once. The tries are added to the ledger. It returns what is wrong.
func (l *Ledger) Reuse(ctx context.Context, s Store, fresh int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &checker{l: l, ctx: ctx, s: s}
	var mu sync.Mutex
	var wg sync.WaitGroup
	turns := make(chan struct{}, 32) // at once, so that they share commits
	for secret, u := range l.uses {
		found, used, grant, err := read(ctx, s, u, secret)
		want := oidc.ErrUsed
		switch {
		case err != nil || !found:
			continue // Check has told
		case !used && !grant.RevokedAt.IsZero():
			want = oidc.ErrRevoked
		case !used && fresh == 0:
			continue
		case !used:
			fresh--
			want = nil
		}
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			wrong := again(ctx, s, u, secret, want)
			mu.Lock()
			defer mu.Unlock()
			c.wrong = append(c.wrong, wrong...)
		})
	}
	wg.Wait()
	return c.wrong
}

// again uses a code or refresh token: where it is unused once with success, and
// once more without.
func again(ctx context.Context, s Store, u *useState, secret Hash, want error) (wrong []string) {
	for range 2 {
		e := Event{Op: u.op, Grant: u.grant, Secret: secret, Access: newHash(), Refresh: newHash()}
		err := use(ctx, s, e)
		if !errors.Is(err, want) {
			return append(wrong, fmt.Sprintf("%s of %v after the end of the process: got %v, want %v", u.op, secret, err, want))
		}
		if want != nil {
			return wrong
		}
		u.attempts[e.Access] = &attempt{refresh: e.Refresh, progress: done}
		want = oidc.ErrUsed
	}
	return wrong
}

// Revoke revokes one of the ledger's grants, any, as somebody else might do, and
// adds that. Without a grant it does nothing.
func (l *Ledger) Revoke(ctx context.Context, s Store) error {
	id := ""
	l.mu.Lock()
	for grant, state := range l.grants {
		if state.saved == done && state.revoked == unknown {
			id = grant
			break
		}
	}
	l.mu.Unlock()
	if id == "" {
		return nil
	}
	e := Event{Op: OpRevokeGrant, Grant: id}
	l.Add(e)
	if err := s.RevokeGrant(ctx, id, time.Now()); err != nil {
		return err
	}
	e.Done = true
	l.Add(e)
	return nil
}
