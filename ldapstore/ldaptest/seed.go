package ldaptest

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// BaseDN is the root of every directory that this package starts.
const BaseDN = "dc=example,dc=org"

// Person is one entry under ou=people. What is empty gets a sensible value.
type Person struct {
	UID       string
	GivenName string
	Surname   string
	RDN       string // "" means uid=UID, and cn=UID in Active Directory
	Account   Account
	GID       string              // number of the primary group; "" for none, or the usual one of Active Directory
	More      map[string][]string // further attributes; operational ones too
	// NoPassword is for a crowd of whom nobody signs in: Active Directory takes 30 ms
	// for each password.
	NoPassword bool
}

// Account is what is the matter with an account or its password.
type Account int

// What may be the matter. Each server has its own way to say it.
const (
	Active          Account = iota
	Disabled                // switched off by an administrator
	PasswordExpired         // the password is too old
	MustChange              // the password has to be changed before use
	Grace                   // too old as well, but three sign-ins are granted; Active Directory knows no such thing
	AccountExpired          // the account ended long ago
)

// DN returns the entry's name, but for Active Directory.
func (p Person) DN() string { return p.dn(kindOpenLDAP) }

func (p Person) dn(kind string) string {
	rdn := p.RDN
	switch {
	case rdn != "":
	case kind == kindAD: // its schema allows no other
		rdn = "cn=" + p.UID
	default:
		rdn = "uid=" + p.UID
	}
	return rdn + ",ou=people," + BaseDN
}

// Group is one entry under ou=groups.
type Group struct {
	RDN         string // "cn=staff"; a comma in it is escaped as in a DN
	Class       string // "" means groupOfNames; of no meaning in Active Directory
	GID         string // of posixGroup; "" chooses one
	Description string
	Members     []string // DNs, or uids for posixGroup
}

// DN returns the entry's name.
func (g Group) DN() string { return GroupDN(g.RDN) }

// PersonDN returns the DN of the seeded person with this uid, but for Active
// Directory; see Server.PersonDN.
func PersonDN(uid string) string { return Person{UID: uid}.DN() }

// PersonDN returns the DN of the person with this uid on this server.
func (s *Server) PersonDN(uid string) string {
	if i := slices.IndexFunc(s.people, func(p Person) bool { return p.UID == uid }); i >= 0 {
		return s.here(s.people[i].dn(s.Kind))
	}
	return s.here(Person{UID: uid}.dn(s.Kind))
}

// GroupDN returns the DN of a group by its RDN, as in "cn=staff".
func GroupDN(rdn string) string { return rdn + ",ou=groups," + BaseDN }

// Password returns the password of a seeded person.
func Password(uid string) string { return uid + "'s password" }

// nobody is the member of a group without members: groupOfNames must have one.
const nobody = "cn=nobody," + BaseDN

// Policy DNs that a person's pwdPolicySubentry may name. The default locks an
// account after 5 failures.
const (
	PolicyPatient  = "cn=patient,ou=policies," + BaseDN  // never locks, remembers a thousand failures
	PolicyExpiring = "cn=expiring,ou=policies," + BaseDN // passwords live an hour, no grace
	PolicyGrace    = "cn=grace,ou=policies," + BaseDN    // passwords live an hour, then three grace sign-ins
	PolicyStrict   = "cn=strict,ou=policies," + BaseDN   // ten characters, none of the last two passwords
	PolicyYoung    = "cn=young,ou=policies," + BaseDN    // a password is kept for a day at least
	PolicyRigid    = "cn=rigid,ou=policies," + BaseDN    // nobody changes their own
)

// People returns the people that a directory has unless a test says otherwise.
// Their uids tell what is the matter with them.
func People() []Person {
	return []Person{
		{UID: "alice", GivenName: "Alice", Surname: "Adams", More: map[string][]string{
			"telephoneNumber":   {"+49 30 1234567"},
			"preferredLanguage": {"en-GB"},
			"l":                 {"Berlin"},
			"postalCode":        {"10115"},
			"jpegPhoto":         {"\xff\xd8\xff\xe0 not quite a photo"},
		}},
		{UID: "bob", GivenName: "Bob", Surname: "Brown"},
		{UID: "carol", GivenName: "Cärôl", Surname: "Müßiggänger", More: map[string][]string{
			"postalAddress": {"Straße 1 $ 10115 Berlin"},
		}},
		{UID: "dave", GivenName: "Dave", Surname: "Disabled", Account: Disabled},
		{UID: "erin", GivenName: "Erin", Surname: "Expired", Account: PasswordExpired},
		{UID: "frank", GivenName: "Frank", Surname: "Fresh", Account: MustChange},
		{UID: "grace", GivenName: "Grace", Surname: "Grant", Account: Grace},
		{UID: "judy", GivenName: "Judy", Surname: "Past", Account: AccountExpired},
		{UID: "ivan", GivenName: "Ivan", Surname: "Comma", RDN: `cn=Comma\2C Ivan`, More: map[string][]string{"cn": {"Comma, Ivan"}}},
		{UID: "jörg", GivenName: "Jörg", Surname: "Umlaut"},
		// The primary group names nobody.
		{UID: "nina", GivenName: "Nina", Surname: "Number", GID: "6000"},
		// Failures are counted and never lock, but in Active Directory.
		{UID: "peter", GivenName: "Peter", Surname: "Patient", More: map[string][]string{"pwdPolicySubentry": {PolicyPatient}}},
		// Two people share one mail address.
		{UID: "tom", GivenName: "Tom", Surname: "Twin", More: map[string][]string{"mail": {"twins@example.org"}}},
		{UID: "tim", GivenName: "Tim", Surname: "Twin", More: map[string][]string{"mail": {"twins@example.org"}}},
	}
}

// Groups returns the groups that a directory has unless a test says otherwise.
func Groups() []Group {
	return []Group{
		{RDN: "cn=staff", Description: "Everybody who works here", Members: []string{
			PersonDN("alice"), PersonDN("bob"), PersonDN("carol"), PersonDN("dave"), PersonDN("erin"), PersonDN("frank"), PersonDN("grace"), PersonDN("judy"),
		}},
		{RDN: "cn=developers", Description: "Developers", Members: []string{PersonDN("alice"), PersonDN("carol")}},
		// developers → engineering → company, and company's partner loops back.
		{RDN: "cn=engineering", Members: []string{GroupDN("cn=developers")}},
		{RDN: "cn=company", Members: []string{GroupDN("cn=engineering"), GroupDN("cn=loop")}},
		{RDN: "cn=loop", Members: []string{GroupDN("cn=company"), PersonDN("bob")}},
		{RDN: `cn=Sales\2C EMEA`, Description: "Sales, Europe", Members: []string{PersonDN("bob"), `cn=Comma\2C Ivan,ou=people,` + BaseDN}},
		{RDN: "cn=Geschäftsführung", Members: []string{PersonDN("carol"), PersonDN("jörg")}},
		{RDN: "cn=unique", Class: "groupOfUniqueNames", Members: []string{PersonDN("alice")}},
		{RDN: "cn=unix", Class: "posixGroup", Members: []string{"alice", "bob"}},
		{RDN: "cn=numbered", Class: "posixGroup", GID: "6000"},
		{RDN: "cn=admins", Description: "Administrators", Members: []string{PersonDN("alice")}},
		{RDN: "cn=empty", Members: nil},
	}
}

// LDIF writes people and groups, with everything around them, for slapadd.
// slapadd doesn't run overlays, so memberOf is worked out here.
func LDIF(people []Person, groups []Group) string { return ldif(kindOpenLDAP, people, groups) }

// ldif is LDIF for OpenLDAP or 389 DS.
func ldif(kind string, people []Person, groups []Group) string {
	w := ldifWriter{kind: kind}
	root := []string{"objectClass", "dcObject", "objectClass", "organization", "dc", "example", "o", "Example"}
	if kind == kind389 {
		root = append(root, "aci", readerACI)
	}
	w.entry(BaseDN, root...)
	for _, ou := range []string{"people", "groups", "services", "policies"} {
		w.entry("ou="+ou+","+BaseDN, "objectClass", "organizationalUnit", "ou", ou)
	}
	if kind == kind389 {
		w.gracePolicy()
	} else {
		w.policies()
	}
	memberOf := map[string][]string{}
	for _, g := range groups {
		if g.Class != "" {
			continue // the overlay looks at groupOfNames only
		}
		for _, m := range g.Members {
			key := strings.ToLower(m)
			memberOf[key] = append(memberOf[key], g.DN())
		}
	}
	for _, p := range people {
		w.person(p, memberOf[strings.ToLower(p.DN())])
	}
	for i, g := range groups {
		w.group(g, i, memberOf[strings.ToLower(g.DN())])
	}
	return w.b.String()
}

type ldifWriter struct {
	kind string
	b    strings.Builder
}

// entry writes one entry; pairs are attribute and value in turn. The values of
// one attribute are written together: slapadd wants it so.
func (w *ldifWriter) entry(dn string, pairs ...string) {
	var order []string
	values := map[string][]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		name := pairs[i]
		if len(values[name]) == 0 {
			order = append(order, name)
		}
		values[name] = append(values[name], pairs[i+1])
	}
	w.line("dn", dn)
	for _, name := range order {
		for _, value := range values[name] {
			w.line(name, value)
		}
	}
	w.b.WriteByte('\n')
}

// line writes every value in base64, so that none needs care (RFC 2849).
func (w *ldifWriter) line(attribute, value string) {
	fmt.Fprintf(&w.b, "%s:: %s\n", attribute, base64.StdEncoding.EncodeToString([]byte(value)))
}

func (w *ldifWriter) policies() {
	policy := func(dn string, pairs ...string) {
		name, _, _ := strings.Cut(strings.TrimPrefix(dn, "cn="), ",")
		ownChange := "TRUE"
		if dn == PolicyRigid {
			ownChange = "FALSE"
		}
		w.entry(dn, append([]string{
			"objectClass", "organizationalRole", "objectClass", "pwdPolicy", "cn", name,
			"pwdAttribute", "userPassword", "pwdMustChange", "TRUE", "pwdAllowUserChange", ownChange,
			"pwdLockout", "TRUE", "pwdLockoutDuration", "600", "pwdFailureCountInterval", "600",
		}, pairs...)...)
	}
	policy("cn=default,ou=policies,"+BaseDN, "pwdMaxFailure", "5")
	policy(PolicyPatient, "pwdMaxFailure", "1000", "pwdMaxRecordedFailure", "1000")
	policy(PolicyExpiring, "pwdMaxFailure", "5", "pwdMaxAge", "3600")
	policy(PolicyGrace, "pwdMaxFailure", "5", "pwdMaxAge", "3600", "pwdGraceAuthNLimit", "3")
	policy(PolicyStrict, "pwdMaxFailure", "5", "pwdMinLength", "10", "pwdCheckQuality", "2", "pwdInHistory", "2")
	policy(PolicyYoung, "pwdMaxFailure", "5", "pwdMinAge", "86400")
	policy(PolicyRigid, "pwdMaxFailure", "5")
}

func (w *ldifWriter) person(p Person, memberOf []string) {
	password := Password(p.UID)
	if w.kind == kind389 { // its import doesn't hash
		password = ssha512(password)
	}
	pairs := []string{
		"objectClass", "inetOrgPerson", "uid", p.UID, "sn", p.Surname, "givenName", p.GivenName,
		"displayName", p.GivenName + " " + p.Surname,
	}
	if !p.NoPassword {
		pairs = append(pairs, "userPassword", password)
	}
	if len(p.More["cn"]) == 0 {
		pairs = append(pairs, "cn", p.GivenName+" "+p.Surname)
	}
	if len(p.More["mail"]) == 0 && isASCII(p.UID) {
		pairs = append(pairs, "mail", p.UID+"@example.org")
	}
	if p.GID != "" {
		pairs = append(pairs, "objectClass", "posixAccount", "uidNumber", p.GID, "gidNumber", p.GID, "homeDirectory", "/")
	}
	if w.kind == kind389 {
		pairs = append(pairs, "objectClass", "nsMemberOf")
		pairs = append(pairs, account389(p.Account)...)
	} else {
		pairs = append(pairs, accountOpenLDAP(p.Account)...)
	}
	for _, name := range slices.Sorted(maps.Keys(p.More)) {
		if w.kind == kind389 && strings.HasPrefix(name, "pwd") {
			continue // OpenLDAP's own
		}
		for _, value := range p.More[name] {
			pairs = append(pairs, name, value)
		}
	}
	for _, dn := range memberOf {
		pairs = append(pairs, "memberOf", dn)
	}
	w.entry(p.DN(), pairs...)
}

const longAgo = "20200101000000Z"

// accountOpenLDAP returns attributes and values that put an account into a state.
func accountOpenLDAP(a Account) []string {
	switch a {
	case Disabled:
		return []string{"pwdAccountLockedTime", "000001010000Z"}
	case PasswordExpired:
		return []string{"pwdChangedTime", longAgo, "pwdPolicySubentry", PolicyExpiring}
	case MustChange:
		return []string{"pwdReset", "TRUE"}
	case Grace:
		return []string{"pwdChangedTime", longAgo, "pwdPolicySubentry", PolicyGrace}
	case AccountExpired: // on 2 January 1970
		return []string{"objectClass", "shadowAccount", "shadowExpire", "1"}
	default:
		return nil
	}
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7f })
}

func (w *ldifWriter) group(g Group, number int, memberOf []string) {
	class := g.Class
	if class == "" {
		class = "groupOfNames"
	}
	cn := strings.ReplaceAll(strings.TrimPrefix(g.RDN, "cn="), `\2C`, ",")
	pairs := []string{"objectClass", class, "cn", cn}
	if g.Description != "" {
		pairs = append(pairs, "description", g.Description)
	}
	members := g.Members
	attribute := "member"
	switch class {
	case "groupOfUniqueNames":
		attribute = "uniqueMember"
	case "posixGroup":
		attribute = "memberUid"
		gid := g.GID
		if gid == "" {
			gid = fmt.Sprint(5000 + number)
		}
		pairs = append(pairs, "gidNumber", gid)
	}
	if len(members) == 0 && class != "posixGroup" {
		members = []string{nobody}
	}
	for _, m := range members {
		pairs = append(pairs, attribute, m)
	}
	if w.kind == kind389 {
		pairs = append(pairs, "objectClass", "nsMemberOf")
	}
	for _, dn := range memberOf {
		pairs = append(pairs, "memberOf", dn)
	}
	w.entry(g.DN(), pairs...)
}
