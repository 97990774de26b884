package ldapstore_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/ldapstore"
	"gatehouse/ldapstore/ldaptest"
)

// crowd returns so many people and groups. Person 0 is in a
// thousand groups, person 1 at the bottom of fifty, person 2 in one of three that
// are members of each other, and the others here and there.
func crowd(n, m int) ([]ldaptest.Person, []ldaptest.Group) {
	var people []ldaptest.Person
	for i := range n {
		people = append(people, ldaptest.Person{UID: fmt.Sprintf("person%d", i), GivenName: "Person", Surname: fmt.Sprint(i), NoPassword: true})
	}
	other := func(i int) string { return people[3+i%(n-3)].DN() }
	var groups []ldaptest.Group
	for i := range 1000 {
		groups = append(groups, ldaptest.Group{RDN: fmt.Sprintf("cn=wide %d", i), Members: []string{people[0].DN(), other(i)}})
	}
	below := people[1].DN()
	for i := range 50 {
		g := ldaptest.Group{RDN: fmt.Sprintf("cn=deep %d", i), Members: []string{below, other(i)}}
		groups, below = append(groups, g), g.DN()
	}
	loop := func(i int) string { return ldaptest.GroupDN(fmt.Sprintf("cn=loop %d", i%3)) }
	for i := range 3 {
		groups = append(groups, ldaptest.Group{RDN: fmt.Sprintf("cn=loop %d", i), Members: []string{loop(i + 2), other(i)}})
	}
	groups[len(groups)-3].Members = append(groups[len(groups)-3].Members, people[2].DN())
	for i := len(groups); i < m; i++ {
		groups = append(groups, ldaptest.Group{RDN: fmt.Sprintf("cn=group %d", i), Members: []string{other(i), other(i + 1), other(2*i + 7)}})
	}
	// A crowd beyond every limit, whose members nobody needs to read.
	everybody := make([]string, len(people))
	for i := range people {
		everybody[i] = people[i].DN()
	}
	groups[len(groups)-1].Members = everybody
	return people, groups
}

// TestASizeLimitMakesNoDifference asks with an account that is sent 500 entries at
// most, and with one that has no limits, among ten thousand people and five
// thousand groups. Samba knows no limit, and takes a minute to be filled with so
// many: there they are fewer.
func TestASizeLimitMakesNoDifference(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("to fill the servers takes long")
	}
	for name, start := range map[string]func(*testing.T) (*ldaptest.Server, int, []ldaptest.Group){
		"OpenLDAP": func(t *testing.T) (*ldaptest.Server, int, []ldaptest.Group) {
			people, groups := crowd(10_000, 5_000)
			return ldaptest.Start(t, ldaptest.WithLDIF(ldaptest.LDIF(people, groups))), len(people), groups
		},
		"389 DS": func(t *testing.T) (*ldaptest.Server, int, []ldaptest.Group) {
			people, groups := crowd(10_000, 5_000)
			s := ldaptest.Start389(t, people, groups)
			s.Modify("cn=config", "nsslapd-sizelimit", "500")
			return s, len(people), groups
		},
		"Active Directory": func(t *testing.T) (*ldaptest.Server, int, []ldaptest.Group) {
			people, groups := crowd(300, 1_100)
			return ldaptest.StartAD(t, people, groups), len(people), groups
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, people, groups := start(t)
			o := options(s)
			o.Timeout = time.Minute // only the answers count
			if s.Kind == "ad" {
				o.URL = []string{s.LDAPSURL}
			}
			limited := open(t, o)
			o.BindDN, o.BindPassword = s.AdminDN, func() (string, error) { return s.AdminPassword, nil }
			free := open(t, o)
			sample := []int{0, 1, 2, people - 1}
			for i := 3; i < people; i += people / 25 {
				sample = append(sample, i)
			}
			for _, i := range sample {
				uid := fmt.Sprintf("person%d", i)
				want := mustUser(t, free, uid)
				got := mustUser(t, limited, uid)
				again, err := limited.User(t.Context(), got.ID)
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(got.Groups, want.Groups) || !reflect.DeepEqual(again.Groups, want.Groups) {
					t.Errorf("%s: %d groups with the limit, %d by id, %d without it", uid, len(got.Groups), len(again.Groups), len(want.Groups))
				}
			}
			for uid, least := range map[string]int{"person0": 1001, "person1": 51, "person2": 4} {
				if u := mustUser(t, limited, uid); len(u.Groups) < least || len(u.Groups) > least+4 {
					t.Errorf("%s is in %d groups, want some more than %d", uid, len(u.Groups), least)
				}
			}
			wantEverything(t, s, limited, people, groups)
		})
	}
}

// wantEverything lists what no single answer may have.
func wantEverything(t *testing.T, s *ldaptest.Server, limited *ldapstore.Directory, people int, groups []ldaptest.Group) {
	t.Helper()
	all, err := limited.Groups(t.Context(), "")
	if s.Kind == "389ds" { // which looks at no more than 5,000 entries for one question
		wantUnavailable(t, err)
		s.Modify("cn=config,cn=ldbm database,cn=plugins,cn=config", "nsslapd-lookthroughlimit", "20000")
		all, err = limited.Groups(t.Context(), "")
	}
	if err != nil || len(all) < len(groups) {
		t.Errorf("%d groups are listed, %v", len(all), err)
	}
	members, err := limited.Members(t.Context(), groups[len(groups)-1].DN())
	if err != nil || len(members) != people || !slices.ContainsFunc(members, func(dn string) bool { return strings.EqualFold(dn, s.PersonDN("person0")) }) {
		t.Errorf("%d members are listed, %v", len(members), err)
	}
}
