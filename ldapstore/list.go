package ldapstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/oidc"
)

// Groups lists the groups below all bases whose name is name, or all with "",
// sorted by DN, for an operator to look at: none of them has a path.
func (d *Directory) Groups(ctx context.Context, name string) ([]oidc.Group, error) {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	t, err := d.tableInForce(ctx)
	if err != nil {
		return nil, err
	}
	filter := "(" + t.GroupNameAttribute + "=*)"
	if name != "" {
		if !searchable(name) {
			return nil, nil
		}
		var filters []string
		for _, form := range forms(name) {
			filters = append(filters, equal(t.GroupNameAttribute, form))
		}
		filter = anyOf(filters...)
	}
	m := newMembership(d, t)
	entries, err := m.search(ctx, filter, nil)
	if err != nil {
		return nil, err
	}
	groups := make([]oidc.Group, len(entries))
	for i, e := range entries {
		groups[i] = t.group(e)
	}
	slices.SortFunc(groups, func(a, b oidc.Group) int { return cmp.Compare(a.DN, b.DN) })
	return groups, nil
}

// Members returns what a group itself says of its members: DNs, and bare names
// where the kind has those. People whose primary group it is are not among them.
func (d *Directory) Members(ctx context.Context, dn string) ([]string, error) {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	t, err := d.tableInForce(ctx)
	if err != nil {
		return nil, err
	}
	attributes := unique(t.MemberAttributes, []string{t.MemberNameAttribute})
	a, err := d.search(ctx, query{
		purpose: "reading the members of a group", base: dn, scope: ldap.ScopeBaseObject, filter: t.GroupFilter, attributes: attributes, limit: 1,
	})
	switch code, _ := resultCode(err); {
	case code == ldap.LDAPResultNoSuchObject || code == ldap.LDAPResultInvalidDNSyntax || err == nil && len(a.entries) == 0:
		return nil, fmt.Errorf("%w: there is no such group", oidc.ErrNotFound)
	case err != nil:
		return nil, err
	}
	var members []string
	for _, attribute := range attributes {
		members = append(members, a.entries[0].values(attribute)...)
	}
	slices.Sort(members)
	return slices.Compact(members), nil
}
