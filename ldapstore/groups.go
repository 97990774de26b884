package ldapstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/oidc"
)

// chunkSize bounds how many DNs are asked for in one search.
const chunkSize = 100

// membership collects the groups of one person.
type membership struct {
	d     *Directory
	t     *table
	found map[string]oidc.Group // by DN key; what ends loops
	full  map[string]bool       // bases that had something
}

func newMembership(d *Directory, t *table) *membership {
	return &membership{d: d, t: t, found: map[string]oidc.Group{}, full: map[string]bool{}}
}

// key is dnKey.
func (m *membership) key(dn string) string { return m.d.hints.keys.of(dn) }

// groups returns all groups of an entry; see membership.all.
func (d *Directory) groups(ctx context.Context, t *table, e *entry) ([]oidc.Group, error) {
	m := newMembership(d, t)
	direct, err := m.direct(ctx, e)
	if err != nil {
		return nil, err
	}
	return m.all(ctx, e, direct)
}

// all returns all groups of an entry, sorted by DN; direct are those that list it. The
// directory is asked in several ways, because none knows all: groups that list the
// person, level by level upwards, what the server itself says in memberOf (dynamic
// groups, or groups whose members the service account may not see), and the one
// primary group. It is the whole list or an error.
func (m *membership) all(ctx context.Context, e *entry, direct []*entry) (_ []oidc.Group, err error) {
	if m.t.TokenGroupsAttribute == "" || m.t.directOnly {
		err = m.climbFrom(ctx, e, direct)
	} else {
		err = m.byToken(ctx, e, direct)
	}
	if err != nil {
		return nil, err
	}
	if err := m.credible(ctx, e); err != nil {
		return nil, err
	}
	all := make([]oidc.Group, 0, len(m.found))
	for _, g := range m.found {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b oidc.Group) int { return cmp.Compare(a.DN, b.DN) })
	return all, nil
}

// direct returns the groups that list a person, by DN, by name or by number.
func (m *membership) direct(ctx context.Context, e *entry) ([]*entry, error) {
	filter := m.directFilter(e)
	if filter == "" {
		return nil, nil
	}
	return m.search(ctx, filter, nil)
}

// directFilter is the filter for these groups, "" if there can be none.
func (m *membership) directFilter(e *entry) string {
	filters := m.t.memberFilters(e.dn)
	if m.t.MemberNameAttribute != "" {
		for _, name := range e.values(m.t.MemberNameSource) {
			filters = append(filters, equal(m.t.MemberNameAttribute, name))
		}
	}
	if primary := m.t.primaryGroup(e); primary != "" {
		filters = append(filters, primary)
	}
	if len(filters) == 0 {
		return ""
	}
	return anyOf(filters...)
}

// climbFrom takes direct groups in, and those above them, and then what memberOf
// names besides: some servers have nested groups in it too, so that comes last.
func (m *membership) climbFrom(ctx context.Context, e *entry, direct []*entry) error {
	none := func(*entry) []string { return nil }
	if err := m.climb(ctx, m.add(ctx, direct, none)); err != nil {
		return err
	}
	told, err := m.told(ctx, slices.DeleteFunc(slices.Clone(e.values(m.t.MemberOfAttribute)), func(dn string) bool {
		_, known := m.found[m.key(dn)]
		return known
	}))
	if err != nil {
		return err
	}
	return m.climb(ctx, m.add(ctx, told, none))
}

func (t *table) memberFilters(dn string) []string {
	filters := make([]string, len(t.MemberAttributes))
	for i, attribute := range t.MemberAttributes {
		filters[i] = equal(attribute, dn)
	}
	return filters
}

// climb adds the groups above those of level, and above these, until there are
// no new ones: one search a level.
func (m *membership) climb(ctx context.Context, level []oidc.Group) error {
	if m.t.directOnly || len(m.t.MemberAttributes) == 0 {
		return nil
	}
	for len(level) > 0 {
		next, done, err := m.climbAtOnce(ctx, level)
		if err != nil {
			return err
		}
		if done {
			level = next
			continue
		}
		for chunk := range slices.Chunk(level, chunkSize) {
			above, err := m.above(ctx, chunk)
			if err != nil {
				return err
			}
			next = append(next, above...)
		}
		level = next
	}
	return nil
}

// above returns the groups, not found before, that one of level is a member of.
func (m *membership) above(ctx context.Context, level []oidc.Group) ([]oidc.Group, error) {
	var filters []string
	children := map[string]oidc.Group{}
	for _, g := range level {
		filters = append(filters, m.t.memberFilters(g.DN)...)
		children[m.key(g.DN)] = g
	}
	var matching []string
	if len(level) > 1 {
		matching = filters // to learn which of them is the member
	}
	entries, err := m.search(ctx, anyOf(filters...), matching)
	if err != nil {
		return nil, err
	}
	return m.add(ctx, entries, func(e *entry) []string {
		child := level[0]
		for _, key := range m.listed(e) {
			if g, ok := children[key]; ok {
				child = g
			}
		}
		if m.d.hints.fit(ctx, m.t) {
			m.d.hints.learnAbove(child.DN, e.dn)
		}
		return append(slices.Clone(child.Path), child.DN)
	}), nil
}

// search returns all groups that filter fits, below all bases. With matching, the
// member values that match one of these filters come with them.
func (m *membership) search(ctx context.Context, filter string, matching []string) ([]*entry, error) {
	q := query{
		purpose:    "looking up groups",
		scope:      ldap.ScopeWholeSubtree,
		filter:     allOf(m.t.GroupFilter, filter),
		attributes: m.t.groupAttributes,
	}
	if len(matching) > 0 {
		// The control drops whatever no filter names, so name the other attributes.
		keep := slices.Clone(matching)
		for _, attribute := range m.t.groupAttributes {
			keep = append(keep, "("+attribute+"=*)")
		}
		matched, err := matchedValues(keep)
		if err != nil {
			return nil, unavailable(q.purpose, err)
		}
		q.controls = []control{matched}
		q.attributes = unique(m.t.groupAttributes, m.t.MemberAttributes)
	}
	var found []*entry
	for _, q.base = range m.t.groupBases {
		a, err := m.d.search(ctx, q)
		if err != nil {
			return nil, err
		}
		if a.references && !m.t.IgnoreReferences {
			return nil, unavailable(q.purpose, errReferral)
		}
		if len(a.entries) > 0 {
			m.full[q.base] = true
		}
		found = append(found, a.entries...)
	}
	return found, nil
}

// told returns the groups with these names. Names of groups that are gone, or not
// below a base, are left out: not every server tidies up.
func (m *membership) told(ctx context.Context, names []string) ([]*entry, error) {
	names = slices.DeleteFunc(slices.Clone(names), func(dn string) bool { return !m.t.inGroupBase(dn) })
	var out []*entry
	if m.t.EntryDNAttribute == "" {
		for _, dn := range names {
			e, err := m.d.groupAt(ctx, m.t, dn)
			if err != nil && !errors.Is(err, oidc.ErrNotFound) {
				return nil, err
			}
			if err == nil {
				out = append(out, e)
			}
		}
		return out, nil
	}
	for chunk := range slices.Chunk(names, chunkSize) {
		filters := make([]string, len(chunk))
		for i, dn := range chunk {
			filters[i] = equal(m.t.EntryDNAttribute, dn)
		}
		entries, err := m.search(ctx, anyOf(filters...), nil)
		if err != nil {
			return nil, err
		}
		out = append(out, entries...)
	}
	return out, nil
}

// add takes groups in and returns those that are new.
func (m *membership) add(ctx context.Context, entries []*entry, path func(*entry) []string) []oidc.Group {
	var fresh []oidc.Group
	for _, e := range entries {
		if _, ok := m.found[m.key(e.dn)]; !ok {
			fresh = append(fresh, m.take(ctx, e, path(e)))
		}
	}
	return fresh
}

// take takes one group in that is new.
func (m *membership) take(ctx context.Context, e *entry, path []string) oidc.Group {
	g := m.t.group(e)
	g.Path = path
	m.found[m.key(e.dn)] = g
	trace(ctx, Step{What: StepGroup, DN: g.DN, Path: g.Path})
	return g
}

func (t *table) group(e *entry) oidc.Group {
	g := oidc.Group{DN: e.dn, Name: e.naming(t.GroupNameAttribute)}
	g.ID, _ = t.decodeID(e.first(t.IDAttribute))
	for _, attribute := range t.GroupDisplayAttributes {
		if g.DisplayName = e.first(attribute); g.DisplayName != "" {
			break
		}
	}
	return g
}

// Group returns the group with this DN, to check what an operator wrote.
// oidc.ErrNotFound means that people can't be in it: there is no such entry, or
// it is no group, or it lies outside the base of groups.
func (d *Directory) Group(ctx context.Context, dn string) (oidc.Group, error) {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	t, err := d.tableInForce(ctx)
	if err != nil {
		return oidc.Group{}, err
	}
	if !t.inGroupBase(dn) {
		return oidc.Group{}, fmt.Errorf("%w: it is not under %s", oidc.ErrNotFound, strings.Join(t.groupBases, " or "))
	}
	e, err := d.groupAt(ctx, t, dn)
	if err != nil {
		return oidc.Group{}, err
	}
	return t.group(e), nil
}

// groupAt reads one group by its DN. Only here does "no such object" mean that
// there is none: the search has no other base.
func (d *Directory) groupAt(ctx context.Context, t *table, dn string) (*entry, error) {
	a, err := d.search(ctx, query{
		purpose:    "looking up a group",
		base:       dn,
		scope:      ldap.ScopeBaseObject,
		filter:     t.GroupFilter,
		attributes: t.groupAttributes,
	})
	code, _ := resultCode(err)
	switch {
	case code == ldap.LDAPResultNoSuchObject || code == ldap.LDAPResultInvalidDNSyntax:
		return nil, fmt.Errorf("%w: there is no such entry", oidc.ErrNotFound)
	case err != nil:
		return nil, err
	case len(a.entries) == 0:
		return nil, fmt.Errorf("%w: the entry is no group", oidc.ErrNotFound)
	default:
		return a.entries[0], nil
	}
}
