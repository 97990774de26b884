package ldaptest

import (
	"slices"
	"strings"
	"testing"
)

func TestA389DirectoryStartsFilledAndAgain(t *testing.T) {
	t.Parallel()
	s := Start389(t, nil, nil)
	alice, admins := s.PersonDN("alice"), GroupDN("cn=admins")
	if n := len(s.Values(alice, "memberOf")); n < 3 {
		t.Errorf("memberOf of the seed has %d values", n)
	}
	s.RemoveMember(admins, alice)
	s.AddMember(admins, s.PersonDN("bob"))
	s.AddPerson(Person{UID: "walter", GivenName: "Walter", Surname: "New"})
	s.AddGroup(Group{RDN: "cn=late", Members: []string{s.PersonDN("walter")}})
	s.Disable("bob")
	s.Restart()
	if got := s.Values(s.PersonDN("walter"), "memberOf"); len(got) != 1 {
		t.Errorf("walter's memberOf is %q", got)
	}
	s.Enable("bob")
	s.Rename(s.PersonDN("bob"), "uid=robert")
	waitForMembers(t, s, admins, 1)
	s.Delete(s.PersonDN("robert"))
	waitForMembers(t, s, admins, 0)
	s.Move(s.PersonDN("ivan"), "ou=services,"+s.BaseDN)
	moved := func(dn string) bool { return strings.Contains(strings.ToLower(dn), "ivan,ou=services,") }
	if got := s.Values(GroupDN(`cn=Sales\2C EMEA`), "member"); !slices.ContainsFunc(got, moved) {
		t.Errorf("the group did not follow: %q", got)
	}
}

func waitForMembers(t *testing.T, s *Server, group string, want int) {
	t.Helper()
	eventually(t, func() bool { return len(s.Values(group, "member")) == want }, func() {
		t.Fatalf("the members of %s are %q", group, s.Values(group, "member"))
	})
}
