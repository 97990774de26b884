package ldapstore_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

func TestGroupsTwentyDeepAreFoundWithOneSearchALevel(t *testing.T) {
	t.Parallel()
	groups := []ldaptest.Group{{RDN: "cn=level 0", Members: []string{ldaptest.PersonDN("alice")}}}
	for i := 1; i <= 20; i++ {
		groups = append(groups,
			ldaptest.Group{RDN: fmt.Sprintf("cn=level %d", i), Members: []string{groups[len(groups)-1].DN()}},
		)
	}
	s := ldaptest.Start(t, ldaptest.WithLDIF(ldaptest.LDIF(ldaptest.People(), groups)))
	o := options(s)
	o.Kind = "openldap"
	d := open(t, o)
	n := 0
	u, err := d.UserByName(searches(t.Context(), &n), "alice")
	if err != nil {
		t.Fatal(err)
	}
	if len(u.Groups) != 21 {
		t.Errorf("found %d groups, want 21", len(u.Groups))
	}
	for _, g := range u.Groups {
		var level int
		if _, err := fmt.Sscanf(g.Name, "level %d", &level); err != nil || len(g.Path) != level {
			t.Errorf("path to %q has %d groups", g.Name, len(g.Path))
		}
	}
	if n != 1+21+1 {
		t.Errorf("it took %d searches, want one for the person and one a level", n)
	}
	o.DirectGroupsOnly = true
	wantGroups(t, mustUser(t, open(t, o), "alice"), "level 0")
}

func TestMoreGroupsThanTheSizeLimitAreAllFound(t *testing.T) {
	t.Parallel()
	var groups []ldaptest.Group
	for i := range 1200 {
		groups = append(groups, ldaptest.Group{RDN: fmt.Sprintf("cn=many %04d", i), Members: []string{ldaptest.PersonDN("alice")}})
	}
	for i := range 300 {
		groups = append(groups, ldaptest.Group{RDN: fmt.Sprintf("cn=above %04d", i), Members: []string{groups[i*3].DN(), ldaptest.GroupDN("cn=top")}})
	}
	groups = append(groups, ldaptest.Group{RDN: "cn=top", Members: []string{groups[1200].DN(), groups[1250].DN()}})
	s := ldaptest.Start(t, ldaptest.WithLDIF(ldaptest.LDIF(ldaptest.People(), groups)))
	u := mustUser(t, open(t, options(s)), "alice")
	if len(u.Groups) != 1501 {
		t.Errorf("found %d groups, want 1501", len(u.Groups))
	}
	for _, g := range u.Groups {
		var n int
		if _, err := fmt.Sscanf(g.Name, "above %d", &n); err == nil {
			if want := []string{groups[n*3].DN()}; !slices.Equal(g.Path, want) {
				t.Errorf("path to %q is %q, want %q", g.Name, g.Path, want)
			}
		}
	}
}

func TestAPartialListOfGroupsIsAnError(t *testing.T) {
	t.Parallel()
	var groups []ldaptest.Group
	for i := range 300 {
		groups = append(groups, ldaptest.Group{RDN: fmt.Sprintf("cn=many %04d", i), Members: []string{ldaptest.PersonDN("alice")}})
	}
	// The limit counts over all pages.
	s := ldaptest.Start(t, ldaptest.WithLDIF(ldaptest.LDIF(ldaptest.People(), groups)),
		ldaptest.WithGlobal("sizelimit size.soft=100 size.hard=100 size.prtotal=hard"))
	d := open(t, options(s))
	_, err := d.UserByName(t.Context(), "alice")
	wantUnavailable(t, err)
	wantGroups(t, mustUser(t, d, "bob"))
}

func TestDynamicGroupsAreFoundByMemberOf(t *testing.T) {
	t.Parallel()
	people := ldaptest.People()
	people[0].More["employeeType"] = []string{"internal"}
	s := ldaptest.Start(t,
		ldaptest.WithLDIF(ldaptest.LDIF(people, nil)),
		ldaptest.WithGlobal("moduleload dynlist"),
		ldaptest.WithDatabase("overlay dynlist\ndynlist-attrset groupOfURLs memberURL member+memberOf@groupOfNames*"))
	dn := ldaptest.GroupDN("cn=internal")
	s.Add(dn, map[string][]string{
		"objectClass": {"groupOfURLs"}, "cn": {"internal"},
		"memberURL": {"ldap:///ou=people," + s.BaseDN + "??one?(employeeType=internal)"},
	})
	d := open(t, options(s))
	wantGroups(t, mustUser(t, d, "alice"), "internal")
	wantGroups(t, mustUser(t, d, "bob"))
}

func TestTheExistenceOfAGroupCanBeChecked(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	o := options(s)
	o.GroupBaseDN = []string{"ou=groups," + s.BaseDN}
	d := open(t, o)
	g, err := d.Group(t.Context(), "CN=Staff, OU=groups,dc=example,dc=org")
	if err != nil || g.Name != "staff" || g.DN != ldaptest.GroupDN("cn=staff") || g.ID == "" {
		t.Errorf("got %+v, %v", g, err)
	}
	if g, err := d.Group(t.Context(), ldaptest.GroupDN(`cn=Sales\, EMEA`)); err != nil || g.Name != "Sales, EMEA" {
		t.Errorf("got %+v, %v", g, err)
	}
	for _, dn := range []string{ldaptest.GroupDN("cn=nothing"), "ou=groups," + s.BaseDN, ldaptest.PersonDN("alice"), "staff", "", "nonsense=x," + o.GroupBaseDN[0]} {
		if _, err := d.Group(t.Context(), dn); !errors.Is(err, oidc.ErrNotFound) || errors.Is(err, oidc.ErrUnavailable) {
			t.Errorf("%q: %v, want ErrNotFound", dn, err)
		}
	}
	s.Stop()
	_, err = d.Group(t.Context(), g.DN)
	wantUnavailable(t, err)
}
