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

// Survey is what a directory looks like to somebody who configures it for the
// first time.
type Survey struct {
	Server      string // URL
	Encrypted   bool
	Account     string // whom the directory takes us for; "" for anonymous
	Kind        string
	Vendor      string
	BaseDN      string
	OtherBases  []string // that could have been meant too
	People      int      // in the sample
	Groups      int
	Complete    bool // the sample holds everybody
	PeopleUnder string
	GroupsUnder string
	Group       string // the DN of one, as an example; "" if there are none
	// LoginAttributes are those that would do; the kind's own if Usual.
	LoginAttributes []string
	Usual           bool
	// IDAttribute is "" if the kind's own is there.
	IDAttribute string
	// Findings are what had better be known before anything is written.
	Findings []Finding
}

const surveySize = 200

// LookAround asks the first server of o what there is. Of o only the address, TLS
// and the account count, and BaseDN if it is known. An error that is a *TLSError
// may come from a certificate that is not trusted yet; an oidc.Problems says what
// to do.
func LookAround(ctx context.Context, o Options) (*Survey, error) {
	known := o.BaseDN
	o.BaseDN = cmp.Or(known, "dc=not,dc=known") // New wants to have one
	d, err := New(o)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	s := &Survey{}
	bounded, cancel := d.bounded(ctx)
	defer cancel()
	d.roster.find(bounded)
	server := d.roster.list()[0]
	c, err := server.reads.dialOnly(bounded, server)
	if err != nil {
		return nil, err
	}
	p := &probe{server: server, conn: c, examination: &examination{d: d, tell: func(f Finding) { s.Findings = append(s.Findings, f) }}}
	defer p.end()
	s.Server, s.Encrypted = server.url, server.encrypted()
	if !p.bind(ctx) || !p.readRoot(ctx) {
		return nil, s.problems()
	}
	if o.BindDN != "" || o.external(server.endpoint) {
		s.Account = p.whoAmI(ctx)
	}
	s.Kind, s.Vendor = p.facts.Kind, p.root.first("vendorName")
	if err := s.choosePeople(ctx, p, known); err != nil {
		return nil, err
	}
	s.chooseNames(p)
	s.chooseID(ctx, p)
	s.findGroups(ctx, p)
	p.readSchema(ctx)
	p.readAttributes(ctx)
	s.Findings = slices.DeleteFunc(s.Findings, func(f Finding) bool { return f.Level != LevelProblem && f.Level != LevelWarning })
	return s, nil
}

// dialOnly connects without signing in.
func (p *pool) dialOnly(ctx context.Context, s *server) (*conn, error) {
	if s.dialer == nil {
		return p.dial(ctx) // which says why the servers of the domain aren't known
	}
	return s.dialer.dial(ctx, s.endpoint)
}

// problems are the findings as an error.
func (s *Survey) problems() error {
	var problems oidc.Problems
	for _, f := range s.Findings {
		if f.Level == LevelProblem {
			problems = append(problems, oidc.Problem{Message: f.Message, Hint: f.Hint})
		}
	}
	if len(problems) == 0 {
		return errors.New("the directory cannot be read")
	}
	return problems
}

// choosePeople finds the base beneath which most people are.
func (s *Survey) choosePeople(ctx context.Context, p *probe, known string) error {
	bases := []string{known}
	if known == "" {
		bases = surveyBases(p.root)
	}
	if len(bases) == 0 {
		return oidc.Problems{{Message: "the directory does not say what it holds", Hint: "name the entry under which people are, with --base-dn"}}
	}
	kind := p.table.Kind
	seen := map[string]int{}
	var failed error
	for _, base := range bases {
		t := newTable(kind, &Options{BaseDN: base, Attributes: DefaultAttributes()})
		people, err := p.searchIn(ctx, t.userBases, query{filter: t.UserFilter, attributes: t.userAttributes, limit: surveySize})
		if seen[base] = len(people); len(people) > len(p.people) {
			p.people, p.table, s.BaseDN = people, t, base
			s.Complete = err == nil && len(people) < surveySize
		}
		failed = cmp.Or(failed, err)
	}
	if s.BaseDN == "" {
		const hint = "give an account that may read people with --bind-dn and --bind-password-file; "
		if failed != nil {
			return oidc.Problems{{Message: fmt.Sprintf("people cannot be searched for under %s: %v", strings.Join(bases, ", "), failed), Hint: hint + "or name another place with --base-dn"}}
		}
		return oidc.Problems{{
			Message: fmt.Sprintf("nobody is found under %s by %s", strings.Join(bases, ", "), kind.UserFilter),
			Hint:    hint + p.classHint(ctx, bases[:1]),
		}}
	}
	for _, base := range bases {
		if base != s.BaseDN && seen[base] > 0 {
			s.OtherBases = append(s.OtherBases, base)
		}
	}
	s.People = len(p.people)
	s.PeopleUnder = commonBase(p.people, s.BaseDN)
	return nil
}

// surveyBases returns the trees in which there may be people: not the server's own.
func surveyBases(root *entry) []string {
	// Of Active Directory, what is the domain's; 389 DS may name its change log.
	if base := root.first("defaultNamingContext"); base != "" && recogniseKind(root) == "ad" {
		return []string{base}
	}
	var bases []string
	for _, base := range root.values("namingContexts") {
		first, _, _ := strings.Cut(strings.ToLower(base), ",")
		switch first {
		case "", "cn=config", "cn=schema", "cn=monitor", "cn=changelog", "cn=accesslog", "cn=subschema", "o=ipaca", "ou=system", "ou=config", "ou=schema":
		default:
			bases = append(bases, base)
		}
	}
	return bases
}

// commonBase returns the deepest entry that all of these are under.
func commonBase(entries []*entry, base string) string {
	if len(entries) == 0 {
		return base
	}
	candidate := parentOf(entries[0].dn)
	for candidate != "" && isWithin(candidate, base) {
		if !slices.ContainsFunc(entries, func(e *entry) bool { return !isWithin(e.dn, candidate) }) {
			return candidate
		}
		candidate = parentOf(candidate)
	}
	return base
}

// parentOf cuts the first RDN off.
func parentOf(dn string) string {
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			i++
		case ',':
			return dn[i+1:]
		}
	}
	return ""
}

// chooseNames finds attributes that people could type to sign in: those of the kind
// if people have them, and the mail address if everybody has one of their own.
func (s *Survey) chooseNames(p *probe) {
	usual := p.table.LoginAttributes
	s.LoginAttributes, s.Usual = usual, true
	has, _ := spread(p.people, usual[0])
	if has*2 < len(p.people) {
		for _, name := range []string{"uid", "sAMAccountName", "userPrincipalName", "mail", "cn"} {
			if has, own := spread(p.people, name); has == len(p.people) && own {
				s.LoginAttributes, s.Usual = []string{name}, false
				break
			}
		}
	}
	if has, own := spread(p.people, "mail"); has == len(p.people) && own && !slices.Contains(s.LoginAttributes, "mail") {
		s.LoginAttributes, s.Usual = append(slices.Clone(s.LoginAttributes), "mail"), false
	}
}

// spread says how many people have an attribute, and whether no two share a value.
func spread(people []*entry, attribute string) (has int, own bool) {
	seen := map[string]bool{}
	own = true
	for _, e := range people {
		if e.first(attribute) != "" {
			has++
		}
		for _, v := range e.values(attribute) {
			v = strings.ToLower(v)
			own = own && !seen[v]
			seen[v] = true
		}
	}
	return has, own
}

// chooseID looks for an attribute that can be the stable id, should the kind's own
// be missing.
func (s *Survey) chooseID(ctx context.Context, p *probe) {
	if slices.ContainsFunc(p.people, func(e *entry) bool { return e.first(p.table.IDAttribute) != "" }) {
		return
	}
	names := []string{"entryUUID", "nsUniqueId", "ipaUniqueID", "objectGUID", "GUID"}
	e, err := p.read(ctx, p.people[0].dn, names...)
	if err == nil && e != nil {
		for _, name := range names {
			if e.first(name) != "" {
				s.IDAttribute = name
				return
			}
		}
	}
	p.found(LevelProblem, "people", "let the account read it; without a stable id nobody can sign in", "people have no %s that the account may read", p.table.IDAttribute)
}

func (s *Survey) findGroups(ctx context.Context, p *probe) {
	t := p.table
	groups, err := p.searchIn(ctx, t.groupBases, query{filter: t.GroupFilter, attributes: []string{noAttributes}, limit: surveySize})
	if code, _ := resultCode(err); err != nil && code != ldap.LDAPResultSizeLimitExceeded || len(groups) == 0 {
		p.found(LevelWarning, "groups", "applications can be opened to everybody, or to groups that are made later", "under %s the filter %s finds no group", places(t.groupBases), t.GroupFilter)
		return
	}
	s.Groups = len(groups)
	s.GroupsUnder = commonBase(groups, s.BaseDN)
	s.Group = groups[0].dn
}
