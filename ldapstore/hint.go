package ldapstore

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/oidc"
)

// What hints are bound by.
const (
	maxHints     = 10_000 // people, and groups
	maxHintLevel = 20     // groups above one, that are asked for with it
	maxKeyed     = 512    // bytes of a DN
)

// hints remember what look-ups led to, so that the next one can ask for all of it
// at once: a look-up is two searches then, and not two and one for each level of
// groups. They decide nothing. Every answer is read anew, and is taken only if
// each search asked for what it would have been asked for without a hint;
// otherwise the look-up goes the long way.
type hints struct {
	keys dnKeys

	mu     sync.RWMutex
	people map[string]string              // by id: the filter for the groups that list the person
	above  map[string]map[string]struct{} // by DN key of a group: the DNs of those that list it
	off    bool                           // the server did not like to be asked for all at once
}

// fit reports whether hints are of use: the server has to send of a group only the
// members that were asked for (see matchedValues), and people and groups have to
// be in one place. That OpenLDAP does, and there it was measured.
func (h *hints) fit(ctx context.Context, t *table) bool {
	if t.Name != "openldap" || traced(ctx) {
		return false
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return !h.off
}

func (h *hints) giveUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.off, h.people, h.above = true, nil, nil
}

// noHint stands for somebody of whom nothing is to be learnt.
const noHint = "-"

func (h *hints) person(id string) string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.people[id]
}

// learnPerson notes the filter for the direct groups of a person.
func (h *hints) learnPerson(id, direct string) {
	if before := h.person(id); before == direct || before == noHint {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.people == nil || len(h.people) >= maxHints {
		h.people = map[string]string{}
	}
	h.people[id] = direct
}

// dnKeys remembers the keys of DNs, which the same groups have every time.
type dnKeys struct {
	mu    sync.RWMutex
	known map[string]string
}

// of is dnKey.
func (k *dnKeys) of(dn string) string {
	k.mu.RLock()
	key, ok := k.known[dn]
	k.mu.RUnlock()
	if ok {
		return key
	}
	key = dnKey(dn)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil || len(k.known) >= maxHints {
		k.known = map[string]string{}
	}
	if len(dn) <= maxKeyed {
		k.known[strings.Clone(dn)] = key
	}
	return key
}

// learnAbove notes that a group lists another one.
func (h *hints) learnAbove(child, above string) {
	key := h.keys.of(child)
	h.mu.RLock()
	_, known := h.above[key][above]
	h.mu.RUnlock()
	if known {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.above == nil || len(h.above) >= maxHints {
		h.above = map[string]map[string]struct{}{}
	}
	if h.above[key] == nil || len(h.above[key]) >= maxHintLevel {
		h.above[key] = map[string]struct{}{}
	}
	h.above[key][strings.Clone(above)] = struct{}{} // what it is a part of is not kept
}

// forget drops what is known of the groups above these.
func (h *hints) forget(groups []oidc.Group) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, g := range groups {
		delete(h.above, h.keys.of(g.DN))
	}
}

// over returns the DNs of groups that are likely to be above those of a level, in any
// distance, and are not known yet; nil if there are more than most.
func (h *hints) over(level []oidc.Group, known map[string]oidc.Group, most int) []string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var likely, queue []string
	for _, g := range level {
		queue = append(queue, h.keys.of(g.DN))
	}
	seen := map[string]bool{}
	for len(queue) > 0 {
		key := queue[0]
		queue = queue[1:]
		for dn := range h.above[key] {
			above := h.keys.of(dn)
			if _, found := known[above]; found || seen[above] {
				continue
			}
			if seen[above] = true; len(likely) >= most {
				return nil
			}
			likely, queue = append(likely, dn), append(queue, above)
		}
	}
	slices.Sort(likely)
	return likely
}

// userAtOnce looks for a person and for the groups that listed them the last time in
// one search. It reports false where the long way has to be gone.
func (d *Directory) userAtOnce(ctx context.Context, t *table, id, value string) (*oidc.User, bool, error) {
	if !d.hints.fit(ctx, t) || len(t.userBases) != 1 || !slices.Equal(t.userBases, t.groupBases) {
		return nil, false, nil
	}
	direct := d.hints.person(id)
	if direct == "" || direct == noHint {
		return nil, false, nil
	}
	m := newMembership(d, t)
	a, err := d.search(ctx, query{
		purpose:    "looking up a person",
		base:       t.userBases[0],
		filter:     anyOf(allOf(equal(t.IDAttribute, value), t.UserFilter), allOf(direct, t.GroupFilter)),
		scope:      ldap.ScopeWholeSubtree,
		attributes: t.allAttributes,
	})
	if _, answered := resultCode(err); answered && ctx.Err() == nil {
		d.hints.giveUp() // it may be too much for a limit of the server
		return nil, false, nil
	}
	if err != nil || a.references && !t.IgnoreReferences {
		return nil, err != nil, err
	}
	person, groups, ok := t.separate(a.entries, id)
	if !ok {
		d.hints.learnPerson(id, noHint)
		return nil, false, nil
	}
	if person == nil { // which has to be told by a search for nothing else
		return nil, false, nil
	}
	for _, name := range t.moreAttributes {
		delete(person.attributes, name)
	}
	if m.directFilter(person) != direct {
		u, err := d.complete(ctx, t, person) // the person is right, the groups may not be
		return u, true, err
	}
	if len(groups) > 0 {
		m.full[t.groupBases[0]] = true
	}
	u, err := d.completeWith(ctx, m, person, groups)
	return u, true, err
}

// separate tells the person from groups. It reports false where that can't be done
// by classes: somebody who is a group in turn, or a second person with the id.
func (t *table) separate(entries []*entry, id string) (person *entry, groups []*entry, ok bool) {
	for _, e := range entries {
		itself := t.judgeEntry(e.dn, e.values("objectClass")) == concernsItself
		found, _ := t.decodeID(e.first(t.IDAttribute))
		switch {
		case found == id && itself && person == nil:
			person = e
		case itself || strings.EqualFold(found, id):
			return nil, nil, false
		default:
			groups = append(groups, e)
		}
	}
	return person, groups, true
}

// climbAtOnce takes in all groups above a level in one search, if it was known what
// to ask for. fresh are those of them whose own groups have not been asked for. It
// reports false, with nothing taken in, where one level after the other has to be
// climbed.
func (m *membership) climbAtOnce(ctx context.Context, level []oidc.Group) (fresh []oidc.Group, ok bool, err error) {
	if !m.d.hints.fit(ctx, m.t) {
		return nil, false, nil
	}
	likely := m.d.hints.over(level, m.found, min(maxHintLevel, chunkSize-len(level)))
	if len(likely) == 0 {
		return nil, false, nil
	}
	asked := map[string]bool{}
	var filters []string
	for _, g := range level {
		asked[m.key(g.DN)] = true
		filters = append(filters, m.t.memberFilters(g.DN)...)
	}
	for _, dn := range likely {
		asked[m.key(dn)] = true
		filters = append(filters, m.t.memberFilters(dn)...)
	}
	entries, err := m.search(ctx, anyOf(filters...), filters)
	if err != nil {
		return nil, false, err
	}
	listing := map[string][]*entry{} // by DN key of who is listed
	for _, e := range entries {
		for _, key := range m.listed(e) {
			if asked[key] {
				listing[key] = append(listing[key], e)
			}
		}
	}
	order, ways := m.reachable(level, asked, listing)
	for _, e := range entries {
		_, known := m.found[m.key(e.dn)]
		if _, reached := ways[m.key(e.dn)]; !known && !reached {
			// A group of these is above one that isn't the person's any more, or it can't
			// be told above which.
			m.d.hints.forget(level)
			return nil, false, nil
		}
	}
	taken := map[string]oidc.Group{}
	for _, g := range level {
		taken[m.key(g.DN)] = g
	}
	for _, e := range order {
		key := m.key(e.dn)
		child := taken[ways[key]]
		taken[key] = m.take(ctx, e, append(slices.Clone(child.Path), child.DN))
		if !asked[key] {
			fresh = append(fresh, taken[key])
		}
	}
	return fresh, true, nil
}

// reachable returns the groups that can be come to from a level, nearest first, and
// by DN key from which group each is come to.
func (m *membership) reachable(level []oidc.Group, asked map[string]bool, listing map[string][]*entry) (order []*entry, ways map[string]string) {
	ways = map[string]string{}
	var queue []string
	for _, g := range level {
		queue = append(queue, m.key(g.DN))
	}
	for len(queue) > 0 {
		from := queue[0]
		queue = queue[1:]
		for _, e := range listing[from] {
			key := m.key(e.dn)
			_, known := m.found[key]
			if _, seen := ways[key]; known || seen {
				continue
			}
			ways[key], order = from, append(order, e)
			if asked[key] {
				queue = append(queue, key)
			}
		}
	}
	return order, ways
}

// listed returns the DN keys of the members that came with a group.
func (m *membership) listed(e *entry) []string {
	var keys []string
	for _, attribute := range m.t.MemberAttributes {
		for _, dn := range e.values(attribute) {
			keys = append(keys, m.key(dn))
		}
	}
	return keys
}
