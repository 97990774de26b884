package ldapstore

import (
	"slices"
	"strings"

	"gatehouse/oidc"
)

// concern says whose answers a change of an entry may make wrong.
type concern int

const (
	concernsAnyone concern = iota // a group, or it can't be told
	concernsItself                // a person, or nobody
	concernsNobody
)

// judgeEntry says whom a change of an entry concerns. It has the entry's object
// classes to go by; what they leave open is taken for the worst.
func (t *table) judgeEntry(dn string, classes []string) concern {
	listed := func(names ...string) bool {
		return slices.ContainsFunc(classes, func(c string) bool {
			return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(c, n) })
		})
	}
	group := matchClasses(t.GroupFilter, listed)
	if group == no && listed(personClasses()...) && !listed(containerClasses()...) {
		return concernsItself
	}
	// Elsewhere it matters only if it was moved there with everything below it, or
	// was a group: groups count only where they are looked for.
	if t.nearBases(dn) {
		return concernsAnyone
	}
	if group == yes || len(classes) == 0 || listed(containerClasses()...) {
		return concernsAnyone
	}
	return concernsNobody
}

// nearBases reports whether dn is where people or groups are looked for, or above
// it.
func (t *table) nearBases(text string) bool {
	dn, err := oidc.ParseDN(text)
	if err != nil {
		return true
	}
	return slices.ContainsFunc(t.bases(), func(base oidc.DN) bool { return dn.Within(base) || base.Within(dn) })
}

// allWithin reports whether people and groups are looked for below dn only.
func (t *table) allWithin(dn oidc.DN) bool {
	return !slices.ContainsFunc(t.bases(), func(base oidc.DN) bool { return !base.Within(dn) })
}

// bases are all places where people and groups are looked for.
func (t *table) bases() []oidc.DN {
	all := slices.Clone(t.groupsWithin)
	for _, text := range t.userBases {
		base, _ := oidc.ParseDN(text) // settle has parsed it before
		all = append(all, base)
	}
	return all
}

// personClasses are structural classes of people and accounts. An entry has one
// chain of structural classes (RFC 4512, section 2.4.2), so one that lists any of
// these is none of groupClassNames unless it lists that too.
func personClasses() []string {
	return []string{"person", "organizationalPerson", "inetOrgPerson", "residentialPerson", "account", "user", "nsPerson"}
}

// containerClasses are those of entries that others lie beneath.
func containerClasses() []string {
	return []string{
		"organizationalUnit", "organization", "dcObject", "domain", "country", "locality", "container", "builtinDomain", "nsContainer",
		"referral", "alias",
	}
}

// groupClassNames are classes that the filters for groups name.
func groupClassNames() []string {
	return []string{
		"groupOfNames", "groupOfUniqueNames", "groupOfURLs", "groupOfMembers", "groupOfEntries", "posixGroup", "group",
		"ipaUserGroup", "nestedGroup", "mailGroup", "univentionGroup", "sambaGroupMapping", "dynamicGroup",
	}
}

// verdict is the answer of a filter of which not everything is known.
type verdict int

const (
	unclear verdict = iota
	no
	yes
)

// matchClasses says whether an entry with these classes, a person, fits a filter.
func matchClasses(filter string, listed func(...string) bool) verdict {
	v, rest, ok := matchFilter(filter, listed, 0)
	if !ok || rest != "" {
		return unclear
	}
	return v
}

func matchFilter(text string, listed func(...string) bool, depth int) (v verdict, rest string, ok bool) {
	if len(text) < 3 || text[0] != '(' || depth > maxFilterDepth {
		return unclear, "", false
	}
	operator := text[1]
	if filterSet(operator) == 0 {
		end := strings.IndexByte(text, ')')
		if end < 0 {
			return unclear, "", false
		}
		return matchItem(text[1:end], listed), text[end+1:], true
	}
	v = no // of no filters, one holds
	if operator == '&' {
		v = yes
	}
	for text = text[2:]; text != "" && text[0] == '('; {
		var one verdict
		if one, text, ok = matchFilter(text, listed, depth+1); !ok {
			return unclear, "", false
		}
		switch operator {
		case '&':
			v = both(v, one)
		case '|':
			v = not(both(not(v), not(one)))
		case '!':
			v = not(one)
		}
	}
	if text == "" || text[0] != ')' {
		return unclear, "", false
	}
	return v, text[1:], true
}

func both(a, b verdict) verdict {
	switch {
	case a == no || b == no:
		return no
	case a == yes && b == yes:
		return yes
	default:
		return unclear
	}
}

func not(v verdict) verdict {
	switch v {
	case yes:
		return no
	case no:
		return yes
	default:
		return unclear
	}
}

// matchItem knows the class of an entry and nothing else about it. A class that is
// not listed may still be inherited by one that is.
func matchItem(item string, listed func(...string) bool) verdict {
	name, value, found := strings.Cut(item, "=")
	switch {
	case !found || !strings.EqualFold(name, "objectClass") || strings.ContainsAny(value, "*\\("):
		return unclear
	case listed(value):
		return yes
	case slices.ContainsFunc(groupClassNames(), func(n string) bool { return strings.EqualFold(n, value) }):
		return no
	default:
		return unclear
	}
}
