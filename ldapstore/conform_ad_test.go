package ldapstore_test

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/ldapstore/demodir"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

// answer is what a server says to a bind.
type answer struct {
	code int64
	text string
}

// adText is how Active Directory says why it refuses.
func adText(data string) string {
	return "80090308: LdapErr: DSID-0C090449, comment: AcceptSecurityContext error, data " + data + ", v4563\x00"
}

// tell has the embedded directory answer as servers of the kind do, if it is known
// how.
func (s *subject) tell(t *testing.T, want oidc.SignInReason, answers map[string]answer) {
	t.Helper()
	a, ok := answers[s.kind]
	if !ok {
		none(t)
	}
	u := mustUser(t, s.d, "bob")
	s.tree.Faults.Set(demodir.Bind, demodir.Fault{
		Trouble: demodir.Refuse, Code: a.code, Text: a.text, When: func(op demodir.Operation) bool { return op.DN == u.DN },
	})
	defer s.tree.Faults.Clear()
	_, err := s.d.Authenticate(t.Context(), "bob", ldaptest.Password("bob"))
	wantReason(t, err, want)
}

func ignoresReferences(t *testing.T, s *subject) {
	if s.kind != "ad" {
		none(t)
	}
	if s.real != nil { // its root names three other places
		if _, err := s.d.UserByName(t.Context(), "nobody"); !errors.Is(err, oidc.ErrNotFound) {
			t.Error(err)
		}
		o := s.options
		o.Table = map[string][]string{"ignore_references": {"false"}}
		_, err := open(t, o).UserByName(t.Context(), "nobody")
		wantUnavailable(t, err)
		return
	}
	var heard atomic.Int64
	other, _ := office(t, demodir.Options{Observe: func(demodir.Operation) { heard.Add(1) }})
	s.tree.Faults.Set(demodir.Search, demodir.Fault{Trouble: demodir.Reference, To: other.URL + "/DC=DomainDnsZones,DC=example,DC=org"})
	defer s.tree.Faults.Clear()
	wantGroups(t, mustUser(t, s.d, "bob"), s.wanted("bob")...)
	if _, err := s.d.UserByName(t.Context(), "nobody"); !errors.Is(err, oidc.ErrNotFound) {
		t.Error(err)
	}
	if heard.Load() != 0 {
		t.Error("the other place was asked")
	}
}

func asksForAllValues(t *testing.T, s *subject) {
	if s.tree == nil || s.kind != "ad" { // Samba holds nothing back
		none(t)
	}
	s = largeADTree(t, manyGroups)
	s.options.Timeout = time.Minute // the embedded server has no indexes
	s.d = open(t, s.options)
	many := mustUser(t, s.d, "many")
	if len(many.Groups) != manyGroups+len(s.everyone) {
		t.Errorf("found %d groups, want %d", len(many.Groups), manyGroups+len(s.everyone))
	}
	for _, g := range many.Groups {
		if len(g.Path) != 0 && g.Name != "Users" {
			t.Fatalf("the path to %s is %q", g.Name, g.Path)
		}
	}
	members, err := s.d.Members(t.Context(), "CN=crowd,OU=groups,DC=example,DC=org")
	if err != nil || len(members) != manyGroups {
		t.Errorf("%d members, %v", len(members), err)
	}
	// Without the list of tokens the groups are the same.
	o := s.options
	o.Table = map[string][]string{"token_groups_attribute": {"none"}}
	again := mustUser(t, open(t, o), "many")
	if !slices.Equal(groupNames(again), groupNames(many)) {
		t.Errorf("without tokenGroups there are %d groups", len(again.Groups))
	}
	// A part of the values is never taken for all of them.
	for at := range 4 {
		var n atomic.Int64
		s.tree.Faults.Set(demodir.Search, demodir.Fault{Trouble: demodir.Refuse, Code: 53, When: func(op demodir.Operation) bool {
			return op.Filter == "(objectClass=*)" && n.Add(1) == int64(at+1)
		}})
		u, err := s.d.User(t.Context(), many.ID)
		if err == nil && len(u.Groups) != len(many.Groups) {
			t.Errorf("fault %d: %d groups", at, len(u.Groups))
		}
		if n.Load() > int64(at) {
			wantUnavailable(t, err)
		}
		s.tree.Faults.Clear()
	}
}

// manyGroups is more than Active Directory sends of one attribute, and more
// entries than it sends at once.
const manyGroups = 1700

// adWriter writes a tree as Active Directory has it.
type adWriter struct {
	b    strings.Builder
	next uint32
}

func (w *adWriter) line(name, value string) {
	fmt.Fprintf(&w.b, "%s:: %s\n", name, base64.StdEncoding.EncodeToString([]byte(value)))
}

// entry writes an entry with an id of its own, and returns the SID.
func (w *adWriter) entry(dn string, pairs ...string) string {
	w.next++
	guid := make([]byte, 16)
	binary.LittleEndian.PutUint32(guid, w.next)
	sid := adSID(w.next)
	w.line("dn", dn)
	w.line("objectGUID", string(guid))
	w.line("objectSid", sid)
	for i := 0; i+1 < len(pairs); i += 2 {
		w.line(pairs[i], pairs[i+1])
	}
	w.b.WriteByte('\n')
	return sid
}

func adSID(rid uint32) string {
	b := []byte{1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0}
	return string(binary.LittleEndian.AppendUint32(b, rid))
}

// adTree is Active Directory with the limits that Samba doesn't have.
func adTree(t *testing.T) *subject { return largeADTree(t, 3) }

// largeADTree is adTree with somebody in so many groups.
func largeADTree(t *testing.T, many int) *subject {
	var w adWriter
	const base = "DC=example,DC=org"
	w.entry(base, "objectClass", "top", "objectClass", "domainDNS", "dc", "example")
	for _, dn := range []string{"OU=people", "OU=groups", "CN=Configuration", "CN=Partitions,CN=Configuration"} {
		name, _, _ := strings.Cut(dn, ",")
		attribute, value, _ := strings.Cut(name, "=")
		w.entry(dn+","+base, "objectClass", "container", attribute, value)
	}
	w.entry("CN=EXAMPLE,CN=Partitions,CN=Configuration,"+base, "objectClass", "crossRef", "cn", "EXAMPLE", "nCName", base, "nETBIOSName", "EXAMPLE", "dnsRoot", "example.org")
	s := &subject{
		column: "AD, embedded", kind: "ad", everyone: []string{"Domain Users", "Users"},
		direct: map[string][]string{
			"alice": {"staff", "developers"}, "bob": {"staff", "Sales, EMEA"}, "carol": {"staff", "developers", "Geschäftsführung"},
			"ivan": {"Sales, EMEA"}, "jörg": {"Geschäftsführung"}, "nina": {"numbered"}, "dave": nil, "judy": nil, "many": nil,
		},
		above: nesting(),
	}
	w.fill(s, base, many)
	server, o := office(t, demodir.Options{LDIF: []byte(w.b.String()), Disguise: &demodir.Disguise{
		RootDSE: map[string][]string{
			"supportedCapabilities": {"1.2.840.113556.1.4.800"}, "defaultNamingContext": {base}, "configurationNamingContext": {"CN=Configuration," + base},
		},
		MostValues: 1500, MostEntries: 1000,
	}})
	s.tree, s.options, s.d = server, o, open(t, o)
	return s
}

// fill writes people and groups. The embedded server works memberOf out for groups
// of the class groupOfNames.
func (w *adWriter) fill(s *subject, base string, many int) {
	escape := func(name string) string { return strings.ReplaceAll(name, ",", `\,`) }
	group := func(name string) string { return "CN=" + escape(name) + ",OU=groups," + base }
	person := func(name string) string {
		if name == "ivan" {
			name = "Comma, Ivan"
		}
		return "CN=" + escape(name) + ",OU=people," + base
	}
	for i := range many {
		s.direct["many"] = append(s.direct["many"], fmt.Sprintf("many %04d", i))
	}
	members := map[string][]string{"Users": {group("Domain Users")}, "Domain Users": {person("nina")}}
	for name, groups := range s.direct {
		for _, g := range groups {
			if g != "numbered" {
				members[g] = append(members[g], person(name))
			}
		}
	}
	for below, groups := range s.above {
		for _, g := range groups {
			members[g] = append(members[g], group(below))
		}
	}
	for i := range many {
		members["crowd"] = append(members["crowd"], fmt.Sprintf("CN=stranger %d,OU=elsewhere,%s", i, base))
	}
	members["numbered"] = nil
	sids, rids := map[string]string{}, map[string]uint32{}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		pairs := []string{"objectClass", "group", "objectClass", "groupOfNames", "cn", name, "description", name + " of Active Directory"}
		for _, m := range members[name] {
			pairs = append(pairs, "member", m)
		}
		sids[name] = w.entry(group(name), pairs...)
		rids[name] = w.next
	}
	for name := range s.direct {
		surname := name
		if name == "jörg" {
			surname = "Umlaut"
		}
		principal := name
		if name == "judy" {
			principal = "many"
		}
		pairs := []string{
			"objectClass", "user", "objectClass", "person", "objectCategory", "person", "sAMAccountName", name, "userPrincipalName", principal + "@example.org",
			"cn", name, "sn", surname, "mail", name + "@example.org", "userPassword", ldaptest.Password(name), "accountExpires", "9223372036854775807",
		}
		switch name {
		case "ivan":
			pairs = append(pairs, "cn", "Comma, Ivan")
		case "judy":
			pairs = append(pairs[:len(pairs)-1], "133000000000000000")
		}
		control, primary := "512", "Domain Users"
		if name == "dave" {
			control = "514"
		}
		if name == "nina" {
			primary = "numbered"
		}
		pairs = append(pairs, "userAccountControl", control, "primaryGroupID", fmt.Sprint(rids[primary]))
		for _, g := range s.wanted(name) {
			pairs = append(pairs, "tokenGroups", sids[g])
		}
		w.entry(person(name), pairs...)
	}
}
