// Package oidctest has fakes for tests of what builds on package oidc. The real
// directories of ldapstore/ldaptest come first; these are for what a real one
// cannot be made to do at a given instant.
package oidctest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"gatehouse/oidc"
)

// Directory is an oidc.Directory in memory. It is safe for concurrent use.
type Directory struct {
	mu        sync.Mutex
	users     []oidc.User
	passwords map[string]string // by id
	down      bool
	binds     int
	before    func()
}

// Add puts a person in, with a password. An account of the same id is replaced.
func (d *Directory) Add(u oidc.User, password string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users = slices.DeleteFunc(d.users, func(o oidc.User) bool { return o.ID == u.ID })
	d.users = append(d.users, u)
	if d.passwords == nil {
		d.passwords = map[string]string{}
	}
	d.passwords[u.ID] = password
}

// Remove takes a person out: the next look-up says gone.
func (d *Directory) Remove(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users = slices.DeleteFunc(d.users, func(o oidc.User) bool { return o.ID == id })
}

// Change lets edit change a person.
func (d *Directory) Change(id string, edit func(*oidc.User)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.users {
		if d.users[i].ID == id {
			u := d.users[i]
			u.Groups = slices.Clone(u.Groups)
			edit(&u)
			d.users[i] = u
		}
	}
}

// SetDown makes every answer "can't tell", or ends that.
func (d *Directory) SetDown(down bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down = down
}

// BeforeAnswer has f called, without any lock, before each look-up by id.
func (d *Directory) BeforeAnswer(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = f
}

// Binds returns how many passwords were tried.
func (d *Directory) Binds() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.binds
}

// Authenticate implements oidc.Directory.
func (d *Directory) Authenticate(ctx context.Context, name, password string) (*oidc.User, error) {
	if password == "" {
		return nil, &oidc.SignInError{Reason: oidc.ReasonEmptyPassword}
	}
	u, err := d.UserByName(ctx, name)
	if err == nil {
		if refused := oidc.GuardBind(ctx, u.ID); refused != nil {
			return nil, &oidc.SignInError{Reason: oidc.ReasonThrottled, Subject: u.ID, Err: refused}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down {
		return nil, err
	}
	d.binds++
	switch {
	case err != nil:
		return nil, &oidc.SignInError{Reason: oidc.ReasonUnknownUser}
	case d.passwords[u.ID] != password:
		return nil, &oidc.SignInError{Reason: oidc.ReasonWrongPassword, Subject: u.ID}
	case u.State == oidc.StateDisabled:
		return nil, &oidc.SignInError{Reason: oidc.ReasonDisabled, Subject: u.ID}
	}
	return u, nil
}

// User implements oidc.Directory.
func (d *Directory) User(_ context.Context, id string) (*oidc.User, error) {
	d.mu.Lock()
	before := d.before
	d.mu.Unlock()
	if before != nil {
		before()
	}
	return d.find(func(u *oidc.User) bool { return u.ID == id })
}

// UserByName implements oidc.Directory.
func (d *Directory) UserByName(_ context.Context, name string) (*oidc.User, error) {
	return d.find(func(u *oidc.User) bool { return strings.EqualFold(u.Username, name) })
}

func (d *Directory) find(is func(*oidc.User) bool) (*oidc.User, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down {
		return nil, fmt.Errorf("the directory is down: %w", oidc.ErrUnavailable)
	}
	for i := range d.users {
		if is(&d.users[i]) {
			u := d.users[i]
			return &u, nil
		}
	}
	return nil, fmt.Errorf("no such person: %w", oidc.ErrNotFound)
}
