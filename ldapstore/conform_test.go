package ldapstore_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/ldapstore"
	"gatehouse/ldapstore/demodir"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

var update = flag.Bool("update", false, "write the table in docs/directories.md anew")

// subject is one directory that all requirements are tried on.
type subject struct {
	column  string // of the table in docs/directories.md
	kind    string
	real    *ldaptest.Server // nil for an embedded tree
	tree    *demodir.Server
	options ldapstore.Options
	d       *ldapstore.Directory

	everyone []string            // groups that all people are in
	direct   map[string][]string // person → groups
	above    map[string][]string // group → groups that have it as a member
}

// requirement is one row of the table.
type requirement struct {
	name string // as in the table
	test func(*testing.T, *subject)
}

// requirements are the rows in their order.
func requirements() []requirement {
	return []requirement{
		{"the kind is found by asking", isRecognised},
		{"over LDAPS and StartTLS", usesTLS},
		{"the right password lets in, and no other", signsIn},
		{"`Alice`, `aLICE` and decomposed letters are one person", knowsSpellings},
		{"a name that fits two people is refused", refusesTwins},
		{"`DOMAIN\\name` and `name@domain`", takesQualifiedNames},
		{"names with `, # + \" \\ < > ; ( ) *`, blanks and umlauts", survivesTorture},
		{"passwords of any letters, and long ones", takesAnyPassword},
		{"values of 64 kB", readsLongValues},
		{"groups that list a person", findsGroups},
		{"groups in groups, with loops, and the way there", climbsGroups},
		{"nesting 50 deep", climbsFifty},
		{"the primary group", findsPrimaryGroup},
		{"two groups of one name in two places stay two", keepsNamesakesApart},
		{"several places for people and groups", looksInSeveralPlaces},
		{"a person in 300 groups", findsManyGroups},
		{"a rename and a move keep the id; a new account has another", keepsIDs},
		{"a removal counts at the next look-up", forgetsAtOnce},
		{"a disabled account is refused, and ends what was granted", refusesDisabled},
		{"an expired account likewise", refusesExpired},
		{"an expired password is told from a wrong one", tellsExpiredPassword},
		{"a password that must be changed likewise", tellsMustChange},
		{"an account locked by failures is told", tellsLocked},
		{"sign-ins that are granted beyond the password's age", letsGraceIn},
		{"outside of the hours for signing in", tellsHours},
		{"people change their password on our page", changesPasswords},
		{"changes are followed (`directory.cache: watch`)", followsChanges},
		{"references to other places are not followed and harm nothing", ignoresReferences},
		{"values that the server holds back (1,700 members)", asksForAllValues},
	}
}

// none ends a test of what a directory doesn't have.
func none(t *testing.T) {
	t.Helper()
	t.SkipNow()
}

// needsReal skips what an embedded tree can't show.
func (s *subject) needsReal(t *testing.T) {
	t.Helper()
	if s.real == nil {
		none(t)
	}
}

// wanted returns the groups that a person has to be in.
func (s *subject) wanted(name string) []string {
	all := slices.Clone(s.everyone)
	var climb func(group string)
	climb = func(group string) {
		if slices.Contains(all, group) {
			return
		}
		all = append(all, group)
		for _, above := range s.above[group] {
			climb(above)
		}
	}
	for _, group := range s.direct[name] {
		climb(group)
	}
	return all
}

// TestEveryDirectory tries every requirement on every directory, and compares with
// the table in the documents. Real servers are started once for all of it.
func TestEveryDirectory(t *testing.T) {
	t.Parallel()
	record := &record{cells: map[string]map[string]string{}}
	t.Run("on", func(t *testing.T) {
		for _, begin := range []struct {
			column string
			start  func(*testing.T) *subject
		}{
			{"OpenLDAP", func(t *testing.T) *subject { return realSubject(t, "OpenLDAP", ldaptest.Start(t)) }},
			{"389 DS", func(t *testing.T) *subject { return realSubject(t, "389 DS", ldaptest.Start389(t, nil, nil)) }},
			{"Active Directory", func(t *testing.T) *subject {
				if testing.Short() {
					t.Skip("to set a domain up takes long")
				}
				return realSubject(t, "Active Directory", ldaptest.StartAD(t, nil, nil))
			}},
			{"AD, embedded", adTree},
			{"FreeIPA", freeipaTree},
			{"lldap", lldapTree},
			{"GLAuth", glauthTree},
			{"ApacheDS", apachedsTree},
			{"eDirectory", edirectoryTree},
		} {
			t.Run(begin.column, func(t *testing.T) {
				t.Parallel()
				s := begin.start(t)
				for _, r := range requirements() {
					done := false
					passed := t.Run(r.name, func(t *testing.T) {
						part := *s
						if s.real != nil {
							part.real = s.real.For(t)
						}
						r.test(t, &part)
						done = true
					})
					record.note(r.name, s, passed, done)
				}
			})
		}
	})
	record.compare(t)
}

// realSubject is a directory of ldaptest with its own people.
func realSubject(t *testing.T, column string, server *ldaptest.Server) *subject {
	t.Helper()
	s := &subject{
		column: column, kind: server.Kind, real: server, options: options(server),
		direct: map[string][]string{
			"alice": {"staff", "developers", "unique", "unix", "admins"},
			"bob":   {"staff", "Sales, EMEA", "unix", "loop"},
			"carol": {"staff", "developers", "Geschäftsführung"},
			"ivan":  {"Sales, EMEA"}, "jörg": {"Geschäftsführung"}, "nina": {"numbered"}, "peter": nil,
		},
		above: nesting(),
	}
	if server.Kind == "ad" {
		s.everyone = []string{"Domain Users", "Users"}
		s.options.URL = []string{server.LDAPSURL}
	}
	s.options.Timeout = 20 * time.Second // what is asked here is whether, not how soon
	s.d = open(t, s.options)
	return s
}

func nesting() map[string][]string {
	return map[string][]string{"developers": {"engineering"}, "engineering": {"company"}, "company": {"loop"}, "loop": {"company"}}
}

// treeSubject is a tree of testdata behind the embedded server.
func treeSubject(t *testing.T, column, kind, file string, root map[string][]string) *subject {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "trees", file))
	if err != nil {
		t.Fatal(err)
	}
	server, o := office(t, demodir.Options{LDIF: text, Disguise: &demodir.Disguise{RootDSE: root}})
	return &subject{
		column: column, kind: kind, tree: server, options: o, d: open(t, o),
		direct: map[string][]string{
			"alice": {"staff", "developers"}, "bob": {"staff", "Sales, EMEA"}, "carol": {"staff", "developers", "Geschäftsführung"},
			"ivan": {"Sales, EMEA"}, "jörg": {"Geschäftsführung"}, "nina": {"numbered"},
		},
		above: nesting(),
	}
}

func freeipaTree(t *testing.T) *subject {
	return treeSubject(t, "FreeIPA", "freeipa", "freeipa.ldif", map[string][]string{
		"vendorName": {"389 Project"}, "ipaTopologyPluginVersion": {"1.0"}, "ipaDomainLevel": {"1"},
	})
}

func lldapTree(t *testing.T) *subject {
	s := treeSubject(t, "lldap", "lldap", "lldap.ldif", map[string][]string{"vendorName": {"LLDAP"}, "vendorVersion": {"lldap_0.6.1"}})
	s.above, s.direct["nina"] = nil, nil
	return s
}

func glauthTree(t *testing.T) *subject {
	s := treeSubject(t, "GLAuth", "glauth", "glauth.ldif", map[string][]string{"serverName": {"unknown"}, "subschemaSubentry": {"cn=schema"}})
	s.above = nil
	return s
}

func apachedsTree(t *testing.T) *subject {
	return treeSubject(t, "ApacheDS", "apacheds", "apacheds.ldif", map[string][]string{"vendorName": {"Apache Software Foundation"}, "vendorVersion": {"2.0.0.AM27"}})
}

func edirectoryTree(t *testing.T) *subject {
	s := treeSubject(t, "eDirectory", "edirectory", "edirectory.ldif", map[string][]string{
		"vendorName": {"NetIQ Corporation"}, "vendorVersion": {"LDAP Agent for NetIQ eDirectory 9.2"}, "directoryTreeName": {"EXAMPLE"},
	})
	s.direct["nina"] = []string{"dynamic"}
	return s
}

// record is what was found out.
type record struct {
	mu    sync.Mutex
	cells map[string]map[string]string // column → requirement → cell
}

// note keeps a result: yes on a real server, tree on an embedded one, and a dash
// for what is not there or was not tried.
func (r *record) note(requirement string, s *subject, passed, done bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cells[s.column] == nil {
		r.cells[s.column] = map[string]string{}
	}
	cell := "–"
	switch {
	case !passed:
		cell = "no"
	case done && s.real != nil:
		cell = "yes"
	case done:
		cell = "tree"
	}
	r.cells[s.column][requirement] = cell
}

const (
	tableFile  = "../docs/directories.md"
	tableBegin = "<!-- begin: generated from the tests of ldapstore by go generate -->\n"
	tableEnd   = "<!-- end -->\n"
)

// compare compares the table in the documents with what was found out, as far as
// this machine has the servers; with -update it writes the table.
func (r *record) compare(t *testing.T) {
	t.Helper()
	if strings.Contains(flag.Lookup("test.run").Value.String(), "/") {
		t.Skip("only a part was run")
	}
	text, err := os.ReadFile(tableFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), tableBegin)
	old, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the table", tableFile)
	}
	columns := []string{"OpenLDAP", "389 DS", "Active Directory", "AD, embedded", "FreeIPA", "lldap", "GLAuth", "ApacheDS", "eDirectory"}
	written := parseTable(old)
	var b strings.Builder
	b.WriteString("| requirement | " + strings.Join(columns, " | ") + " |\n|" + strings.Repeat(" --- |", len(columns)+1) + "\n")
	for _, requirement := range requirements() {
		b.WriteString("| " + requirement.name)
		for i, column := range columns {
			cell, tried := r.cells[column][requirement.name]
			if !tried { // the server is not on this machine
				if os.Getenv("GATEHOUSE_TEST_REQUIRE") == "all" && !testing.Short() {
					t.Errorf("%s was not run", column)
				}
				cell = written[requirement.name][i]
			}
			b.WriteString(" | " + cell)
		}
		b.WriteString(" |\n")
	}
	switch now := b.String(); {
	case now == old:
	case *update:
		if err := os.WriteFile(tableFile, []byte(before+tableBegin+now+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the table in %s is not what the tests found; run go generate ./ldapstore\n%s", tableFile, now)
	}
}

// parseTable reads the cells of a table by the first of each row.
func parseTable(text string) map[string][20]string {
	rows := map[string][20]string{}
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		var row [20]string
		for i, cell := range cells[1:] {
			row[i] = strings.TrimSpace(cell)
		}
		rows[strings.TrimSpace(cells[0])] = row
	}
	return rows
}

func isRecognised(t *testing.T, s *subject) {
	k, err := s.d.Kind(t.Context())
	if err != nil || k.Name != s.kind {
		t.Errorf("it is taken for %q, %v", k.Name, err)
	}
}

func signsIn(t *testing.T, s *subject) {
	for _, name := range []string{"alice", "ivan", "jörg"} {
		u, err := s.d.Authenticate(t.Context(), name, ldaptest.Password(name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		same, err := s.d.User(t.Context(), u.ID)
		if err != nil || same.DN != u.DN || !slices.Equal(groupNames(same), groupNames(u)) {
			t.Errorf("%s: signed in as %+v, looked up as %+v, %v", name, u, same, err)
		}
		_, err = s.d.Authenticate(t.Context(), name, "wrong")
		wantReason(t, err, oidc.ReasonWrongPassword)
		_, err = s.d.Authenticate(t.Context(), name, "")
		wantReason(t, err, oidc.ReasonEmptyPassword)
	}
	_, err := s.d.Authenticate(t.Context(), "nobody", "wrong")
	wantReason(t, err, oidc.ReasonUnknownUser)
}

func knowsSpellings(t *testing.T, s *subject) {
	alice := mustUser(t, s.d, "alice")
	for _, typed := range []string{"Alice", "aLICE", "ALICE"} {
		if u := mustUser(t, s.d, typed); u.ID != alice.ID || u.Username != alice.Username {
			t.Errorf("%s is %s (%s), and alice is %s (%s)", typed, u.ID, u.Username, alice.ID, alice.Username)
		}
	}
	composed, decomposed := mustUser(t, s.d, "j\u00f6rg"), mustUser(t, s.d, "jo\u0308rg")
	if composed.ID != decomposed.ID || composed.Username != decomposed.Username {
		t.Errorf("two people: %+v and %+v", composed, decomposed)
	}
	if _, err := s.d.Authenticate(t.Context(), "jo\u0308rg", ldaptest.Password("j\u00f6rg")); err != nil {
		t.Error(err)
	}
}

func refusesTwins(t *testing.T, s *subject) {
	o := s.options
	o.Table = map[string][]string{"login_attributes": {"mail", "sn"}}
	d := open(t, o)
	if u := mustUser(t, d, "Alice@Example.org"); u.Username != "alice@example.org" {
		t.Errorf("by mail: %q", u.Username)
	}
	name := "twins@example.org"
	if s.real == nil {
		name = "Umlaut" // one person has it as the surname, and nobody else
		if mustUser(t, d, name); t.Failed() {
			return
		}
		o.Table = map[string][]string{"login_attributes": {"objectClass"}}
		d, name = open(t, o), "person"
		if s.kind == "glauth" {
			name = "posixAccount"
		}
	}
	_, err := d.UserByName(t.Context(), name)
	wantReason(t, err, oidc.ReasonAmbiguous)
	_, err = d.Authenticate(t.Context(), name, ldaptest.Password("tom"))
	wantReason(t, err, oidc.ReasonAmbiguous)
}

func takesQualifiedNames(t *testing.T, s *subject) {
	if s.kind != "ad" {
		none(t)
	}
	alice := mustUser(t, s.d, "alice")
	for _, typed := range []string{`EXAMPLE\alice`, `example\ALICE`, "alice@example.org", "ALICE@EXAMPLE.ORG"} {
		u, err := s.d.Authenticate(t.Context(), typed, ldaptest.Password("alice"))
		if err != nil || u.ID != alice.ID || u.Username != alice.Username {
			t.Errorf("%s: %+v, %v", typed, u, err)
		}
	}
	if u := mustUser(t, s.d, "EXAMPLE\\jo\u0308rg"); u.Username != "j\u00f6rg" {
		t.Errorf("got %q", u.Username)
	}
	for _, typed := range []string{`OTHER\alice`, `\alice`, `EXAMPLE\`, `EXAMPLE\*`, "alice@elsewhere.org", "@example.org", `EXAMPLE\alice\alice`} {
		_, err := s.d.Authenticate(t.Context(), typed, ldaptest.Password("alice"))
		wantReason(t, err, oidc.ReasonUnknownUser)
	}
	if s.real == nil {
		// Two people have a claim to it, which Samba doesn't let happen.
		_, err := s.d.UserByName(t.Context(), "many@example.org")
		wantReason(t, err, oidc.ReasonAmbiguous)
		return
	}
	// The name of the entry is another than the one that Windows lets in by.
	s.real.AddPerson(ldaptest.Person{UID: "wanda", GivenName: "Wanda", Surname: "Windows"})
	s.real.Modify(s.real.PersonDN("wanda"), "userPrincipalName", "w.windows@example.org")
	for _, typed := range []string{"wanda", "wanda@example.org", "w.windows@example.org"} {
		if u := mustUser(t, s.d, typed); u.Username != "wanda" {
			t.Errorf("%s is %q", typed, u.Username)
		}
	}
}

func findsGroups(t *testing.T, s *subject) {
	o := s.options
	o.DirectGroupsOnly = true
	d := open(t, o)
	for name, groups := range s.direct {
		if name == "nina" {
			continue
		}
		u := mustUser(t, d, name)
		var want []string
		for _, group := range s.everyone {
			if group != "Users" { // through Domain Users
				want = append(want, group)
			}
		}
		wantGroups(t, u, append(want, groups...)...)
		for _, g := range u.Groups {
			if g.ID == "" && s.kind != "glauth" || g.DN == "" || len(g.Path) != 0 {
				t.Errorf("a group without id or DN, or with a path: %+v", g)
			}
		}
	}
}

func climbsGroups(t *testing.T, s *subject) {
	if s.above == nil {
		none(t)
	}
	for name := range s.direct {
		if name != "nina" {
			wantGroups(t, mustUser(t, s.d, name), s.wanted(name)...)
		}
	}
	carol := mustUser(t, s.d, "carol")
	for group, want := range map[string][]string{
		"developers": nil, "engineering": {"developers"}, "company": {"developers", "engineering"}, "loop": {"developers", "engineering", "company"},
	} {
		i := slices.IndexFunc(carol.Groups, func(g oidc.Group) bool { return g.Name == group })
		if i < 0 {
			t.Fatalf("carol is not in %s", group)
		}
		var names []string
		for _, dn := range carol.Groups[i].Path {
			at := slices.IndexFunc(carol.Groups, func(g oidc.Group) bool { return g.DN == dn })
			if at < 0 {
				t.Fatalf("the path to %s has %q, which is no group of carol's", group, dn)
			}
			names = append(names, carol.Groups[at].Name)
		}
		if !slices.Equal(names, want) {
			t.Errorf("the path to %s is %q, want %q", group, names, want)
		}
	}
}

func findsPrimaryGroup(t *testing.T, s *subject) {
	if s.kind == "lldap" || s.kind == "edirectory" {
		none(t)
	}
	u := mustUser(t, s.d, "nina")
	wantGroups(t, u, s.wanted("nina")...)
	for _, g := range u.Groups {
		if g.Name == "numbered" && len(g.Path) != 0 {
			t.Errorf("the primary group has the path %q", g.Path)
		}
	}
}
