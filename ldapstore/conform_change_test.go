package ldapstore_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gatehouse/ldapstore"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

// hexDN writes a value so that it can stand in a DN, whatever it is.
func hexDN(value string) string {
	var b strings.Builder
	for i := range len(value) {
		fmt.Fprintf(&b, `\%02X`, value[i])
	}
	return b.String()
}

func survivesTorture(t *testing.T, s *subject) {
	huge := strings.Repeat("x", 64<<10)
	for _, name := range []string{
		"*", "a*", "alice)(objectClass=*", "*)(uid=*", `\2a`, "alice\x00", "\xff\xfe", "", " ", "(", ")", `\`, huge, strings.Repeat("*", 500), "cn=alice", `"alice"`, "alice+x=y", "#616c696365",
	} {
		if u, err := s.d.UserByName(t.Context(), name); !errors.Is(err, oidc.ErrNotFound) {
			t.Errorf("name %.40q: got %v, %v, want ErrNotFound", name, u, err)
		}
	}
	_, err := s.d.Authenticate(t.Context(), "carol", huge)
	wantReason(t, err, oidc.ReasonWrongPassword)
	if s.real == nil {
		return
	}
	odd := ` ,#+"\<>;()*=ä 'é`
	login := odd
	switch s.kind {
	case "ad": // which has forbidden most of them in this attribute
		login = "odd (ä)#'é"
	case "389ds": // whose check of seven bits is on
		login = ` ,#+"\<>;()*=a 'e`
	}
	person := ldaptest.Person{UID: login, GivenName: "Odd", Surname: "Name", RDN: "cn=" + hexDN(odd), More: map[string][]string{"cn": {odd}, "mail": {"odd@example.org"}}}
	s.real.AddPerson(person)
	group := ldaptest.Group{RDN: "cn=" + hexDN("of "+odd), Members: []string{person.DN()}}
	above := ldaptest.Group{RDN: "cn=" + hexDN("above "+odd), Members: []string{group.DN()}}
	if s.kind == "ad" {
		for i, g := range []ldaptest.Group{group, above} {
			s.real.Add(g.DN(), map[string][]string{
				"objectClass": {"group"}, "sAMAccountName": {fmt.Sprintf("odd group %d", i)}, "groupType": {"-2147483646"}, "member": g.Members,
			})
		}
	} else {
		s.real.AddGroups([]ldaptest.Group{group, above})
	}
	u, err := s.d.Authenticate(t.Context(), login, ldaptest.Password(login))
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.d.User(t.Context(), u.ID)
	if err != nil || again.DN != u.DN || again.Username != strings.TrimSpace(login) && again.Username != login {
		t.Errorf("by id: %+v, %v", again, err)
	}
	var names []string
	for _, g := range u.Groups {
		if !slices.Contains(s.everyone, g.Name) {
			names = append(names, strings.TrimSpace(g.Name))
		}
		if found, err := s.d.Group(t.Context(), g.DN); err != nil || found.DN != g.DN {
			t.Errorf("group %q: %+v, %v", g.DN, found, err)
		}
	}
	slices.Sort(names)
	if want := []string{"above " + odd, "of " + odd}; !slices.Equal(names, want) {
		t.Errorf("groups are %q, want %q", names, want)
	}
}

func climbsFifty(t *testing.T, s *subject) {
	s.needsReal(t)
	s.real.AddPerson(ldaptest.Person{UID: "fifi", GivenName: "Fifi", Surname: "Deep"})
	var groups []ldaptest.Group
	member := s.real.PersonDN("fifi")
	for i := range 50 {
		groups = append(groups, ldaptest.Group{RDN: fmt.Sprintf("cn=deep %02d", i), Members: []string{member}})
		member = groups[i].DN()
	}
	s.real.AddGroups(groups)
	n := 0
	u, err := s.d.UserByName(searches(t.Context(), &n), "fifi")
	if err != nil {
		t.Fatal(err)
	}
	deep := 0
	for _, g := range u.Groups {
		var level int
		if _, err := fmt.Sscanf(g.Name, "deep %d", &level); err == nil {
			if deep++; len(g.Path) != level {
				t.Errorf("the path to %q has %d groups", g.Name, len(g.Path))
			}
		}
	}
	if deep != 50 {
		t.Errorf("found %d groups, want 50", deep)
	}
	most := 1 + 51 // one for the person, one a level, and one that finds no more
	if s.kind == "ad" {
		most = 4 // the person, direct groups, tokenGroups, and whose they are
	}
	if n > most {
		t.Errorf("it took %d searches, want %d at most", n, most)
	}
}

func keepsNamesakesApart(t *testing.T, s *subject) {
	s.needsReal(t)
	s.real.AddPerson(ldaptest.Person{UID: "nadia", GivenName: "Nadia", Surname: "Name"})
	member := s.real.PersonDN("nadia")
	here, there := ldaptest.GroupDN("cn=namesakes"), "cn=namesakes,ou=services,"+s.real.BaseDN
	class := map[string][]string{"objectClass": {"groupOfNames"}, "cn": {"namesakes"}, "member": {member}}
	if s.kind == "ad" {
		class = map[string][]string{"objectClass": {"group"}, "sAMAccountName": {"namesakes 1"}, "groupType": {"-2147483646"}, "member": {member}}
	}
	s.real.Add(here, class)
	class["member"] = []string{s.real.PersonDN("alice")}
	if s.kind == "ad" {
		class["sAMAccountName"] = []string{"namesakes 2"}
	}
	s.real.Add(there, class)
	u := mustUser(t, s.d, "nadia")
	at := slices.IndexFunc(u.Groups, func(g oidc.Group) bool { return g.Name == "namesakes" })
	if at < 0 || len(u.Groups) != 1+len(s.everyone) || !strings.EqualFold(u.Groups[at].DN, here) {
		t.Errorf("groups are %+v", u.Groups)
	}
	both, err := s.d.Groups(t.Context(), "NAMESAKES")
	if err != nil || len(both) != 2 || strings.EqualFold(both[0].DN, both[1].DN) {
		t.Errorf("by name: %+v, %v", both, err)
	}
	s.real.Delete(there) // so that alice's groups are those of the seed again
}

func looksInSeveralPlaces(t *testing.T, s *subject) {
	o := s.options
	base := o.BaseDN
	// What is in two places that overlap is there once.
	o.UserBaseDN, o.GroupBaseDN = []string{base, strings.ToUpper(base)}, []string{base, base}
	wantGroups(t, mustUser(t, open(t, o), "bob"), s.wanted("bob")...)
	if s.real == nil {
		return
	}
	s.real.AddPerson(ldaptest.Person{UID: "paula", GivenName: "Paula", Surname: "Place"})
	s.real.Move(s.real.PersonDN("paula"), "ou=services,"+base)
	moved := strings.Replace(s.real.PersonDN("paula"), "ou=people", "ou=services", 1)
	s.real.AddGroup(ldaptest.Group{RDN: "cn=placed", Members: []string{moved}})
	o.BaseDN, o.UserBaseDN, o.GroupBaseDN = "", []string{"ou=people," + base}, []string{"ou=services," + base}
	if u, err := open(t, o).UserByName(t.Context(), "paula"); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("outside of the place for people: %+v, %v", u, err)
	}
	wantGroups(t, mustUser(t, open(t, o), "bob"))
	o.UserBaseDN = append(o.UserBaseDN, "ou=services,"+base)
	wantGroups(t, mustUser(t, open(t, o), "paula"))
	o.GroupBaseDN = append(o.GroupBaseDN, "ou=groups,"+base)
	wantGroups(t, mustUser(t, open(t, o), "paula"), "placed")
	// A place that isn't there makes the answer uncertain: nobody is gone.
	o.UserBaseDN = []string{"ou=people," + base, "ou=nowhere," + base}
	_, err := open(t, o).User(t.Context(), s.strangerID())
	wantUnavailable(t, err)
	o.UserBaseDN, o.GroupBaseDN = []string{base}, []string{"ou=groups," + base, "ou=nowhere," + base}
	_, err = open(t, o).UserByName(t.Context(), "bob")
	wantUnavailable(t, err)
}

// strangerID is an id that nobody has.
func (s *subject) strangerID() string {
	if s.kind == "389ds" {
		return "00000000-00000000-00000000-00000000"
	}
	return "00000000-0000-4000-8000-000000000000"
}

func findsManyGroups(t *testing.T, s *subject) {
	s.needsReal(t)
	s.real.AddPerson(ldaptest.Person{UID: "mona", GivenName: "Mona", Surname: "Many"})
	var groups []ldaptest.Group
	for i := range 300 {
		groups = append(groups, ldaptest.Group{RDN: fmt.Sprintf("cn=many %03d", i), Members: []string{s.real.PersonDN("mona")}})
	}
	s.real.AddGroups(groups)
	if u := mustUser(t, s.d, "mona"); len(u.Groups) != 300+len(s.everyone) {
		t.Errorf("found %d groups", len(u.Groups))
	}
}

func keepsIDs(t *testing.T, s *subject) {
	s.needsReal(t)
	s.real.AddPerson(ldaptest.Person{UID: "mover", GivenName: "Max", Surname: "Mover"})
	dn := s.real.PersonDN("mover")
	s.real.AddGroup(ldaptest.Group{RDN: "cn=movers", Members: []string{dn}})
	before := mustUser(t, s.d, "mover")
	attribute, _, _ := strings.Cut(dn, "=")
	s.real.Rename(dn, attribute+"=mover2")
	renamed := strings.Replace(dn, "mover", "mover2", 1)
	s.real.Move(renamed, "ou=services,"+s.real.BaseDN)
	moved := strings.Replace(renamed, "ou=people", "ou=services", 1)
	eventually(t, "the person is found under the new name with the groups of the old one", func() bool {
		u, err := s.d.User(t.Context(), before.ID)
		return err == nil && strings.EqualFold(u.DN, moved) && slices.Equal(groupNames(u), groupNames(before))
	})
	s.real.Delete(moved)
	if _, err := s.d.User(t.Context(), before.ID); !errors.Is(err, oidc.ErrNotFound) || errors.Is(err, oidc.ErrUnavailable) {
		t.Errorf("after the deletion: %v", err)
	}
	s.real.AddPerson(ldaptest.Person{UID: "mover", GivenName: "Max", Surname: "Second"})
	if again := mustUser(t, s.d, "mover"); again.ID == before.ID {
		t.Error("a person created anew has the old id")
	}
	if _, err := s.d.User(t.Context(), before.ID); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("the old id after the account was created anew: %v", err)
	}
}

func forgetsAtOnce(t *testing.T, s *subject) {
	s.needsReal(t)
	peter := mustUser(t, s.d, "peter")
	group := ldaptest.GroupDN("cn=empty")
	for round := range 20 {
		s.real.AddMember(group, peter.DN)
		u, err := s.d.User(t.Context(), peter.ID)
		if err != nil || len(u.Groups) != len(peter.Groups)+1 {
			t.Fatalf("round %d: added, yet %v, %v", round, u, err)
		}
		s.real.RemoveMember(group, peter.DN)
		u, err = s.d.User(t.Context(), peter.ID)
		if err != nil || len(u.Groups) != len(peter.Groups) {
			t.Fatalf("round %d: removed, yet %v, %v", round, u, err)
		}
	}
}

// wantEither accepts the reason, or that the server doesn't say whether the password
// was right.
func wantEither(t *testing.T, err error, reason oidc.SignInReason) {
	t.Helper()
	var refused *oidc.SignInError
	if !errors.As(err, &refused) || refused.Reason != reason && refused.Reason != oidc.ReasonWrongPassword {
		t.Fatalf("got %v, want a refusal because of %s", err, reason)
	}
}

func refusesDisabled(t *testing.T, s *subject) {
	if s.kind == "lldap" {
		none(t)
	}
	if u := mustUser(t, s.d, "dave"); u.State != oidc.StateDisabled {
		t.Errorf("dave is %v", u.State)
	}
	_, err := s.d.Authenticate(t.Context(), "dave", ldaptest.Password("dave"))
	wantEither(t, err, oidc.ReasonDisabled)
	_, err = s.d.Authenticate(t.Context(), "dave", "wrong")
	wantReason(t, err, oidc.ReasonWrongPassword)
	if s.real == nil {
		return
	}
	s.real.AddPerson(ldaptest.Person{UID: "dora", GivenName: "Dora", Surname: "Later"})
	id := mustUser(t, s.d, "dora").ID
	s.real.Disable("dora")
	if u, err := s.d.User(t.Context(), id); err != nil || u.State != oidc.StateDisabled {
		t.Errorf("disabled, yet %v, %v", u, err)
	}
	s.real.Enable("dora")
	if u, err := s.d.User(t.Context(), id); err != nil || u.State != oidc.StateActive {
		t.Errorf("enabled, yet %v, %v", u, err)
	}
}

func refusesExpired(t *testing.T, s *subject) {
	if s.kind == "lldap" || s.kind == "glauth" {
		none(t)
	}
	if u := mustUser(t, s.d, "judy"); u.State != oidc.StateExpired {
		t.Errorf("judy is %v", u.State)
	}
	_, err := s.d.Authenticate(t.Context(), "judy", ldaptest.Password("judy"))
	wantEither(t, err, oidc.ReasonAccountExpired)
	_, err = s.d.Authenticate(t.Context(), "judy", "wrong")
	wantReason(t, err, oidc.ReasonWrongPassword)
}

func tellsExpiredPassword(t *testing.T, s *subject) {
	if s.real == nil && s.kind != "freeipa" {
		s.tell(t, oidc.ReasonPasswordExpired, map[string]answer{"ad": {49, adText("532")}})
		return
	}
	_, err := s.d.Authenticate(t.Context(), "erin", ldaptest.Password("erin"))
	wantReason(t, err, oidc.ReasonPasswordExpired)
	_, err = s.d.Authenticate(t.Context(), "erin", "wrong")
	wantReason(t, err, oidc.ReasonWrongPassword)
	if u := mustUser(t, s.d, "erin"); u.State != oidc.StateActive {
		t.Errorf("the account is %v", u.State)
	}
}

func tellsMustChange(t *testing.T, s *subject) {
	if s.real == nil {
		s.tell(t, oidc.ReasonMustChange, map[string]answer{"ad": {49, adText("773")}})
		return
	}
	_, err := s.d.Authenticate(t.Context(), "frank", ldaptest.Password("frank"))
	wantReason(t, err, oidc.ReasonMustChange)
	_, err = s.d.Authenticate(t.Context(), "frank", "wrong")
	wantReason(t, err, oidc.ReasonWrongPassword)
}

func tellsLocked(t *testing.T, s *subject) {
	if s.real == nil {
		s.tell(t, oidc.ReasonLocked, map[string]answer{
			"ad": {49, adText("775")}, "freeipa": {53, "Too many failed logins.\n"}, "edirectory": {53, "NDS error: login lockout (-197)"},
		})
		return
	}
	s.real.AddPerson(ldaptest.Person{UID: "luke", GivenName: "Luke", Surname: "Locked"})
	id := mustUser(t, s.d, "luke").ID
	for range 5 {
		_, err := s.d.Authenticate(t.Context(), "luke", "wrong")
		wantReason(t, err, oidc.ReasonWrongPassword)
	}
	_, err := s.d.Authenticate(t.Context(), "luke", ldaptest.Password("luke"))
	wantReason(t, err, oidc.ReasonLocked)
	if u, err := s.d.User(t.Context(), id); err != nil || u.State != oidc.StateActive {
		t.Errorf("a stranger's guesses made the account %v, %v", u, err)
	}
	var remarks []string
	if _, err := s.d.User(ldapstore.WithTrace(t.Context(), func(step ldapstore.Step) { remarks = append(remarks, step.Detail) }), id); err != nil {
		t.Error(err)
	}
	if !strings.Contains(strings.Join(remarks, " "), "locked the password") {
		t.Errorf("an operator is told %q", remarks)
	}
}

func letsGraceIn(t *testing.T, s *subject) {
	if s.real == nil || s.kind == "ad" {
		none(t)
	}
	for range 3 {
		if _, err := s.d.Authenticate(t.Context(), "grace", ldaptest.Password("grace")); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.d.Authenticate(t.Context(), "grace", ldaptest.Password("grace"))
	wantReason(t, err, oidc.ReasonPasswordExpired)
}

func tellsHours(t *testing.T, s *subject) {
	if s.real == nil {
		s.tell(t, oidc.ReasonOutsideHours, map[string]answer{"ad": {49, adText("530")}, "edirectory": {53, "NDS error: bad login time (-218)"}})
		return
	}
	if s.kind != "ad" {
		none(t)
	}
	s.real.AddPerson(ldaptest.Person{UID: "henry", GivenName: "Henry", Surname: "Hours"})
	s.real.Modify(s.real.PersonDN("henry"), "logonHours", string(make([]byte, 21)))
	_, err := s.d.Authenticate(t.Context(), "henry", ldaptest.Password("henry"))
	wantReason(t, err, oidc.ReasonOutsideHours)
	_, err = s.d.Authenticate(t.Context(), "henry", "wrong")
	wantReason(t, err, oidc.ReasonWrongPassword)
}
