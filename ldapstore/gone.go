package ldapstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/oidc"
)

// gone says that nobody has an id, if that can be believed. For a place that isn't
// there, or that the service account may no longer see, some servers answer that
// nothing was found (389 DS), and all do when the account may no longer see people.
// To take that for an answer would end whatever was granted to anybody.
func (d *Directory) gone(ctx context.Context, t *table) error {
	const purpose = "making sure that nobody has this id"
	anybody := false
	for _, base := range t.userBases {
		there, err := d.anything(ctx, query{purpose: purpose, base: base, scope: ldap.ScopeBaseObject, filter: "(objectClass=*)", attributes: []string{noAttributes}, limit: 1})
		if err != nil {
			return err
		}
		if there && anybody {
			continue
		}
		found, err := d.anything(ctx, query{purpose: purpose, base: base, scope: ldap.ScopeWholeSubtree, filter: t.UserFilter, attributes: []string{noAttributes}, limit: 1})
		if err != nil {
			return err
		}
		if !there && !found {
			return unavailable(purpose, fmt.Errorf("the service account sees neither %s nor anybody below it", base))
		}
		anybody = anybody || found
	}
	if !anybody {
		return unavailable(purpose, errors.New("the service account sees nobody at all"))
	}
	return fmt.Errorf("%w: no entry has this id", oidc.ErrNotFound)
}

// credible makes sure that a place in which somebody has no group is there: some
// servers answer that a place which isn't has no groups (389 DS). For the place
// where the person is no question is needed. A directory that had groups before and
// shows none at all now is not believed either.
func (m *membership) credible(ctx context.Context, e *entry) error {
	const purpose = "making sure that there are no more groups"
	for _, base := range m.t.groupBases {
		if m.full[base] || isWithin(e.dn, base) {
			continue
		}
		there, err := m.d.anything(ctx, query{purpose: purpose, base: base, scope: ldap.ScopeBaseObject, filter: "(objectClass=*)", attributes: []string{noAttributes}, limit: 1})
		if err != nil {
			return err
		}
		if !there {
			found, err := m.anyGroup(ctx, purpose, base)
			if err != nil {
				return err
			}
			if !found {
				return unavailable(purpose, fmt.Errorf("the service account sees neither %s nor a group below it", base))
			}
		}
	}
	if len(m.found) > 0 {
		m.d.hadGroups.Store(true)
		return nil
	}
	if !m.d.hadGroups.Load() {
		return nil
	}
	for _, base := range m.t.groupBases {
		if found, err := m.anyGroup(ctx, purpose, base); found || err != nil {
			return err
		}
	}
	return unavailable(purpose, errors.New("the service account sees no groups any more"))
}

func (m *membership) anyGroup(ctx context.Context, purpose, base string) (bool, error) {
	return m.d.anything(ctx, query{purpose: purpose, base: base, scope: ldap.ScopeWholeSubtree, filter: m.t.GroupFilter, attributes: []string{noAttributes}, limit: 1})
}

// anything reports whether a search that is limited to one entry finds one.
func (d *Directory) anything(ctx context.Context, q query) (bool, error) {
	a, err := d.search(ctx, q)
	if code, _ := resultCode(err); len(a.entries) > 0 && code == ldap.LDAPResultSizeLimitExceeded {
		err = nil
	}
	return len(a.entries) > 0, err
}
