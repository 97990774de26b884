package ldapstore_test

import (
	"slices"
	"strings"
	"testing"

	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

func usesTLS(t *testing.T, s *subject) {
	s.needsReal(t)
	for _, startTLS := range []bool{false, true} {
		o := s.options
		o.URL, o.StartTLS = []string{s.real.LDAPSURL}, startTLS
		if startTLS {
			o.URL = []string{s.real.URL}
		}
		d := open(t, o)
		u, err := d.Authenticate(t.Context(), "bob", ldaptest.Password("bob"))
		if err != nil || !strings.EqualFold(u.DN, s.real.PersonDN("bob")) {
			t.Errorf("StartTLS %v: %+v, %v", startTLS, u, err)
		}
		o.CAFile = ldaptest.NewAuthority(t, "another").File
		_, err = open(t, o).UserByName(t.Context(), "bob")
		wantUnavailable(t, err)
	}
}

// takesAnyPassword tries passwords that are letters of DNs and filters elsewhere.
func takesAnyPassword(t *testing.T, s *subject) {
	s.needsReal(t)
	s.real.AddPerson(ldaptest.Person{UID: "paul", GivenName: "Paul", Surname: "Password"})
	dn := s.real.PersonDN("paul")
	passwords := []string{
		` ,#+"\<>;()*=ä 'é `, "  leading", "trailing  ", "*", `\2a`, "a\u0308", "ä", "пароль 密码 🔑", strings.Repeat("x", 200),
	}
	if s.kind != "ad" { // where a password has 256 characters at most, none of them NUL
		passwords = append(passwords, "in the middle\x00of it", strings.Repeat("long ", 64<<10/5))
	}
	for _, password := range passwords {
		s.real.SetPassword(dn, password)
		if u, err := s.d.Authenticate(t.Context(), "paul", password); err != nil || u.DN != mustUser(t, s.d, "paul").DN {
			t.Errorf("%.40q: %+v, %v", password, u, err)
		}
	}
	// What looks alike is another password.
	s.real.SetPassword(dn, "  the right*one  ")
	for _, wrong := range []string{"the right*one", "  the right*one", "*", "  The right*one  "} {
		_, err := s.d.Authenticate(t.Context(), "paul", wrong)
		wantReason(t, err, oidc.ReasonWrongPassword)
	}
}

func readsLongValues(t *testing.T, s *subject) {
	s.needsReal(t)
	value := []byte(strings.Repeat("64 kB of it, ", 64<<10/13+1))[:64<<10]
	attribute := "description"
	if s.kind == "ad" { // which allows so much for photos only
		attribute = "thumbnailPhoto"
	}
	s.real.AddPerson(ldaptest.Person{UID: "lola", GivenName: "Lola", Surname: "Long"})
	s.real.Modify(s.real.PersonDN("lola"), attribute, string(value))
	o := s.options
	o.Attributes = []string{attribute}
	d := open(t, o)
	if u := mustUser(t, d, "lola"); s.kind != "ad" && u.First(attribute) != string(value) {
		t.Errorf("%s has %d bytes", attribute, len(u.First(attribute)))
	}
	photo, err := d.Photo(t.Context(), mustUser(t, d, "lola").ID, attribute)
	if err != nil || string(photo) != string(value) {
		t.Errorf("as a photo: %d bytes, %v", len(photo), err)
	}
}

func changesPasswords(t *testing.T, s *subject) {
	s.needsReal(t)
	o := s.options
	o.URL, o.PasswordChange = []string{s.real.LDAPSURL}, true
	if s.kind == "389ds" { // as the tool that sets it up has it
		s.real.Modify(s.real.BaseDN, "aci", append(s.real.Values(s.real.BaseDN, "aci"),
			`(targetattr="userPassword")(version 3.0; acl "own password"; allow (write) userdn="ldap:///self";)`)...)
	}
	d := open(t, o)
	s.real.AddPerson(ldaptest.Person{UID: "chris", GivenName: "Chris", Surname: "Change"})
	id := mustUser(t, d, "chris").ID
	wantReason(t, d.ChangePassword(t.Context(), id, "wrong", "Näw “Wörd” 1"), oidc.ReasonWrongPassword)
	if err := d.ChangePassword(t.Context(), id, ldaptest.Password("chris"), "Näw “Wörd” 1"); err != nil {
		t.Fatal(err)
	}
	if u, err := d.Authenticate(t.Context(), "chris", "Näw “Wörd” 1"); err != nil || u.ID != id {
		t.Errorf("with the new password: %+v, %v", u, err)
	}
	if _, err := d.Authenticate(t.Context(), "chris", ldaptest.Password("chris")); err == nil && s.kind != "ad" { // which takes the last one for an hour
		t.Error("the old password lets in")
	}
}

func followsChanges(t *testing.T, s *subject) {
	s.needsReal(t)
	s.real.AddPerson(ldaptest.Person{UID: "wilma", GivenName: "Wilma", Surname: "Watched"})
	o := s.options
	o.URL = []string{s.real.LDAPSURL}
	d := watched(t, o, nil)
	id := mustUser(t, d, "wilma").ID
	for _, c := range []struct {
		change func()
		seen   func(*oidc.User) bool
	}{
		{func() { s.real.AddMember(ldaptest.GroupDN("cn=empty"), s.real.PersonDN("wilma")) }, func(u *oidc.User) bool { return slices.Contains(groupNames(u), "empty") }},
		{func() { s.real.Disable("wilma") }, func(u *oidc.User) bool { return u.State == oidc.StateDisabled }},
	} {
		remember(t, d, id)
		c.change()
		eventually(t, "the change is known", func() bool {
			u, err := d.User(t.Context(), id)
			return err == nil && c.seen(u)
		})
	}
	remember(t, d, id) // before the group is as others expect it
	s.real.RemoveMember(ldaptest.GroupDN("cn=empty"), s.real.PersonDN("wilma"))
	eventually(t, "the removal is known", func() bool {
		u, err := d.User(t.Context(), id)
		return err == nil && !slices.Contains(groupNames(u), "empty")
	})
}

// TestNamesOfOneSoundAreOneEntry writes names once with letters of one character and
// once with those of two, which slapd takes for the same.
func TestNamesOfOneSoundAreOneEntry(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := open(t, options(s))
	decomposed, composed := "Jo\u0308rg Mu\u0308ller", "J\u00f6rg M\u00fcller"
	s.AddPerson(ldaptest.Person{UID: "muller", GivenName: "J.", Surname: "M.", RDN: "cn=" + hexDN(decomposed), More: map[string][]string{"cn": {decomposed}}})
	s.AddGroup(ldaptest.Group{RDN: "cn=" + hexDN("Gruppe "+decomposed), Members: []string{"cn=" + composed + ",ou=people," + s.BaseDN}})
	s.AddGroup(ldaptest.Group{RDN: "cn=above", Members: []string{"cn=Gruppe " + composed + ",ou=groups," + s.BaseDN}})
	u := mustUser(t, d, "muller")
	if len(u.Groups) != 2 {
		t.Errorf("groups are %+v", u.Groups)
	}
	for _, dn := range []string{"cn=Gruppe " + composed + ",ou=groups," + s.BaseDN, "CN=Gruppe " + decomposed + ", OU=groups," + s.BaseDN} {
		if g, err := d.Group(t.Context(), dn); err != nil || !slices.ContainsFunc(u.Groups, func(o oidc.Group) bool { return o.DN == g.DN }) {
			t.Errorf("%q: %+v, %v", dn, g, err)
		}
		// As a client's file may name it.
		if key := oidc.MustParseDN(dn).Key(); !slices.ContainsFunc(u.Groups, func(o oidc.Group) bool { return oidc.MustParseDN(o.DN).Key() == key }) {
			t.Errorf("%q is none of %+v", dn, u.Groups)
		}
	}
}

// TestANameWithNULIsRead has it where slapd takes it: in DNs, and in members.
func TestANameWithNULIsRead(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := open(t, options(s))
	person := ldaptest.Person{UID: "nully", GivenName: "Nul", Surname: "Name", RDN: "cn=" + hexDN("a\x00b"), More: map[string][]string{"cn": {"a\x00b"}}}
	s.AddPerson(person)
	group := ldaptest.Group{RDN: "cn=" + hexDN("of\x00nul"), Members: []string{person.DN()}}
	s.AddGroups([]ldaptest.Group{group, {RDN: "cn=above nul", Members: []string{group.DN()}}})
	u, err := d.Authenticate(t.Context(), "nully", ldaptest.Password("nully"))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := d.User(t.Context(), u.ID); err != nil || again.DN != u.DN || len(again.Groups) != 2 || len(u.Groups) != 2 {
		t.Errorf("groups are %+v, and by id %+v, %v", u.Groups, again, err)
	}
	for _, g := range u.Groups {
		if found, err := d.Group(t.Context(), g.DN); err != nil || found.DN != g.DN {
			t.Errorf("group %q: %+v, %v", g.DN, found, err)
		}
	}
}
