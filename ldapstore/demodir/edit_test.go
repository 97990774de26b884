package demodir_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/ldapstore/demodir"
)

// one returns an attribute's values of the one entry below base that a filter finds.
func one(t *testing.T, c *ldap.Conn, filter, attribute string) string {
	t.Helper()
	r, err := c.Search(search(base, ldap.ScopeWholeSubtree, filter, attribute))
	if err != nil || len(r.Entries) != 1 {
		t.Fatalf("%s: %v, %v", filter, r, err)
	}
	return strings.Join(r.Entries[0].GetEqualFoldAttributeValues(attribute), "|")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestChangesShowAtTheNextSearch(t *testing.T) {
	t.Parallel()
	s := start(t, demodir.Options{})
	c := reader(t, s)
	lea, design := "uid=lea,"+people, "cn=design,"+groups

	must(t, s.AddMember(design, lea))
	if got := one(t, c, "(uid=lea)", "memberOf"); got != design+"|cn=friends-of-the-house,"+groups {
		t.Errorf("after joining: %s", got)
	}
	must(t, s.RemoveMember("CN=design, ou=groups,"+base, "UID=Lea,"+people))
	if got := one(t, c, "(uid=lea)", "memberOf"); got != "cn=friends-of-the-house,"+groups {
		t.Errorf("after leaving: %s", got)
	}
	must(t, s.SetAttribute(lea, "MAIL", "a@x.example", "b@x.example"))
	if got := one(t, c, "(mail=A@x.example)", "mail"); got != "a@x.example|b@x.example" {
		t.Errorf("after new addresses: %s", got)
	}
	must(t, s.SetAttribute(lea, "mail"))
	if got := one(t, c, "(uid=lea)", "mail"); got != "" {
		t.Errorf("after no addresses: %s", got)
	}
	must(t, s.SetAttribute(lea, "favouriteColour", "green"))
	if got := one(t, c, "(favouriteColour=GREEN)", "uid"); got != "lea" {
		t.Errorf("an attribute that no schema has: %s", got)
	}
	must(t, s.SetPassword("uid=elena,"+people, "spring-leaf"))
	must(t, dial(t, s).Bind("uid=elena,"+people, "spring-leaf"))
	must(t, s.SetAttribute("uid=amelie,"+people, "pwdAccountLockedTime", "000001010000Z"))
	if err := dial(t, s).Bind("uid=amelie,"+people, "morning-train"); code(t, err) != ldap.LDAPResultInvalidCredentials {
		t.Errorf("a disabled account may bind: %v", err)
	}
}

func TestTheStableIdOutlivesARenameAndNoDeletion(t *testing.T) {
	t.Parallel()
	s := start(t, demodir.Options{})
	c := reader(t, s)
	id := one(t, c, "(uid=kenji)", "entryUUID")
	if again := one(t, reader(t, start(t, demodir.Options{})), "(uid=kenji)", "entryUUID"); again != id || len(id) != 36 || id[14] != '5' {
		t.Errorf("ids of two starts are %s and %s", id, again)
	}
	renamed := `uid=Kenji\2C W.+cn=Kenji Watanabe,` + people
	must(t, s.Rename("uid=kenji,"+people, renamed))
	if got := one(t, c, "(uid=kenji, w.)", "entryUUID"); got != id {
		t.Errorf("after the rename it is %s, not %s", got, id)
	}
	if got := one(t, c, "(uid=kenji, w.)", "uid"); got != "Kenji, W." {
		t.Errorf("the new naming value is %q", got)
	}
	if got := one(t, c, "(member="+ldap.EscapeFilter(renamed)+")", "cn"); got != "design" {
		t.Errorf("the groups did not follow: %s", got)
	}
	must(t, s.Delete(renamed))
	if r, err := c.Search(search(base, ldap.ScopeWholeSubtree, "(|(employeeNumber=1007)(member="+ldap.EscapeFilter(renamed)+"))")); err != nil || len(r.Entries) != 0 {
		t.Errorf("what is left after the deletion: %s, %v", names(r), err)
	}
	must(t, s.Add([]byte("dn: "+renamed+"\nobjectClass: inetOrgPerson\nuid: Kenji, W.\ncn: Kenji Watanabe\nsn: Watanabe\n")))
	first := one(t, c, "(uid=kenji, w.)", "entryUUID")
	must(t, s.Delete(renamed))
	must(t, s.Add([]byte("dn: "+renamed+"\nobjectClass: inetOrgPerson\nuid: Kenji, W.\ncn: Kenji Watanabe\nsn: Watanabe\n")))
	if second := one(t, c, "(uid=kenji, w.)", "entryUUID"); first == id || second == id || second == first {
		t.Errorf("ids of three lives: %s, %s, %s", id, first, second)
	}
	must(t, s.Add([]byte("dn: cn=stated,"+people+"\nobjectClass: person\ncn: stated\nsn: x\nentryUUID: 11111111-2222-3333-4444-555555555555\ncreateTimestamp: 20200102030405Z\nmemberOf: cn=admins,"+groups+"\n")))
	if got := one(t, c, "(entryUUID=11111111-2222-3333-4444-555555555555)", "createTimestamp"); got != "20200102030405Z" {
		t.Errorf("what the LDIF states: %s", got)
	}
	if got := one(t, c, "(cn=stated)", "memberOf"); got != "" {
		t.Errorf("memberOf is believed: %s", got)
	}
}

func TestChangesThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t, demodir.Options{})
	lea := "uid=lea," + people
	for what, err := range map[string]error{
		"deleting a branch": s.Delete(people), "renaming a branch": s.Rename(people, "ou=folk,"+base), "renaming onto another": s.Rename(lea, "uid=kenji,"+people),
		"renaming out of the tree": s.Rename(lea, "uid=lea,dc=elsewhere"), "renaming to nothing": s.Rename(lea, ""), "a member twice": s.AddMember("cn=admins,"+groups, "UID=amelie,"+people),
		"a member that is no DN": s.AddMember("cn=admins,"+groups, "amelie"), "removing who is no member": s.RemoveMember("cn=admins,"+groups, lea),
		"a value of the wrong kind": s.SetAttribute(lea, "pwdReset", "yes"), "a computed attribute": s.SetAttribute(lea, "memberOf", "cn=admins,"+groups),
		"no naming value": s.SetAttribute(lea, "uid", "leah"), "no class": s.SetAttribute(lea, "objectClass"), "no name": s.SetAttribute(lea, "a b", "c"),
		"an empty password": s.SetPassword(lea, ""), "an entry twice": s.Add([]byte("dn: " + lea + "\nobjectClass: person\nuid: lea\n")),
		"an entry in the air": s.Add([]byte("dn: uid=x,ou=air," + base + "\nobjectClass: person\nuid: x\n")),
	} {
		if err == nil {
			t.Errorf("%s is taken", what)
		}
	}
	if err := s.Delete("uid=nobody," + people); !errors.Is(err, demodir.ErrNoEntry) {
		t.Errorf("an entry that is not there: %v", err)
	}
}

func TestPasswordsAgeAsTheirPolicySays(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := start(t, demodir.Options{Now: func() time.Time { return now }})
	policy, lea := "cn=ninety-days,ou=policies,"+base, "uid=lea,"+people
	must(t, s.SetAttribute(lea, "pwdPolicySubentry", policy))
	must(t, s.SetAttribute(policy, "pwdExpireWarning", "864000"))
	must(t, s.SetAttribute(policy, "pwdGraceAuthNLimit", "2"))
	bind := func() (uint16, *ldap.ControlBeheraPasswordPolicy) {
		t.Helper()
		b, err := dial(t, s).SimpleBind(ldap.NewSimpleBindRequest(lea, "river-stone", []ldap.Control{ldap.NewControlBeheraPasswordPolicy()}))
		c, ok := ldap.FindControl(b.Controls, ldap.ControlTypeBeheraPasswordPolicy).(*ldap.ControlBeheraPasswordPolicy)
		if !ok {
			t.Fatal("no answer of the policy")
		}
		return code(t, err), c
	}
	at := func(d time.Duration) {
		must(t, s.SetAttribute(lea, "pwdChangedTime", now.Add(-d).Format("20060102150405Z")))
	}
	const day = 24 * time.Hour
	at(day)
	if code, c := bind(); code != 0 || c.Expire != -1 || c.Grace != -1 || c.Error != -1 {
		t.Errorf("a new password: %d %+v", code, c)
	}
	at(89 * day)
	if code, c := bind(); code != 0 || c.Expire != 86400 {
		t.Errorf("a password in its last days: %d %+v", code, c)
	}
	at(91 * day)
	for _, left := range []int64{1, 0} {
		if code, c := bind(); code != 0 || c.Grace != left {
			t.Errorf("a grace login: %d %+v, not %d left", code, c, left)
		}
	}
	if code, c := bind(); code != ldap.LDAPResultInvalidCredentials || c.Error != 0 {
		t.Errorf("after the last grace login: %d %+v", code, c)
	}
	at(day)
	for name, value := range map[string]string{
		"pwdStartTime": now.Add(time.Minute).Format("20060102150405Z"), "pwdEndTime": now.Format("20060102150405Z"), "pwdAccountLockedTime": now.Format("20060102150405Z"),
	} {
		must(t, s.SetAttribute(lea, name, value))
		if code, c := bind(); code != ldap.LDAPResultInvalidCredentials || c.Error != 1 {
			t.Errorf("%s: %d %+v", name, code, c)
		}
		must(t, s.SetAttribute(lea, name))
	}
	must(t, s.SetAttribute(policy, "pwdLockoutDuration", "60"))
	must(t, s.SetAttribute(lea, "pwdAccountLockedTime", now.Add(-2*time.Minute).Format("20060102150405Z")))
	if code, _ := bind(); code != 0 {
		t.Errorf("a lock that is over: %d", code)
	}
}

func TestReadersAndWritersDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	s := start(t, demodir.Options{})
	var wait sync.WaitGroup
	for i := range 4 {
		c := reader(t, s)
		wait.Go(func() {
			for range 50 {
				r, err := c.Search(search(base, ldap.ScopeWholeSubtree, "(objectClass=inetOrgPerson)", "*", "+"))
				if err != nil || len(r.Entries) != 13 {
					t.Error(names(r), err)
					return
				}
			}
		})
		wait.Go(func() {
			dn := fmt.Sprintf("cn=group %d,%s", i, groups)
			for range 50 {
				if err := errors.Join(
					s.Add([]byte("dn: "+dn+"\nobjectClass: groupOfNames\ncn: group "+fmt.Sprint(i)+"\nmember: uid=lea,"+people+"\n")),
					s.AddMember(dn, "uid=kenji,"+people), s.Delete(dn),
				); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
}
