package ldapstore

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// readGroups looks at a sample of groups, and whether and how people are members.
func (p *probe) readGroups(ctx context.Context) {
	t := p.table
	groups, err := p.searchIn(ctx, t.groupBases, query{
		filter: t.GroupFilter, attributes: t.groupAttributes, limit: sampleSize,
	})
	switch {
	case err != nil && len(groups) == 0:
		p.found(LevelProblem, "groups", "look at directory.group_filter and at what the account may read", "groups cannot be searched for: %v", err)
		return
	case len(groups) == 0:
		p.found(LevelWarning, "groups", p.classHint(ctx, t.groupBases), "under %s the filter %s finds no group: nobody gets anything through one", places(t.groupBases), t.GroupFilter)
		return
	}
	p.found(LevelOK, "groups", "", "%s found by %s", count(len(groups), sampleSize), t.GroupFilter)
	p.readMembers(ctx)
	p.readDynamic(ctx)
}

// readMembers looks for groups that people of the sample are listed in.
func (p *probe) readMembers(ctx context.Context) {
	t := p.table
	attributes := slices.Clone(t.MemberAttributes)
	if t.MemberNameAttribute != "" {
		attributes = append(attributes, t.MemberNameAttribute)
	}
	filters := make([]string, len(attributes))
	for i, attribute := range attributes {
		filters[i] = "(" + attribute + "=*)"
	}
	listing, err := p.searchIn(ctx, t.groupBases, query{
		filter: allOf(t.GroupFilter, anyOf(filters...)), attributes: []string{noAttributes}, limit: sampleSize,
	})
	if err != nil && len(listing) == 0 {
		p.found(LevelProblem, "groups", "let the account search for members", "groups cannot be searched for by their members: %v", err)
		return
	}
	if len(listing) == 0 {
		p.found(LevelProblem, "groups", "let the account read "+strings.Join(attributes, ", ")+" of groups", "no group has members that the account may see")
		return
	}
	p.compareMemberOf(ctx)
}

// compareMemberOf looks at people of the sample until one is listed in a group, and
// compares that with what the server keeps in memberOf.
func (p *probe) compareMemberOf(ctx context.Context) {
	t := p.table
	if t.MemberOfAttribute == "" || len(t.MemberAttributes) == 0 {
		return
	}
	listed, missing := 0, 0
	for _, e := range p.people[:min(20, len(p.people))] {
		groups, err := p.searchIn(ctx, t.groupBases, query{
			filter: allOf(t.GroupFilter, anyOf(t.memberFilters(e.dn)...)), attributes: []string{noAttributes}, limit: sampleSize,
		})
		if err != nil {
			continue
		}
		told := map[string]bool{}
		for _, dn := range e.values(t.MemberOfAttribute) {
			told[dnKey(dn)] = true
		}
		for _, g := range groups {
			listed++
			if !told[dnKey(g.dn)] {
				missing++
			}
		}
	}
	name := t.MemberOfAttribute
	switch {
	case listed == 0:
		p.found(LevelNote, "memberOf", "", "nobody in the sample is listed in a group")
	case missing == 0:
		p.found(LevelOK, "memberOf", "", "%s says the same as the groups do", name)
	case missing == listed:
		p.found(LevelNote, "memberOf", "nothing has to be done: groups are found by their members. With the overlay memberof (OpenLDAP) or the plug-in MemberOf (389 DS) other programs would see them too",
			"the directory does not keep %s, or the account may not read it", name)
	default:
		p.found(LevelNote, "memberOf", "nothing has to be done: groups are found by their members. Entries from before the overlay was there lack it until their groups are written again",
			"the directory keeps %s for some memberships only: it lacks %d of %d", name, missing, listed)
	}
}

// readDynamic looks for groups whose members are found by a search.
func (p *probe) readDynamic(ctx context.Context) {
	t := p.table
	if p.schema != nil && !p.schema["memberurl"] {
		return
	}
	dynamic, err := p.searchIn(ctx, t.groupBases, query{
		filter: "(&(objectClass=groupOfURLs)(memberURL=*))", attributes: []string{"memberURL"}, limit: sampleSize,
	})
	if err != nil || len(dynamic) == 0 {
		return
	}
	expanded := 0
	for _, e := range dynamic {
		// A server that expands the group shows members that nobody has written there.
		filters := make([]string, len(t.MemberAttributes))
		for i, attribute := range t.MemberAttributes {
			filters[i] = "(" + attribute + "=*)"
		}
		found, err := p.search(ctx, query{base: e.dn, scope: ldap.ScopeBaseObject, filter: anyOf(filters...), attributes: []string{noAttributes}})
		if err == nil && len(found) > 0 {
			expanded++
		}
	}
	if expanded == 0 {
		p.found(LevelWarning, "dynlist", "load the overlay dynlist if people are to be members of them", "there are %s groups with a memberURL, and the directory does not say who is in them: nobody gets anything through them", count(len(dynamic), sampleSize))
		return
	}
	took := time.Duration(0)
	if len(p.people) > 0 {
		took = p.fastest(ctx, t.groupBases, query{
			filter: allOf(t.GroupFilter, anyOf(t.memberFilters(p.people[0].dn)...)), attributes: []string{noAttributes}, limit: sampleSize,
		})
	}
	p.found(LevelWarning, "dynlist", "with the overlay dynlist every look-up of groups goes through all dynamic groups: keep them few, or write their members down",
		"there are %s dynamic groups; to find the groups of a person takes %s", count(len(dynamic), sampleSize), roughly(took))
}
