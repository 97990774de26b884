package ldapstore

import (
	"context"
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/go-ldap/ldap/v3"
)

// viaToken stands in the path of a group of which only the server knows how the
// person comes to be in it: through a group outside of the bases.
const viaToken = "tokenGroups"

// byToken finds the groups by the list that Active Directory works out itself when
// one entry is read (MS-ADTS, section 3.1.1.4.5.19): every security group, nested
// ones and the primary one too, in one short answer, however deep. Groups for mail
// are not in it; those come from the direct groups, and from what groups say they
// are members of. Where the list may not be read the groups are climbed.
func (m *membership) byToken(ctx context.Context, e *entry, direct []*entry) error {
	sids, err := m.tokens(ctx, e.dn)
	if err != nil {
		return err
	}
	if len(sids) == 0 {
		return m.climbFrom(ctx, e, direct)
	}
	told, err := m.told(ctx, outside(direct, e.values(m.t.MemberOfAttribute)))
	if err != nil {
		return err
	}
	direct = append(direct, told...)
	known := make(map[string]bool, len(direct))
	for _, g := range direct {
		known[g.first(objectSID)] = true
	}
	sids = slices.DeleteFunc(sids, func(sid string) bool { return known[sid] })
	entries := slices.Clone(direct)
	for chunk := range slices.Chunk(sids, chunkSize) {
		filters := make([]string, len(chunk))
		for i, sid := range chunk {
			filters[i] = equal(objectSID, sid)
		}
		found, err := m.search(ctx, anyOf(filters...), nil)
		if err != nil {
			return err
		}
		entries = append(entries, found...)
	}
	return m.explain(ctx, entries, len(direct))
}

// outside returns the names that are none of entries'.
func outside(entries []*entry, names []string) []string {
	known := make(map[string]bool, len(entries))
	for _, e := range entries {
		known[dnKey(e.dn)] = true
	}
	return slices.DeleteFunc(slices.Clone(names), func(dn string) bool { return known[dnKey(dn)] })
}

// tokens reads the SIDs of a person's groups.
func (m *membership) tokens(ctx context.Context, dn string) ([]string, error) {
	a, err := m.d.search(ctx, query{
		purpose: "looking up groups", base: dn, scope: ldap.ScopeBaseObject, filter: "(objectClass=*)", limit: 1,
		attributes: []string{m.t.TokenGroupsAttribute},
	})
	if err != nil || len(a.entries) == 0 {
		return nil, err
	}
	return a.entries[0].values(m.t.TokenGroupsAttribute), nil
}

// explain takes groups in with the way that leads to each, which the memberOf of
// the groups tells. The first ones are direct. Groups that are named there and were
// not found yet are looked up, level by level: those for mail.
func (m *membership) explain(ctx context.Context, entries []*entry, direct int) error {
	byDN := make(map[string]*entry, len(entries))
	for _, e := range entries {
		byDN[dnKey(e.dn)] = e
	}
	paths := map[string][]string{}
	var level []*entry
	for _, e := range entries[:direct] {
		if _, seen := paths[dnKey(e.dn)]; !seen {
			paths[dnKey(e.dn)] = nil
			level = append(level, e)
		}
	}
	for orphans := entries[direct:]; len(level) > 0 || len(orphans) > 0; {
		if len(level) == 0 {
			// All that can be explained is; what is above the rest may be.
			if _, seen := paths[dnKey(orphans[0].dn)]; !seen {
				paths[dnKey(orphans[0].dn)] = []string{viaToken}
				level = orphans[:1]
			}
			orphans = orphans[1:]
			continue
		}
		if err := m.lookUpAbove(ctx, level, byDN); err != nil {
			return err
		}
		var next []*entry
		for _, e := range level {
			key := dnKey(e.dn)
			m.take(ctx, e, paths[key])
			for _, dn := range e.values(m.t.MemberOfAttribute) {
				above := byDN[dnKey(dn)]
				if above == nil {
					continue
				}
				if _, seen := paths[dnKey(dn)]; seen {
					continue
				}
				paths[dnKey(dn)] = append(slices.Clone(paths[key]), e.dn)
				next = append(next, above)
			}
		}
		level = next
	}
	return nil
}

// lookUpAbove reads the groups that those of a level name and that are not known.
func (m *membership) lookUpAbove(ctx context.Context, level []*entry, byDN map[string]*entry) error {
	var names []string
	asked := map[string]bool{}
	for _, e := range level {
		for _, dn := range e.values(m.t.MemberOfAttribute) {
			if key := dnKey(dn); byDN[key] == nil && !asked[key] {
				asked[key] = true
				names = append(names, dn)
			}
		}
	}
	found, err := m.told(ctx, names)
	for _, e := range found {
		byDN[dnKey(e.dn)] = e
	}
	return err
}

// primaryGroup is the filter for the group that an entry names by number, "" if it
// names none. In Active Directory the number is the end of the group's SID, whose
// beginning is the person's own (MS-ADTS, section 3.1.1.4.5.18).
func (t *table) primaryGroup(e *entry) string {
	number := e.first(t.PrimaryGroupSource)
	switch {
	case number == "" || t.PrimaryGroupAttribute == "":
		return ""
	case t.PrimaryGroupAttribute != objectSID:
		return equal(t.PrimaryGroupAttribute, number)
	}
	sid, ok := siblingSID(e.first(objectSID), number)
	if !ok {
		return ""
	}
	return equal(objectSID, sid)
}

// siblingSID returns the SID with this last part in the domain of another one
// (MS-DTYP, section 2.4.2.2).
func siblingSID(sid, rid string) (string, bool) {
	n, err := strconv.ParseUint(rid, 10, 32)
	if err != nil || len(sid) < 12 || len(sid) != 8+4*int(sid[1]) {
		return "", false
	}
	return sid[:len(sid)-4] + string(binary.LittleEndian.AppendUint32(nil, uint32(n))), true
}
