package ldapstore_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"gatehouse/ldapstore"
	"gatehouse/ldapstore/demodir"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

// TestALookUpThatWasMadeBeforeTakesTwoSearches: one for the person and the groups
// that list them, one for all groups above, if these are wanted.
func TestALookUpThatWasMadeBeforeTakesTwoSearches(t *testing.T) {
	t.Parallel()
	var searches atomic.Int64
	_, o := office(t, demodir.Options{Observe: func(op demodir.Operation) {
		if op.Kind == demodir.Search {
			searches.Add(1)
		}
	}})
	o.Kind = "openldap"
	for _, c := range []struct {
		direct bool
		want   int64
	}{{false, 2}, {true, 1}} {
		o.DirectGroupsOnly = c.direct
		d := open(t, o)
		u := mustUser(t, d, "tomasz")
		if slices.ContainsFunc(u.Groups, func(g oidc.Group) bool { return len(g.Path) > 0 }) == c.direct {
			t.Fatalf("groups above others are there or aren't: %+v", u.Groups)
		}
		for range 3 {
			searches.Store(0)
			again, err := d.User(t.Context(), u.ID)
			if err != nil || describe(again.Groups) != describe(u.Groups) {
				t.Fatalf("got %v, %v", again, err)
			}
		}
		if n := searches.Load(); n != c.want {
			t.Errorf("direct groups only %v: %d searches", c.direct, n)
		}
	}
}

// TestWhatWasFoundBeforeDecidesNothing changes people and groups at random, loops
// and renames among them, and compares with somebody who knows of nothing before.
func TestWhatWasFoundBeforeDecidesNothing(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	o := options(s)
	o.Kind = "openldap"
	experienced := open(t, o)
	random := rand.New(rand.NewPCG(1, 2)) // the same every time
	people := map[string]string{}         // DN by id
	for _, uid := range []string{"alice", "bob", "carol", "peter"} {
		people[mustUser(t, experienced, uid).ID] = ldaptest.PersonDN(uid)
	}
	ids := slices.Sorted(func(yield func(string) bool) {
		for id := range people {
			if !yield(id) {
				return
			}
		}
	})
	var groups []string
	for i := range 8 {
		g := ldaptest.Group{RDN: fmt.Sprintf("cn=g%d", i)}
		s.AddGroup(g)
		groups = append(groups, g.DN())
	}
	edges := map[[2]string]bool{}
	rounds := 200
	if testing.Short() {
		rounds = 60
	}
	for round := range rounds {
		g, what := random.IntN(len(groups)), ""
		switch n := random.IntN(10); {
		case n == 0: // a group is renamed, and slapd follows in those above a moment later
			before := groups[g]
			groups[g] = ldaptest.GroupDN(fmt.Sprintf("cn=g%d-%d", g, round))
			what = before + " is renamed"
			rdn, _, _ := strings.Cut(groups[g], ",")
			s.Rename(before, rdn)
			edges = renamed(edges, before, groups[g])
		case n == 1:
			id := ids[random.IntN(len(ids))]
			before := people[id]
			people[id] = fmt.Sprintf("uid=p%d,ou=people,%s", round, s.BaseDN)
			what = before + " is renamed"
			rdn, _, _ := strings.Cut(people[id], ",")
			s.Rename(before, rdn)
			edges = renamed(edges, before, people[id])
		default:
			member := people[ids[random.IntN(len(ids))]]
			if n < 7 {
				member = groups[random.IntN(len(groups))]
			}
			edge := [2]string{groups[g], member}
			what = fmt.Sprint(member, " in ", groups[g], ": ", !edges[edge])
			if edges[edge] {
				s.RemoveMember(edge[0], edge[1])
			} else {
				s.AddMember(edge[0], edge[1])
			}
			edges[edge] = !edges[edge]
		}
		for _, id := range ids {
			agree(t, experienced, o, id, fmt.Sprintf("round %d, %s", round, what), strings.Contains(what, "renamed"))
		}
	}
}

func renamed(edges map[[2]string]bool, before, after string) map[[2]string]bool {
	out := map[[2]string]bool{}
	for edge, present := range edges {
		for i := range edge {
			if edge[i] == before {
				edge[i] = after
			}
		}
		out[edge] = present
	}
	return out
}

// agree compares the answer with that of a Directory without experience. While slapd
// follows up on a rename both may differ.
func agree(t *testing.T, experienced *ldapstore.Directory, o ldapstore.Options, id, what string, followsUp bool) {
	t.Helper()
	same := func() (string, string) {
		fresh, err := ldapstore.New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer fresh.Close()
		want, errWant := fresh.User(t.Context(), id)
		got, err := experienced.User(t.Context(), id)
		if err != nil || errWant != nil {
			t.Fatalf("%s: %v, %v", what, err, errWant)
		}
		for _, g := range got.Groups { // every step of a way is a group that the person has
			for _, dn := range g.Path {
				if !slices.ContainsFunc(got.Groups, func(o oidc.Group) bool { return o.DN == dn }) {
					t.Errorf("%s: the way to %s leads through %s", what, g.DN, dn)
				}
			}
		}
		return describe(got.Groups), describe(want.Groups)
	}
	got, want := same()
	if followsUp && got != want {
		eventually(t, what+": the groups have followed", func() bool { got, want = same(); return got == want })
	}
	if got != want {
		t.Fatalf("%s: got\n%s\nwant\n%s", what, got, want)
	}
}

// describe lists groups, and whether others lead to them: by which way is not the
// same every time.
func describe(groups []oidc.Group) string {
	var b strings.Builder
	for _, g := range groups {
		fmt.Fprintln(&b, g.DN, g.ID, g.Name, g.DisplayName, len(g.Path) > 0)
	}
	return b.String()
}
