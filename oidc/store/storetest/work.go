package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/store"
)

// Work puts a store under load until ctx ends or the process is killed: codes
// are saved and exchanged, refresh tokens rotated, tokens and grants revoked,
// expired ones cleaned. Each code and refresh token is used twice at once. What
// is begun, acknowledged and seen wrong is written to w, an Event a line.
func Work(ctx context.Context, s Store, w io.Writer, workers int) {
	t := &teller{w: w}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			k := &worker{ctx: ctx, s: s, t: t}
			for ctx.Err() == nil {
				k.life()
			}
		})
	}
	wg.Wait()
}

type worker struct {
	ctx context.Context
	s   Store
	t   *teller
}

func (k *worker) fault(format string, args ...any) {
	if k.ctx.Err() == nil {
		k.t.tell(Event{Op: OpFault, Text: fmt.Sprintf(format, args...)})
	}
}

// do tells of e, runs it, and tells of it again if it was acknowledged.
func (k *worker) do(e Event, run func() error) error {
	k.t.tell(e)
	err := run()
	if err == nil {
		e.Done = true
		k.t.tell(e)
	}
	return err
}

// life takes one grant through its life.
func (k *worker) life() {
	now := time.Now()
	id := oidc.NewID()
	code := newHash()
	a := store.Authorization{
		Grant: oidc.Grant{ID: id, ClientID: "app", Subject: "person", CreatedAt: now, ExpiresAt: now.Add(time.Hour)},
		Code:  oidc.Code{Hash: oidc.Hash(code), GrantID: id, RedirectURI: "https://app.example.org/", ExpiresAt: now.Add(time.Hour)},
	}
	err := k.do(Event{Op: OpSave, Grant: id, Secret: code}, func() error { return k.s.SaveAuthorization(k.ctx, a) })
	if err != nil {
		k.fault("save: %v", err)
		return
	}
	won, ok := k.useTwice(OpExchange, id, code)
	for rotations := rand.IntN(4); ok && rotations > 0; rotations-- {
		old := won.Refresh
		if won, ok = k.useTwice(OpRotate, id, old); !ok {
			return
		}
		k.refused(OpRotate, id, old, oidc.ErrUsed)
	}
	if ok {
		k.end(id, code, won)
	}
}

// end revokes what life has left, or not.
func (k *worker) end(id string, code Hash, last Event) {
	k.refused(OpExchange, id, code, oidc.ErrUsed)
	switch rand.IntN(4) {
	case 0:
		err := k.do(Event{Op: OpRevokeGrant, Grant: id}, func() error { return k.s.RevokeGrant(k.ctx, id, time.Now()) })
		if err != nil {
			k.fault("revoke grant: %v", err)
			return
		}
		k.refused(OpRotate, id, last.Refresh, oidc.ErrRevoked)
	case 1:
		err := k.do(Event{Op: OpRevokeAccess, Grant: id, Secret: last.Access}, func() error {
			return k.s.RevokeAccessToken(k.ctx, oidc.Hash(last.Access))
		})
		if err != nil {
			k.fault("revoke access token: %v", err)
		}
	case 2:
		past := time.Now().Add(-time.Minute)
		machine := oidc.Grant{ID: oidc.NewID(), ClientID: "machine", CreatedAt: past, ExpiresAt: past}
		err := k.s.IssueToken(k.ctx, machine, oidc.Token{Hash: oidc.Hash(newHash()), IssuedAt: past, ExpiresAt: past})
		if err != nil {
			k.fault("issue token: %v", err)
		}
		if _, err := k.s.Clean(k.ctx, time.Now(), 20); err != nil {
			k.fault("clean: %v", err)
		}
	}
}

// useTwice uses a code or refresh token twice at once. It returns the event of
// the use that succeeded; somebody else may have revoked the grant instead.
func (k *worker) useTwice(op Op, grant string, secret Hash) (won Event, ok bool) {
	events, errs := make([]Event, 2), make([]error, 2)
	var wg sync.WaitGroup
	for i := range events {
		events[i] = Event{Op: op, Grant: grant, Secret: secret, Access: newHash(), Refresh: newHash()}
		wg.Go(func() {
			errs[i] = k.do(events[i], func() error { return use(k.ctx, k.s, events[i]) })
		})
	}
	wg.Wait()
	revoked := false
	for i, err := range errs {
		switch {
		case err == nil && ok:
			k.fault("%s of %v succeeded twice", op, secret)
		case err == nil:
			won, ok = events[i], true
		case errors.Is(err, oidc.ErrRevoked):
			revoked = true
		case !errors.Is(err, oidc.ErrUsed):
			k.fault("%s of %v: %v", op, secret, err)
		}
	}
	if !ok && !revoked {
		k.fault("%s of %v succeeded never", op, secret)
	}
	return won, ok
}

// refused tries to use what can't be used any more.
func (k *worker) refused(op Op, grant string, secret Hash, want error) {
	e := Event{Op: op, Grant: grant, Secret: secret, Access: newHash(), Refresh: newHash()}
	if err := k.do(e, func() error { return use(k.ctx, k.s, e) }); !errors.Is(err, want) {
		k.fault("%s of %v again: got %v, want %v", op, secret, err, want)
	}
}

// use exchanges a code or rotates a refresh token, as the event says.
func use(ctx context.Context, s Store, e Event) error {
	now := time.Now()
	issue := store.Issue{
		Now:     now,
		Access:  &oidc.Token{Hash: oidc.Hash(e.Access), IssuedAt: now, ExpiresAt: now.Add(time.Hour)},
		Refresh: &oidc.Token{Hash: oidc.Hash(e.Refresh), IssuedAt: now, ExpiresAt: now.Add(time.Hour)},
	}
	if e.Op == OpExchange {
		return s.ExchangeCode(ctx, oidc.Hash(e.Secret), issue)
	}
	return s.RotateRefresh(ctx, oidc.Hash(e.Secret), 0, issue)
}

func newHash() Hash { return Hash(oidc.HashOf(oidc.NewSecret(""))) }
