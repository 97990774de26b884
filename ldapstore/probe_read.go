package ldapstore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/oidc"
)

// sampleSize is how many people and groups are looked at.
const sampleSize = 50

// surveyAttributes are what is read of the root DSE.
func surveyAttributes() []string {
	return unique(rootAttributes(), []string{
		"namingContexts", "defaultNamingContext", "supportedControl", "supportedExtension", "supportedSASLMechanisms",
		"subschemaSubentry", "currentTime",
	})
}

// readRoot reads what the server says of itself.
func (p *probe) readRoot(ctx context.Context) bool {
	entries, err := p.search(ctx, query{scope: ldap.ScopeBaseObject, filter: "(objectClass=*)", attributes: surveyAttributes()})
	if err != nil {
		p.found(LevelProblem, "root DSE", "let everybody read the root DSE, as RFC 4512 wants it", "it cannot be read: %v", err)
		return false
	}
	p.root = &entry{}
	if len(entries) > 0 {
		p.root = entries[0]
	}
	name := recogniseKind(p.root)
	set := p.d.options.Kind
	if set == "" {
		set = name
	}
	kind, _ := kindNamed(set)
	p.table = newTable(kind, &p.d.options)
	p.facts.Kind = set
	vendor := strings.TrimSpace(p.root.first("vendorName") + " " + p.root.first("vendorVersion"))
	switch {
	case name == set:
		p.found(LevelOK, "root DSE", "", "it is of the kind %s%s", set, inBrackets(vendor))
	case name == "custom":
		p.found(LevelNote, "root DSE", "", "it does not say of which kind it is%s; directory.kind is %s", inBrackets(vendor), set)
	default:
		p.found(LevelWarning, "root DSE", "leave directory.kind out, unless you know better", "it says that it is of the kind %s%s, but directory.kind is %s", name, inBrackets(vendor), set)
	}
	if !slices.Contains(p.root.values("supportedControl"), oidPaging) && len(p.root.values("supportedControl")) > 0 {
		p.found(LevelWarning, "limits", "", "it cannot send long answers page by page (RFC 2696): a person with more groups than its size limit allows cannot sign in")
	}
	if strings.HasSuffix(p.server.address, ":3268") || strings.HasSuffix(p.server.address, ":3269") {
		p.found(LevelWarning, "root DSE", "use port 389 with start_tls, or 636", "this is the port of a global catalog, which knows only some attributes and not all memberships")
	}
	return true
}

// places joins bases.
func places(bases []string) string { return strings.Join(bases, " and ") }

func inBrackets(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}

// readBases looks whether there are the entries beneath which is searched.
func (p *probe) readBases(ctx context.Context) bool {
	ok := true
	bases := unique(p.table.userBases, p.table.groupBases)
	for _, base := range bases {
		e, err := p.read(ctx, base, noAttributes)
		switch {
		case err != nil:
			p.found(LevelProblem, "search", "let the account read it, or correct directory.base_dn", "the entry %s cannot be read: %v", base, err)
			ok = false
		case e == nil:
			hint := "correct directory.base_dn, or let the account read it"
			if contexts := p.root.values("namingContexts"); len(contexts) > 0 {
				hint += "; the directory holds " + some(contexts)
			}
			p.found(LevelProblem, "search", hint, "there is no entry %s, or the account may not see it", base)
			ok = false
		}
	}
	if ok {
		p.found(LevelOK, "search", "", "%s can be read", places(bases))
	}
	return ok
}

// readSchema notes which attributes the server knows. Not every server tells.
func (p *probe) readSchema(ctx context.Context) {
	where := p.root.first("subschemaSubentry")
	if where == "" {
		return
	}
	entries, err := p.search(ctx, query{base: where, scope: ldap.ScopeBaseObject, filter: "(objectClass=subschema)", attributes: []string{"attributeTypes"}})
	if err != nil || len(entries) == 0 {
		return
	}
	for _, text := range entries[0].values("attributeTypes") {
		for _, name := range schemaNames(text) {
			if p.schema == nil {
				p.schema = map[string]bool{}
			}
			p.schema[strings.ToLower(name)] = true
		}
	}
}

// schemaNames reads the names of an attribute type (RFC 4512, section 4.1.2), as
// in ( 2.5.4.3 NAME ( 'cn' 'commonName' ) … ).
func schemaNames(text string) []string {
	_, rest, found := strings.Cut(text, " NAME ")
	if !found {
		return nil
	}
	var names []string
	several := strings.HasPrefix(strings.TrimSpace(rest), "(")
	for {
		before, after, found := strings.Cut(rest, "'")
		if !found || strings.Contains(before, ")") {
			return names
		}
		name, after, found := strings.Cut(after, "'")
		if !found {
			return names
		}
		names = append(names, name)
		if !several {
			return names
		}
		rest = after
	}
}

// readPeople looks at a sample of people.
func (p *probe) readPeople(ctx context.Context) {
	t := p.table
	people, err := p.searchIn(ctx, t.userBases, query{
		filter: t.UserFilter, attributes: t.userAttributes, limit: sampleSize,
	})
	if err != nil && len(people) == 0 {
		p.found(LevelProblem, "people", "look at directory.user_filter and at what the account may read", "people cannot be searched for: %v", err)
		return
	}
	if len(people) == 0 {
		p.found(LevelProblem, "people", p.classHint(ctx, t.userBases), "under %s the filter %s finds nobody", places(t.userBases), t.UserFilter)
		return
	}
	p.people = people
	p.found(LevelOK, "people", "", "%s found by %s", count(len(people), sampleSize), t.UserFilter)
	var nameless, strange int
	states := map[oidc.AccountState]int{}
	broken := ""
	for _, e := range people {
		if _, ok := t.decodeID(e.first(t.IDAttribute)); !ok {
			strange++
		}
		if !slices.ContainsFunc(t.LoginAttributes, func(name string) bool { return e.first(name) != "" }) {
			nameless++
		}
		state, err := t.state(e, p.d.now())
		if err != nil {
			broken = err.Error()
		}
		states[state]++
	}
	if strange > 0 {
		p.found(LevelProblem, "people", "let the account read it; it is the person's stable id", "%d of them have no %s that the account may read: they cannot sign in", strange, t.IDAttribute)
	}
	if nameless > 0 {
		p.found(LevelWarning, "people", "look at directory.login_attributes and directory.user_filter", "%d of them have none of %s: they cannot sign in", nameless, strings.Join(t.LoginAttributes, ", "))
	}
	if broken != "" {
		p.found(LevelProblem, "people", "people with such a value cannot sign in; correct it in the directory", "the state of an account cannot be read: %s", broken)
	}
	p.found(LevelNote, "people", "", "accounts in the sample: %d active, %d disabled, %d expired", states[oidc.StateActive], states[oidc.StateDisabled], states[oidc.StateExpired])
	p.tryNames(ctx)
}

// classHint says which object classes there are, for whoever looks for a filter.
func (p *probe) classHint(ctx context.Context, bases []string) string {
	entries, err := p.searchIn(ctx, bases, query{filter: "(objectClass=*)", attributes: []string{"objectClass"}, limit: sampleSize})
	if err != nil && len(entries) == 0 {
		return "look at directory.base_dn and at what the account may read"
	}
	var classes []string
	for _, e := range entries {
		classes = unique(classes, e.values("objectClass"))
	}
	classes = slices.DeleteFunc(classes, func(c string) bool { return strings.EqualFold(c, "top") })
	if len(entries) <= len(bases) {
		return "the account sees no entry there but the base itself: let it read the others, or correct directory.base_dn"
	}
	return "entries there have the object classes " + strings.Join(classes, ", ") + ": write a filter for them, or let the account read the others"
}

// tryNames looks a few people up by the names they would type.
func (p *probe) tryNames(ctx context.Context) {
	t := p.table
	ambiguous, tried := 0, 0
	for _, e := range p.people[:min(5, len(p.people))] {
		for _, attribute := range t.LoginAttributes {
			name := e.first(attribute)
			if !searchable(name) {
				continue
			}
			filters := make([]string, len(t.LoginAttributes))
			for i, a := range t.LoginAttributes {
				filters[i] = equal(a, name)
			}
			found, err := p.searchIn(ctx, t.userBases, query{
				filter: allOf(t.UserFilter, anyOf(filters...)), attributes: []string{noAttributes}, limit: 2,
			})
			if err != nil {
				continue
			}
			tried++
			if len(found) > 1 {
				ambiguous++
			}
		}
	}
	if ambiguous > 0 {
		p.found(LevelWarning, "people", "nobody can sign in with a name that several have: leave attributes out of directory.login_attributes that are not unique", "%d of %d names that were tried belong to several people", ambiguous, tried)
	}
}

// readAttributes finds out which attributes the account may not read. A server does
// not say: what may not be seen looks as if it weren't there. But a filter that
// asks "has it or has it not" is true of no entry then, as neither can be told
// (RFC 4511, section 4.5.1.7: Undefined).
func (p *probe) readAttributes(ctx context.Context) {
	if len(p.people) == 0 || p.schema == nil {
		return
	}
	t := p.table
	var states, others []string
	for _, rule := range t.states {
		states = unique(states, []string{rule.attribute})
	}
	hidden := func(names []string) (hidden []string) {
		for _, name := range names {
			if p.schema[strings.ToLower(name)] && p.hides(ctx, name) {
				hidden = append(hidden, name)
			}
		}
		return hidden
	}
	for _, name := range t.userAttributes {
		if !slices.Contains(states, name) {
			others = append(others, name)
		}
	}
	lost := hidden(states)
	if t.Name == "ad" { // every account has it, and an empty answer means that it may not be read
		if !slices.ContainsFunc(p.people, func(e *entry) bool { return e.first("userAccountControl") != "" }) {
			lost = unique(lost, []string{"userAccountControl"})
		}
	}
	switch known := slices.DeleteFunc(slices.Clone(states), func(name string) bool { return !p.schema[strings.ToLower(name)] }); {
	case len(lost) > 0:
		p.found(LevelProblem, "account state", "let the account read them: otherwise who was disabled or has expired stays signed in", "the account may not read %s", strings.Join(lost, ", "))
	case len(known) > 0:
		p.found(LevelOK, "account state", "", "the account may read %s", strings.Join(known, ", "))
	case len(states) > 0:
		p.found(LevelNote, "account state", "if accounts are switched off in another way, leave them out by directory.user_filter", "the directory knows none of the attributes that switch an account off: %s", strings.Join(states, ", "))
	}
	if lost := hidden(others); len(lost) > 0 {
		p.found(LevelNote, "attributes", "let the account read those that applications are to get", "the account may not read %s", strings.Join(lost, ", "))
	}
}

// hides reports whether an attribute of the first person can't be seen.
func (p *probe) hides(ctx context.Context, attribute string) bool {
	found, err := p.search(ctx, query{
		base: p.people[0].dn, scope: ldap.ScopeBaseObject, filter: fmt.Sprintf("(|(%s=*)(!(%s=*)))", attribute, attribute), attributes: []string{noAttributes},
	})
	return err == nil && len(found) == 0
}
